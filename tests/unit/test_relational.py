"""Relational questions from a graph: what they ask, what answers them, and what keeps tuning and judging apart."""

import pytest

from eval.relational import QuestionOptions, relational_questions, stated
from eval.relational_templates import ROLES, SHAPES, TEMPLATES
from knowledge.graph.array_graph import ArrayGraph
from knowledge.relations import relations as shipped_relations
from knowledge.triples import Statement, Support, Triple

GREEK = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "sigma"]


def statement(head, relation, tail, tier="ontology"):
    return Statement(Triple(head, relation, tail), Support("table", f"{head}/{relation}/{tail}", head, tail, tier))


@pytest.fixture(scope="module")
def graph():
    rows = []
    for number, name in enumerate(GREEK * 4):
        disease = f"{name} fever {number}"
        rows += [
            (disease, "has_symptom", f"rash {number % 7}"),
            (disease, "has_symptom", f"ache {number % 5}"),
            (disease, "located_in", f"valley organ {number % 3}"),
            (disease, "is_a", f"fever group {number % 4}"),
            (disease, "synonym", f"morbus {name} {number}"),
            (f"remedy {number % 30}", "symptomatic_treatment_of", disease),
            (disease, "symptom", "tiredness, wheeze"),
            (disease, "has_symptom", "symptom"),
        ]
    said = [statement(*row) for row in rows]
    said.append(Statement(Triple("case one", "has_finding", "haze of film"), Support("clinic", "c", "", "", "report")))
    return ArrayGraph.build(said)


def facts_of(graph):
    return {stated(triple, graph.relations) for triple in graph.triples() if triple.polarity == "present"}


@pytest.mark.parametrize("role", ROLES)
def test_every_gold_statement_is_a_fact_and_every_shape_is_asked(graph, role):
    questions = relational_questions(graph, QuestionOptions(role, relational=60, single=20))
    known = facts_of(graph)
    assert {question.shape for question in questions} == set(SHAPES)
    assert sum(question.shape != "single" for question in questions) == 60
    for question in questions:
        assert question.gold
        assert set(question.gold) <= known
        if question.shape != "single":
            assert len(question.gold) >= 2


def test_an_intersection_has_all_its_answers_in_the_gold(graph):
    known = facts_of(graph)
    for question in relational_questions(graph, QuestionOptions(relational=80, single=0)):
        if question.shape != "intersection":
            continue
        (first, second), (a, b) = question.relations, question.named
        answers = {h for h, r, t in known if (r, t) == (first, a)} & {h for h, r, t in known if (r, t) == (second, b)}
        assert {head for head, _, _ in question.gold} == answers


def test_equal_seeds_give_equal_questions_and_roles_share_nothing(graph):
    def asked(role, seed=0):
        return relational_questions(graph, QuestionOptions(role, 60, 20, seed))

    assert asked("tune") == asked("tune")
    assert asked("tune") != asked("tune", 1)
    texts = [{question.text for question in asked(role)} for role in ROLES]
    assert texts[0].isdisjoint(texts[1])
    turning = [{q.gold[0][0] for q in asked(role) if q.shape in ("intersection", "single")} for role in ROLES]
    assert turning[0].isdisjoint(turning[1])


def test_templates_hold_out_wordings():
    for template in TEMPLATES:
        wordings = [set(template.wordings[role]) for role in ROLES]
        assert all(wordings)
        assert wordings[0].isdisjoint(wordings[1])


def test_concepts_are_named_by_a_synonym_where_there_is_one(graph):
    singles = [
        q for q in relational_questions(graph, QuestionOptions(relational=0, single=30)) if "fever" in q.named[0]
    ]
    diseases = [question for question in singles if "group" not in question.named[0]]
    assert diseases
    assert all("morbus" in question.text for question in diseases)


def test_words_such_as_symptom_and_what_reports_say_are_nothing_to_ask_for(graph):
    questions = relational_questions(graph, QuestionOptions(relational=200, single=100))
    keys = {key for question in questions for head, _, tail in question.gold for key in (head, tail)}
    assert keys.isdisjoint({"symptom", "tiredness, wheeze", "haze of film", "case one"})


def test_an_inverted_relation_is_said_the_other_way_round():
    relations = shipped_relations()
    assert stated(Triple("aspirin", "symptomatic_treatment_of", "pain"), relations) == ("pain", "treated_by", "aspirin")
    assert stated(Triple("a", "made up relation", "b"), relations) == ("a", "made up relation", "b")


def test_a_graph_without_anything_gives_no_question():
    assert relational_questions(ArrayGraph.build([])) == ()
