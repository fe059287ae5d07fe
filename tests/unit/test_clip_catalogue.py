"""The catalogue of image-text encoders, and what a checkpoint's files say about how it reads."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from indexers.encoders.clip.catalogue import catalogue
from indexers.encoders.clip.opening import open_clip_encoder
from indexers.encoders.clip.options import ClipOptions
from indexers.encoders.clip.shape import DualShape, open_clip_shape, transformers_shape
from rag.errors import ConfigError, EnvironmentProblem

MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def write(folder, **values):
    for name, value in values.items():
        (folder / f"{name}.json").write_text(json.dumps(value))


@pytest.fixture
def plip(tmp_path):
    """A folder whose configuration is that of PLIP as the catalogue has it, with weights that are none."""
    folder = tmp_path / "plip"
    folder.mkdir()
    text = {"max_position_embeddings": 77}
    write(
        folder,
        config={"model_type": "clip", "projection_dim": 512, "text_config": text, "vision_config": {"image_size": 224}},
        preprocessor_config={"crop_size": 224, "size": 224, "image_mean": MEAN, "image_std": STD},
    )
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def opened(folder, **more):
    return open_clip_encoder(ClipOptions("plip", devices=("cpu",), **more), {"plip": folder})


def test_every_entry_says_enough_to_be_opened_and_compared():
    entries = catalogue()
    assert {"biomedclip", "unimed-clip", "conceptclip", "medsiglip", "plip", "flair", "clip-vit-b-32"} <= set(entries)
    for entry in entries.values():
        assert entry.licence
        assert entry.note
        assert entry.model or entry.library, f"{entry.name} leads nowhere"
        if entry.library is not None:
            assert entry.dim
            assert entry.context_length
        if entry.gated:
            assert "/" in entry.model


def test_a_name_opens_the_users_folder_with_the_adapter_of_its_entry(plip):
    encoder = opened(plip)
    assert encoder.spec.dim == 512
    assert encoder.shape == DualShape(512, 224, 77, tuple(MEAN), tuple(STD))
    assert encoder.fingerprint == open_clip_encoder(ClipOptions(str(plip), devices=("cpu",))).fingerprint


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("config", {"projection_dim": 768}, "dimensions 768 instead of 512"),
        ("config", {"text_config": {"max_position_embeddings": 64}}, "context length 64 instead of 77"),
        ("preprocessor_config", {"crop_size": {"height": 336, "width": 336}}, "image size 336 instead of 224"),
        ("preprocessor_config", {"image_mean": [0.5, 0.5, 0.5]}, "mean of pixels"),
        ("preprocessor_config", {"image_std": [0.5, 0.5, 0.5]}, "deviation of pixels"),
    ],
)
def test_another_checkpoint_under_a_known_name_is_refused(plip, file, change, said):
    path = plip / f"{file}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=said):
        opened(plip)
    assert open_clip_encoder(ClipOptions(str(plip), devices=("cpu",))).spec, (
        "under its own path it is nobody's business"
    )


def test_rounded_values_and_silent_files_are_no_mismatch(plip):
    write(plip, preprocessor_config={"crop_size": 224, "image_mean": [0.4815, 0.4578, 0.4082]})
    assert opened(plip).shape.std is None


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("preprocessor_config", {"image_mean": [0.48, 0.46, 0.41]}),
        ("preprocessor_config", {"crop_size": 336}),
        ("config", {"text_config": {"max_position_embeddings": 64}}),
    ],
)
def test_the_fingerprint_follows_how_images_and_texts_are_read(plip, file, change):
    options = ClipOptions(str(plip), devices=("cpu",))
    known = open_clip_encoder(options).fingerprint
    path = plip / f"{file}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert open_clip_encoder(options).fingerprint != known


def test_a_revision_is_in_the_fingerprint_by_its_files(plip, tmp_path, monkeypatch):
    newer = tmp_path / "newer"
    newer.mkdir()
    for path in plip.iterdir():
        (newer / path.name).write_bytes(path.read_bytes())
    (newer / "model.safetensors").write_bytes(b"weights of another day")
    asked = []

    def snapshot_download(repo_id, revision, **_):
        asked.append((repo_id, revision))
        return str(newer if revision == "b" * 40 else plip)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    first, second, again = (
        open_clip_encoder(ClipOptions("plip", revision=commit)).fingerprint for commit in ("a" * 40, "b" * 40, "a" * 40)
    )
    assert first == again != second
    assert asked[0] == ("vinid/plip", "a" * 40)


def test_what_no_adapter_opens_says_what_to_use_instead():
    with pytest.raises(ConfigError, match=r"clips\.eyes\.model = flair: no adapter here opens it.*unimed-clip"):
        open_clip_encoder(ClipOptions("flair", key="clips.eyes.model"))
    with pytest.raises(ConfigError, match=r"not on the hub; name its folder: models\.local\.unimed-clip"):
        open_clip_encoder(ClipOptions("unimed-clip"))


def test_a_wrong_word_names_the_nearest_entry(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="did you mean 'medsiglip'"):
        open_clip_encoder(ClipOptions("MedSigLIP2"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigError, match=r"mine: the checkpoint lacks config\.json"):
        open_clip_encoder(ClipOptions("mine"))


def test_a_gated_model_that_cannot_be_fetched_says_so(monkeypatch):
    def snapshot_download(**_):
        raise OSError("401")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    with pytest.raises(EnvironmentProblem, match="Gated: accept its terms"):
        open_clip_encoder(ClipOptions("medsiglip"))


def test_the_users_library_and_revision_stay():
    entry = catalogue()["plip"]
    kept = entry.resolve(ClipOptions("plip", revision="c" * 40, library="sentence-transformers"), {})
    assert (kept.model, kept.revision, kept.library) == ("vinid/plip", "c" * 40, "sentence-transformers")
    pinned = replace(entry, revision="d" * 40).resolve(ClipOptions("plip"), {})
    assert (pinned.revision, pinned.library) == ("d" * 40, "transformers")
    local = entry.resolve(ClipOptions("plip", revision="c" * 40), {"plip": Path("/models/plip")})
    assert (local.model, local.revision) == ("/models/plip", None)


@pytest.mark.parametrize(
    ("pictures", "size"),
    [
        ({"size": 224}, 224),
        ({"size": {"height": 448, "width": 448}}, 448),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}, 224),
        ({"size": {"longest_edge": 256}}, None),
        ({"size": {"height": 448, "width": 224}}, None),
    ],
)
def test_image_sizes_are_read_in_every_form(tmp_path, pictures, size):
    write(tmp_path, processor_config={"image_processor": pictures, "processor_class": "CLIPProcessor"})
    assert transformers_shape(tmp_path, {"model_type": "clip"}, 512).image_size == size


def test_what_the_files_leave_out_is_the_librarys_default(tmp_path):
    assert transformers_shape(tmp_path, {"model_type": "clip"}, 8) == DualShape(8, None, 77)
    assert transformers_shape(tmp_path, {"model_type": "siglip", "vision_config": {"image_size": 384}}, 8) == DualShape(
        8, 384, 64
    )
    assert open_clip_shape({"embed_dim": 8}, {}) == DualShape(8, 224, 77, tuple(MEAN), tuple(STD))
    squashed = {"size": [384, 384], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    assert open_clip_shape({"embed_dim": 8, "text_cfg": {"context_length": 256}}, squashed) == DualShape(
        8, 384, 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    )
