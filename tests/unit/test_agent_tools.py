"""The loop's tools over a library: the guard holds for every call, whatever was searched for. And the strategies."""

import json

import pytest
from PIL import Image

from pipelines.agent_tools import LibraryTools
from pipelines.assistant import Steps
from pipelines.config import load_settings
from pipelines.gathering import Gatherer, GatherOptions
from pipelines.search import SearchResult
from pipelines.strategies import NAMES, LoopStrategy, SinglePass, StrategyOptions, make_strategy, parse_strategy
from pipelines.timeline import timeline
from rag.agent.tools import Closer, Search, Timeline
from rag.chat import ChatError, Deadline
from rag.errors import ConfigError, QueryError
from rag.generators.extractive import LEXICAL_OPTIONS, ExtractiveGenerator
from rag.generators.scoring import LexicalScorer
from rag.grounding.ground import GroundingPolicy
from rag.grounding.judge import LexicalJudge
from rag.leakage import Guard
from rag.selection import FixedK
from rag.types import CaseLocator, Hit, PageLocator, Passage, Query

LATE = Deadline.after(1e9)
"""Made when tests are collected: it must outlast the whole suite."""


def case(record, day, patient, text, **meta):
    return Passage(f"case-{record}", "case", "cxr", text, CaseLocator(record, patient, f"s-{record}", day), meta=meta)


PAGES = [
    Passage("page-1", "page", "book", "Effusions blunt the costophrenic angle.", PageLocator(1)),
    Passage("page-2", "page", "book", "The trachea is lined by ciliated epithelium.", PageLocator(9)),
]
CASES = [
    case("r1", 0.0, "p", "Small left effusion."), case("r2", 5.0, "p", "The effusion grew."),
    case("x1", 3.0, "q", "Large right effusion of the trachea."),
]  # fmt: skip
ALL = {one.id: one for one in (*PAGES, *CASES)}


class Settings:
    class store:  # noqa: N801 - as the settings name it
        kind = "embedded"


class Library:
    """Finds what shares a word with the query."""

    settings = Settings()

    def __init__(self):
        self.asked = []

    def readable(self, query):
        return query

    def search_timed(self, query, *, k, kinds, withhold=None):
        self.asked.append(query)
        wanted = set(query.text.lower().replace("?", "").split())
        scores = {one.id: len(wanted & set(one.text.lower().rstrip(".").split())) for one in ALL.values()}
        if query.images:
            scores = {one.id: 1.0 for one in CASES}
        best = sorted(
            (name for name in scores if scores[name] and ALL[name].kind in kinds), key=lambda n: (-scores[n], n)
        )
        return SearchResult(tuple(Hit(ALL[name], float(scores[name])) for name in best[:k]), {})

    def history(self, patient, before_day=None):
        class Listing:
            @staticmethod
            def passages(kind):
                return iter(CASES)

        return timeline(Listing, patient, before_day)

    def get(self, ids):
        return [ALL[name] for name in ids if name in ALL]


def tools(library=None, **options):
    library = library or Library()
    return LibraryTools(Gatherer(library, FixedK(4), GatherOptions(4, **options)), library)


def ids(found):
    return [hit.passage.id for hit in found.hits]


def test_the_patients_own_records_stay_out_of_every_search():
    query = Query(text="effusion", patient="p", before_day=3)
    with tools(guard=Guard()) as made:
        first = made.first(query, ("page", "case"), LATE)
        assert "case-r2" not in ids(first)
        assert ids(made.search(query, Search(("case",), "effusion"), LATE)) == ["case-x1"]
        assert ids(made.timeline(query, Timeline(), LATE)) == ["case-r1"]


def test_what_the_first_search_withheld_speaks_for_whose_image_it_is(tmp_path):
    picture = tmp_path / "film.png"
    Image.effect_noise((96, 96), 80).convert("L").save(picture)
    from indexers.sources.perceptual import image_key

    own = case("r9", 2.0, "p", "Own film of trachea.", phash=image_key(picture))
    own = Passage(own.id, own.kind, own.document, own.text, own.locator, (picture,), own.meta)
    library = Library()
    library.search_timed = lambda query, *, k, kinds, withhold=None: SearchResult(  # type: ignore[method-assign]
        tuple(Hit(one, 1.0) for one in ((own, CASES[0], CASES[2]) if query.images else (CASES[0], CASES[2]))), {}
    )
    library.get = lambda names: [one for one in (own, *CASES) if one.id in names]  # type: ignore[method-assign]
    query = Query(text="what is shown", images=(picture,))
    with tools(library, guard=Guard()) as made:
        assert ids(made.first(query, ("case",), LATE)) == ["case-x1"]
        # The text search does not find the question's own image, yet the patient stays withheld.
        assert ids(made.search(query, Search(("case",), "effusion"), LATE)) == ["case-x1"]


def test_a_searchs_filters_never_widen_the_questions():
    library = Library()
    with tools(library) as made:
        query = Query(text="effusion", filters={"document": ("book",)})
        made.search(query, Search(("page",), "trachea", filters={"document": ("cxr",), "page": ("9",)}), LATE)
    assert library.asked[-1].filters == {"document": ("book",), "page": ("9",)}


def test_a_crop_is_searched_for_and_thrown_away(tmp_path):
    picture = tmp_path / "film.png"
    Image.effect_noise((100, 80), 60).convert("L").save(picture)
    library = Library()
    with tools(library) as made:
        query = Query(text="effusion", images=(picture,))
        found = made.closer(query, Closer(picture, (0.0, 0.0, 0.5, 0.5)), LATE)
        crop = library.asked[-1].images[0]
        with Image.open(crop) as cut:
            assert cut.size == (50, 40)
        assert library.asked[-1].text == ""
        assert "case-x1" in ids(found)
    assert not crop.exists()


def test_bad_images_and_a_passed_deadline_are_errors_that_the_loop_knows(tmp_path):
    query = Query(text="effusion")
    with tools() as made:
        with pytest.raises(QueryError):
            made.closer(query, Closer(tmp_path / "no.png", (0, 0, 1, 1)), LATE)
        with pytest.raises(ChatError, match="time"):
            made.search(query, Search(("page",), "trachea"), Deadline.after(-1))


# strategies


def steps(name="single"):
    return Steps(
        FixedK(4), ExtractiveGenerator(LexicalScorer(), LEXICAL_OPTIONS), LexicalJudge(), GroundingPolicy(),
        GatherOptions(4), StrategyOptions(name),
    )  # fmt: skip


def gathered(name, text, **options):
    library = Library()
    made = make_strategy(library, FixedK(4), GatherOptions(4), StrategyOptions(name, **options))
    return made.gather(Query(text=text), ("page", "case"), LATE), library


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_gathers_whole_evidence_with_json_events(name):
    found, _ = gathered(name, "What blunts the costophrenic angle? What is the trachea lined by?")
    assert {"page-1", "page-2"} <= {hit.passage.id for hit in found.evidence.hits}
    json.dumps(found.events)
    kept = {hit.passage.id for hit in found.evidence.hits}
    assert kept.isdisjoint(row.hit.passage.id for row in found.evidence.dropped)


def test_single_is_the_gatherer_itself():
    assert isinstance(make_strategy(Library(), FixedK(4), GatherOptions(4), StrategyOptions()), SinglePass)
    single, library = gathered("single", "effusion")
    assert len(library.asked) == 1
    assert single.events[-1]["step"] == "select"


def test_a_loop_that_needs_no_follow_up_gives_what_the_single_pass_gives():
    text = "What is the trachea lined by?"
    single, _ = gathered("single", text)
    agent, library = gathered("agent", text)
    assert [hit.passage.id for hit in agent.evidence.hits] == [hit.passage.id for hit in single.evidence.hits]
    assert len(library.asked) == 1


def test_looked_up_records_stand_first_even_when_parts_take_turns():
    library = Library()
    made = make_strategy(library, FixedK(4), GatherOptions(4), StrategyOptions("agent"))
    query = Query(text="What is a zanthorp? Which way did the blivet grow?", patient="p", before_day=9)
    found = made.gather(query, ("page", "case"), LATE)
    assert [hit.passage.id for hit in found.evidence.hits][:2] == ["case-r2", "case-r1"]
    assert "case-r2" in found.evidence.notes
    assert '"p"' not in json.dumps(found.events)


def test_names_are_exact():
    assert parse_strategy("ircot") == "ircot"
    with pytest.raises(ConfigError, match="single, agent"):
        parse_strategy("Agent")


def test_settings_become_a_budget():
    from pipelines.strategies import strategy_options

    settings = load_settings(
        overrides=["agent.strategy=agent", "agent.searches=3", "select.kind=fixed", "answer.k=5"]
    ).settings
    made = strategy_options(settings, None)
    assert (made.name, made.agent.budget.searches, made.agent.merge.k, made.model) == ("agent", 3, 5, None)
    with pytest.raises(ConfigError):
        load_settings(overrides=["agent.strategy=best"])


def test_doubt_lowers_the_confidence_of_the_answer(monkeypatch):
    from pipelines.assistant import Assistant
    from pipelines.gathering import Gathered

    library, text = Library(), "What is the trachea lined by?"
    sure = Assistant(library, steps()).ask(text)
    doubting = Assistant(library, steps())
    plain = doubting._strategy.gather
    monkeypatch.setattr(doubting._strategy, "gather", lambda *asked: Gathered(plain(*asked).evidence, (), 0.5))
    assert doubting.ask(text).confidence == pytest.approx(sure.confidence / 2)


def test_the_loop_strategy_gives_its_trace():
    library = Library()
    made = LoopStrategy(library, Gatherer(library, FixedK(4), GatherOptions(4)), StrategyOptions("agent"))
    found = made.gather(Query(text="What is a zanthorp? What blunts an angle?"), ("page",), LATE)
    names = [event["step"] for event in found.events]
    assert names[0] == "guard"
    assert (names[2], names[-1]) == ("agent.begin", "agent.stop")
