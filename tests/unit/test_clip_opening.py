import json
import subprocess
import sys

import pytest

from indexers.devices import DeviceEncoder
from indexers.encoders.clip.opening import detect_library, dual_dimensions, open_clip_encoder
from indexers.encoders.clip.options import ClipOptions
from rag.errors import ConfigError
from rag.types import VectorSpec


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "model"
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"model_type": "clip", "projection_dim": 64}))
    (place / "model.safetensors").write_bytes(b"weights")
    return place


@pytest.fixture
def open_clip_folder(tmp_path):
    place = tmp_path / "open"
    place.mkdir()
    settings = {"model_cfg": {"embed_dim": 48, "vision_cfg": {"image_size": 32}}, "preprocess_cfg": {"mean": [0, 0, 0]}}
    (place / "open_clip_config.json").write_text(json.dumps(settings))
    (place / "open_clip_model.safetensors").write_bytes(b"weights")
    return place


def test_an_encoder_plays_its_role_with_one_dense_channel(folder):
    encoder = open_clip_encoder(ClipOptions(str(folder), devices=("cpu",)))
    assert isinstance(encoder, DeviceEncoder)
    assert encoder.specs == (encoder.spec,) == (VectorSpec("clip", "dense", 64),)
    assert encoder.patch_bytes() > 0


def test_opening_loads_no_torch(folder, open_clip_folder):
    code = (
        "import sys; from indexers.encoders.clip.opening import *;"
        f"[open_clip_encoder(ClipOptions(m)).fingerprint for m in ({str(folder)!r}, {str(open_clip_folder)!r})];"
        "print([name for name in ('torch', 'transformers', 'open_clip') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_library_is_told_by_the_files(folder, open_clip_folder):
    assert detect_library(folder, ClipOptions("m")) == "transformers"
    assert detect_library(open_clip_folder, ClipOptions("m")) == "open_clip"
    (folder / "modules.json").write_text("[]")
    assert detect_library(folder, ClipOptions("m")) == "sentence-transformers"
    assert detect_library(folder, ClipOptions("m", library="transformers")) == "transformers"
    assert open_clip_encoder(ClipOptions(str(open_clip_folder))).spec.dim == 48


@pytest.mark.parametrize(
    ("config", "dim"),
    [
        ({"model_type": "clip", "projection_dim": 768}, 768),
        ({"model_type": "siglip", "text_config": {"hidden_size": 1152}}, 1152),
        ({"model_type": "siglip2", "text_config": {"hidden_size": 768, "projection_size": 1152}}, 1152),
    ],
)
def test_dimensions_are_known_from_the_configuration(config, dim):
    assert dual_dimensions(config, "m") == dim


def test_another_model_is_refused(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigError, match=r"'bert'; known are clip, siglip and siglip2"):
        open_clip_encoder(ClipOptions(str(folder)))


@pytest.mark.parametrize("absent", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, absent):
    (folder / absent).unlink()
    with pytest.raises(ConfigError, match=rf"clip\.model = .* lacks {absent}"):
        open_clip_encoder(ClipOptions(str(folder)))


def test_a_folder_of_the_wrong_library_names_what_it_lacks(folder):
    with pytest.raises(ConfigError, match=r"lacks open_clip_config\.json"):
        open_clip_encoder(ClipOptions(str(folder), library="open_clip"))


def test_pickled_weights_are_refused(folder, tmp_path):
    (folder / "model.safetensors").rename(folder / "open_clip_pytorch_model.bin")
    with pytest.raises(ConfigError, match="pickled"):
        open_clip_encoder(ClipOptions(str(folder)))
    with pytest.raises(ConfigError, match="pickled"):
        open_clip_encoder(ClipOptions(f"ViT-B-32/{folder / 'open_clip_pytorch_model.bin'}"))


def test_the_fingerprint_follows_weights_and_number_type(folder):
    known = open_clip_encoder(ClipOptions(str(folder))).fingerprint
    assert open_clip_encoder(ClipOptions(str(folder), devices=("cpu",))).fingerprint == known
    assert open_clip_encoder(ClipOptions(str(folder), dtype="f32")).fingerprint != known
    (folder / "model.safetensors").write_bytes(b"others")
    assert open_clip_encoder(ClipOptions(str(folder))).fingerprint != known


def test_a_model_must_be_named():
    with pytest.raises(ConfigError, match=r"clip\.model is empty"):
        ClipOptions("")
    with pytest.raises(ConfigError, match="no such folder"):
        open_clip_encoder(ClipOptions("/nowhere/model"))
