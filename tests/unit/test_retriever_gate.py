"""The retriever gate: recall from stored vectors beside chance, without copies of the query's own image."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from indexers.stores.memory import MemoryStore
from pipelines.retriever_gate import FILE, gate_warning, measure_gate, queries_for, read_gate, save_gate
from rag.leakage import PHASH
from rag.retriever_gate import FEWEST_QUERIES, Trial, chance_of, gate_figure, lower_bound
from rag.types import CaseLocator, PageLocator, Passage, Point, VectorSpec

DIM = 16
IMAGES = {"case": (VectorSpec("image", "multi", DIM),)}


def unit(row):
    row = np.atleast_2d(np.asarray(row, np.float32))
    return row / np.linalg.norm(row, axis=1, keepdims=True)


def name(number):
    return f"00000000-0000-0000-0000-{number:012d}"


def case(number, vector, patient=None, key=""):
    locator = CaseLocator(f"r{number}", patient)
    picture = (f"/pictures/{number}.png",)
    passage = Passage(name(number), "case", "films", "", locator, picture, {PHASH: key} if key else {})
    return Point(passage, {"image": unit(vector)})


def films(telling, n_patients=30, seed=0):
    """Two images of each patient; their vectors are near one another when `telling`, and random otherwise."""
    rng = np.random.default_rng(seed)
    store = MemoryStore(IMAGES)
    for patient in range(n_patients):
        centre = rng.normal(0, 1, DIM)
        rows = [centre + rng.normal(0, 0.05, DIM) if telling else rng.normal(0, 1, DIM) for _ in range(2)]
        store.upsert([case(2 * patient + place, row, f"p{patient}") for place, row in enumerate(rows)])
    return store


@given(st.integers(1, 12), st.integers(0, 30), st.integers(1, 30))
def test_chance_is_that_of_drawing_without_putting_back(depth, right, candidates):
    right = min(right, candidates)
    missed = hypergeom.pmf(0, candidates, right, min(depth, candidates))
    assert chance_of(depth, right, candidates) == pytest.approx(1 - missed, abs=1e-9)


def test_the_lower_bound_is_wilsons():
    assert lower_bound(0.5, 100) == pytest.approx(0.4188, abs=1e-4)
    assert lower_bound(0.0, 50) == 0.0
    assert lower_bound(1.0, 10_000) > 0.999


@given(st.lists(st.one_of(st.none(), st.integers(1, 10)), min_size=1, max_size=40))
def test_recall_grows_with_depth_and_stays_above_its_bound(ranks):
    figure = gate_figure("check", "image", [Trial(rank, 1, 50) for rank in ranks])
    assert 0 <= figure.recall[1] <= figure.recall[5] <= figure.recall[10] <= 1
    assert all(figure.low[depth] <= figure.recall[depth] + 1e-12 for depth in figure.low)


def test_too_little_gives_no_verdict():
    assert gate_figure("check", "image", []) is None
    few = gate_figure("check", "image", [Trial(1, 1, 50)] * (FEWEST_QUERIES - 1))
    assert few.above_chance is None
    assert gate_figure("check", "image", [Trial(1, 1, 1)] * FEWEST_QUERIES).above_chance is None


def test_vectors_that_tell_patients_are_above_chance(tmp_path):
    (figure,) = measure_gate(films(telling=True))
    assert (figure.channel, figure.queries, figure.candidates) == ("image", 30, 59)
    assert figure.recall[1] > 0.9
    assert figure.chance[1] == pytest.approx(1 / 59)
    assert figure.above_chance
    save_gate(tmp_path, "abc", [figure])
    assert gate_warning(tmp_path) is None


def test_vectors_that_tell_nothing_are_warned_about(tmp_path):
    figures = measure_gate(films(telling=False))
    assert [figure.above_chance for figure in figures] == [False]
    save_gate(tmp_path, "abc", figures)
    warning = gate_warning(tmp_path)
    assert "channel image" in warning
    assert "near chance" in warning
    assert "\n" not in warning


def test_copies_of_the_own_image_are_no_find():
    store = films(telling=False)
    key = "a" * 64
    rng = np.random.default_rng(3)
    for patient in range(20):
        row, copy = rng.normal(0, 1, DIM), f"{patient:x}".rjust(4, "e") * 16
        number = 1000 + 3 * patient
        # The same image twice, and one that says nothing of the patient.
        store.upsert([case(number, row, f"q{patient}", copy), case(number + 1, row, f"q{patient}", copy)])
        store.upsert([case(number + 2, rng.normal(0, 1, DIM), f"q{patient}", key[:-4] + f"{patient:04x}")])
    (figure,) = measure_gate(store)
    assert figure.queries == 50
    assert figure.above_chance is False


def test_captions_are_asked_for_their_pages():
    specs = {kind: (VectorSpec("dense", "multi", DIM),) for kind in ("page", "figure")}
    store = MemoryStore(specs)
    rng = np.random.default_rng(0)
    for number in range(25):
        row = rng.normal(0, 1, DIM)
        page = Passage(name(number), "page", "book", f"page {number}", PageLocator(number + 1))
        meta = {"page_id": page.id}
        figure = Passage(name(100 + number), "figure", "book", f"Figure {number}", PageLocator(number + 1), meta=meta)
        near = row + rng.normal(0, 0.1, DIM)
        store.upsert([Point(page, {"dense": unit(row)}), Point(figure, {"dense": unit(near)})])
    (found,) = measure_gate(store)
    assert (found.channel, found.queries, found.candidates, found.above_chance) == ("dense", 25, 25, True)
    assert found.recall[1] == 1.0


def test_a_large_library_is_asked_fewer_questions():
    assert [queries_for(n) for n in (0, 545, 5000, 10_000, 10**6)] == [200, 200, 200, 100, 40]


def test_a_library_without_pairs_has_no_figures():
    assert measure_gate(MemoryStore({"fact": (VectorSpec("bm25", "sparse"),)})) == ()
    assert measure_gate(MemoryStore(IMAGES)) == ()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"of": 1, "figures": []}', '{"of": "a", "figures": [{"check": 1}]}'])
def test_a_damaged_file_is_as_none(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert read_gate(tmp_path) is None
    assert gate_warning(tmp_path) is None


def test_what_is_written_is_read_again(tmp_path):
    save_gate(tmp_path, "abc", measure_gate(films(telling=True)))
    found = read_gate(tmp_path)
    assert found["of"] == "abc"
    assert found["figures"][0]["above_chance"] is True
    row = json.loads((tmp_path / FILE).read_text())["figures"][0]
    row["recall"] = {"1": 0.5}
    (tmp_path / FILE).write_text(json.dumps({"of": "abc", "figures": [row]}))
    assert read_gate(tmp_path) is None
