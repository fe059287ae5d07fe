"""KnoBo's loop with a scripted generator and a small corpus: provenance, filters, stops."""

import json
import re

import pytest

from knowledge.concepts_loop import ConceptPlan, ConceptRun, gather_concepts, normal_form
from rag.passages import PageLocator, Passage

TEXTS = {
    "p1": "Pneumonia is an infection. It appears as\na lobar opacity with air bronchograms.",
    "p2": "An effusion blunts the costophrenic angle. Fever is common.",
    "p3": "Kerley lines are thin horizontal lines at the lung base.",
    "p4": "A meniscus sign marks pleural fluid.",
}


def passage(name):
    return Passage(name, "page", f"book-{name}", TEXTS[name], PageLocator(1))


class Library:
    """Finds the passages that share a word with the query."""

    def __init__(self):
        self.queries = []

    def __call__(self, query, k):
        self.queries.append((query, k))
        words = set(re.findall(r"\w+", query.lower()))
        return [passage(name) for name in TEXTS if words & set(re.findall(r"\w+", TEXTS[name].lower()))]


class Generator:
    """Proposes what the script says for the passages it is shown; everything but fever is visible."""

    def __init__(self, proposals, known=()):
        self.proposals, self.known, self.prompts = proposals, known, []

    def complete(self, prompt):
        self.prompts.append(prompt)
        if "numbered passages" in prompt:
            shown = {name: number for number, name in re.findall(r"\[(\d+)\] (\w+)", self._named(prompt))}
            rows = [row | {"passage": int(shown[row["passage"]])} for row in self.proposals if row["passage"] in shown]
            return json.dumps({"concepts": rows})
        if "alone, without tests" in prompt:
            return "No." if "fever" in prompt.lower() else "Yes, it can."
        return "yes" if any(question in prompt.split("\n\n")[0] for question in self.known) else "no"

    @staticmethod
    def _named(prompt):
        for name, text in TEXTS.items():
            prompt = prompt.replace(text, name)
        return prompt


def proposal(question, name, sentence):
    return {"question": question, "passage": name, "sentence": sentence}


OPACITY = proposal("Is there a lobar opacity?", "p1", "It appears as a lobar opacity with air bronchograms.")
ANGLE = proposal("Is the costophrenic angle blunted?", "p2", "An effusion blunts the costophrenic angle.")
LINES = proposal("Are there thin lines at the base?", "p3", "Kerley lines are thin horizontal lines at the lung base.")
PLAN = ConceptPlan("radiograph", ("pneumonia", "effusion"), template="{concept}")


def test_every_kept_concept_has_its_passage_and_sentence():
    run = gather_concepts(PLAN, Library(), Generator([OPACITY, ANGLE, LINES]))
    assert [one.passage for one in run.concepts] == ["p1", "p2", "p3"]
    for concept in run.concepts:
        text = TEXTS[concept.passage]
        assert text[concept.start : concept.end] == concept.sentence
        assert concept.document == f"book-{concept.passage}"
    assert run.stopped == "nothing new"


def test_kept_concepts_ask_the_next_queries_and_no_passage_is_read_twice():
    library, generator = Library(), Generator([OPACITY, ANGLE, LINES])
    run = gather_concepts(PLAN, library, generator)
    asked = [query for query, _ in library.queries]
    assert asked[:2] == ["pneumonia", "effusion"]
    assert asked[2:] == [one.question for one in run.concepts]
    assert {k for _, k in library.queries} == {50}
    proposing = [prompt for prompt in generator.prompts if "numbered passages" in prompt]
    assert all(sum(text in prompt for prompt in proposing) <= 1 for text in TEXTS.values())
    assert run.concepts[2].query == run.concepts[1].question or run.concepts[2].query == run.concepts[0].question


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (proposal("Is there a mass?", "p1", "A mass is seen."), "sentence not in the passage"),
        (proposal("Does the image show a lobar opacity?", "p1", OPACITY["sentence"]), "known already"),
        (proposal("Is the fever high?", "p1", OPACITY["sentence"]), "not visible"),
        (proposal("Any whiteness of one lobe?", "p1", OPACITY["sentence"]), "a paraphrase"),
        (proposal("", "p1", OPACITY["sentence"]), "not a proposal"),
        (proposal("Is it round?", "p1", None), "not a proposal"),
    ],
)
def test_bad_proposals_are_refused_and_counted(bad, reason):
    generator = Generator([OPACITY, bad], known=("Any whiteness of one lobe?",))
    run = gather_concepts(ConceptPlan("radiograph", ("pneumonia",), template="{concept}"), Library(), generator)
    assert [one.question for one in run.concepts] == ["Is there a lobar opacity?"]
    assert run.dropped == {reason: 1}


def test_a_passage_that_was_not_shown_is_refused():
    class Liar:
        def complete(self, prompt):
            return json.dumps({"concepts": [OPACITY | {"passage": number} for number in (0, 9, True, "1")]})

    run = gather_concepts(PLAN, Library(), Liar())
    assert run.concepts == []
    assert set(run.dropped) == {"no such passage"}


def test_it_stops_at_enough_concepts_and_at_the_last_round():
    proposals = [OPACITY, ANGLE, LINES]
    few = gather_concepts(ConceptPlan("x", PLAN.start, "{concept}", most_concepts=2), Library(), Generator(proposals))
    assert (len(few.concepts), few.stopped) == (2, "enough")
    short = gather_concepts(ConceptPlan("x", PLAN.start, "{concept}", most_rounds=1), Library(), Generator(proposals))
    assert (short.rounds, short.stopped) == (1, "rounds")


def test_ungroundable_questions_are_refused():
    run = gather_concepts(PLAN, Library(), Generator([OPACITY, ANGLE]), groundable=lambda question: "angle" in question)
    assert [one.passage for one in run.concepts] == ["p2"]
    assert run.dropped["not groundable"] == 1


@pytest.mark.parametrize("answer", ["", "I cannot", "{broken", TimeoutError("slow")])
def test_a_generator_that_fails_stops_nothing(answer):
    class Broken:
        def complete(self, prompt):
            if isinstance(answer, Exception):
                raise answer
            return answer

    run = gather_concepts(PLAN, Library(), Broken())
    assert run.concepts == []
    assert run.failed + run.unreadable == 2


def test_a_run_survives_json():
    run = gather_concepts(PLAN, Library(), Generator([OPACITY, ANGLE]))
    assert ConceptRun.from_json(run.to_json()) == run
    assert json.loads(run.to_json())["concepts"][0]["passage"] == "p1"


def test_normal_forms():
    assert normal_form("Is there an effusion?") == normal_form("Does the image show effusions?")
    assert normal_form("Is there an effusion?") != normal_form("Is there no effusion?")
    assert normal_form("left lung opaque") != normal_form("right lung opaque")
