"""Pairs of current and prior images: exact against scoring every pair, whatever the depth of the first look."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexers.stores.edge import EdgeStore
from indexers.stores.memory import MemoryStore
from rag.errors import ConfigError, QueryError
from rag.pairs import PairOptions, PairRetriever
from rag.timeline import consecutive, studies_of
from rag.types import CaseLocator, Passage, Point, Query, VectorSpec

DIM = 6
SPEC = VectorSpec("image", "multi", DIM)


class Pictures:
    """Reads a vector off an image's file name, such as 1_0_0_0_0_0.png; a query's text is not read."""

    spec, fingerprint = SPEC, "pictures"

    def encode_queries(self, queries):
        return [self._rows(query.images) for query in queries]

    def encode_passages(self, passages):
        return [self._rows(passage.images) for passage in passages]

    def _rows(self, images):
        return unit([[float(part) for part in image.stem.split("_")] for image in images]) if images else None


class CountingStore(MemoryStore):
    """Counts the hits that searches without a patient hand out: the ranks read."""

    read = 0

    def search(self, kind, channel, vector, k, filters, prefetch=None):
        hits = super().search(kind, channel, vector, k, filters, prefetch)
        self.read += 0 if "patient" in filters else len(hits)
        return hits


def unit(rows):
    matrix = np.asarray(rows, np.float64)
    return (matrix / np.linalg.norm(matrix, axis=-1, keepdims=True)).astype(np.float32)


def point(number, vector, *, patient="p", day=None, study=None, document="cxr", domain="chest"):
    place = CaseLocator(f"r{number}", patient, study, day)
    passage = Passage(f"00000000-0000-0000-0000-{number:012d}", "case", document, "text", place, (), {"domain": domain})
    return Point(passage, {} if vector is None else {"image": unit([vector])})


def filled(points, kind=MemoryStore):
    store = kind({"case": (SPEC,)})
    store.upsert(points)
    return store


def brute_force(points, prior, current, weight, barred=()):
    """Every pair with its score, best first, by the definition."""
    vectors = {point.passage.id: point.vectors["image"] for point in points if point.vectors}
    sides = [{name: float((rows @ side.T).max(0).sum()) for name, rows in vectors.items()} for side in (prior, current)]
    passages = [point.passage for point in points if point.vectors and point.passage.locator.patient not in barred]
    pairs = [
        (weight * sides[1][now.id] + (1 - weight) * sides[0][before.id], now.id, before.id)
        for earlier, later in consecutive(studies_of(passages))
        for before, now in product(earlier.passages, later.passages)
    ]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))


def agrees(found, expected, k, tolerance=1e-5):
    """The same scores, each of a pair that has it; pairs whose scores are equal may change places."""
    by_names = {(now, before): score for score, now, before in expected}
    assert len(found) == min(k, len(expected))
    for pair, (score, _, _) in zip(found, expected, strict=False):
        assert pair.score == pytest.approx(score, abs=tolerance)
        assert by_names[pair.current.id, pair.prior.id] == pytest.approx(pair.score, abs=tolerance)
    assert len({(pair.current.id, pair.prior.id) for pair in found}) == len(found)


def random_points(seed, n):
    """Patients with up to five days, some days shared or missing, some cases without patient or image."""
    rng = np.random.default_rng(seed)
    return [
        point(
            number,
            None if rng.random() < 0.1 else rng.normal(size=DIM),
            patient=None if rng.random() < 0.1 else f"p{rng.integers(max(1, n // 4))}",
            day=None if rng.random() < 0.1 else float(rng.integers(5)),
            document=f"d{rng.integers(2)}",
        )
        for number in range(n)
    ]


@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(0, 60),
    k=st.integers(1, 8),
    depth=st.integers(1, 12),
    weight=st.sampled_from([0.0, 0.25, 0.5, 0.8, 1.0]),
)
def test_the_join_finds_what_scoring_every_pair_finds(seed, n, k, depth, weight):
    points = random_points(seed, n)
    rng = np.random.default_rng(seed + 1)
    prior, current = unit(rng.normal(size=(1, DIM))), unit(rng.normal(size=(1, DIM)))
    retriever = PairRetriever(filled(points), Pictures(), PairOptions(weight, depth))
    found = retriever.by_vectors(prior, current, k, without_patients={"p1"})
    agrees(found, brute_force(points, prior, current, weight, barred={"p1"}), k)


def test_the_join_is_exact_on_the_embedded_engine(tmp_path):
    points = random_points(5, 300)
    store = EdgeStore.open(tmp_path / "store", {"case": (SPEC,)}, root=tmp_path)
    store.upsert(points)
    rng = np.random.default_rng(6)
    for _ in range(5):
        prior, current = unit(rng.normal(size=(1, DIM))), unit(rng.normal(size=(1, DIM)))
        found = PairRetriever(store, Pictures(), PairOptions(depth=4)).by_vectors(prior, current, 5)
        agrees(found, brute_force(points, prior, current, 0.5), 5)
    store.close()


def test_it_stops_long_before_the_end_when_a_pair_stands_out():
    rng = np.random.default_rng(1)
    points = [point(i, rng.normal(size=DIM), patient=f"p{i // 2}", day=i % 2) for i in range(2000)]
    prior, current = points[700].vectors["image"], points[701].vectors["image"]
    store = filled(points, CountingStore)
    best = PairRetriever(store, Pictures(), PairOptions(depth=8)).by_vectors(prior, current, 1)[0]
    assert (best.prior.id, best.current.id) == (points[700].passage.id, points[701].passage.id)
    assert best.score == pytest.approx(1.0, abs=1e-5)
    assert store.read <= 32


def test_both_images_count_and_the_own_patient_is_left_out(tmp_path):
    same, other = [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]
    points = [
        point(0, same, patient="own", day=0), point(1, same, patient="own", day=1),
        point(2, other, patient="current only", day=0), point(3, same, patient="current only", day=4),
        point(4, [1, 0.2, 0, 0, 0, 0], patient="both", day=0), point(5, [1, 0.2, 0, 0, 0, 0], patient="both", day=9),
    ]  # fmt: skip
    image = tmp_path / "1_0_0_0_0_0.png"
    query = Query(text="what changed", images=(image,), prior_images=(image,), patient="own")
    found = PairRetriever(filled(points), Pictures()).retrieve(query, 3)
    assert [pair.current.locator.patient for pair in found] == ["both", "current only"]
    assert found[1].score == pytest.approx((found[1].prior_score + found[1].current_score) / 2)
    alone = PairRetriever(filled(points), Pictures(), PairOptions(weight=1.0)).retrieve(query, 3)
    assert [pair.current.locator.patient for pair in alone] == ["current only", "both"]


def test_filters_hold_for_both_passages(tmp_path):
    points = [
        point(0, [1] * DIM, patient="a", day=0, domain="chest"), point(1, [1] * DIM, patient="a", day=1, domain="hand"),
        point(2, [1] * DIM, patient="a", day=2, domain="chest"), point(3, [1] * DIM, patient="b", day=0),
        point(4, [1] * DIM, patient="b", day=1),
    ]  # fmt: skip
    image = tmp_path / "1_1_1_1_1_1.png"
    query = Query(images=(image,), prior_images=(image,), filters={"domain": ("chest",)})
    retriever = PairRetriever(filled(points), Pictures())
    names = [(pair.prior.record, pair.current.record) for pair in retriever.retrieve(query, 9)]
    assert names == [("r0", "r2"), ("r3", "r4")]
    only = replace(query, filters={"patient": ("b",)})
    assert [pair.prior.record for pair in retriever.retrieve(only, 9)] == ["r3"]


def test_a_query_without_both_images_is_refused(tmp_path):
    retriever = PairRetriever(filled([]), Pictures())
    image = tmp_path / "1_0_0_0_0_0.png"
    with pytest.raises(QueryError, match="current image and a prior image"):
        retriever.retrieve(Query(images=(image,)), 1)
    assert retriever.retrieve(Query(images=(image,), prior_images=(image,)), 3) == []
    assert retriever.by_vectors(unit([[1] * DIM]), unit([[1] * DIM]), 0) == []


def test_impossible_options_are_refused():
    with pytest.raises(ConfigError, match="weight"):
        PairOptions(weight=1.5)
    with pytest.raises(ConfigError, match="depth"):
        PairOptions(depth=0)


def test_whose_image_is_asked_about_is_left_out_without_being_named():
    """A question's own image is recognised by its key, and its patient's other pairs go as well."""
    key = "0f" * 32
    points = [
        point(1, [1, 0, 0, 0, 0, 0], day=0),
        point(2, [0, 1, 0, 0, 0, 0], day=5),
        point(3, [1, 0, 1, 0, 0, 0], patient="q", day=0),
        point(4, [0, 1, 1, 0, 0, 0], patient="q", day=5),
    ]
    points[1] = replace(points[1], passage=replace(points[1].passage, meta={"phash": key}))
    retriever = PairRetriever(filled(points), Pictures())
    query = Query(images=("0_1_0_0_0_0.png",), prior_images=("1_0_0_0_0_0.png",))
    assert [pair.current.record for pair in retriever.retrieve(query, 5)] == ["r2", "r4"]
    assert [pair.current.record for pair in retriever.retrieve(query, 5, images=(key,))] == ["r4"]
    assert len(retriever.retrieve(query, 5, images=("f0" * 32,))) == 2
