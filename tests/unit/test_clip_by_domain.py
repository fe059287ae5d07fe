"""The encoder of some domains: what it reads, what it leaves alone, and how a build treats it."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulated import SimulatedEncoder
from indexers.build import Builder, PipelineOptions, Source
from indexers.devices import DeviceLost, Prepared, encode_in_turn, runs_on_devices
from indexers.encoders.clip.by_domain import DomainEncoder
from indexers.encoders.hashing import HashEncoder
from indexers.journal import Journal
from indexers.progress import ProgressMeter, silent
from indexers.stores.memory import MemoryStore
from rag.domains.names import IMAGE_DOMAINS
from rag.retrievers import Channel
from rag.testing.encoder import EncoderContract
from rag.types import CaseLocator, Document, Passage, Query, Unit


class ScriptedDual:
    """Plays a device encoder of one dense channel "clip": hashed words. Notes what it was asked to prepare."""

    def __init__(self, dim=64, before=lambda device: None):
        self._words, self._before = HashEncoder("dense", dim), before
        self.spec = replace(self._words.spec, name="clip")
        self.specs, self.devices, self.seen = (self.spec,), ("scripted:0", "scripted:1"), []

    @property
    def fingerprint(self):
        return f"scripted {self._words.fingerprint}"

    def prepare(self, passage):
        self.seen.append(passage.id)
        return Prepared(passage.id, 1, passage) if passage.text.strip() else None

    def free_bytes(self, device):
        return 1 << 30

    def patch_bytes(self):
        return 1 << 20

    def forward(self, device, batch):
        self._before(device)
        return [{"clip": row} for row in self._words.encode_passages([item.tensors for item in batch])]

    def encode_passages(self, passages):
        return encode_in_turn(self, passages, "clip")

    def encode_queries(self, queries):
        return self._words.encode_queries(queries)


def case(name, text, **meta):
    return Passage(name, "case", "clinic", text, CaseLocator(name), meta=meta)


SLIDE = case("slide", "Glands lined by columnar epithelium", domain="pathology")
OTHER_SLIDE = case("biopsy", "Sheets of small blue cells with mitoses", modality="histology")
FUNDUS = case("fundus", "Cup to disc ratio is enlarged", domain="ophthalmology")
FILM = case("film", "Consolidation of the left lower lobe", modality="chest X-ray")
UNNAMED = case("unnamed", "A normal examination")
PHOTOGRAPH = case("photograph", "A cat on a lawn", domain="other")


class TestDomainEncoder(EncoderContract):
    @pytest.fixture
    def encoder(self):
        return DomainEncoder(ScriptedDual(), "clip-path", ("pathology",))

    @pytest.fixture
    def changed(self):
        return DomainEncoder(ScriptedDual(), "clip-path", ("pathology", "ophthalmology"))

    @pytest.fixture
    def passages(self):
        return (SLIDE, OTHER_SLIDE)

    @pytest.fixture
    def queries(self):
        return (Query("columnar epithelium of glands", id="q1"), Query("mitoses", id="q2"))

    @pytest.fixture
    def unread(self):
        return FUNDUS

    @pytest.fixture
    def unread_query(self):
        return Query(" ", images=("absent.png",), id="image")

    def test_the_channel_is_its_own_and_the_rest_is_the_wrapped_encoders(self, encoder):
        assert runs_on_devices(encoder)
        assert encoder.spec.name == "clip-path"
        assert encoder.specs == (encoder.spec,)
        assert replace(encoder.spec, name="clip") == ScriptedDual().spec
        assert encoder.devices == ("scripted:0", "scripted:1")
        assert encoder.free_bytes("scripted:0") == 1 << 30
        assert encoder.patch_bytes() == 1 << 20


@given(st.sets(st.sampled_from(IMAGE_DOMAINS), min_size=1))
def test_only_passages_of_its_domains_have_a_vector(domains):
    passages = [case(domain, f"a finding in {domain}", domain=domain) for domain in IMAGE_DOMAINS]
    inner = ScriptedDual()
    found = DomainEncoder(inner, "clip-x", tuple(domains)).encode_passages([*passages, UNNAMED, PHOTOGRAPH])
    assert [vector is not None for vector in found] == [*(domain in domains for domain in IMAGE_DOMAINS), False, False]
    assert sorted(inner.seen) == sorted(domains), "images of other domains are not even opened"


def test_the_fingerprint_follows_the_wrapped_encoder_and_ignores_the_order_of_domains():
    known = DomainEncoder(ScriptedDual(), "clip-a", ("pathology", "radiograph")).fingerprint
    assert DomainEncoder(ScriptedDual(), "clip-a", ("radiograph", "pathology")).fingerprint == known
    assert DomainEncoder(ScriptedDual(dim=32), "clip-a", ("pathology", "radiograph")).fingerprint != known


def test_no_domain_and_pooled_channels_are_refused():
    with pytest.raises(ValueError, match="one domain or more"):
        DomainEncoder(ScriptedDual(), "clip-a", ())
    with pytest.raises(ValueError, match="fills one channel"):
        DomainEncoder(SimulatedEncoder(dim=16), "clip-a", ("pathology",))


CORPUS = Document("clinic", Path("records.jsonl"), "b" * 64, "cases", 5)


class Cases:
    """Five cases, each a unit of its own."""

    def open(self, path):
        return CORPUS

    def parse(self, document, done):
        for passage in (SLIDE, FUNDUS, OTHER_SLIDE, FILM, UNNAMED):
            if passage.id not in done:
                yield Unit(passage.id, (passage,))


def test_a_build_stores_each_encoders_own_cases_and_survives_a_lost_device(tmp_path):
    def before(device):
        if device == "scripted:0":
            raise DeviceLost("unplugged")

    slides = DomainEncoder(ScriptedDual(before=before), "clip-path", ("pathology",))
    eyes = DomainEncoder(ScriptedDual(dim=32), "clip-eyes", ("ophthalmology",))
    words = HashEncoder("dense", 16)
    channels = [Channel("case", encoder.spec, encoder) for encoder in (words, slides, eyes)]
    store = MemoryStore({"case": tuple(channel.spec for channel in channels)})
    journal = Journal(tmp_path / "journal.sqlite")
    journal.begin(CORPUS)
    options = PipelineOptions(render_workers=1, prepare_threads=2, write_pauses_s=(0.0, 0.0))
    Builder(store, journal, channels, ProgressMeter(silent), options).run([Source(CORPUS, Cases(), Cases)])
    stored = {point.passage.id: sorted(point.vectors) for point in store.points(list(store.ids("case")))}
    assert stored == {
        "slide": ["clip-path", "dense"],
        "biopsy": ["clip-path", "dense"],
        "fundus": ["clip-eyes", "dense"],
        "film": ["dense"],
        "unnamed": ["dense"],
    }
    [vector] = slides.encode_queries([Query("columnar epithelium of glands")])
    hits = store.search("case", "clip-path", vector, 10, {})
    assert [hit.passage.id for hit in hits] == ["slide", "biopsy"]
    assert journal.is_complete(CORPUS)
    journal.close()
