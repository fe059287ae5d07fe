"""Every family of page encoder and dual encoder, with tiny random checkpoints: plumbing, never quality."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import tiny_checkpoints
from indexers.devices import DeviceLost, OutOfDeviceMemory
from indexers.encoders.clip.opening import open_clip_encoder
from indexers.encoders.clip.options import ClipOptions
from indexers.encoders.visual.opening import expected_rows, most_rows, open_visual
from indexers.encoders.visual.options import VisualOptions
from indexers.encoders.visual.rows import RefusedPassages, finished
from indexers.encoders.visual.torch_library import device_errors, load_library, load_torch
from rag.errors import ConfigError, QueryError, SourceError
from rag.testing.encoder import EncoderContract
from rag.types import PageLocator, Passage, Query

# Model libraries warn about their own affairs on loading; what they return is what is tested.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

ENGINE = ("colpali", "colqwen2", "colqwen2_5", "colqwen3", "colqwen3_5", "colidefics3", "colmodernvbert")
NATIVE = ("native-colpali", "native-colqwen2")
SIZES = ((220, 300), (300, 220), (400, 300), (64, 500), (200, 200))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def checkpoint(place):
    """Writes a family's checkpoint once."""

    @cache
    def write(family):
        folder = place / family
        tiny_checkpoints.write(family, folder)
        return folder

    return write


@pytest.fixture(scope="module")
def encoders(checkpoint):
    """Encoders on the CPU in 32 bits, each loaded once."""

    @cache
    def opened(family, **more):
        return open_visual(VisualOptions(str(checkpoint(family)), devices=("cpu",), dtype="f32", **more))

    return opened


@pytest.fixture(scope="module")
def pages(place):
    rng = np.random.default_rng(11)
    made = []
    for number, (width, height) in enumerate(SIZES):
        coarse = rng.integers(0, 255, (8, 6, 3), dtype=np.uint8)
        path = place / f"page{number}.png"
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)
        made.append(Passage(f"p{number}", "page", "book", "", PageLocator(number + 1), images=(path,)))
    return tuple(made)


@pytest.fixture(scope="module", params=ENGINE + NATIVE)
def family(request):
    return request.param


class TestVisualContract(EncoderContract):
    @pytest.fixture
    def encoder(self, encoders, family):
        return encoders(family)

    @pytest.fixture
    def changed(self, encoders, family):
        return encoders(family, pool_factor=2)

    @pytest.fixture
    def passages(self, pages):
        return pages[:3]

    @pytest.fixture
    def queries(self, pages):
        return (Query(images=pages[0].images), Query("Which bone is the longest?"))

    @pytest.fixture
    def unread(self):
        return Passage("t", "page", "book", "text alone", PageLocator(9))

    def test_an_item_it_cannot_read_is_none_and_keeps_its_place(self, encoder, passages, unread):
        found = encoder.encode_passages([passages[0], unread, passages[1]])
        assert [vector is None for vector in found] == [False, True, False]


def test_a_page_does_not_depend_on_the_padding_of_its_batch(encoders, family, pages):
    encoder = encoders(family)
    prepared = [encoder.prepare(page) for page in pages]
    together = encoder.forward("cpu", prepared)
    for item, found in zip(prepared, together, strict=True):
        [alone] = encoder.forward("cpu", [item])
        assert list(found) == ["visual", "visual_coarse", "visual_first"]
        assert len(found["visual"]) == item.patches
        for channel, rows in found.items():
            assert rows.dtype == np.float32
            np.testing.assert_allclose(rows, alone[channel], atol=2e-5)
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_rows_are_counted_before_any_weight_is_read(encoders, checkpoint, family, pages):
    options = VisualOptions(str(checkpoint(family)))
    for page, (width, height) in zip(pages, SIZES, strict=True):
        prepared = encoders(family).prepare(page)
        assert expected_rows(options, (width, height), 72) == prepared.patches
        assert prepared.tensors.is_patch.sum() <= most_rows(options)


def test_coarse_rows_are_the_means_that_numpy_makes(encoders, family, pages):
    for coarse in ("rows", "columns", "rows-columns", "hierarchical"):
        options = VisualOptions("m", coarse=coarse)
        encoder = encoders(family, coarse=coarse)
        item = encoder.prepare(pages[2])
        [found] = encoder.forward("cpu", [item])
        reference = finished(found["visual"], item.tensors.is_patch, item.tensors.grid, options)
        np.testing.assert_allclose(found["visual_coarse"], reference["visual_coarse"], atol=1e-4)


def test_every_stored_row_has_a_box_or_none(encoders, family, pages):
    for factor in (1, 3):
        encoder = encoders(family, pool_factor=factor)
        [rows] = encoder.encode_passages(pages[:1])
        boxes = encoder.row_boxes(pages[0])
        assert boxes.shape == (len(rows), 4)
        placed = boxes[~np.isnan(boxes[:, 0])]
        assert len(placed) > 0
        assert placed.min() >= 0
        assert placed.max() <= 1
        assert (placed[:, 2:] > placed[:, :2]).all()


def test_token_pooling_shortens_a_page(encoders, family, pages):
    [whole], [short] = (encoders(family, pool_factor=factor).encode_passages(pages[:1]) for factor in (1, 3))
    assert len(short) == len(whole) // 3
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("family", "patches"), [("colqwen2_5", 30), ("colqwen3", 30), ("colidefics3", 100)])
def test_fewer_patches_when_asked(encoders, checkpoint, pages, family, patches):
    options = VisualOptions(str(checkpoint(family)), max_patches=patches)
    encoder = encoders(family, max_patches=patches)
    for page, size in zip(pages[:3], SIZES, strict=False):
        item = encoder.prepare(page)
        assert item.tensors.is_patch.sum() <= patches
        assert len(encoder.forward("cpu", [item])[0]["visual"]) == item.patches == expected_rows(options, size, 72)


@pytest.mark.parametrize("family", ["colqwen2_5", "colqwen3", "colidefics3"])
def test_the_grid_is_the_processors_own_on_pages_of_many_shapes(encoders, tmp_path, family):
    encoder = encoders(family)
    rng = np.random.default_rng(5)
    for width, height in rng.integers(30, 900, (25, 2)):
        path = tmp_path / "blank.png"
        Image.new("RGB", (int(width), int(height))).save(path)
        page = Passage("p", "page", "b", "", PageLocator(1), images=(path,))
        item = encoder.prepare(page)  # raises when the number of patches is another
        shape = item.tensors.inputs.get("image_grid_thw")
        if shape is not None:
            assert (item.tensors.grid.row.max() + 1, item.tensors.grid.column.max() + 1) == tuple(
                (shape[0, 1:] // 2).tolist()
            )


def test_threads_prepare_the_same_as_one(encoders, pages):
    encoder = encoders("colqwen2_5")
    alone = [encoder.prepare(page) for page in pages]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(encoder.prepare, pages * 3))
    for first, second in zip(alone * 3, together, strict=True):
        assert first.patches == second.patches
        for name, value in first.tensors.inputs.items():
            assert (value == second.tensors.inputs[name]).all()


@pytest.mark.parametrize("family", ["colpali", "colqwen2_5", "colidefics3"])
def test_rows_are_those_of_the_library_itself(encoders, checkpoint, pages, family):
    torch = load_torch("tests")
    models = load_library("colpali_engine.models", "tests")
    names = {"colpali": ("ColPali", "ColPaliProcessor"), "colqwen2_5": ("ColQwen2_5", "ColQwen2_5_Processor"),
             "colidefics3": ("ColIdefics3", "ColIdefics3Processor")}[family]  # fmt: skip
    model = getattr(models, names[0]).from_pretrained(str(checkpoint(family)), dtype=torch.float32).eval()
    if family == "colpali":
        model.tie_weights()
        model.model.lm_head = torch.nn.Linear(128, 64)  # tied and without data as loaded; rows do not depend on it
    processor = getattr(models, names[1]).from_pretrained(str(checkpoint(family)))
    with torch.inference_mode(), Image.open(pages[0].images[0]) as image:
        inputs = {name: value for name, value in processor.process_images([image]).items() if name != "labels"}
        expected = model(**inputs)[0].numpy()
        asked = model(**processor.process_queries(texts=["what is a bone?"]))[0].numpy()
    np.testing.assert_allclose(encoders(family).encode_passages(pages[:1])[0], expected, atol=1e-5)
    np.testing.assert_allclose(encoders(family).encode_queries([Query("what is a bone?")])[0], asked, atol=1e-5)


@pytest.mark.parametrize("family", NATIVE)
def test_native_rows_are_those_of_sentence_transformers(encoders, checkpoint, pages, family):
    library = load_library("sentence_transformers", "tests")
    model = library.MultiVectorEncoder(str(checkpoint(family)), device="cpu", local_files_only=True)
    with Image.open(pages[0].images[0]) as image:
        [page] = model.encode_document([image.convert("RGB")], convert_to_numpy=True)
    [asked] = model.encode_query(["what is a bone?"], convert_to_numpy=True)
    np.testing.assert_allclose(encoders(family).encode_passages(pages[:1])[0], page, atol=1e-5)
    np.testing.assert_allclose(encoders(family).encode_queries([Query("what is a bone?")])[0], asked, atol=1e-5)


def test_half_precision_gives_nearly_the_same_rows(encoders, checkpoint, pages):
    half = open_visual(VisualOptions(str(checkpoint("colqwen2_5")), devices=("cpu",), dtype="bf16"))
    for first, second in zip(encoders("colqwen2_5").encode_passages(pages), half.encode_passages(pages), strict=True):
        assert (first * second).sum(axis=1).min() > 0.99
        np.testing.assert_allclose(np.linalg.norm(second, axis=1), 1, atol=1e-5)


def test_what_a_model_leaves_in_padded_rows_is_dropped(encoders, pages, monkeypatch):
    encoder = encoders("colqwen2_5")
    prepared = [encoder.prepare(page) for page in pages[:4]]
    expected = encoder.forward("cpu", prepared)
    embed = type(encoder._library).embed

    def spoiled(self, model, inputs):
        rows, mask = embed(self, model, inputs)
        return rows.masked_fill(~mask.unsqueeze(-1), float("nan")), mask

    monkeypatch.setattr(type(encoder._library), "embed", spoiled)
    for found, good in zip(encoder.forward("cpu", prepared), expected, strict=True):
        np.testing.assert_array_equal(found["visual"], good["visual"])


def test_pages_whose_rows_are_no_numbers_are_named(encoders, pages, monkeypatch):
    encoder = encoders("colqwen2_5")
    prepared = [encoder.prepare(page) for page in pages[:3]]
    embed = type(encoder._library).embed

    def spoiled(self, model, inputs):
        rows, mask = embed(self, model, inputs)
        if len(rows) == 3:
            rows = rows.clone()
            rows[1, -1] = float("inf")
        elif len(rows) == 1:
            rows = rows * 0
        return rows, mask

    monkeypatch.setattr(type(encoder._library), "embed", spoiled)
    with pytest.raises(RefusedPassages) as caught:
        encoder.forward("cpu", prepared)
    assert caught.value.passage_ids == ("p1",)
    assert len(encoder.forward("cpu", [prepared[0], prepared[2]])) == 2
    with pytest.raises(QueryError, match="no numbers"):
        encoder.encode_queries([Query("a question")])


@pytest.fixture(scope="module")
def adapted(place, checkpoint):
    """A LoRA adapter of the tiny ColQwen2.5, and the rows that peft's own merge gives for a page."""

    def make(name, base_named):
        torch = load_torch("tests")
        peft = load_library("peft", "tests")
        models = load_library("colpali_engine.models", "tests")
        torch.manual_seed(1)
        model = models.ColQwen2_5.from_pretrained(str(checkpoint("colqwen2_5")))
        settings = peft.LoraConfig(r=4, target_modules=r".*language_model.*(q_proj|v_proj)$|.*custom_text_proj$")
        made = peft.get_peft_model(model, settings)
        for parameter, values in made.named_parameters():
            if "lora_B" in parameter:
                torch.nn.init.normal_(values, std=0.5)
        folder = place / name
        made.save_pretrained(folder)
        described = json.loads((folder / "adapter_config.json").read_text())
        described["base_model_name_or_path"] = base_named
        (folder / "adapter_config.json").write_text(json.dumps(described))
        return folder, made.merge_and_unload().eval()

    return make


def test_an_adapter_is_merged_into_its_base(adapted, encoders, checkpoint, pages):
    checkpoint("colqwen2_5")
    folder, merged = adapted("lora", "../colqwen2_5")
    encoder = open_visual(VisualOptions(str(folder), devices=("cpu",), dtype="f32"))
    [rows] = encoder.encode_passages(pages[:1])
    with load_torch("tests").inference_mode():
        expected = merged(**encoder.prepare(pages[0]).tensors.inputs)[0].numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    [plain] = encoders("colqwen2_5").encode_passages(pages[:1])
    assert (rows * plain).sum(axis=1).min() < 0.9
    assert encoder.fingerprint != encoders("colqwen2_5").fingerprint


def test_sentence_transformers_loads_no_adapter(place, checkpoint):
    folder = place / "native-lora"
    shutil.copytree(checkpoint("native-colpali"), place / "native-base")
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "../native-base"}))
    shutil.copy(place / "native-base" / "model.safetensors", folder / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match="does not load adapters"):
        open_visual(VisualOptions(str(folder)))


def test_an_adapter_that_fits_no_layer_of_its_base_is_refused(adapted, checkpoint, pages):
    from safetensors.torch import load_file, save_file

    checkpoint("colqwen2_5")
    folder, _ = adapted("lora-foreign", "../colqwen2_5")
    file = folder / "adapter_model.safetensors"
    save_file({name.replace("language_model", "elsewhere"): value for name, value in load_file(file).items()}, file)
    encoder = open_visual(VisualOptions(str(folder), devices=("cpu",), dtype="f32"))
    with pytest.raises(ConfigError, match="weights lack"):
        encoder.encode_passages(pages[:1])


def test_a_checkpoint_that_lacks_a_layer_is_refused_and_not_made_up(checkpoint, tmp_path, pages):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(checkpoint("colqwen2_5"), folder)
    weights = load_file(folder / "model.safetensors")
    lacking = next(name for name in weights if "q_proj" in name)
    save_file({name: value for name, value in weights.items() if name != lacking}, folder / "model.safetensors")
    encoder = open_visual(VisualOptions(str(folder), devices=("cpu",), dtype="f32"))
    with pytest.raises(ConfigError, match="q_proj"):
        encoder.encode_passages(pages[:1])


def test_an_image_that_cannot_be_read_is_named(encoders, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    page = Passage("p", "page", "b", "", PageLocator(1), images=(tmp_path / "broken.png",))
    with pytest.raises(SourceError, match=r"broken\.png"):
        encoders("colqwen2_5").prepare(page)


def test_what_torch_says_becomes_what_the_pipeline_knows():
    torch = load_torch("tests")
    for raised, expected, device in (
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfDeviceMemory, "cuda:0"),
        (RuntimeError("DefaultCPUAllocator: not enough memory"), OutOfDeviceMemory, "cpu"),
        (MemoryError(), OutOfDeviceMemory, "cpu"),
        (RuntimeError("CUDA error: unspecified launch failure"), DeviceLost, "cuda:0"),
        (RuntimeError("shapes do not match"), RuntimeError, "cuda:0"),
    ):
        with pytest.raises(expected), device_errors(device):
            raise raised


def test_a_device_that_is_not_there_is_refused(checkpoint):
    with pytest.raises(ConfigError, match="no device cuda:9"):
        _ = open_visual(VisualOptions(str(checkpoint("colpali")), devices=("cuda:9",))).devices


DUAL = ("clip", "siglip", "open_clip", "sentence-transformers")


@pytest.fixture(scope="module")
def dual(place, checkpoint):
    """Dual encoders on the CPU in 32 bits, each loaded once."""

    @cache
    def opened(name, dtype="f32"):
        if name == "sentence-transformers":
            folder = place / "sentence-clip"
            if not folder.is_dir():
                library = load_library("sentence_transformers", "tests")
                library.SentenceTransformer(str(checkpoint("clip")), device="cpu").save(str(folder))
        else:
            folder = checkpoint(name)
        return open_clip_encoder(ClipOptions(str(folder), devices=("cpu",), dtype=dtype))

    return opened


class TestDualContract(EncoderContract):
    @pytest.fixture(params=DUAL)
    def name(self, request):
        return request.param

    @pytest.fixture
    def encoder(self, dual, name):
        return dual(name)

    @pytest.fixture
    def changed(self, dual, name):
        return dual(name, "bf16")

    @pytest.fixture
    def passages(self, pages):
        return (pages[0], Passage("caption", "figure", "b", "Figure 2. The trachea. " * 60, PageLocator(1)), pages[1])

    @pytest.fixture
    def queries(self, pages):
        return (Query(images=pages[0].images), Query("Which bone is the longest?"))

    def test_an_item_it_cannot_read_is_none_and_keeps_its_place(self, encoder, passages):
        # Every passage and query has an image or a text, and both are read: nothing is left out.
        assert all(vector is not None for vector in encoder.encode_passages(passages))


def test_a_caption_stands_in_only_where_there_is_no_image(dual, pages):
    encoder = dual("clip")
    image, text = pages[0].images, "Figure 1. A bone."
    [both] = encoder.encode_passages([Passage("b", "figure", "b", text, PageLocator(1), images=image)])
    [alone] = encoder.encode_passages([Passage("i", "figure", "b", "", PageLocator(1), images=image)])
    [words] = encoder.encode_passages([Passage("t", "figure", "b", text, PageLocator(1))])
    [asked] = encoder.encode_queries([Query(text)])
    np.testing.assert_array_equal(both, alone)
    np.testing.assert_allclose(words, asked, atol=1e-6)


def test_sentence_transformers_gives_what_transformers_gives(dual, pages):
    for first, second in zip(
        dual("clip").encode_passages(pages), dual("sentence-transformers").encode_passages(pages), strict=True
    ):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_open_clip_scales_images_as_it_does_itself(dual, checkpoint, pages):
    torch = load_torch("tests")
    library = load_library("open_clip", "tests")
    model, steps = library.create_model_from_pretrained(f"local-dir:{checkpoint('open_clip')}")
    with torch.inference_mode(), Image.open(pages[0].images[0]) as image:
        expected = model.eval().encode_image(steps(image)[None], normalize=True).numpy()
    np.testing.assert_allclose(dual("open_clip").encode_passages(pages[:1])[0], expected, atol=1e-5)


def test_an_open_clip_architecture_takes_a_weight_file(checkpoint, tmp_path, pages):
    library = load_library("open_clip", "tests")
    safetensors = load_library("safetensors.torch", "tests")
    settings = json.loads((checkpoint("open_clip") / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "tiny-dual.json").write_text(json.dumps(settings))
    library.add_model_config(tmp_path / "tiny-dual.json")
    file = tmp_path / "weights.safetensors"
    safetensors.save_file(safetensors.load_file(checkpoint("open_clip") / "open_clip_model.safetensors"), file)
    encoder = open_clip_encoder(ClipOptions(f"tiny-dual/{file}", devices=("cpu",), dtype="f32"))
    assert encoder.spec.dim == 64
    [rows] = encoder.encode_passages(pages[:1])
    assert np.isfinite(rows).all()


def test_the_same_seed_writes_the_same_checkpoint(tmp_path):
    from safetensors.torch import load_file

    weights = []
    for place, seed in (("a", 0), ("b", 0), ("c", 1)):
        tiny_checkpoints.write("clip", tmp_path / place, seed)
        weights.append(load_file(Path(tmp_path / place / "model.safetensors")))
    name = "text_projection.weight"
    assert (weights[0][name] == weights[1][name]).all()
    assert (weights[0][name] != weights[2][name]).any()
