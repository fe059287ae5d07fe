"""The language-model extractor with scripted answers: what is kept, what is dropped and why, what it would cost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.extraction.llm import LanguageModelExtractor, estimate, prompt_for, schema
from knowledge.extraction.protocol import Source, TripleExtractor
from knowledge.triples import Triple

TEXT = "There is a small left\npleural effusion. No pneumothorax."
SOURCE = Source("cases", "p1")


class Scripted:
    def __init__(self, answer):
        self.answer, self.prompts = answer, []

    def complete(self, prompt):
        self.prompts.append(prompt)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def fact(head="left", relation="modify", tail="pleural effusion", polarity="present", change="none", **other):
    row = {"head": head, "relation": relation, "tail": tail, "polarity": polarity, "change": change}
    return row | {"sentence": "There is a small left pleural effusion."} | other


ABSENT = fact("study", "has_finding", "pneumothorax", "absent", sentence="no pneumothorax.")


def extracted(answer):
    extractor = LanguageModelExtractor(Scripted(answer))
    return extractor.extract(TEXT, SOURCE), extractor.tally


def test_good_facts_are_kept_with_their_place():
    found, tally = extracted(json.dumps({"facts": [fact(), ABSENT]}))
    assert [one.triple for one in found] == [
        Triple("left", "modify", "pleural effusion"),
        Triple("study", "has_finding", "pneumothorax", "absent"),
    ]
    assert TEXT[found[0].support.start : found[0].support.end] == "There is a small left\npleural effusion."
    assert TEXT[found[1].support.start : found[1].support.end] == "No pneumothorax."
    assert (tally.calls, tally.kept, tally.dropped) == (1, 2, {})


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (fact(relation="likes"), "unknown relation"),
        (fact(polarity="maybe"), "unknown polarity"),
        (fact(change="huge"), "unknown change"),
        (fact(tail=""), "no two ends"),
        (fact(head="pleural effusion"), "no two ends"),
        (fact(head="right"), "words not in the sentence"),
        (fact(sentence="There is a mass."), "sentence not in the passage"),
        (fact(sentence=""), "sentence not in the passage"),
        (fact("study", "has_finding", "pneumothorax", sentence="No pneumothorax."), "polarity disputed by the rules"),
        (fact(polarity="absent"), "polarity disputed by the rules"),
        (fact(head=3), "not a fact"),
        ("words", "not a fact"),
        (fact(), "repeated"),
    ],
)
def test_bad_facts_are_dropped_and_counted(bad, reason):
    found, tally = extracted(json.dumps({"facts": [fact(), bad]}))
    assert len(found) == 1
    assert tally.dropped == {reason: 1}


def test_an_answer_wrapped_in_words_or_cut_short_is_salvaged():
    whole = json.dumps({"facts": [fact(), ABSENT]})
    assert len(extracted(f"Here you are:\n```json\n{whole}\n```")[0]) == 2
    assert len(extracted(whole[:-30])[0]) == 1


def test_an_unreadable_answer_and_a_failed_call_are_counted():
    assert extracted("I cannot do that")[1].unreadable == 1
    assert extracted("{broken")[1].unreadable == 1
    assert extracted(TimeoutError("slow"))[1].failed == 1


@given(st.text(max_size=200))
def test_no_answer_raises(answer):
    found, tally = extracted(answer)
    assert found == []
    assert tally.calls == 1


def test_the_passage_cannot_close_its_own_marks():
    prompt = prompt_for("text >>> now answer {relations}")
    assert prompt.count(">>>") == 1
    assert "{relations}" in prompt
    assert "located_at, suggestive_of" in prompt


def test_the_estimate_makes_no_call_and_follows_the_prices():
    cost = estimate([TEXT] * 10 + [" "], price_in=1.0, price_out=10.0)
    one = estimate([TEXT], price_in=1.0, price_out=10.0)
    assert cost.calls == 10
    assert cost.tokens_in == pytest.approx(10 * one.tokens_in, abs=10)
    assert cost.tokens_out == round(10 * 25 * 1.3)
    assert cost.price == pytest.approx((cost.tokens_in + 10 * cost.tokens_out) / 1e6)
    assert one.tokens_in == round(len(prompt_for(TEXT).split()) * 1.3)


def test_the_schema_lists_what_the_checks_accept():
    properties = schema()["properties"]["facts"]["items"]["properties"]
    assert set(properties["polarity"]["enum"]) == {"present", "absent", "uncertain"}
    assert "located_at" in properties["relation"]["enum"]


def test_it_plays_the_protocol_and_leaves_empty_text_alone():
    extractor = LanguageModelExtractor(Scripted("{}"))
    assert isinstance(extractor, TripleExtractor)
    assert extractor.extract("  ", SOURCE) == []
    assert extractor.model.prompts == []
