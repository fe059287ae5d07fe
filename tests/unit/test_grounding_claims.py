"""From what a model wrote to claims with quotes: markers, boilerplate, attached sentences, the best words to cite."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.chat import ChatError
from rag.errors import ConfigError
from rag.grounding.claims import cited_names, statements, without_markers
from rag.grounding.ground import GroundingPolicy, ground
from rag.grounding.judge import LexicalJudge
from rag.grounding.resolving import best_span, draft_of_reply, numbered
from rag.grounding.revision import FailedClaim, failure_note
from rag.types import Answer, CaseLocator, Draft, DraftClaim, Evidence, FactLocator, Hit, PageLocator, Passage, Query

PAGE = Passage(
    "p1", "page", "handbook",
    "The trachea\nThe trachea is lined by pseudostratified ciliated epithelium. Goblet cells secrete mucus.\n"
    "Cilia move the mucus upward. The trachea is 11 cm long.",
    PageLocator(3),
)  # fmt: skip
CASE = Passage("c1", "case", "clinic", "Small left effusion. No pneumothorax is seen.", CaseLocator("r1"))
FACT = Passage("f1", "fact", "graph", "goblet cell secretes mucin", FactLocator("goblet cell", "secretes", "mucin"))
EVIDENCE = Evidence((Hit(PAGE, 1.0), Hit(CASE, 0.9), Hit(FACT, 0.8)))
JUDGE = LexicalJudge()
QUERY = Query(text="What lines the trachea?", id="q")


def grounded(reply: str, policy: GroundingPolicy | None = None) -> Answer:
    return ground(QUERY, draft_of_reply(reply, EVIDENCE, JUDGE), EVIDENCE, JUDGE, policy or GroundingPolicy())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a [1]", ("1",)),
        ("a [E3] b [e4]", ("E3", "E4")),
        ("a (E3, E4)", ("E3", "E4")),
        ("a [1, 2 and 5]", ("1", "2", "5")),
        ("a [2-4]", ("2", "3", "4")),
        ("a [E1–E3]", ("E1", "E2", "E3")),
        ("a [1][2][1]", ("1", "2")),
        ("a [^2]", ("2",)),
        ("a [1-999]", ("1", "999")),
        ("a (3) in 2019 [sic] and [see 4]", ()),
    ],
)
def test_markers_of_every_common_form_are_read(text: str, names: tuple[str, ...]) -> None:
    assert cited_names(text) == names


def test_markers_leave_no_gap() -> None:
    assert without_markers("Goblet cells [1], [2] secrete mucus [3].") == "Goblet cells, secrete mucus."
    assert without_markers("According to [E2], cilia move mucus (E3, E4).") == "cilia move mucus."


def test_boilerplate_lists_and_references_are_no_statements() -> None:
    reply = (
        "Sure! Based on the provided evidence, the trachea is lined by ciliated epithelium [1].\n\n"
        "- **Goblet cells** secrete mucus. [1][3]\n"
        "Please consult a doctor.\nI hope this helps!\n\nReferences:\n[1] A handbook of everything"
    )
    assert [(row.text, row.cites) for row in statements(reply)] == [
        ("The trachea is lined by ciliated epithelium.", ("1",)),
        ("Goblet cells secrete mucus.", ("1", "3")),
    ]


def test_a_sentence_of_two_facts_becomes_two_claims() -> None:
    rows = statements("No pneumothorax is seen [2], and the effusion is small [3].")
    assert [(row.text, row.cites) for row in rows] == [
        ("No pneumothorax is seen.", ("2",)),
        ("The effusion is small.", ("3",)),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        '{"claims": [{"text": "Goblet cells secrete mucus [1].", "citations": ["E1"], "quote": "Goblet cells"}]}',
        '```json\n[{"claim": "Goblet cells secrete mucus.", "cites": "E1", "quote": "Goblet cells"}]\n```',
        '```json\n{"claims":[{"text":"Goblet cells secrete mucus.","cites":["E1"],"quote":"Goblet cells"},{"text":"cut',
    ],
)
def test_json_is_read_whole_fenced_or_cut_off(reply: str) -> None:
    [row] = statements(reply)
    assert row.text == "Goblet cells secrete mucus."
    assert row.cites[0] == "E1"
    assert row.quote == "Goblet cells"


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='abE1[](){}",:.;-\n *', max_size=80))
def test_no_reply_is_an_error(reply: str) -> None:
    draft = draft_of_reply(reply, EVIDENCE, JUDGE)
    assert 0.0 <= draft.confidence <= 1.0
    assert len(statements(reply)) <= len(reply)


def test_a_cited_passage_gives_the_words_that_support_the_claim() -> None:
    [claim] = draft_of_reply("Mucus is moved upward by cilia [1].", EVIDENCE, JUDGE).claims
    assert (claim.passage_id, claim.quote) == ("p1", "Cilia move the mucus upward.")


def test_facts_and_reports_resolve_like_pages() -> None:
    draft = draft_of_reply("Goblet cells secrete mucin [E3]. No pneumothorax is seen [2].", EVIDENCE, JUDGE)
    assert [(claim.passage_id, claim.quote) for claim in draft.claims] == [
        ("f1", "goblet cell secretes mucin"),
        ("c1", "No pneumothorax is seen."),
    ]


def test_an_uncited_sentence_takes_what_its_neighbour_cites_or_any_support() -> None:
    draft = draft_of_reply("Goblet cells secrete mucus. Cilia move the mucus upward [1].", EVIDENCE, JUDGE)
    assert [claim.passage_id for claim in draft.claims] == ["p1", "p1"]
    [alone] = draft_of_reply("No pneumothorax is seen.", EVIDENCE, JUDGE).claims
    assert alone.passage_id == "c1"


def test_what_nothing_supports_fails_as_uncited_and_what_was_never_shown_as_unseen() -> None:
    reply = "Insulin lowers blood glucose. Cilia move the mucus upward [9]. Goblet cells secrete mucus [1]."
    assert grounded(reply).stop_reason == "low_confidence"  # a third of it is supported
    answer = grounded(reply, GroundingPolicy(min_confidence=0.0))
    assert [claim.text for claim in answer.claims] == ["Goblet cells secrete mucus."]
    assert [event["failed"] for event in answer.trace] == [["cited"], ["shown"]]


def test_a_claim_with_several_sources_keeps_those_that_hold() -> None:
    answer = grounded("Goblet cells secrete mucus [1, 2].")
    assert [claim.citations for claim in answer.claims] == [(1,)]
    assert [citation.passage.id for citation in answer.citations] == ["p1"]
    assert answer.trace[0]["kept"] is False


def test_citations_are_numbered_anew_after_dropping() -> None:
    answer = grounded("The trachea is 15 cm long [1]. No pneumothorax is seen [2]. Goblet cells secrete mucus [1].")
    assert answer.text == "No pneumothorax is seen. [1]\nGoblet cells secrete mucus. [2]"
    assert [citation.n for citation in answer.citations] == [1, 2]


def test_names_may_be_those_a_prompt_showed() -> None:
    draft = draft_of_reply("No pneumothorax is seen [E7].", EVIDENCE, JUDGE, {"e7": "c1"})
    assert draft.claims[0].passage_id == "c1"
    assert numbered(EVIDENCE)["E2"] == numbered(EVIDENCE)["2"] == "c1"


def test_two_sentences_are_quoted_when_one_is_not_enough() -> None:
    span = best_span("Goblet cells secrete mucus and cilia move the mucus upward.", PAGE, JUDGE)
    assert span is not None
    assert " ".join(span.quote.split()) == "Goblet cells secrete mucus. Cilia move the mucus upward."
    assert best_span("anything", replace(PAGE, text=" ", images=("x.png",)), JUDGE) is None  # type: ignore[arg-type]


WRONG = DraftClaim("The trachea is 15 cm long.", "p1", "The trachea is 11 cm long.")
RIGHT = DraftClaim("The trachea is 11 cm long.", "p1", "The trachea is 11 cm long.")
GOOD = DraftClaim("Goblet cells secrete mucus.", "p1", "Goblet cells secrete mucus.")


def test_failed_claims_are_written_anew_once_and_only_once() -> None:
    asked: list[tuple[FailedClaim, ...]] = []

    def revise(_query: Query, _evidence: Evidence, _draft: Draft, failed: tuple[FailedClaim, ...]) -> Draft:
        asked.append(tuple(failed))
        return Draft((RIGHT, WRONG), usage={"calls": 1})

    policy = GroundingPolicy(unverified="regenerate")
    draft = Draft((GOOD, WRONG), confidence=1.0, usage={"calls": 1})
    answer = ground(QUERY, draft, EVIDENCE, JUDGE, policy, revise)
    assert [claim.text for claim in answer.claims] == [GOOD.text, RIGHT.text]
    assert len(asked) == 1
    assert asked[0][0].failed == ("supported", "numbers")
    assert "number" in failure_note(asked[0])
    assert answer.usage == {"calls": 2}
    assert {"step": "regenerate", "failed": 1, "kept": 1} in answer.trace


def test_a_model_that_fails_to_revise_changes_nothing() -> None:
    def revise(*_: object) -> Draft:
        raise ChatError("the server is down", kind="down")

    policy = GroundingPolicy(unverified="regenerate")
    answer = ground(QUERY, Draft((GOOD, WRONG), confidence=1.0), EVIDENCE, JUDGE, policy, revise)
    assert [claim.text for claim in answer.claims] == [GOOD.text]
    assert answer.trace[-1]["error"] == "down"


def test_without_the_policy_nothing_is_revised() -> None:
    answer = ground(
        QUERY, Draft((WRONG,), confidence=1.0), EVIDENCE, JUDGE, GroundingPolicy(), lambda *_: Draft((RIGHT,))
    )
    assert answer.abstained


def test_a_threshold_of_the_policy_is_checked() -> None:
    with pytest.raises(ConfigError):
        GroundingPolicy(min_support=-0.1)
