"""Follow-up questions: what is rewritten, what stays, and that earlier evidence stays citable. No model."""

import pytest

from pipelines.assistant import Steps
from pipelines.config import load_settings
from pipelines.conversation import Conversation, rewritten, topic_of, with_memory
from pipelines.gathering import GatherOptions
from pipelines.search import SearchResult
from rag.errors import QueryError
from rag.generators.scripted import ScriptedGenerator
from rag.grounding.ground import GroundingPolicy
from rag.grounding.judge import LexicalJudge
from rag.selection import FixedK
from rag.types import Draft, DraftClaim, Evidence, Hit, PageLocator, Passage

TOPIC = "pleural effusion"


@pytest.mark.parametrize(
    ("question", "understood"),
    [
        ("Is it painful?", f"Is it painful? ({TOPIC})"),
        ("What are its signs?", f"What are its signs? ({TOPIC})"),
        ("And in children?", f"And in children? ({TOPIC})"),
        ("What about the left side?", f"What about the left side? ({TOPIC})"),
        ("Why?", f"Why? ({TOPIC})"),
        ("Where?", f"Where? ({TOPIC})"),
        ("What is a keloid?", "What is a keloid?"),
        ("Which epithelium lines the trachea?", "Which epithelium lines the trachea?"),
        ("What causes this pleural effusion?", "What causes this pleural effusion?"),
        ("", ""),
    ],
)
def test_a_follow_up_gets_the_topic_and_a_new_question_does_not(question, understood):
    assert rewritten(question, TOPIC) == understood


def test_without_a_topic_nothing_is_rewritten():
    assert rewritten("Is it painful?", "") == "Is it painful?"


def test_the_topic_is_what_a_question_names():
    assert topic_of("What is a pleural effusion?") == TOPIC
    assert topic_of("Why?") == ""
    assert len(topic_of(" ".join(f"word{i}" for i in range(50))).split()) == 8


TEXTS = {"p1": "A pleural effusion is fluid.", "p2": "It blunts the angle.", "p3": "A keloid is a scar.",
         "heart": "The heart size is normal.", "big": "There is cardiomegaly."}  # fmt: skip
PAGES = {name: Passage(name, "page", "book", text, PageLocator(1)) for name, text in TEXTS.items()}


class Library:
    """Finds another page for each question."""

    def __init__(self, *turns):
        self.turns, self.asked = list(turns), []

    @property
    def settings(self):
        return load_settings("embedded").settings

    def readable(self, query):
        return query

    @property
    def parts(self):
        raise AssertionError("the steps are given")

    def search_timed(self, query, *, k, kinds, withhold=None):
        self.asked.append(query)
        return SearchResult(tuple(Hit(PAGES[name], 1.0) for name in self.turns.pop(0)))

    def get(self, ids):
        return [PAGES[name] for name in ids]


def quoting(name):
    return Draft((DraftClaim(PAGES[name].text, name, PAGES[name].text),), confidence=1.0)


def talk(library, *drafts):
    steps = Steps(FixedK(4), ScriptedGenerator(*drafts), LexicalJudge(), GroundingPolicy(), GatherOptions(4))
    return Conversation(library, steps)


def test_what_was_found_before_can_be_cited_later():
    library = Library(["p1"], ["p2"])
    conversation = talk(library, quoting("p1"), quoting("p1"))
    conversation.ask("What is a pleural effusion?")
    answer = conversation.ask("And what is it made of?")
    assert library.asked[1].text == "And what is it made of? (pleural effusion)"
    assert answer.citations[0].passage.id == "p1"
    assert [hit.passage.id for hit in answer.evidence.hits] == ["p2", "p1"]
    event = next(one for one in answer.trace if one["step"] == "follow_up")
    assert event == {"step": "follow_up", "rewritten": True, "remembered": 1}
    assert [turn.asked for turn in conversation.turns] == ["What is a pleural effusion?", "And what is it made of?"]


def test_a_new_question_is_a_new_topic_and_images_stay_until_others_come():
    library = Library(["p1"], ["p3"], ["p3"])
    conversation = talk(library, quoting("p1"), quoting("p3"), quoting("p3"))
    conversation.ask("What is a pleural effusion?", images=["a.png"])
    conversation.ask("What is a keloid?")
    conversation.ask("Is it painful?", images=["b.png"])
    assert [query.text for query in library.asked][1:] == ["What is a keloid?", "Is it painful? (keloid)"]
    assert [query.images[0].name for query in library.asked] == ["a.png", "a.png", "b.png"]


def test_an_answer_that_contradicts_an_earlier_one_on_the_same_image_names_the_turn():
    library = Library(["p1"], ["heart"], ["big"], ["big"])
    conversation = talk(library, quoting("p1"), quoting("heart"), quoting("big"), quoting("big"))
    conversation.ask("What is a pleural effusion?")
    conversation.ask("How large is the heart?", images=["a.png"])
    answer = conversation.ask("Is there cardiomegaly?")
    events = [event for event in answer.trace if event["step"] == "consistency"]
    rules = {"a finding is both present and absent", "normal heart excludes enlarged heart"}
    assert {event["rule"] for event in events} == rules
    assert all((event["turn"], event["claim"]) == (2, 0) for event in events)
    assert answer.claims, "which of the two is wrong nobody knows: both stay"
    other = conversation.ask("Is there cardiomegaly?", images=["b.png"])
    assert not [event for event in other.trace if event["step"] == "consistency"]


def test_memory_is_bounded_and_holds_each_passage_once():
    hits = tuple(Hit(PAGES[name], 1.0) for name in ("p1", "p2"))
    assert [hit.passage.id for hit in with_memory(Evidence(hits[:1]), hits).hits] == ["p1", "p2"]
    library = Library(["p1"], ["p2"], ["p3"])
    conversation = Conversation(library, talk(library, quoting("p1"))._steps, remembered=1)
    for question in ("What is a pleural effusion?", "What is an angle?", "What is a keloid?"):
        answer = conversation.ask(question)
    assert len(answer.evidence.hits) == 2


def test_an_empty_question_is_refused():
    with pytest.raises(QueryError):
        talk(Library()).ask(" ")
