"""Every encoder and the reranker pass their contracts, with the real weights where they have weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from indexers.encoders.bm25 import Bm25Encoder, Bm25Options
from indexers.encoders.cross import CrossEncoderReranker
from indexers.encoders.dense import DenseOptions, DenseTextEncoder
from indexers.encoders.hashing import HashEncoder
from indexers.encoders.image import ImageEncoder, ImageOptions
from indexers.encoders.late import LateOptions, LateTextEncoder
from indexers.encoders.onnx_session import OnnxSession
from indexers.model_lock import ModelFiles
from indexers.models import ModelStore, default_cache
from rag.errors import MissingModel
from rag.testing.encoder import PASSAGES, EncoderContract
from rag.testing.reranker import RerankerContract
from rag.types import CaseLocator, Passage, Query


@pytest.fixture(autouse=True)
def every_forward_once(request, forwards_once, monkeypatch):
    """The tests of one encoder encode the same passages; only one asks whether a second time gives the same."""
    if request.node.originalname == "test_the_same_call_gives_the_same_bits":
        monkeypatch.setattr(OnnxSession, "_forward", forwards_once)


@cache
def pulled(name: str) -> ModelFiles:
    try:
        return ModelStore(default_cache()).files(name)
    except MissingModel as error:
        pytest.skip(str(error))


# Built once, because loading a model takes longer than all the tests of it together.
@cache
def dense(form: Literal["dense", "multi"]) -> DenseTextEncoder:
    return DenseTextEncoder(pulled("bge-small-en-v1.5"), options=DenseOptions(form=form))


@cache
def late() -> LateTextEncoder:
    return LateTextEncoder(pulled("answerai-colbert-small-v1-backbone"))


@cache
def projected() -> LateTextEncoder:
    projection = late().fit(PASSAGES, 96)
    return LateTextEncoder(pulled("answerai-colbert-small-v1-backbone"), projection=projection)


@cache
def image(options: ImageOptions) -> ImageEncoder:
    return ImageEncoder(pulled("dinov2-small"), options=options)


@cache
def whitened(files: tuple[Path, ...]) -> ImageEncoder:
    return ImageEncoder(pulled("dinov2-small"), whitening=image(ImageOptions()).fit(files))


@cache
def cross() -> CrossEncoderReranker:
    return CrossEncoderReranker(pulled("ms-marco-minilm-l12-v2"))


class TestHashDense(EncoderContract):
    @pytest.fixture
    def encoder(self):
        return HashEncoder(dim=128)

    @pytest.fixture
    def changed(self):
        return HashEncoder(dim=64)


class TestHashMulti(EncoderContract):
    @pytest.fixture
    def encoder(self):
        return HashEncoder(form="multi")

    @pytest.fixture
    def changed(self):
        return HashEncoder(form="multi", context=True)


class TestBm25(EncoderContract):
    @pytest.fixture
    def encoder(self):
        return Bm25Encoder()

    @pytest.fixture
    def changed(self):
        return Bm25Encoder(options=Bm25Options(k=1.2))


class TestDenseWindows(EncoderContract):
    @pytest.fixture
    def encoder(self):
        return dense("multi")

    @pytest.fixture
    def changed(self):
        return DenseTextEncoder(pulled("bge-small-en-v1.5"), options=DenseOptions(query_prefix=""))


class TestDenseSingle(EncoderContract):
    @pytest.fixture
    def encoder(self):
        return dense("dense")

    @pytest.fixture
    def changed(self):
        return dense("multi")


class TestLate(EncoderContract):
    @pytest.fixture
    def encoder(self):
        return late()

    @pytest.fixture
    def changed(self):
        return LateTextEncoder(pulled("answerai-colbert-small-v1-backbone"), options=LateOptions(once=False))


class TestLateProjected(EncoderContract):
    @pytest.fixture
    def encoder(self):
        return projected()

    @pytest.fixture
    def changed(self):
        return late()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, ...]:
    """Three images of different colours and textures, and a smaller copy of the first."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:120, 0:160]
    rings = np.hypot(rows - 60, columns - 80)[..., None] % 24 * 10 + [0, 5, 10]
    stripes = (columns // 8 % 2 * 200)[..., None] + [40, 0, 0]
    noise = rng.integers(0, 255, (120, 160, 3))
    paths = []
    for name, pixels in {"rings": rings, "stripes": stripes, "größe": noise}.items():
        paths.append(folder / f"{name}.png")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(paths[-1])
    with Image.open(paths[0]) as whole:
        whole.resize((100, 75)).save(folder / "query.jpg")
    return (*paths, folder / "query.jpg")


class ImageContract(EncoderContract):
    """For encoders of images: the first query is the first passage's image, made smaller."""

    @pytest.fixture
    def passages(self, files):
        single = Passage("i0", "case", "c", "", CaseLocator("r0"), images=(files[0],))
        return (single, Passage("i1", "case", "c", "two views", CaseLocator("r1"), images=(files[1], files[2])))

    @pytest.fixture
    def queries(self, files):
        return (Query(images=(files[3],)), Query("which?", images=(files[1],)))

    @pytest.fixture
    def unread(self):
        return Passage("t", "case", "c", "a text alone", CaseLocator("r"))

    @pytest.fixture
    def unread_query(self):
        return Query("a text alone")


class TestImageClass(ImageContract):
    @pytest.fixture
    def encoder(self):
        return image(ImageOptions(view="class"))

    @pytest.fixture
    def changed(self):
        return image(ImageOptions(view="class", aspect="crop"))


class TestImageWhitened(ImageContract):
    @pytest.fixture
    def encoder(self, files):
        return whitened(files[:3])

    @pytest.fixture
    def changed(self):
        return image(ImageOptions())

    def test_a_corner_finds_the_image_it_was_cut_from(self, files, tmp_path):
        encoder = image(ImageOptions(crops=6))
        with Image.open(files[0]) as whole:
            whole.crop((0, 0, 128, 96)).save(tmp_path / "corner.png")
        [rows] = encoder.encode_passages([Passage("i", "case", "c", "", CaseLocator("r"), images=(files[0],))])
        [[query]] = encoder.encode_queries([Query(images=(tmp_path / "corner.png",))])
        assert len(rows) == 6
        assert (rows @ query).argmax() == 2  # after the whole and the centre
        assert (rows @ query).max() == pytest.approx(1, abs=1e-5)


class TestCrossEncoder(RerankerContract):
    @pytest.fixture
    def reranker(self):
        return cross()
