"""The deterministic planner, the grades and the merged list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.agent.grading import Grader
from rag.agent.merging import MergeOptions, merged
from rag.agent.planner import Planner, criteria_query, kind_of, slots_of
from rag.agent.state import AgentState, LoggedQuery, SubQuestion
from rag.generators.question import split_question
from rag.sentences import words
from rag.types import ChannelScore, Hit, PageLocator, Passage, Query

PLANNER = Planner(split_question)


def parts(text):
    return [part.text for part in PLANNER.parts(Query(text=text))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What is afterload?", ["What is afterload?"]),
        ("What is afterload? How is preload measured?", ["What is afterload?", "How is preload measured?"]),
        ("Which epithelium lines the trachea, and which lines the aorta?",
         ["Which epithelium lines the trachea", "which lines the aorta?"]),
        ("First, what is afterload? Second, why do muscles look striated?",
         ["what is afterload?", "why do muscles look striated?"]),
        ("What is the difference between the renal cortex and the renal medulla?",
         ["the renal cortex", "the renal medulla"]),
        ("Compare and contrast Dalton's law with Henry's law.", ["Dalton's law", "Henry's law"]),
        ("A patient has oedema and a loud murmur. Which valve is affected?",
         ["A patient has oedema and a loud murmur. Which valve is affected?"]),
        ("Urine is modified in the ________. Explain how antidiuretic hormone acts.",
         ["Urine is modified in the ________.", "Explain how antidiuretic hormone acts."]),
        ("sum of tidal volume and reserve volume, which is the air that can be inhaled",
         ["sum of tidal volume and reserve volume, which is the air that can be inhaled"]),
        ("a layer of cells; is neither thick nor keratinised", ["a layer of cells; is neither thick nor keratinised"]),
    ],
)  # fmt: skip
def test_a_question_is_split_where_it_asks_again(text, found):
    assert parts(text) == found


def test_what_is_quoted_stays_whole():
    found = parts('Which term does "a gland; what is it, and which duct has it?" describe? What is a cyst wall?')
    assert found == ['Which term does "a gland; what is it, and which duct has it?" describe?', "What is a cyst wall?"]


@given(st.text(max_size=200).filter(str.strip))
def test_every_question_has_one_to_four_parts_with_ids(text):
    found = PLANNER.parts(Query(text=text))
    assert [part.id for part in found] == [f"S{n}" for n in range(1, len(found) + 1)]
    assert 1 <= len(found) <= 4


def test_kinds_and_slots():
    kinds = ["What is a nephron?", "How does digoxin act?", "Where is the insula?", "What are signs of anaemia?"]
    assert [kind_of(text) for text in kinds] == ["definition", "mechanism", "location", "findings"]
    assert slots_of("On which side is the effusion, and how many ribs are broken?") == ("side", "number")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("5 mg", "10 mg", "20 mg"), "value"), (("left", "right"), "side"), (("it increases", "it falls"), "features"),
        (("enalapril", "captopril"), "drug"), (("nephritis", "carcinoma"), "diagnosis"), (("red", "blue"), "features"),
    ],
)  # fmt: skip
def test_options_become_a_criterion(options, said):
    assert said in criteria_query("What is given in heart failure?", options)


@given(st.lists(st.text("abcdefgh ", min_size=1, max_size=20).filter(str.strip), min_size=2, max_size=5))
def test_the_text_of_an_option_never_becomes_a_search(options):
    query = Query(text="Which vessel carries oxygen rich blood from the lung?", options=tuple(options))
    new = {word for option in options for word in words(option)} - set(words(query.text))
    [part] = PLANNER.parts(query)
    for text in PLANNER.queries(part, query, several=False):
        assert not new & set(words(text))


# grades


def page(name, text):
    return Passage(name, "page", "book", text, PageLocator(1))


PAGES = [
    page("plain", "Afterload. Afterload is the force that the left ventricle must overcome to eject blood."),
    page("near", "The ventricle ejects blood. Preload is another matter, treated elsewhere."),
    page("far", "The cornea is transparent because its stroma is regular."),
]
PART = SubQuestion("S1", "What force must the left ventricle overcome to eject blood?")


def hits(z=0.0):
    return [Hit(one, 1.0, {"fused": ChannelScore(1, z)}) for one in PAGES]


def test_words_grade_what_answers_above_what_is_near():
    grades = {name: one.grade for name, one in Grader().grade(PART, hits()).items()}
    assert grades["plain"] >= 2
    assert grades["plain"] > grades["near"] >= grades["far"] == 0


def test_a_scorer_decides_where_there_is_one():
    class Says:
        def score(self, question, sentences):
            return [6.0 if "cornea" in text else -9.0 for text in sentences]

    grades = {name: one.grade for name, one in Grader(Says()).grade(PART, hits()).items()}
    assert grades == {"plain": 0, "near": 0, "far": 3}


def test_what_stands_out_of_its_list_is_at_least_on_the_topic():
    assert Grader().grade(PART, hits(z=2.0))["far"].grade == 1


def test_an_image_alone_is_graded_by_its_list():
    grades = Grader().grade(SubQuestion("S1", ""), hits(z=2.0))
    assert {one.grade for one in grades.values()} == {2}


# merging


def state(*searches, n_parts=2, grades=()):
    made = AgentState("q", tuple(SubQuestion(f"S{n}", "t") for n in range(1, n_parts + 1)))
    for stage, part, ids in searches:
        made = made.pooled(list(ids))
        one = LoggedQuery(1, stage, part, ("page",), "t", found=tuple((name, 1.0) for name in ids))
        made = AgentState(made.question, made.parts, (*made.log, one), made.pool)
    for part, name, grade in grades:
        made = made.graded(part, {name: grade}, {})
    return made


TEXTS = {name: page(name, f"text {name}") for name in "abcdefghij"}


def test_without_follow_up_the_single_pass_stands():
    assert merged(state(("first", "", "abc")), TEXTS, MergeOptions(k=2)) == ("a", "b", "c")


def test_parts_take_turns():
    made = state(("first", "", "abcd"), ("rule", "S1", "ef"), ("rule", "S2", "gh"))
    assert merged(made, TEXTS, MergeOptions(k=4, extra=0)) == ("e", "g", "f", "h")


def test_one_part_keeps_its_first_list_and_adds_behind_it():
    made = state(("first", "", "abcd"), ("rule", "S1", "eaf"), n_parts=1, grades=[("S1", "e", 1), ("S1", "f", 0)])
    assert merged(made, TEXTS, MergeOptions(k=4, extra=2)) == ("a", "b", "c", "d", "e")


@given(st.lists(st.tuples(st.sampled_from(["S1", "S2"]), st.text("abcdefghij", max_size=5)), max_size=4))
def test_a_model_only_adds(searches):
    alone = state(("first", "", "abc"), ("rule", "S1", "de"), grades=[("S1", "d", 1)])
    grades = [("S1", "d", 1), *(("S1", name, 3) for _, ids in searches for name in ids if name in "fghij")]
    models = [("model", part, ids) for part, ids in searches]
    both = state(("first", "", "abc"), ("rule", "S1", "de"), *models, grades=grades)
    ours, theirs = merged(both, TEXTS, MergeOptions(k=3)), merged(alone, TEXTS, MergeOptions(k=3))
    assert ours[: len(theirs)] == theirs


def test_the_same_text_stands_once_and_words_are_counted():
    twins = {**TEXTS, "b": page("b", "text a"), "c": page("c", "word " * 50)}
    assert merged(state(("first", "", "abcd")), twins, MergeOptions(k=4, budget_words=20)) == ("a", "d")
