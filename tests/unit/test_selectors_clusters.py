"""Near-duplicate images among hits: one cluster per image, whatever the copies' files and kinds are."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import load_settings
from rag.leakage import PHASH
from rag.selectors import SelectionOptions, make_selector
from rag.selectors.clusters import image_clusters
from rag.types import CaseLocator, Hit, PageLocator, Passage, Query

FIRST, OTHER = "0" * 64, "f" * 64
NEAR = "0" * 61 + "fff"
"""Twelve bits from FIRST."""
FARTHER = "0" * 57 + "fffffff"


def case(name, key=""):
    return Passage(name, "case", "films", f"report {name}", CaseLocator(name), meta={PHASH: key} if key else {})


def figure(name, key):
    return Passage(name, "figure", "book", f"caption {name}", PageLocator(1), meta={PHASH: key})


def test_copies_join_the_first_that_shows_the_image():
    passages = [case("a", FIRST), case("b"), figure("c", NEAR), case("d", OTHER), case("e", f"{OTHER} {FARTHER}")]
    assert image_clusters(passages) == ["a", None, "a", "d", "d"]


def test_a_chain_of_small_changes_joins_no_images_that_differ():
    assert image_clusters([case("a", FIRST), case("b", NEAR), case("c", FARTHER)]) == ["a", "a", "c"]


def test_a_page_is_in_no_cluster():
    page = Passage("p", "page", "book", "text", PageLocator(1), meta={PHASH: FIRST})
    assert image_clusters([case("a", FIRST), page]) == ["a", None]


@given(st.lists(st.sampled_from([FIRST, NEAR, OTHER, FARTHER, ""]), max_size=8))
def test_clusters_are_named_by_their_first_member(keys):
    found = image_clusters([case(f"c{i}", key) for i, key in enumerate(keys)])
    for place, (key, name) in enumerate(zip(keys, found, strict=True)):
        assert (name is None) == (not key)
        assert name is None or (int(name[1:]) <= place and found[int(name[1:])] == name)


def test_the_setting_caps_hits_of_one_image():
    chosen = load_settings(overrides=["select.per_cluster=1"]).settings.select
    options = SelectionOptions(**chosen.model_dump(exclude={"kind", "most"}))
    hits = [Hit(case("a", FIRST), 3.0), Hit(figure("b", NEAR), 2.0), Hit(case("c", OTHER), 1.0)]
    evidence = make_selector("fixed", options).select(Query("opacity"), hits)
    assert [hit.passage.id for hit in evidence.hits] == ["a", "c"]
    assert [row.reason for row in evidence.dropped] == ["the image of a already has 1 of the hits"]
