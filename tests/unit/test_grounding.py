from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import ConfigError, QueryError
from rag.grounding.checks import numbers_agree, polarity_agrees, sides_agree
from rag.grounding.ground import DISCLAIMER, GroundingPolicy, ground
from rag.grounding.judge import LexicalJudge
from rag.grounding.quantities import quantities
from rag.grounding.quotes import covering, line_boxes, locate
from rag.grounding.render import answer_to_dict
from rag.types import (
    Answer,
    Box,
    CaseLocator,
    Draft,
    DraftClaim,
    Evidence,
    FactLocator,
    Hit,
    Layout,
    PageLocator,
    Passage,
    Query,
)

QUERY = Query(text="Where is the nodule?", id="q1")
TEXT = "The lung\nA 5 mm nodule lies in the left\nlung. No effusion is seen. The heart is small."
# One box per word: words 10 points apart, lines 12 points apart.
_LINES = [line.split() for line in TEXT.split("\n")]
BOXES = [(10 * i, 12 * row, 10 * i + 8, 12 * row + 10) for row, line in enumerate(_LINES) for i in range(len(line))]
PAGE = Passage("p1", "page", "atlas", TEXT, PageLocator(7), layout=Layout.from_boxes(BOXES))
CASE = Passage("c1", "case", "clinic", "Left pleural effusion.", CaseLocator("r9", patient="x"))
FACT = Passage("f1", "fact", "graph", "nodule located in lung", FactLocator("nodule", "located_in", "lung"))
FIGURE = Passage("g1", "figure", "atlas", "Figure 1 The lung", PageLocator(7, Box(5, 5, 90, 60)))
EVIDENCE = Evidence(tuple(Hit(passage, 1.0) for passage in (PAGE, CASE, FACT, FIGURE)))
NODULE = DraftClaim("A 5 mm nodule lies in the left lung.", "p1", "A 5 mm nodule lies in the left lung.")


def answer_of(
    *claims: DraftClaim, policy: GroundingPolicy | None = None, query: Query = QUERY, choice: int | None = None
) -> Answer:
    draft = Draft(claims, choice, confidence=0.9)
    return ground(query, draft, EVIDENCE, LexicalJudge(), policy or GroundingPolicy())


def test_a_true_quote_becomes_a_numbered_citation_with_its_boxes() -> None:
    answer = answer_of(NODULE)
    assert answer.text == "A 5 mm nodule lies in the left lung. [1]"
    citation = answer.citations[0]
    assert citation.quote in TEXT
    assert (citation.n, citation.document, citation.page) == (1, "atlas", 7)
    assert citation.lines == (Box(0, 12, 78, 22), Box(0, 24, 8, 34))
    assert citation.box == Box(0, 12, 78, 34)
    assert all(answer.claims[0].checks.values())
    assert answer.claims[0].support == 1.0


@pytest.mark.parametrize(
    ("claim", "failed"),
    [
        (DraftClaim("A nodule.", "not shown", "A 5 mm nodule"), "shown"),
        (DraftClaim("A 5 mm cyst.", "p1", "A 5 mm cyst"), "verbatim"),
        (DraftClaim("A nodule.", "p1", ""), "verbatim"),
        (DraftClaim(" ", "p1", "A 5 mm nodule"), "cited"),
        (DraftClaim("Insulin lowers glucose.", "p1", "A 5 mm nodule"), "supported"),
        (DraftClaim("A 50 mm nodule.", "p1", "A 5 mm nodule"), "numbers"),
        (DraftClaim("A nodule lies in the right lung.", "p1", "nodule lies in the left lung."), "laterality"),
        (DraftClaim("Effusion is seen.", "p1", "No effusion is seen."), "polarity"),
    ],
)
def test_what_fails_a_check_is_dropped_and_the_answer_abstains(claim: DraftClaim, failed: str) -> None:
    answer = answer_of(claim)
    assert answer.abstained
    assert answer.stop_reason == "no_verified_claim"
    assert failed in (answer.reason or "")
    assert answer.claims == answer.citations == ()
    assert failed in answer.trace[0]["failed"]


def test_one_bad_claim_does_not_take_the_good_one_along() -> None:
    answer = answer_of(DraftClaim("It was benign.", "p1", "benign"), NODULE)
    assert [claim.text for claim in answer.claims] == [NODULE.text]
    assert answer.citations[0].n == 1


def test_marking_keeps_an_unsupported_claim_but_says_so() -> None:
    slip = DraftClaim("A nodule lies in the right lung.", "p1", "nodule lies in the left lung.")
    answer = answer_of(slip, policy=GroundingPolicy(unverified="mark"))
    assert answer.text == "A nodule lies in the right lung. [1] (unverified)"
    assert not answer.claims[0].checks["laterality"]


def test_marking_never_keeps_an_invented_quote() -> None:
    assert answer_of(DraftClaim("A cyst.", "p1", "A cyst"), policy=GroundingPolicy(unverified="mark")).abstained


def test_numbers_follow_first_use_and_equal_quotes_share_one() -> None:
    effusion = DraftClaim("Left pleural effusion.", "c1", "Left pleural effusion.")
    answer = answer_of(effusion, NODULE, replace(effusion, text="Pleural effusion, left."))
    assert [claim.citations for claim in answer.claims] == [(1,), (2,), (1,)]
    assert [citation.passage.id for citation in answer.citations] == ["c1", "p1"]


def test_low_confidence_abstains_and_gives_both_numbers() -> None:
    answer = ground(
        QUERY, Draft((NODULE,), confidence=0.1), EVIDENCE, LexicalJudge(), GroundingPolicy(min_confidence=0.4)
    )
    assert answer.abstained
    assert answer.stop_reason == "low_confidence"
    assert "0.10" in (answer.reason or "")
    assert "0.40" in (answer.reason or "")


def test_no_evidence_abstains() -> None:
    answer = ground(QUERY, Draft(()), Evidence(()), LexicalJudge(), GroundingPolicy())
    assert (answer.abstained, answer.stop_reason) == (True, "no_evidence")


def test_a_choice_becomes_a_letter_and_an_abstention_has_none() -> None:
    query = Query(text="Where?", options=("heart", "left lung"))
    assert answer_of(NODULE, query=query, choice=1).choice == "B"
    assert answer_of(DraftClaim("x", "p1", "x"), query=query, choice=1).choice is None


def test_a_choice_that_does_not_exist_is_an_error_naming_the_question() -> None:
    with pytest.raises(QueryError, match="question q1: the draft chose option 3"):
        answer_of(NODULE, choice=2)


@pytest.mark.parametrize("field", ["min_confidence", "min_choice_confidence", "min_support"])
def test_a_threshold_outside_0_to_1_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} is 1.5"):
        GroundingPolicy(**{field: 1.5})


def test_white_space_may_differ_and_nothing_else() -> None:
    assert locate("left lung.", TEXT) == (TEXT.index("left"), TEXT.index("lung. No") + 5)
    assert locate("Left lung.", TEXT) is None
    assert locate("tension", "hypertension is high tension") == (21, 28)
    assert locate("  ", TEXT) is None
    assert locate("a+b (c)", "so a+b\n(c) holds") == (3, 10)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab骨é.()", min_size=1, max_size=5), min_size=1, max_size=12), st.data())
def test_any_run_of_words_is_found_as_it_stands(parts: list[str], data: st.DataObject) -> None:
    text = "\n".join(parts)
    first = data.draw(st.integers(0, len(parts) - 1))
    last = data.draw(st.integers(first, len(parts) - 1))
    span = locate(" ".join(parts[first : last + 1]), text)
    assert span is not None
    assert text[slice(*span)].split() == parts[first : last + 1]


def test_a_quote_that_starts_inside_a_line_gets_only_its_words() -> None:
    start = TEXT.index("nodule")
    assert line_boxes(PAGE, start, start + len("nodule lies")) == (Box(30, 12, 48, 22),)


def test_columns_side_by_side_are_two_lines() -> None:
    passage = Passage(
        "p", "page", "d", "one two", PageLocator(1), layout=Layout.from_boxes([(200, 0, 220, 9), (10, 0, 30, 9)])
    )
    assert len(line_boxes(passage, 0, 7)) == 2


def test_a_figure_shows_its_own_box_and_a_fact_none() -> None:
    assert line_boxes(FIGURE, 0, 6) == (Box(5, 5, 90, 60),)
    assert line_boxes(FACT, 0, 6) == ()
    assert covering(()) is None


def test_fewer_boxes_than_words_is_no_crash() -> None:
    short = replace(PAGE, layout=Layout.from_boxes(np.array(BOXES[:3])))
    assert line_boxes(short, len(TEXT) - 6, len(TEXT)) == ()


@pytest.mark.parametrize(
    ("claim", "quote", "agrees"),
    [
        ("1,000 mL", "1000 ml", True),
        ("5.0 mg", "5 milligrams", True),
        ("5 mg", "5 mg/dL", False),
        ("5 mg", "0.5 mg", False),
        ("three lobes", "3 lobes", True),
        ("50%", "50 percent", True),
        ("no number", "12 mm", True),
        ("12 mm", "no number", False),
        ("type 2 diabetes", "type 2 diabetes", True),
        ("8 weeks", "8 days", False),
    ],
)
def test_numbers_agree_in_value_and_unit(claim: str, quote: str, agrees: bool) -> None:
    assert numbers_agree(claim, quote) is agrees


def test_quantities_normalise() -> None:
    bare, pressure = quantities("007, then 1,250.50 mmHg")
    assert (bare.value, bare.dimension) == (7, "")
    assert (pressure.value, pressure.dimension) == (1250.5, "pressure")


@pytest.mark.parametrize(
    ("claim", "quote", "agrees"),
    [
        ("left lung", "Left lower lobe", True),
        ("right lung", "left lung", False),
        ("left lung", "bilateral", True),
        ("bilateral", "left lung", False),
        ("the lung", "left lung", True),
        ("left lung", "the lung", False),
    ],
)
def test_sides_agree(claim: str, quote: str, agrees: bool) -> None:
    assert sides_agree(claim, quote) is agrees


@pytest.mark.parametrize(
    ("claim", "quote", "agrees"),
    [
        ("There is an effusion.", "There is no effusion.", False),
        ("There is no effusion.", "There is no pleural effusion.", True),
        ("Effusion without pneumothorax", "No pneumothorax, but an effusion", True),
        ("The valve does not open.", "The valve opens.", False),
        ("It opens.", "It isn't open. Later it opens.", True),
        ("Heart normal.", "No effusion. Heart normal.", True),
    ],
)
def test_polarity_agrees(claim: str, quote: str, agrees: bool) -> None:
    assert polarity_agrees(claim, quote) is agrees


def test_the_printed_answer_has_every_documented_key() -> None:
    fact = DraftClaim("nodule located in lung", "f1", "nodule located in lung")
    row = answer_to_dict(replace(answer_of(NODULE, fact), seconds={"retrieve": 0.123456}))
    assert list(row) == [
        "id", "answer", "choice", "claims", "citations", "abstained", "reason", "confidence", "disclaimer",
        "stop_reason", "seconds", "usage",
    ]  # fmt: skip
    assert row["citations"][0] == {
        "n": 1, "kind": "page", "document": "atlas", "page": 7, "record": None, "fact": None,
        "box": [0.0, 12.0, 78.0, 34.0], "quote": "A 5 mm nodule lies in the left\nlung.",
    }  # fmt: skip
    assert row["citations"][1]["fact"] == ["nodule", "located_in", "lung"]
    assert row["disclaimer"] == DISCLAIMER
    assert row["seconds"] == {"retrieve": 0.1235}


def test_an_abstention_prints_its_reason_and_no_choice() -> None:
    row = answer_to_dict(ground(QUERY, Draft(()), Evidence(()), LexicalJudge(), GroundingPolicy()))
    assert (row["abstained"], row["choice"], row["citations"]) == (True, None, [])
    assert "nothing was found" in row["reason"]
    assert row["id"] == "q1"
