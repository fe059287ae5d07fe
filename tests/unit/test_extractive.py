from collections.abc import Sequence
from pathlib import Path

import pytest

from rag.errors import ConfigError
from rag.generators.candidates import candidates_of
from rag.generators.extractive import LEXICAL_OPTIONS, ExtractiveGenerator, ExtractiveOptions
from rag.generators.question import is_negated, names_topic, split_question, statement
from rag.generators.scoring import LexicalScorer
from rag.types import CaseLocator, Evidence, FactLocator, Hit, PageLocator, Passage, Query

KNEE = """The Knee
By the end of this section, you will be able to:
Describe the menisci of the knee
The knee is the largest joint of the body. The two menisci are wedges of cartilage between femur and tibia. They
spread the load over the joint. What would happen without them?
Ligaments
The anterior cruciate ligament stops the tibia from sliding forward. The posterior cruciate ligament stops the tibia
from sliding backward. The patella is the largest sesamoid bone and lies within the quadriceps tendon."""
SHOULDER = """The Shoulder
The shoulder is the most mobile joint of the body. The rotator cuff consists of four muscles and holds the humerus in
its socket. The deltoid muscle lifts the arm sideways. The glenoid labrum is a ring of cartilage."""


def evidence(*texts: str) -> Evidence:
    passages = [Passage(f"p{i}", "page", "atlas", text, PageLocator(i + 1)) for i, text in enumerate(texts)]
    return Evidence(tuple(Hit(passage, 1.0 / (i + 1)) for i, passage in enumerate(passages)))


BOOK = evidence(KNEE, SHOULDER)
GENERATOR = ExtractiveGenerator(LexicalScorer(), LEXICAL_OPTIONS)


def ask(text: str, *options: str, found: Evidence = BOOK) -> tuple[list[str], int | None, float]:
    draft = GENERATOR.generate(Query(text=text, options=options), found)
    return [claim.text for claim in draft.claims], draft.choice, draft.confidence


def test_the_sentence_that_answers_is_quoted() -> None:
    claims, choice, confidence = ask("Which muscle lifts the arm sideways?")
    assert claims[0] == "The deltoid muscle lifts the arm sideways."
    assert choice is None
    assert confidence > 0.5


def test_a_quote_over_a_line_break_keeps_the_break_and_the_claim_does_not() -> None:
    draft = GENERATOR.generate(Query(text="What holds the humerus in its socket?"), BOOK)
    assert "\n" in draft.claims[0].quote
    assert "\n" not in draft.claims[0].text
    assert draft.claims[0].quote in SHOULDER


def test_each_part_of_a_question_gets_its_sentence() -> None:
    claims, _, _ = ask("Which muscle lifts the arm sideways, and where does the patella lie?")
    assert claims[:2] == [
        "The deltoid muscle lifts the arm sideways.",
        "The patella is the largest sesamoid bone and lies within the quadriceps tendon.",
    ]


def test_a_sentence_that_begins_with_a_pronoun_brings_the_one_before_it() -> None:
    claims, _, _ = ask("What spreads the load over the joint?")
    assert claims[0] == (
        "The two menisci are wedges of cartilage between femur and tibia. They spread the load over the joint."
    )


def test_questions_headings_and_learning_objectives_are_never_quoted() -> None:
    contexts = [candidate.text for candidate in candidates_of(BOOK)]
    assert not any(text.endswith(("?", ":")) or text.startswith(("Describe", "The Knee")) for text in contexts)


def test_the_heading_counts_for_finding_and_is_not_part_of_the_quote() -> None:
    candidate = next(c for c in candidates_of(BOOK) if c.text.startswith("The patella"))
    assert candidate.context.startswith("Ligaments: ")
    assert candidate.quote in KNEE


def test_a_question_about_something_else_has_low_confidence() -> None:
    _, _, confidence = ask("Which treaty ended the war between Sweden and Norway?")
    assert confidence < 0.1


def test_never_more_claims_than_asked_for() -> None:
    generator = ExtractiveGenerator(LexicalScorer(), ExtractiveOptions(max_claims=1, midpoint=0.5, scale=0.1))
    assert len(generator.generate(Query(text="What stops the tibia, and what lifts the arm?"), BOOK).claims) == 1


def test_the_scorer_reads_no_more_than_the_prefilter_lets_through() -> None:
    seen: list[int] = []

    class Counting:
        def score(self, question: str, sentences: Sequence[str]) -> list[float]:
            seen.append(len(sentences))
            return [0.0] * len(sentences)

    ExtractiveGenerator(Counting(), ExtractiveOptions(prefilter=3)).generate(Query(text="What is the knee?"), BOOK)
    assert seen == [3]


@pytest.mark.parametrize("value", [{"scale": 0.0}, {"prefilter": 0}, {"max_claims": 0}])
def test_impossible_options_are_refused(value: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="generator:"):
        ExtractiveOptions(**value)


def test_the_option_that_the_evidence_names_is_chosen_and_cited() -> None:
    claims, choice, _ = ask("Which muscle lifts the arm sideways?", "biceps", "trapezius", "deltoid", "quadriceps")
    assert choice == 2
    assert claims == ["The deltoid muscle lifts the arm sideways."]


def test_a_blank_is_filled() -> None:
    _, choice, _ = ask("The ________ cruciate ligament stops the tibia from sliding forward.", "posterior", "anterior")
    assert choice == 1


@pytest.mark.parametrize("stem", ["Which of these is NOT a part of the knee?", "Each is a part of the knee except"])
def test_a_negated_question_takes_what_the_evidence_does_not_name(stem: str) -> None:
    found = evidence(
        "The knee\nThe menisci are a part of the knee. The patella is a part of the knee. The larynx is high."
    )
    claims, choice, _ = ask(stem, "menisci", "larynx", "patella", found=found)
    assert choice == 1
    assert all("part of the knee" in claim for claim in claims)


def test_two_sentences_that_state_an_option_speak_louder_than_one() -> None:
    class Equal:
        def score(self, question: str, sentences: Sequence[str]) -> list[float]:
            return [2.0 if question.rsplit(maxsplit=1)[-1] in sentence.lower() else -8.0 for sentence in sentences]

    found = evidence(
        "Ice helps a strained tendon. Rest helps a strained tendon. Rest also helps a strained tendon greatly."
    )
    query = Query(text="What helps a strained tendon?", options=("ice", "rest"))
    assert ExtractiveGenerator(Equal()).generate(query, found).choice == 1


def test_all_of_the_above_when_every_option_is_stated() -> None:
    found = evidence("Rest helps a strained tendon. Ice helps a strained tendon. Splints help a strained tendon.")
    _, choice, _ = ask("What helps a strained tendon?", "rest", "ice", "splints", "all of the above", found=found)
    assert choice == 3


def test_not_all_of_the_above_when_one_option_is_stated() -> None:
    _, choice, _ = ask("Which muscle lifts the arm sideways?", "deltoid", "biceps", "psoas", "All of the above.")
    assert choice == 0


def test_an_option_that_sums_up_two_others() -> None:
    found = evidence("Rest helps a strained tendon. Ice helps a strained tendon. Running tears it.")
    _, choice, _ = ask("What helps a strained tendon?", "rest", "ice", "running", "rest and ice", found=found)
    assert choice == 3


def test_none_of_the_above_when_nothing_is_stated() -> None:
    _, choice, _ = ask("Which muscle lifts the arm sideways?", "masseter", "sartorius", "none of the above")
    assert choice == 2


def test_numbers_tell_options_apart() -> None:
    _, choice, _ = ask("How many muscles has the rotator cuff?", "3", "4", "6")
    assert choice == 1


@pytest.mark.parametrize(
    ("stem", "choice"),
    [
        ("The patella is the largest sesamoid bone.", 0),
        ("The patella is not a sesamoid bone.", 1),
        ("Only the patella is a sesamoid bone.", 1),
    ],
)
def test_true_or_false(stem: str, choice: int) -> None:
    assert ask(stem, "true", "false")[1] == choice


def test_options_without_words_do_not_break_the_choice() -> None:
    claims, choice, confidence = ask("Which one?", "?", "!", "...")
    assert choice in (0, 1, 2)
    assert claims
    assert 0 <= confidence <= 1


@pytest.mark.parametrize("text", ["", "What does this chest X-ray show?", "Describe the findings."])
def test_an_image_is_answered_by_what_similar_cases_share(text: str) -> None:
    reports = ["Large left effusion. Seen by Dr. Hale.", "There is a large left effusion.", "Fracture of the tibia."]
    hits = tuple(
        Hit(Passage(f"c{i}", "case", "clinic", report, CaseLocator(f"r{i}")), 1.0) for i, report in enumerate(reports)
    )
    draft = GENERATOR.generate(Query(text=text, images=(Path("chest.png"),)), Evidence(hits + BOOK.hits))
    assert draft.claims[0].text == "Large left effusion."
    assert 0.5 <= draft.confidence <= 1


def test_a_question_that_looks_for_something_is_not_answered_by_what_cases_share() -> None:
    hit = Hit(Passage("c", "case", "clinic", "Large left effusion. Seen today.", CaseLocator("r")), 1.0)
    query = Query(text="Is there a fracture of the clavicle?", images=(Path("chest.png"),))
    assert GENERATOR.generate(query, Evidence((hit,))).confidence < 0.5


def test_a_fact_is_quoted_whole() -> None:
    passage = Passage("f", "fact", "graph", "deltoid lifts arm", FactLocator("deltoid", "lifts", "arm"))
    claims, _, _ = ask("What lifts the arm?", found=Evidence((Hit(passage, 1.0),)))
    assert claims == ["deltoid lifts arm"]


def test_overlap_weighs_rare_words_more() -> None:
    rare, common = LexicalScorer().score("the glenoid joint", ["a glenoid rim", "a joint", "no joint", "this joint"])[
        :2
    ]
    assert 1 > rare > common > 0


def test_overlap_of_nothing_is_zero() -> None:
    assert LexicalScorer().score("what is the?", ["some words"]) == [0.0]
    assert LexicalScorer().score("knee", []) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("What is a tendon?", 1),
        ("Which epithelium lines it, and what do its goblet cells secrete?", 2),
        ("What is a tendon? What is a ligament?", 2),
        ("What are the roles of bone and cartilage?", 1),
        ("What and why?", 1),
    ],
)
def test_a_question_is_split_where_another_begins(text: str, parts: int) -> None:
    assert len(split_question(text)) == parts


def test_a_part_that_points_back_carries_the_subject() -> None:
    assert split_question("Which muscle lifts the arm, and where does it insert?")[1] == (
        "where does it insert? (muscle lifts arm)"
    )


@pytest.mark.parametrize(
    ("question", "negated"),
    [
        ("Which of the following is not a joint?", True),
        ("All of the following are bones EXCEPT", True),
        ("Which statement is false?", True),
        ("Which is a false rib?", False),
        ("Which of these cells do not divide?", True),
        ("Which drug should be used when heparin is not tolerated?", False),
        ("Which exception applies?", False),
    ],
)
def test_negated_questions_are_known(question: str, negated: bool) -> None:
    assert is_negated(question) is negated


def test_statements() -> None:
    assert statement("The ____ lifts the arm.", "deltoid.") == "The deltoid lifts the arm."
    assert statement("Which of these is true?", "Bones grow.") == "Bones grow."
    assert statement("Which statement about bone is true?", "It grows.") == "bone: It grows."
    assert statement("What lifts the arm?", "deltoid") == "What lifts the arm? deltoid"


def test_a_question_without_a_topic_needs_its_options_to_be_searched() -> None:
    assert not names_topic("Which of the following statements is true?")
    assert names_topic("Which of the following statements about bone is true?")
