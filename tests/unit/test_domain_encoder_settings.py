"""Encoders of single domains by settings: their channels, what a library keeps of them, their share of a search."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.encoders.clip.by_domain import DomainEncoder
from pipelines.channels import Encoders
from pipelines.compose import Parts
from pipelines.config import load_settings
from pipelines.domain_encoders import encoder_assignment
from rag.domains.encoders import EncoderAssignment, channel_weights, shared_out
from rag.domains.names import DOMAINS, normalised
from rag.errors import ConfigError

SLIM = ["channels.pages=[bm25]", "channels.figures=[bm25]", "channels.cases=[bm25,clip]", "channels.facts=[bm25]"]


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "projection_dim": 64}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def settings(checkpoint, *more, slim=True):
    own = [f"clip.model={checkpoint}", f"clips.path.model={checkpoint}", "clips.path.domains=[pathology]"]
    return load_settings(overrides=[*(SLIM if slim else []), *own, *more]).settings


def test_without_an_assignment_nothing_changes():
    plain = load_settings().settings
    assert plain.channels_by_kind() == plain.channels.by_kind()
    assert encoder_assignment(plain) is None


def test_each_entry_is_a_channel_of_figures_and_cases(checkpoint):
    chosen = settings(checkpoint, f"clips.eyes.model={checkpoint}", "clips.eyes.domains=[ophthalmology]")
    assert chosen.channels_by_kind() == {
        "page": ("bm25",),
        "figure": ("bm25", "clip-eyes", "clip-path"),
        "case": ("bm25", "clip", "clip-eyes", "clip-path"),
        "fact": ("bm25",),
    }
    channels = {(channel.kind, channel.name): channel for channel in Encoders(chosen).channels}
    encoder = channels["case", "clip-path"].encoder
    assert isinstance(encoder, DomainEncoder)
    assert encoder is channels["figure", "clip-path"].encoder, "loaded once for both kinds"
    assert channels["case", "clip-path"].spec.dim == 64


def test_a_library_remembers_its_encoders_by_domain(checkpoint):
    chosen = settings(checkpoint, "clips.path.devices=[cpu]")
    manifest = Parts(chosen).manifest()
    assert manifest.settings["clips"]["path"]["domains"] == ["pathology"]
    assert "devices" not in manifest.settings["clips"]["path"]
    again = load_settings(library=json.loads(json.dumps(dict(manifest.settings)))).settings
    assert Parts(again).manifest().fingerprint == manifest.fingerprint


def test_other_domains_make_another_index_and_are_named(checkpoint):
    first = Parts(settings(checkpoint)).manifest()
    second = Parts(settings(checkpoint, "clips.path.domains=[pathology, radiograph]")).manifest()
    assert first.fingerprint != second.fingerprint
    assert [found.field for found in first.differences(second)] == [
        "case.clip-path encoder",
        "figure.clip-path encoder",
    ]
    assert [found.field for found in first.changed_settings(second)] == ["clips.path.domains"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("clips.path.domains=[pathologie]", r"clips\.path\.domains\.0 = 'pathologie'.*'pathology'"),
        ("clips.path.domains=[]", r"clips\.path\.domains"),
        ("clips.Path One.model=plip", r"clips\.Path One"),
        ("clips.path.modle=plip", r"unknown setting 'clips\.path\.modle'; did you mean"),
    ],
)
def test_wrong_settings_are_named(checkpoint, override, message):
    with pytest.raises(ConfigError, match=message):
        settings(checkpoint, override)


def test_a_domain_has_one_encoder(checkpoint):
    with pytest.raises(ConfigError, match="path and slides both read pathology"):
        settings(checkpoint, f"clips.slides.model={checkpoint}", "clips.slides.domains=[radiograph, pathology]")


def test_an_entry_without_a_model_is_named(checkpoint):
    chosen = settings(checkpoint, "clips.eyes.domains=[ophthalmology]")
    with pytest.raises(ConfigError, match=r"clips\.eyes\.model is empty"):
        _ = Encoders(chosen).channels


def test_images_of_the_other_domains_need_an_encoder_too(checkpoint):
    chosen = settings(checkpoint, "channels.cases=[bm25]")
    with pytest.raises(ConfigError, match=r"nothing reads images of the others: add image"):
        _ = Encoders(chosen).channels


def test_the_embedded_encoder_reads_what_is_not_assigned(checkpoint):
    assert encoder_assignment(settings(checkpoint)) == EncoderAssignment("clip", {"pathology": "clip-path"})
    both = encoder_assignment(settings(checkpoint, "channels.cases=[bm25,image,clip]"))
    assert both == EncoderAssignment("image", {"pathology": "clip-path"})


ASSIGNED = EncoderAssignment("image", {"pathology": "clip-path", "ophthalmology": "clip-eyes"})


def test_every_image_channel_has_a_weight_and_hardly_counting_ones_none():
    weights = channel_weights(ASSIGNED, {"pathology": 0.8, "radiograph": 0.17, "ophthalmology": 0.03})
    assert weights == pytest.approx({"image": 0.17 / 0.97, "clip-path": 0.8 / 0.97, "clip-eyes": 0.0})
    assert channel_weights(ASSIGNED, {"text": 1.0}) == {"image": 1.0, "clip-path": 0.0, "clip-eyes": 0.0}
    assert channel_weights(ASSIGNED, {}) == {"image": 1.0, "clip-path": 0.0, "clip-eyes": 0.0}


def test_the_users_own_weights_hold_within_a_share():
    shares = channel_weights(ASSIGNED, {"pathology": 0.5, "radiograph": 0.5})
    weights = shared_out({"case.image": 0.4, "case.bm25": 2.0}, shares, ("case",))
    assert weights == {"case.image": 0.2, "case.bm25": 2.0, "case.clip-path": 0.5, "case.clip-eyes": 0.0}
    assert shared_out({}, {}) == {}


@given(st.dictionaries(st.sampled_from(DOMAINS), st.floats(0.001, 1), min_size=1))
def test_weights_of_channels_cover_the_assignment_and_sum_to_one(weights):
    found = channel_weights(ASSIGNED, normalised(weights))
    assert set(found) == {"image", "clip-path", "clip-eyes"}
    assert sum(found.values()) == pytest.approx(1)
    assert all(0 <= weight <= 1 for weight in found.values())
