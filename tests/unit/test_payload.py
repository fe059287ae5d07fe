"""Passages survive being written as JSON, and libraries can be moved."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.stores.payload import LAYOUT_FIELD, PassageCodec, checked_filters
from rag.errors import QueryError, StoreError
from rag.filters import FILTER_FIELDS
from rag.testing.points import sample_passages
from rag.types import Box, CaseLocator, FactLocator, Layout, PageLocator, Passage

ROOT = Path("/library")
CODEC = PassageCodec(ROOT)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.floats(-1e6, 1e6)
LOCATORS = st.one_of(
    st.builds(
        PageLocator,
        page=st.integers(1, 9999),
        box=st.none() | st.builds(Box, NUMBER, NUMBER, NUMBER, NUMBER),
        section=st.lists(TEXT, max_size=3).map(tuple),
    ),
    st.builds(CaseLocator, record=TEXT, patient=st.none() | TEXT, study=st.none() | TEXT, day=st.none() | NUMBER),
    st.builds(
        FactLocator,
        TEXT,
        TEXT,
        TEXT,
        st.sampled_from(["present", "absent", "uncertain"]),
        st.sampled_from(["none", "new", "worse", "better", "stable", "resolved"]),
    ),
)


@given(TEXT, TEXT, LOCATORS, st.dictionaries(TEXT, TEXT, max_size=3), st.none() | st.binary(max_size=20))
def test_a_passage_comes_back_as_it_was(document, text, locator, meta, packed):
    layout = None if packed is None else Layout(packed)
    passage = Passage("p", "page", document, "x" + text, locator, meta=meta, layout=layout)
    assert CODEC.decode("p", json.loads(json.dumps(CODEC.encode(passage)))) == passage


def test_a_fact_without_change_is_written_as_it_was_before_there_was_such_a_field():
    fact = Passage("p", "fact", "d", "text", FactLocator("a", "b", "c"))
    written = CODEC.encode(fact)
    assert json.loads(written["passage"])["locator"] == {
        "head": "a",
        "relation": "b",
        "tail": "c",
        "polarity": "present",
    }
    assert CODEC.decode("p", written) == fact


def test_a_moved_library_finds_its_images_at_the_new_place(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    passage = Passage("p", "page", "d", "text", PageLocator(1), images=(old / "pages" / "1.png", tmp_path / "far.png"))
    payload = PassageCodec(old).encode(passage)
    assert str(old) not in payload["passage"]
    assert PassageCodec(new).decode("p", payload).images == (new / "pages" / "1.png", tmp_path / "far.png")


def test_an_image_given_relative_to_the_working_folder_is_kept_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    passage = Passage("p", "case", "d", "text", CaseLocator("r"), images=(Path("x.png"),))
    assert CODEC.decode("p", CODEC.encode(passage)).images == (tmp_path / "x.png",)


def test_lone_surrogates_become_the_replacement_character():
    passage = Passage("p", "page", "d", "a\ud800b 🫁", PageLocator(1), meta={"source": "\udfff"})
    payload = CODEC.encode(passage)
    assert payload["source"] == "\ufffd"
    assert CODEC.decode("p", payload) == replace(passage, text="a\ufffdb 🫁", meta={"source": "\ufffd"})


def test_every_filter_field_stands_beside_the_passage():
    fact = Passage(
        "p", "fact", "graph", "text", FactLocator("a", "b", "c", "absent"), meta={"source": "s", "other": "x"}
    )
    fields = {key: value for key, value in CODEC.encode(fact).items() if key in FILTER_FIELDS}
    assert fields == {
        "document": "graph", "head": "a", "relation": "b", "tail": "c", "polarity": "absent", "source": "s",
    }  # fmt: skip


def test_the_layout_is_one_field_that_can_be_left_out(tmp_path):
    passage = sample_passages(tmp_path)[0]
    codec = PassageCodec(tmp_path)
    payload = codec.encode(passage)
    del payload[LAYOUT_FIELD]
    assert codec.decode(passage.id, payload) == replace(passage, layout=None)


@pytest.mark.parametrize("broken", [{}, {"passage": "{}"}, {"passage": "{"}, {"passage": 3}])
def test_a_payload_of_something_else_is_named(broken):
    with pytest.raises(StoreError, match=r"passage p7 .*rebuild"):
        CODEC.decode("p7", broken)


def test_a_filter_field_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(QueryError, match=r"'colour'.*document, page"):
        checked_filters({"colour": ("red",)})


def test_a_filter_without_accepted_values_matches_nothing():
    assert checked_filters({"document": ("a",), "page": ()}) is None
    assert checked_filters({}) == {}
