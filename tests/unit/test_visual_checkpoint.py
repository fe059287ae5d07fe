import json
import struct
import subprocess
import sys

import numpy as np
import pytest

from indexers.devices import DeviceEncoder
from indexers.encoders.visual.checkpoint import open_checkpoint
from indexers.encoders.visual.models import MODELS, detect, dimensions
from indexers.encoders.visual.opening import expected_rows, most_rows, open_visual
from indexers.encoders.visual.options import VisualOptions
from indexers.encoders.visual.weight_names import tensor_shapes
from rag.errors import ConfigError, EnvironmentProblem
from rag.protocols import Localizer

QWEN_PICTURES = {"patch_size": 14, "merge_size": 2, "size": {"shortest_edge": 3136, "longest_edge": 602112}}


def safetensors(path, shapes):
    """A weight file with zeros."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape)) * 4
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


def checkpoint(folder, model_type="qwen2_5_vl", projection="custom_text_proj", dim=128, **config):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, **config}))
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": QWEN_PICTURES}))
    (folder / "tokenizer.json").write_text(json.dumps(word_tokenizer()))
    safetensors(folder / "model.safetensors", {f"{projection}.weight": (dim, 8)})
    return folder


def word_tokenizer():
    """Splits at white space; every word is known as word 0."""
    return {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"},
    }


def adapter(folder, base):
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    safetensors(folder / "adapter_model.safetensors", {"base_model.model.layer.lora_A.weight": (4, 8)})
    return folder


def test_every_family_is_told_apart_by_its_configuration():
    assert len({spec.model_type for spec in MODELS}) == len({spec.family for spec in MODELS}) == len(MODELS)
    for spec in MODELS:
        assert detect({"model_type": spec.model_type}, "m") == spec
        assert spec.prompt.count("<image>") == 1


def test_dimensions_are_the_models_own():
    by_family = {spec.family: spec for spec in MODELS}
    assert dimensions(by_family["colqwen3"], {}) == 320
    assert dimensions(by_family["colpali"], {"dim": 7}) == 128  # the class has it fixed
    assert dimensions(by_family["native-colqwen2"], {"embedding_dim": 64}) == 64


def test_an_unknown_family_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'qwen2_5_v'.*did you mean qwen2_5_vl"):
        detect({"model_type": "qwen2_5_v"}, "m")


def test_a_library_that_cannot_load_the_family_is_refused():
    with pytest.raises(ConfigError, match="use colpali-engine or auto"):
        detect({"model_type": "idefics3"}, "m", "sentence-transformers")


def test_opening_is_cheap_and_loads_no_torch(tmp_path):
    folder = checkpoint(tmp_path / "m")
    code = (
        "import sys; from indexers.encoders.visual.opening import *;"
        f"o = VisualOptions({str(folder)!r}); e = open_visual(o); e.fingerprint, e.specs;"
        "expected_rows(o, (595, 842), 150);"
        "print([name for name in ('torch', 'transformers', 'colpali_engine') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_encoder_plays_its_roles_and_names_its_channels(tmp_path):
    encoder = open_visual(VisualOptions(str(checkpoint(tmp_path / "m")), storage="int8", devices=("cpu",)))
    assert isinstance(encoder, DeviceEncoder)
    assert isinstance(encoder, Localizer)
    full, coarse, first = encoder.specs
    assert (full.name, full.form, full.dim, full.storage, full.graph) == ("visual", "multi", 128, "int8", False)
    assert [(spec.name, spec.form, spec.dim, spec.storage, spec.graph) for spec in (coarse, first)] == [
        ("visual_coarse", "multi", 128, "f16", False),
        ("visual_first", "multi", 128, "f16", True),
    ]
    assert encoder.spec == full
    assert encoder.patch_bytes() > 0


def test_without_a_first_stage_there_is_one_channel(tmp_path):
    assert len(open_visual(VisualOptions(str(checkpoint(tmp_path / "m")), coarse="none")).specs) == 1


@pytest.mark.parametrize("absent", ["config.json", "model.safetensors", "tokenizer.json", "processor_config.json"])
def test_a_missing_file_is_named(tmp_path, absent):
    folder = checkpoint(tmp_path / "m")
    (folder / absent).unlink()
    named = "preprocessor_config.json" if absent == "processor_config.json" else absent
    with pytest.raises(ConfigError, match=f"lacks {named}"):
        open_visual(VisualOptions(str(folder)))


def test_a_missing_shard_is_named(tmp_path):
    folder = checkpoint(tmp_path / "m")
    shards = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ConfigError, match=r"model-2\.safetensors"):
        open_visual(VisualOptions(str(folder)))


def test_pickled_weights_are_refused(tmp_path):
    folder = checkpoint(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin holds pickled weights"):
        open_visual(VisualOptions(str(folder)))


def test_weights_that_were_cut_off_are_refused(tmp_path):
    folder = checkpoint(tmp_path / "m")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-10])
    with pytest.raises(ConfigError, match="cut off"):
        open_visual(VisualOptions(str(folder)))
    (folder / "model.safetensors").write_bytes(b"<html>not found</html>")
    with pytest.raises(ConfigError, match="cannot be read"):
        tensor_shapes(folder / "model.safetensors")


def test_a_plain_chat_model_is_no_page_encoder(tmp_path):
    with pytest.raises(ConfigError, match="no layer custom_text_proj"):
        open_visual(VisualOptions(str(checkpoint(tmp_path / "m", projection="lm_head"))))


def test_rows_of_other_dimensions_than_the_class_makes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="96 dimensions"):
        open_visual(VisualOptions(str(checkpoint(tmp_path / "m", dim=96))))


def test_a_configuration_that_is_no_json_is_named(tmp_path):
    folder = checkpoint(tmp_path / "m")
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json cannot be read as JSON"):
        open_visual(VisualOptions(str(folder)))


@pytest.mark.parametrize("relative", [True, False])
def test_an_adapter_finds_its_base_model(tmp_path, relative):
    base = checkpoint(tmp_path / "base")
    folder = adapter(tmp_path / "lora", "../base" if relative else base)
    opened = open_checkpoint(str(folder))
    assert opened.base == base.resolve()
    assert opened.config["model_type"] == "qwen2_5_vl"
    assert opened.reader == base.resolve()
    assert open_visual(VisualOptions(str(folder))).fingerprint != open_visual(VisualOptions(str(base))).fingerprint


@pytest.mark.parametrize("base", ["/nowhere/base", "org/base-model"])
def test_an_adapter_without_its_base_model_says_which_is_missing(tmp_path, monkeypatch, base):
    class Hub:
        @staticmethod
        def snapshot_download(**_):
            raise OSError("offline")

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    with pytest.raises(ConfigError, match=f"needs its base model {base}"):
        open_checkpoint(str(adapter(tmp_path / "lora", base)))


def test_an_adapter_that_lacks_its_weights_or_names_no_base_is_refused(tmp_path):
    folder = adapter(tmp_path / "lora", checkpoint(tmp_path / "base"))
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ConfigError, match="base_model_name_or_path is missing"):
        open_checkpoint(str(folder))
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"lacks adapter_model\.safetensors"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("model", ["/nowhere/model", "no such/folder/at all", "~/nowhere/model"])
def test_a_folder_that_is_not_there_is_no_hub_id(model):
    with pytest.raises(ConfigError, match="no such folder"):
        open_checkpoint(model)


def test_a_hub_model_comes_from_the_cache_first(tmp_path, monkeypatch):
    folder = checkpoint(tmp_path / "snapshot")
    asked = []

    class Hub:
        @staticmethod
        def snapshot_download(**wanted):
            asked.append(wanted)
            return str(folder)

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    assert open_checkpoint("vidore/colqwen2.5-v0.2", "abc123").folder == folder
    assert [(call["repo_id"], call["revision"], call["local_files_only"]) for call in asked] == [
        ("vidore/colqwen2.5-v0.2", "abc123", True)
    ]
    assert not any("bin" in pattern for pattern in asked[0]["allow_patterns"])


def test_a_hub_model_that_cannot_be_fetched_says_how_to_fetch_it(monkeypatch):
    class Hub:
        @staticmethod
        def snapshot_download(**_):
            raise OSError("offline")

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    with pytest.raises(EnvironmentProblem, match=r"hf download vidore/colpali-v1\.3 --revision abc"):
        open_checkpoint("vidore/colpali-v1.3", "abc")


def test_the_fingerprint_follows_content_and_options_but_not_place(tmp_path):
    first = VisualOptions(str(checkpoint(tmp_path / "a")))
    same = VisualOptions(str(checkpoint(tmp_path / "b")), devices=("cpu",))
    known = open_visual(first).fingerprint
    assert open_visual(same).fingerprint == known
    changes = [{"pool_factor": 3}, {"coarse": "none"}, {"dtype": "f32"}, {"max_patches": 100}, {"storage": "f32"}]
    others = {open_visual(VisualOptions(first.model, **change)).fingerprint for change in changes}
    assert len(others | {known}) == 6
    safetensors(tmp_path / "b" / "model.safetensors", {"custom_text_proj.weight": (128, 9)})
    assert open_visual(same).fingerprint != known


@pytest.mark.parametrize(
    ("option", "words"),
    [({"pool_factor": 0}, "pool_factor"), ({"max_patches": -1}, "max_patches"), ({"model": " "}, "empty")],
)
def test_options_out_of_range_are_refused(option, words):
    with pytest.raises(ConfigError, match=words):
        VisualOptions(**{"model": "m", **option})


def test_rows_of_a_page_are_known_before_any_weight_is_read(tmp_path):
    options = VisualOptions(str(checkpoint(tmp_path / "m")))
    a4 = (595.3, 841.9)
    prompt = 17  # the word splitter's tokens of the prompt
    assert expected_rows(options, a4, 150) == 736 + prompt
    assert expected_rows(VisualOptions(options.model, pool_factor=3), a4, 150) == (736 + prompt) // 3
    assert expected_rows(VisualOptions(options.model, max_patches=300), a4, 150) <= 300 + prompt
    assert most_rows(options) == 768
    assert open_visual(options).spec.dim == 128
    (tmp_path / "m" / "tokenizer.json").rename(tmp_path / "m" / "tokenizer.model")
    assert expected_rows(options, a4, 150) == 736 + 12
