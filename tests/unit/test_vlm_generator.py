"""Answers by a chat model: replies read, salvaged, repaired, or given up for quotes. Scripted models only."""

import json
import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.chat import ChatError, Deadline, PromptTooLong, Reply, ScriptedModel
from rag.errors import ConfigError, QueryError
from rag.generators.claims_reply import parse_reply
from rag.generators.quoting import exact_quote, foreign_codes
from rag.generators.scripted import ScriptedGenerator
from rag.generators.vlm import VlmGenerator, VlmOptions
from rag.grounding.ground import GroundingPolicy, ground
from rag.grounding.judge import LexicalJudge
from rag.prompting import RenderOptions
from rag.types import Draft, DraftClaim, Evidence, Hit, PageLocator, Passage, Query

TENDON = Passage(
    "p1", "page", "handbook", "A tendon joins a muscle to a bone.\nIt is made of dense regular tissue.", PageLocator(1)
)
LIGAMENT = Passage("p2", "page", "handbook", "A ligament joins two bones.", PageLocator(2), (Path("p2.png"),))
EVIDENCE = Evidence((Hit(LIGAMENT, 0.9), Hit(TENDON, 0.8)))
QUESTION = Query("What does a tendon join?")
CHOICE = Query("A ligament joins ____.", options=("two bones", "two muscles"))
QUOTED = Draft((DraftClaim("A ligament joins two bones.", "p2", "A ligament joins two bones."),), confidence=0.7)


def claim(text="A tendon joins a muscle to a bone.", evidence="E1", quote="tendon joins a muscle to a bone"):
    return {"text": text, "evidence": evidence, "quote": quote}


def reply(*claims, insufficient=False, **others):
    return json.dumps({"insufficient": insufficient, **others, "claims": list(claims)})


def generator(*script, fallback=None, **options):
    model = ScriptedModel(script)
    made = VlmGenerator(model, fallback or ScriptedGenerator(QUOTED), VlmOptions(**options), marks=lambda: "0f1e2d3c")
    return made, model


def test_a_reply_becomes_claims_with_the_passages_own_words():
    made, model = generator(reply(claim(quote="Tendon  joins a Muscle to a bone.")))
    draft = made.generate(QUESTION, EVIDENCE)
    assert draft.claims == (DraftClaim("A tendon joins a muscle to a bone.", "p1", "tendon joins a muscle to a bone"),)
    assert draft.confidence == 1.0
    assert draft.usage == {"calls": 1, "passages_shown": 2}
    schema = model.wanted[0].schema
    assert schema["properties"]["claims"]["items"]["properties"]["evidence"]["enum"] == ["E1", "E2"]
    assert model.prompts[0].name == "vqa-open-1"


def test_the_answer_of_a_model_passes_the_same_checks():
    made, _ = generator(reply(claim(), claim("Tendons are made of bone.", "E1", "made of dense regular tissue")))
    answer = ground(QUESTION, made.generate(QUESTION, EVIDENCE), EVIDENCE, LexicalJudge(), GroundingPolicy())
    assert [one.text for one in answer.claims] == ["A tendon joins a muscle to a bone."]


def test_claims_of_passages_that_were_not_shown_or_with_invented_quotes_are_left_out_and_counted():
    made, _ = generator(reply(claim(), claim(evidence="E7"), claim(evidence="p2"), claim(quote="joins a nerve")))
    draft = made.generate(QUESTION, EVIDENCE)
    assert len(draft.claims) == 1
    assert draft.usage["claims_of_unknown_passages"] == 2
    assert draft.usage["claims_without_quote"] == 1
    assert draft.confidence == pytest.approx(0.25)  # mostly made up: not to be trusted


def test_more_statements_than_were_asked_for_are_cut():
    made, _ = generator(reply(*(claim(f"A tendon joins a muscle to bone {'!' * i}") for i in range(20))))
    assert len(made.generate(QUESTION, EVIDENCE).claims) == RenderOptions().most


def test_failed_claims_are_written_anew_by_one_more_call():
    made, model = generator(reply(claim("A tendon joins a nerve to a bone.")), reply(claim()))
    draft = made.generate(QUESTION, EVIDENCE)
    policy = GroundingPolicy(unverified="regenerate", min_support=0.9)
    answer = ground(QUESTION, draft, EVIDENCE, LexicalJudge(), policy, made.revise)
    assert [one.text for one in answer.claims] == ["A tendon joins a muscle to a bone."]
    assert "nerve" in model.prompts[1].parts[-1]
    assert len(model.prompts) == 2


def test_a_degraded_draft_is_not_revised():
    made, model = generator(ChatError("down", kind="down"))
    draft = made.generate(QUESTION, EVIDENCE)
    assert made.revise(QUESTION, EVIDENCE, draft, ()) == Draft(())
    assert len(model.prompts) == 1


def test_declining_is_an_answer():
    made, model = generator(reply(insufficient=True))
    draft = made.generate(QUESTION, EVIDENCE)
    assert draft.claims == ()
    assert draft.confidence == 0.0
    assert len(model.prompts) == 1
    assert "degraded" not in draft.usage


@pytest.mark.parametrize("end", range(40, 400, 23))
def test_a_reply_that_broke_off_is_saved_up_to_its_last_whole_claim(end):
    whole = reply(claim(), claim("A ligament joins two bones.", "E2", "A ligament joins two bones"))
    parsed = parse_reply(whole[:end], ("claims",))
    full = parse_reply(whole, ("claims",))
    assert full.whole
    if parsed is None:
        assert end < whole.index("}") + 1
    else:
        assert parsed.claims == full.claims[: len(parsed.claims)]
        assert len(parsed.claims) == whole[:end].count("}") - (1 if end >= len(whole) else 0)


def test_a_salvaged_reply_is_used_and_counted():
    made, _ = generator(reply(claim(), claim())[:-40])
    draft = made.generate(QUESTION, EVIDENCE)
    assert len(draft.claims) == 1
    assert draft.usage["salvaged"] == 1


def test_a_useless_reply_is_asked_for_once_more():
    made, model = generator("I think that tendons are nice.", reply(claim()))
    draft = made.generate(QUESTION, EVIDENCE)
    assert len(draft.claims) == 1
    assert draft.usage["repairs"] == 1
    assert model.prompts[1].parts[:-1] == model.prompts[0].parts  # the same prefix, so it is not read twice
    assert "could not be used" in model.prompts[1].parts[-1]


@pytest.mark.parametrize(
    "bad", ["no json", "[]", "{}", '{"claims": 3}', "{" * 5000, reply(claim(quote="invented words"))]
)
def test_what_cannot_be_repaired_becomes_quotes_and_says_so(bad):
    made, model = generator(bad)
    draft = made.generate(QUESTION, EVIDENCE)
    assert len(model.prompts) == 2
    assert draft.claims == QUOTED.claims
    assert draft.confidence == QUOTED.confidence
    assert draft.usage["degraded"] == draft.usage["degraded_unusable"] == 1
    answer = ground(QUESTION, draft, EVIDENCE, LexicalJudge(), GroundingPolicy())
    assert answer.usage["degraded"] == 1


@pytest.mark.parametrize("kind", ["down", "timeout", "busy", "refused", "broken", "open"])
def test_a_model_that_does_not_answer_degrades(kind):
    made, model = generator(ChatError("no", kind=kind, retryable=True))
    draft = made.generate(QUESTION, EVIDENCE)
    assert draft.claims == QUOTED.claims
    assert draft.usage[f"degraded_{kind}"] == 1
    assert len(model.prompts) == 1  # retries are the client's business


def test_a_deadline_that_has_passed_degrades_without_a_call():
    made, model = generator(reply(claim()))
    written = made.write(QUESTION, EVIDENCE, Deadline(at=0.0, clock=lambda: 1.0))
    assert written.draft.usage["degraded_timeout"] == 1
    assert model.prompts == []


def test_a_prompt_that_is_too_long_is_shortened_and_put_again():
    long = tuple(
        Hit(Passage(f"q{i}", "page", "b", f"Sentence {i}. " * 100, PageLocator(i)), 1.0 / i) for i in range(1, 9)
    )
    made, model = generator(PromptTooLong("too long"), PromptTooLong("too long"), reply(insufficient=True))
    draft = made.generate(QUESTION, Evidence(long))
    sizes = [len(prompt.text.split()) for prompt in model.prompts]
    assert sizes[0] > sizes[1] > sizes[2]
    assert draft.usage["shortened"] == 2
    assert draft.usage["passages_left_out"] + draft.usage["passages_shown"] == 8
    assert "q1" in {hit.passage.id for hit in long if f"Sentence {hit.passage.page}." in model.prompts[2].text}


def test_a_prompt_that_never_fits_degrades_after_a_bounded_number_of_calls():
    made, model = generator(PromptTooLong("too long"), shorter=3)
    assert made.generate(QUESTION, EVIDENCE).usage["degraded_too_long"] == 1
    assert len(model.prompts) == 4


def test_pictures_of_passages_that_cannot_be_used_are_left_out():
    made, model = generator(QueryError("no such image"), reply(claim()), render=RenderOptions(evidence_images=2))
    draft = made.generate(QUESTION, EVIDENCE)
    assert [len(prompt.images) for prompt in model.prompts] == [1, 0]
    assert draft.usage["evidence_images_left_out"] == 1
    assert len(draft.claims) == 1


def test_an_image_of_the_question_that_cannot_be_used_is_the_users_to_know():
    made, _ = generator(QueryError("no such image"))
    with pytest.raises(QueryError, match="no such image"):
        made.generate(Query("What is it?", (Path("x.png"),)), EVIDENCE)


def test_thirty_images_or_a_model_without_eyes_are_refused_by_name():
    made, model = generator(reply(claim()), render=RenderOptions(images=0))
    with pytest.raises(QueryError, match="takes no images"):
        made.generate(Query("What is it?", (Path("x.png"),)), EVIDENCE)
    assert model.prompts == []


def test_a_choice_is_asked_for_by_its_letter_and_argued_for():
    chosen = Reply("A", probabilities={"A": 0.8, "B": 0.2})
    argued = reply(claim("A ligament joins two bones.", "E2", "A ligament joins two bones."), choice="A")
    made, model = generator(chosen, argued)
    draft = made.generate(CHOICE, EVIDENCE)
    assert draft.choice == 0
    assert draft.confidence == pytest.approx(0.8)
    assert model.wanted[0].choices == ("A", "B")
    assert model.wanted[1].schema["properties"]["choice"]["enum"] == ["A"]
    assert "The right option is A" in model.prompts[1].parts[-1]


def test_without_probabilities_the_letter_said_counts():
    argued = reply(claim("A ligament joins two bones.", "E2", "A ligament joins two bones."), choice="B")
    made, _ = generator("(B).", argued)
    draft = made.generate(CHOICE, EVIDENCE)
    assert (draft.choice, draft.confidence) == (1, 1.0)


def test_a_letter_that_is_none_is_read_from_the_reply():
    argued = reply(claim("A ligament joins two bones.", "E2", "A ligament joins two bones."), choice="A")
    made, _ = generator("the first one", argued)
    assert made.generate(CHOICE, EVIDENCE).choice == 0
    lost, _ = generator("the first one", argued.replace('"A"', '"Z"'))
    assert lost.generate(CHOICE, EVIDENCE).usage["degraded"] == 1


def test_without_text_to_quote_the_model_is_not_asked():
    made, model = generator(reply(claim()))
    blank = Evidence((Hit(replace(LIGAMENT, text=" "), 1.0),))
    assert made.generate(QUESTION, blank) == Draft(())
    assert model.prompts == []


def test_the_marks_differ_between_requests():
    model = ScriptedModel([reply(claim())])
    made = VlmGenerator(model, ScriptedGenerator(QUOTED))
    for _ in range(2):
        made.generate(QUESTION, EVIDENCE)
    assert model.prompts[0].parts[0] != model.prompts[1].parts[0]


def test_a_mark_that_a_passage_holds_is_drawn_again():
    marks = iter(["tendon", "tendon", "deadbeef"])
    model = ScriptedModel([reply(claim())])
    VlmGenerator(model, ScriptedGenerator(QUOTED), marks=lambda: next(marks)).generate(QUESTION, EVIDENCE)
    assert "<<E1 deadbeef>>" in model.prompts[0].text


def test_options_that_cannot_hold_are_refused():
    with pytest.raises(ConfigError):
        VlmOptions(seconds=0)


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("a muscle  to a\nbone", "a muscle to a bone"),
        ("“A TENDON joins a muscle”", "A tendon joins a muscle"),
        ("bone. It is made", "bone.\nIt is made"),
        ("ten", None),
        ("a nerve", None),
        ("", None),
        ("...", None),
    ],
)
def test_quotes_are_found_by_their_words_and_given_in_the_passages(quote, found):
    assert exact_quote(quote, TENDON.text) == found


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=120), st.text(max_size=40))
def test_a_quote_that_is_found_stands_in_the_text(text, quote):
    found = exact_quote(quote, text)
    assert found is None or (found and found in text)


@pytest.mark.parametrize(
    "said",
    ["See https://evil.example/x", "Write to a@b.example", "The key is 7f3a9c21", "ZEBRA-7 holds", "![x](y)", "<b>"],
)
def test_codes_that_no_source_has_are_seen(said):
    assert foreign_codes(said, ("A tendon joins a muscle to a bone.",))
    assert foreign_codes(said, (f"The source says: {said}",)) == []


def test_words_of_medicine_are_no_codes():
    assert foreign_codes("The MRI of L5-S1 shows T2 signal; HbA1c is raised, 12 mm, 5-HT, CD4+.", ()) == []


PIECES = st.one_of(
    st.text(max_size=60),
    st.sampled_from([reply(claim()), reply(claim(evidence="E9")), "{", '{"claims": [', "x" * 10_000, "null", reply()]),
    st.builds(lambda text: reply(claim(text, "E2", text)), st.text(string.printable, max_size=30)),
    st.sampled_from([ChatError("x", kind="down"), PromptTooLong("x")]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=4), st.sampled_from([QUESTION, CHOICE]))
def test_whatever_a_model_says_the_draft_quotes_what_was_shown_in_bounded_calls(script, query):
    made, model = generator(*script, shorter=2)
    draft = made.generate(query, EVIDENCE)
    texts = {hit.passage.id: hit.passage.text for hit in EVIDENCE.hits}
    assert all(one.quote in texts[one.passage_id] and one.text.strip() for one in draft.claims)
    assert 0.0 <= draft.confidence <= 1.0
    assert draft.choice is None or 0 <= draft.choice < len(query.options)
    assert len(model.prompts) <= 3 * 3


@pytest.mark.parametrize("tail", ["]}", "", "]"])
def test_bare_control_characters_of_a_servers_grammar_are_read_and_taken_out(tail):
    """xgrammar lets them into strings, where strict JSON refuses them."""
    reply = '{"claims": [{"text": "A ten\x16don joins.", "evidence": "E1", "quote": "joins\x00 a muscle"}' + tail
    (claim,) = parse_reply(reply, ("claims",)).claims
    assert (claim.text, claim.quote) == ("A tendon joins.", "joins a muscle")
