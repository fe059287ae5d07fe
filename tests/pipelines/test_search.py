"""The search engine over hand-made channels: hash encoders and the exact store, no model."""

import pytest

from indexers.encoders.hashing import HashEncoder
from indexers.stores.memory import MemoryStore
from pipelines.search import JudgedSearch, Ranking, SearchEngine
from rag.errors import QueryError
from rag.fingerprint import passage_id
from rag.reranking import RerankOptions
from rag.retrievers import Channel, FusionOptions, KindRetriever
from rag.routing import BoostOptions, DomainRouter
from rag.types import CaseLocator, Hit, PageLocator, Passage, Point, Prefetch, Query, VectorSpec

TEXTS = {
    1: "The trachea is lined by pseudostratified ciliated columnar epithelium",
    2: "Goblet cells secrete mucus into the airway",
    3: "The oesophagus is lined by stratified squamous epithelium",
}


def page(number):
    key = passage_id("c" * 64, "page", f"p{number}")
    return Passage(key, "page", "atlas", TEXTS[number], PageLocator(number, section=("Airway", f"s{number}")))


def figure(number):
    meta = {"page_id": page(number).id, "label": f"Figure {number}"}
    return Passage(
        passage_id("c" * 64, "figure", f"p{number}"), "figure", "atlas", f"Figure {number}. Goblet cells of the airway",
        PageLocator(number), meta=meta,
    )  # fmt: skip


CASE = Passage(passage_id("d" * 64, "case", "r1"), "case", "clinic", "Stridor; narrowed trachea.", CaseLocator("r1"))


class Reverser:
    """A reranker that prefers what came last."""

    def rerank(self, query, hits):
        return [Hit(hit.passage, float(rank), hit.channels) for rank, hit in enumerate(hits, start=1)][::-1]


@pytest.fixture
def channels():
    encoder = HashEncoder("dense", form="multi", dim=64)
    return [Channel(kind, encoder.spec, encoder) for kind in ("page", "figure", "case")]


@pytest.fixture
def store(channels):
    made = MemoryStore({channel.kind: (channel.spec,) for channel in channels})
    encoder = channels[0].encoder
    for passage in (page(1), page(2), page(3), figure(2), CASE):
        made.upsert([Point(passage, {"dense": encoder.encode_passages([passage])[0]})])
    return made


def engine(store, channels, **ranking):
    return SearchEngine(store, channels, Ranking(FusionOptions(), DomainRouter(), **ranking))


def places(result):
    return [(hit.passage.kind, hit.passage.page or hit.passage.record) for hit in result.hits]


def test_finds_the_page_and_keeps_the_channels_scores_visible(store, channels):
    result = engine(store, channels).search(Query(text="which epithelium lines the trachea"), k=10, kinds=("page",))
    assert places(result)[0] == ("page", 1)
    assert result.hits[0].channels["dense"].rank == 1
    assert set(result.seconds) >= {"encode", "search", "fuse"}


def test_kinds_limit_what_is_found_and_k_how_much(store, channels):
    search = engine(store, channels)
    assert {kind for kind, _ in places(search.search(Query(text="trachea"), k=10, kinds=("case",)))} == {"case"}
    assert len(search.search(Query(text="trachea"), k=1).hits) == 1
    assert len(search.search(Query(text="trachea"), k=1000).hits) == 5
    assert search.search(Query(text="trachea"), k=0).hits == ()


def test_a_found_figure_shows_on_its_page_and_follows_it(store, channels):
    query = Query(text="figure that shows goblet cells of the airway")
    result = engine(store, channels).search(query, k=10, kinds=("page", "figure"))
    assert places(result)[:2] == [("page", 2), ("figure", 2)]
    assert "figure" in result.hits[0].channels


def test_filters_reach_every_channel(store, channels):
    query = Query(text="epithelium", filters={"document": ("clinic",)})
    assert places(engine(store, channels).search(query, k=10)) == [("case", "r1")]


def test_the_reranker_reorders_the_head(store, channels):
    plain = engine(store, channels).search(Query(text="epithelium"), k=3, kinds=("page",))
    options = RerankOptions(head=3, weight=1.0)
    turned = engine(store, channels, reranker=Reverser(), rerank=options).search(
        Query(text="epithelium"), k=3, kinds=("page",)
    )
    assert places(turned) == places(plain)[::-1]
    assert all("rerank" in hit.channels for hit in turned.hits)


def test_single_channels_can_be_judged_alone(store, channels):
    judged = JudgedSearch(engine(store, channels))
    alone = judged.search(Query(text="goblet cells mucus"), k=2, kinds=("page",), channels=("dense",))
    assert alone[0].passage.page == 2
    assert judged.search(Query(text="goblet"), k=2, kinds=("page",), channels=("bm25",)) == []


def test_two_runs_give_the_same_hits(store, channels):
    first, second = (engine(store, channels).search(Query(text="lined by epithelium"), k=5) for _ in range(2))
    assert first.hits == second.hits


def test_a_channel_with_pooled_rows_is_searched_in_two_stages(store, channels):
    asked = []

    class Watched(MemoryStore):
        def search(self, kind, channel, vector, k, filters, prefetch=None):
            asked.append((channel, prefetch))
            return super().search(kind, channel, vector, k, filters, prefetch)

    late = HashEncoder("late", form="multi", dim=64)
    coarse = VectorSpec("late_coarse", "multi", 64, graph=True)
    two_stages = Channel("page", late.spec, late, (coarse,), Prefetch("late_coarse", 2))
    watched = Watched({"page": two_stages.specs})
    for number in TEXTS:
        rows = late.encode_passages([page(number)])[0]
        watched.upsert([Point(page(number), {"late": rows, "late_coarse": rows[:2]})])
    search = SearchEngine(watched, [two_stages], Ranking(FusionOptions(), DomainRouter()))
    result = search.search(Query(text="goblet cells secrete mucus"), k=5, kinds=("page",))
    assert asked == [("late", Prefetch("late_coarse", 2))]
    assert len(result.hits) == 2


def test_pages_of_two_sorts_can_meet_as_a_union(store, channels):
    found = {
        "visual": [Hit(page(number), 9.0 - number) for number in (3, 1)],
        "dense": [Hit(page(number), 9.0 - number) for number in (2, 3)],
    }
    visual = HashEncoder("visual", form="multi", dim=64)
    retriever = KindRetriever(store, [Channel("page", visual.spec, visual)], FusionOptions(union="filled"))
    ranked = retriever.fuse(Query(text="goblet"), found)
    assert ranked[0].passage.page == 3
    assert {hit.passage.page for hit in ranked} == {1, 2, 3}


def test_late_interaction_reads_what_other_channels_found_first(store, channels):
    asked = []

    class Watched(MemoryStore):
        def search(self, kind, channel, vector, k, filters, prefetch=None):
            asked.append((channel, filters.get("id"), prefetch))
            return super().search(kind, channel, vector, k, filters, prefetch)

    late = HashEncoder("late", form="multi", dim=64)
    both = [Channel("page", late.spec, late), channels[0]]
    watched = Watched({"page": tuple(channel.spec for channel in both)})
    for number in TEXTS:
        vectors = {channel.name: channel.encoder.encode_passages([page(number)])[0] for channel in both}
        watched.upsert([Point(page(number), vectors)])
    search = SearchEngine(watched, both, Ranking(FusionOptions(candidates=1), DomainRouter()))
    result = search.search(Query(text="goblet cells secrete mucus"), k=3, kinds=("page",))
    assert [channel for channel, _, _ in asked] == ["dense", "late"]
    assert asked[1][1] == (page(2).id,)
    assert len(result.hits) == 3


FILM = Passage(
    passage_id("d" * 64, "case", "r2"), "case", "clinic", "Narrowed trachea on the film.", CaseLocator("r2"),
    meta={"domain": "radiograph"},
)  # fmt: skip
SLIDE = Passage(
    passage_id("d" * 64, "case", "r3"), "case", "clinic", "Narrowed trachea, trachea narrowed on the slide.",
    CaseLocator("r3"), meta={"domain": "pathology"},
)  # fmt: skip


@pytest.fixture
def mixed(store, channels):
    encoder = channels[0].encoder
    for passage in (FILM, SLIDE):
        store.upsert([Point(passage, {"dense": encoder.encode_passages([passage])[0]})])
    return store


def cases_of(found):
    return [hit.passage.record for hit in found.hits if hit.passage.kind == "case"]


def test_a_domain_that_is_asked_for_leaves_other_domains_out_with_the_reason(mixed, channels):
    blind = engine(mixed, channels).search(Query(text="narrowed trachea"), k=10)
    assert blind.route is None
    assert set(cases_of(blind)) == {"r1", "r2", "r3"}
    found = engine(mixed, channels).search(Query(text="narrowed trachea", domain="radiograph"), k=10)
    assert set(cases_of(found)) == {"r1", "r2"}
    assert [(one.hit.passage.record, one.reason) for one in found.dropped] == [
        ("r3", "domain pathology, the question is about radiograph")
    ]
    assert found.route is not None
    assert found.route.trace()["only"] == "radiograph"
    assert "route" in found.seconds


def test_words_of_a_question_move_cases_of_other_domains_back(mixed, channels):
    query = Query(text="narrowed trachea on histology of a biopsy")
    found = engine(mixed, channels, domains=BoostOptions()).search(query, k=10)
    order = cases_of(found)
    assert "r2" not in order or order.index("r3") < order.index("r2")
    # Pages and cases of no domain keep their order among themselves.
    blind = [hit.passage.id for hit in engine(mixed, channels).search(query, k=10).hits]
    neutral = [hit.passage.id for hit in found.hits if hit.passage.id not in {FILM.id, SLIDE.id}]
    assert neutral == [name for name in blind if name in neutral]


def test_a_question_of_no_domain_is_not_touched(mixed, channels):
    query = Query(text="narrowed trachea")
    blind = engine(mixed, channels).search(query, k=10)
    aware = engine(mixed, channels, domains=BoostOptions()).search(query, k=10)
    assert aware.hits == blind.hits
    assert aware.route is not None


def test_a_domain_that_is_none_is_refused_with_the_nearest(mixed, channels):
    with pytest.raises(QueryError, match="radiograph"):
        engine(mixed, channels).search(Query(text="trachea", domain="radiographs"), k=3)
