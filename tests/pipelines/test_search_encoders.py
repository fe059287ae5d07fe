"""Search with an encoder of its own for a domain: who is asked, and what it counts."""

from dataclasses import replace

import numpy as np
import pytest

from indexers.stores.memory import MemoryStore
from pipelines.search import Ranking, SearchEngine
from rag.domains.encoders import EncoderAssignment
from rag.fingerprint import passage_id
from rag.retrievers import Channel, FusionOptions
from rag.routing import BoostOptions, DomainRouter
from rag.types import CaseLocator, Passage, Point, Query, VectorSpec


class Angles:
    """An image encoder: the angle of a case's row is scripted, a query's is 0. Counts its queries."""

    def __init__(self, channel):
        self.spec, self.fingerprint, self.asked = VectorSpec(channel, "dense", 2), channel, 0

    def encode_queries(self, queries):
        self.asked += len(queries)
        return [np.array([[1.0, 0.0]], np.float32) for _ in queries]


def row(angle):
    return np.array([[np.cos(angle), np.sin(angle)]], np.float32)


def case(number, domain):
    key = passage_id("e" * 64, "case", f"r{number}")
    return Passage(key, "case", "clinic", f"case {number}", CaseLocator(str(number)), meta={"domain": domain})


SLIDES, EYES = [case(n, "pathology") for n in range(4)], [case(n, "ophthalmology") for n in range(4, 8)]


@pytest.fixture
def engine():
    """The default finds case 0 nearest, the slides' own encoder case 3."""
    general, own = Angles("image"), Angles("clip-path")
    store = MemoryStore({"case": (general.spec, own.spec)})
    for place, passage in enumerate([*SLIDES, *EYES]):
        vectors = {"image": row(0.1 + 0.1 * place)}
        if passage in SLIDES:
            vectors["clip-path"] = row(1.0 - 0.2 * place)
        store.upsert([Point(passage, vectors)])
    channels = [Channel("case", encoder.spec, encoder) for encoder in (general, own)]

    def made(domains):
        ranking = Ranking(
            FusionOptions(), DomainRouter(), domains, encoders=EncoderAssignment("image", {"pathology": "clip-path"})
        )
        return SearchEngine(store, channels, ranking), own

    return made


QUERY = Query(images=("query.png",))


def found(engine, **more):
    return [hit.passage.record for hit in engine.search(replace(QUERY, **more), k=8, kinds=("case",)).hits]


def test_the_encoder_of_a_domain_decides_within_it(engine):
    search, own = engine(BoostOptions())
    assert found(search, domain="pathology") == ["3", "2", "1", "0"]
    assert own.asked == 1


def test_another_domain_is_read_by_the_default_and_asks_no_other(engine):
    search, own = engine(BoostOptions())
    assert found(search, domain="ophthalmology") == ["4", "5", "6", "7"]
    assert own.asked == 0


def test_without_a_route_the_default_reads_alone(engine):
    search, own = engine(None)
    assert found(search)[0] == "0"
    assert own.asked == 0


def test_two_encoders_share_the_weight_of_one(engine):
    search, own = engine(BoostOptions())
    result = search.search(Query("histology", images=("query.png",)), k=8, kinds=("case",))
    assert result.route is not None
    assert 0.05 < result.route.domains["unknown"] < 0.5
    channels = {hit.passage.record: {"image", "clip-path"} & set(hit.channels) for hit in result.hits}
    assert channels == {str(n): {"image", "clip-path"} if n < 4 else {"image"} for n in range(8)}
    assert result.hits[0].passage.record == "3"
    assert own.asked == 1
