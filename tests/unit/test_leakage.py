"""The leakage rules: what is withheld and why, kin of the same image, refilling, and never a leaked hit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ConfigError
from rag.leakage import (
    Guard,
    Likeness,
    QueryOrigin,
    guarded,
    same_key,
    search_guarded,
    single_image_cosines,
    stored_keys,
)
from rag.types import CaseLocator, ChannelScore, FactLocator, Hit, PageLocator, Passage

KEY = "0f" * 32


def flipped(key, bits):
    """The key with its lowest bits turned over."""
    return f"{int(key, 16) ^ ((1 << bits) - 1):064x}"


def case(name, patient=None, study=None, *, key=None, document="cxr"):
    meta = {"phash": key} if key else {}
    return Hit(Passage(name, "case", document, "text", CaseLocator(name, patient, study), (f"{name}.png",), meta), 1.0)


def reasons(result):
    return {one.hit.passage.id: one.reason for one in result.dropped}


def kept(result):
    return [hit.passage.id for hit in result.kept]


def test_own_record_patient_and_study_are_withheld_and_counted():
    hits = [case("r0"), case("r1", "p1"), case("r2", "p2", "s1"), case("r3", "p2", "s2"), case("r4", "p1", "s9")]
    result = guarded(QueryOrigin("p1", "s1", "r0"), hits)
    assert reasons(result) == {"r0": "same record", "r1": "same patient", "r2": "same study", "r4": "same patient"}
    assert kept(result) == ["r3"]
    assert result.counts == {"same patient": 2, "same record": 1, "same study": 1}


def test_each_relation_can_be_switched_off():
    hits = [case("r1", "p1"), case("r2", None, "s1"), case("r3", key=KEY)]
    origin = QueryOrigin("p1", "s1", images=(KEY,))
    assert kept(guarded(origin, hits, Guard(patient=False))) == ["r1"]
    assert kept(guarded(origin, hits, Guard(study=False))) == ["r2"]
    assert kept(guarded(origin, hits, Guard(image=False))) == ["r3"]


def test_an_image_is_the_same_within_the_radius_only():
    radius = Guard().radius
    hits = [case("near", key=flipped(KEY, radius)), case("far", key=flipped(KEY, radius + 1)), case("none")]
    assert reasons(guarded(QueryOrigin(images=(KEY,)), hits)) == {"near": "same image"}


def test_an_image_is_the_same_by_its_vector_too():
    guard = Guard(cosine=0.9)
    likeness = Likeness(cosines={"a": 0.9, "b": 0.899})
    result = guarded(QueryOrigin(), [case("a"), case("b"), case("c")], guard, likeness)
    assert reasons(result) == {"a": "same image"}


def test_the_owner_of_the_same_image_is_withheld_whole():
    hits = [
        case("other study", "p1", "s2"), case("image", "p1", "s1", key=KEY), case("stranger", "p2", "s3"),
        case("namesake", "p1", "s1", document="other"),
    ]  # fmt: skip
    origin = QueryOrigin(images=(KEY,))
    result = guarded(origin, hits)
    assert reasons(result) == {"other study": "same patient", "image": "same patient"}
    assert kept(result) == ["stranger", "namesake"]
    assert reasons(guarded(origin, hits, Guard(kin=False))) == {"image": "same image"}


def test_what_is_exempt_is_shown_and_still_tells_of_its_kin():
    hits = [case("image", "p1", key=KEY), case("other", "p1")]
    result = guarded(QueryOrigin(images=(KEY,)), hits, exempt={"image"})
    assert kept(result) == ["image"]
    assert reasons(result) == {"other": "same patient"}


def test_a_figure_with_the_image_takes_its_page_along():
    figure = Passage("f", "figure", "book", "", PageLocator(3), ("f.png",), {"phash": KEY, "page_id": "page3"})
    pages = [Passage(f"page{n}", "page", "book", "text", PageLocator(n), (f"{n}.png",), {"phash": KEY}) for n in (3, 4)]
    result = guarded(QueryOrigin(images=(KEY,)), [Hit(one, 1.0) for one in (*pages, figure)])
    assert reasons(result) == {"page3": "page of the same image", "f": "same image"}
    assert kept(result) == ["page4"]


def test_facts_and_queries_from_nowhere_lose_nothing():
    fact = Hit(Passage("f", "fact", "graph", "text", FactLocator("a", "b", "c")), 1.0)
    hits = [fact, case("r1", "p1", key=KEY)]
    assert kept(guarded(QueryOrigin(), hits)) == ["f", "r1"]
    assert not QueryOrigin().known
    assert QueryOrigin(images=(KEY,)).known
    assert kept(guarded(QueryOrigin("p1"), hits)) == ["f"]


def test_withheld_hits_are_replaced_by_deeper_clean_ones_only():
    ranking = [case(f"own{n}", "p1") for n in range(5)] + [case(f"r{n}", f"q{n}") for n in range(9)]
    depths = []

    def search(n):
        depths.append(n)
        return ranking[:n]

    result = search_guarded(search, lambda hits: guarded(QueryOrigin("p1"), hits), 3, deepest=50)
    assert kept(result) == ["r0", "r1", "r2"]
    assert depths == [3, 6, 12]
    assert result.counts == {"same patient": 5}


def test_nothing_but_own_hits_gives_nothing():
    own = [case(f"own{n}", "p1") for n in range(40)]
    withhold = lambda hits: guarded(QueryOrigin("p1"), hits)  # noqa: E731
    assert search_guarded(lambda n: own[:n], withhold, 3, deepest=12).kept == ()
    assert search_guarded(lambda n: own[:n], withhold, 3, deepest=12).counts == {"same patient": 12}
    assert search_guarded(lambda n: own[:n], withhold, 3, deepest=500).counts == {"same patient": 40}


def test_cosines_are_read_from_the_channel_unless_they_are_sums():
    def found(name, score):
        return Hit(case(name).passage, 0.1, {"image": ChannelScore(1, score), "dense": ChannelScore(1, 0.2)})

    assert single_image_cosines([found("a", 0.99), found("b", 0.3), case("c")], "image") == {"a": 0.99, "b": 0.3}
    assert single_image_cosines([found("a", 1.7), found("b", 0.3)], "image") == {}
    assert single_image_cosines([found("a", 0.9)], "clip") == {}


def test_keys_that_are_no_hashes_are_the_same_only_when_equal():
    assert same_key("sha256:ab", "sha256:ab", 12)
    assert not same_key("sha256:ab", "sha256:ac", 12)
    assert not same_key("0f" * 8, "0f" * 7 + "0e", 12)
    assert not same_key("z" * 64, KEY, 12)
    assert stored_keys(case("a", key=f"{KEY} sha256:1").passage) == (KEY, "sha256:1")


@pytest.mark.parametrize("values", [{"radius": -1}, {"radius": 128}, {"cosine": 0.0}, {"cosine": 2.0}])
def test_impossible_thresholds_are_refused(values):
    with pytest.raises(ConfigError, match="leakage guard"):
        Guard(**values)


names = st.sampled_from([None, "a", "b", "c"])
rows = st.lists(st.tuples(names, names, st.sampled_from([None, KEY, flipped(KEY, 5), flipped(KEY, 90)])), max_size=12)


@given(rows, names, names, st.sampled_from([(), (KEY,)]), st.integers(1, 5))
def test_no_own_hit_is_ever_shown_and_every_hit_is_accounted_for(rows, patient, study, images, k):
    hits = [case(f"r{n}", *row[:2], key=row[2]) for n, row in enumerate(rows)]
    origin = QueryOrigin(patient, study, images=images)
    result = search_guarded(lambda n: hits[:n], lambda found: guarded(origin, found), k, deepest=100)
    for hit in result.kept:
        place = hit.passage.locator
        assert patient is None or place.patient != patient
        assert study is None or place.study != study
        assert not any(same_key(own, key, 12) for own in images for key in stored_keys(hit.passage))
    whole = guarded(origin, hits)
    assert len(whole.kept) + len(whole.dropped) == len(hits)
    assert sum(whole.counts.values()) == len(whole.dropped)
