"""Triples in words: what is denied or doubted always reads so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.rendering import render
from knowledge.triples import CHANGES, Triple

POLARITIES = ("present", "absent", "uncertain")
names = st.one_of(
    st.text(min_size=1, max_size=20),
    st.sampled_from(["no", "possible", "no finding", "possible mass", '"no" x', "study: no mass"]),
)
relations = st.sampled_from(
    ["located_at", "suggestive_of", "has_finding", "modify", "change", "is_a", "causes", "any_other"]
)


@given(names, relations, names, st.sampled_from(CHANGES))
def test_texts_of_triples_that_differ_in_polarity_differ(head, relation, tail, change):
    texts = {render(Triple(head, relation, tail, polarity, change), {}) for polarity in POLARITIES}
    assert len(texts) == 3


@given(names, relations, names, st.sampled_from(POLARITIES))
def test_texts_of_triples_that_differ_in_change_differ(head, relation, tail, polarity):
    texts = {render(Triple(head, relation, tail, polarity, change), {}) for change in CHANGES}
    assert len(texts) == len(CHANGES)


@given(names, relations, names, st.sampled_from(CHANGES))
def test_absent_says_no_and_uncertain_says_possible(head, relation, tail, change):
    assert "no " in render(Triple(head, relation, tail, "absent", change), {})
    assert "possible " in render(Triple(head, relation, tail, "uncertain", change), {})


@pytest.mark.parametrize(
    ("triple", "text"),
    [
        (Triple("left", "modify", "c1"), "left Pleural effusion"),
        (Triple("study", "has_finding", "c1", "absent"), "study: no Pleural effusion"),
        (Triple("study", "has_finding", "c1", "uncertain"), "study: possible Pleural effusion"),
        (Triple("c1", "located_at", "base", "absent", "resolved"), "no Pleural effusion located at base [resolved]"),
        (Triple("opacity", "suggestive_of", "pneumonia", "absent"), "no opacity suggesting pneumonia"),
        (Triple("c1", "change", "resolved", "present", "resolved"), "Pleural effusion: resolved [resolved]"),
        (Triple("virus", "causes", "scabies", "absent"), "virus: no cause of scabies"),
        (Triple("no finding", "is_a", "label"), "no finding: kind of label"),
        (Triple("study", "has_finding", "no finding"), 'study: "no finding"'),
        (Triple("a", "has_onset", "adulthood", "uncertain"), "a: possible has onset adulthood"),
    ],
)  # fmt: skip
def test_wordings(triple, text):
    assert render(triple, {"c1": "Pleural effusion"}) == text
