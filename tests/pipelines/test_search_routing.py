"""The router of a library in a search: prompts where there are no prototypes, documents that a question names."""

from pathlib import Path

import numpy as np
import pytest

from indexers.domains.zero_shot import shipped_prompts
from indexers.journal import Journal
from indexers.stores.memory import MemoryStore
from pipelines.routing import JOURNAL, open_router
from pipelines.search import Ranking, SearchEngine
from rag.domains.names import DOMAINS
from rag.fingerprint import passage_id
from rag.retrievers import Channel, FusionOptions
from rag.routing import BoostOptions, DomainRouter
from rag.types import CaseLocator, Document, Passage, Point, Query, VectorSpec

DIM = len(DOMAINS)


class ImageText:
    """An image-text encoder: a prompt lies in the direction of its domain, an image in that of its file's name."""

    def __init__(self, channel="clip"):
        self.spec, self.fingerprint = VectorSpec(channel, "dense", DIM), "words"
        self.place = {prompt: DOMAINS.index(name) for name, prompts in shipped_prompts().items() for prompt in prompts}
        self.read = []

    def encode_queries(self, queries):
        self.read += [query.text for query in queries if query.text]
        at = [DOMAINS.index(q.images[0].stem) if q.images else self.place[q.text] for q in queries]
        return [np.eye(DIM, dtype=np.float32)[[place]] for place in at]


def case(number, domain):
    key = passage_id("e" * 64, "case", f"r{number}")
    return Passage(key, "case", "clinic", f"case {number}", CaseLocator(str(number)), meta={"domain": domain})


def engine(encoder, router):
    store = MemoryStore({"case": (encoder.spec,)})
    for number, domain in enumerate(["pathology", "ophthalmology"] * 3):
        store.upsert([Point(case(number, domain), {encoder.spec.name: np.full((1, DIM), DIM**-0.5, np.float32)})])
    channel = Channel("case", encoder.spec, encoder)
    return SearchEngine(store, [channel], Ranking(FusionOptions(), router, BoostOptions()))


def router_of(encoder, folder=None):
    return open_router(folder, [Channel("case", encoder.spec, encoder)], sure=0.95)


def test_without_prototypes_the_image_text_encoder_is_asked_in_words():
    encoder = ImageText()
    found = engine(encoder, router_of(encoder)).search(Query(images=(Path("ophthalmology.png"),)), k=6, kinds=("case",))
    assert found.route is not None
    assert found.route.domains["ophthalmology"] > 0.9
    assert found.route.reasons[0].startswith("image by prompts of channel clip: ophthalmology")
    assert {hit.passage.meta["domain"] for hit in found.hits} == {"ophthalmology"}
    assert len(found.dropped) == 3


def test_prompts_are_encoded_when_the_first_image_comes_and_once():
    encoder = ImageText()
    router = router_of(encoder)
    router.decide(Query("a question in words"))
    assert encoder.read == []
    for _ in range(2):
        router.decide(
            Query(images=("pathology.png",)), image=encoder.encode_queries([Query(images=("pathology.png",))])[0]
        )
    assert sorted(encoder.read) == sorted(encoder.place)


def test_tags_of_the_query_image_win_over_the_picture():
    encoder = ImageText()
    query = Query(images=("pathology.png",), tags={"Modality": "CR"})
    found = engine(encoder, router_of(encoder)).search(query, k=6, kinds=("case",))
    assert found.route.reasons[0] == "tag Modality CR: radiograph"


def test_an_encoder_of_images_alone_is_not_asked():
    router = router_of(ImageText("image"))
    assert router.images is None
    assert "no image prototypes" in router.missing


@pytest.fixture
def folder(tmp_path):
    journal = Journal(tmp_path / JOURNAL)
    for name in ("heart_atlas", "clinic"):
        journal.begin(Document(name, tmp_path / name, name * 8, "cases", 1))
    journal.close()
    return tmp_path


def test_a_library_s_documents_can_be_named(folder):
    router = router_of(ImageText("image"), folder)
    assert router.documents == ("clinic", "heart_atlas")
    assert router.decide(Query("According to the Heart Atlas, what beats?")).documents == ("heart_atlas",)


def test_a_damaged_journal_stops_no_search(folder):
    (folder / JOURNAL).write_bytes(b"no database" * 100)
    assert isinstance(router_of(ImageText("image"), folder), DomainRouter)
    assert router_of(ImageText("image"), folder).documents == ()
