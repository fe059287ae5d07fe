"""Encoders of single domains over tiny random checkpoints of every adapter: plumbing, never quality."""

import json
import shutil
from functools import cache

import numpy as np
import pytest
from PIL import Image

from benchmarks import tiny_checkpoints
from indexers.encoders.clip.by_domain import DomainEncoder
from indexers.encoders.clip.opening import open_clip_encoder
from indexers.encoders.clip.options import ClipOptions
from indexers.encoders.visual.torch_library import load_library, load_torch
from pipelines.config import load_settings
from pipelines.ingest import Sources
from pipelines.library import Library, build_library
from rag.errors import ConfigError, EnvironmentProblem, IndexMismatch
from rag.testing.encoder import EncoderContract
from rag.types import CaseLocator, Passage, Query

# Model libraries warn about their own affairs on loading; what they return is what is tested.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

DUAL = ("clip", "siglip", "open_clip", "sentence-transformers", "two-libraries", "resnet-bert")
SHAPES = {
    "clip": (64, 32, 64),
    "siglip": (64, 32, 64),
    "open_clip": (64, 32, 77),
    "sentence-transformers": (64, 32, 64),
    "two-libraries": (48, 64, 256),
    "resnet-bert": (48, 64, 128),
}
CLIP_PIXELS = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
FORMS = {
    "two-libraries": ("test_vit", "", "cls_last_hidden_state_pooler", CLIP_PIXELS),
    "resnet-bert": ("test_resnet", "avg", "mean_pooler", {"mean": [0, 0, 0], "std": [1, 1, 1]}),
}
"""Forms of open_clip folders: BiomedCLIP's, and one like FLAIR's with pixels in [0, 1] as they are."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("dual")


@pytest.fixture(scope="module")
def folder(place):
    """Writes a checkpoint once."""

    @cache
    def write(name):
        target = place / name
        if name == "sentence-transformers":
            library = load_library("sentence_transformers", "tests")
            library.SentenceTransformer(str(write("clip")), device="cpu").save(str(target))
        elif name in FORMS:
            write_two_libraries(name, target)
        else:
            tiny_checkpoints.write(name, target)
        return target

    return write


def write_two_libraries(name, target):
    """A folder of open_clip around an image tower of timm and a text tower of transformers."""
    load_torch("tests").manual_seed(0)
    tower, pool, pooler, pixels = FORMS[name]
    transformers, open_clip = load_library("transformers", "tests"), load_library("open_clip", "tests")
    words = tiny_checkpoints.tokenizer(("[CLS]",), end="[SEP]", pad="[PAD]")
    words.save_pretrained(target)
    size = tiny_checkpoints.rounded(len(words))
    tokens = SHAPES[name][2]
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    sizes |= {"max_position_embeddings": tokens, "hidden_size": 64}
    text = transformers.BertConfig(vocab_size=size, pad_token_id=words.pad_token_id, **sizes)
    text.save_pretrained(target / "text")
    model = {
        "embed_dim": 48,
        "vision_cfg": {"timm_model_name": tower, "timm_pool": pool, "timm_proj": "linear", "image_size": 64},
        "text_cfg": {"hf_model_name": str(target / "text"), "hf_tokenizer_name": "own", "context_length": tokens,
                     "hf_proj_type": "mlp", "hf_pooler_type": pooler,
                     "hf_model_pretrained": False, "vocab_size": size},
    }  # fmt: skip
    made = open_clip.CustomTextCLIP(**model)
    (target / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": pixels}))
    load_library("safetensors.torch", "tests").save_file(made.state_dict(), target / "open_clip_model.safetensors")


@pytest.fixture(scope="module")
def cases(place):
    """Two slides, a fundus photograph and a report without an image."""
    rng = np.random.default_rng(0)

    def case(name, text, **meta):
        path = place / f"{name}.png"
        Image.fromarray(rng.integers(0, 255, (80, 90, 3), dtype=np.uint8)).save(path)
        return Passage(name, "case", "clinic", text, CaseLocator(name), images=(path,), meta=meta)

    return (
        case("slide", "Glands.", domain="pathology"),
        case("biopsy", "Sheets of small cells.", domain="pathology"),
        case("fundus", "A large cup.", domain="ophthalmology"),
        Passage("report", "case", "clinic", "A normal film.", CaseLocator("r"), meta={"domain": "pathology"}),
    )


@pytest.fixture(scope="module")
def dual(folder):
    @cache
    def opened(name, dtype="f32"):
        return open_clip_encoder(ClipOptions(str(folder(name)), devices=("cpu",), dtype=dtype))

    return opened


class TestDomainEncoderOfEachAdapter(EncoderContract):
    @pytest.fixture(params=DUAL)
    def name(self, request):
        return request.param

    @pytest.fixture
    def encoder(self, dual, name):
        return DomainEncoder(dual(name), "clip-path", ("pathology",))

    @pytest.fixture
    def changed(self, dual, name):
        return DomainEncoder(dual(name), "clip-path", ("pathology", "endoscopy"))

    @pytest.fixture
    def passages(self, cases):
        return (cases[0], cases[3], cases[1])

    @pytest.fixture
    def queries(self, cases):
        return (Query(images=cases[0].images), Query("Which cells are small?"))

    def test_an_item_it_cannot_read_is_none_and_keeps_its_place(self, encoder, cases):
        # A query always has an image or a text and both are read; of passages those of another domain are left out.
        assert [vector is None for vector in encoder.encode_passages(cases)] == [False, False, True, False]

    def test_what_it_stores_is_what_the_wrapped_encoder_gives(self, dual, encoder, name, cases):
        for own, wrapped in zip(encoder.encode_passages(cases[:2]), dual(name).encode_passages(cases[:2]), strict=True):
            np.testing.assert_array_equal(own, wrapped)


@pytest.mark.parametrize("name", DUAL)
def test_the_files_tell_the_shape_of_what_is_loaded(dual, name):
    encoder = dual(name)
    assert (encoder.shape.dim, encoder.shape.image_size, encoder.shape.context_length) == SHAPES[name]
    assert encoder.shape.mean == {"siglip": (0.5, 0.5, 0.5), "resnet-bert": (0, 0, 0)}.get(name, CLIP_PIXELS["mean"])
    assert encoder.shape.std is not None


def test_texts_are_read_up_to_the_context_length_and_no_further(dual):
    start = "cell " * 90
    read = dual("two-libraries").encode_queries([Query(start + "bone"), Query(start + "lung")])
    assert np.abs(read[0] - read[1]).max() > 1e-6, "90 words are more than CLIP's 77 tokens, fewer than 256"
    start = "cell " * 400
    cut = dual("two-libraries").encode_queries([Query(start + "bone"), Query(start + "lung")])
    np.testing.assert_allclose(cut[0], cut[1], atol=1e-6)


def test_a_tiny_checkpoint_is_none_of_the_catalogue(folder):
    for name, written in (("plip", "clip"), ("medsiglip", "siglip"), ("biomedclip", "two-libraries")):
        with pytest.raises(ConfigError, match=f"{name}: the checkpoint in .* instead of"):
            open_clip_encoder(ClipOptions(name), {name: folder(written)})


def test_a_text_tower_that_is_not_on_this_machine_is_named(folder, tmp_path, cases, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    copy = shutil.copytree(folder("two-libraries"), tmp_path / "copy")
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_model_name"] = str(tmp_path / "absent")
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(EnvironmentProblem, match="hf_model_name"):
        open_clip_encoder(ClipOptions(str(copy), devices=("cpu",))).encode_passages(cases[:1])


SLIM = ["channels.pages=[bm25]", "channels.figures=[bm25]", "channels.cases=[bm25,clip]", "channels.facts=[bm25]"]


def test_a_library_with_an_encoder_of_its_own_for_slides(models, folder, cases, tmp_path):
    rows = [
        {"id": case.id, "image": case.images[0].name, "caption": case.text, "domain": case.meta["domain"]}
        for case in cases[:3]
    ]
    records = cases[0].images[0].parent / "records.jsonl"
    records.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = [f"clip.model={folder('clip')}", "clip.devices=[cpu]", "clips.path.devices=[cpu]"]
    own += [f"clips.path.model={folder('open_clip')}", "clips.path.domains=[pathology]"]
    settings = load_settings(overrides=[*SLIM, *own]).settings
    build_library(tmp_path / "library", Sources(cases=(records,)), settings)
    with Library.open(tmp_path / "library") as library:
        points = library.store.points(list(library.store.ids("case")))
        stored = {point.passage.record: {name for name in point.vectors if name.startswith("clip")} for point in points}
        assert stored == {"slide": {"clip", "clip-path"}, "biopsy": {"clip", "clip-path"}, "fundus": {"clip"}}
        hits = library.search(Query(images=cases[1].images), k=3, kinds=("case",))
        assert hits[0].passage.record == "biopsy"
        assert {"clip", "clip-path"} <= set(hits[0].channels)
    other = load_settings(overrides=[*SLIM, *own, "clips.path.domains=[ophthalmology]"]).settings
    with pytest.raises(IndexMismatch, match="clip-path"):
        Library.open(tmp_path / "library", other)
