"""Fixtures shared by all tests: the sample library is written and indexed once per session, with the real models."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexers.encoders.onnx_session import Array, OnnxSession, Output
from indexers.encoders.onnx_text import OnnxText
from indexers.models import ModelStore, default_cache
from pipelines.config import load_settings
from pipelines.ingest import Sources
from pipelines.library import Library, build_library
from pipelines.sample.build import SampleSources, write_sample
from rag.errors import MissingModel

MODELS = ("bge-small-en-v1.5", "answerai-colbert-small-v1-backbone", "ms-marco-minilm-l12-v2", "dinov2-small")


@pytest.fixture(scope="session")
def models() -> ModelStore:
    """The pulled models; skips when they are not there."""
    store = ModelStore(default_cache())
    for name in MODELS:
        try:
            store.path(name)
        except MissingModel as error:
            pytest.skip(str(error))
    return store


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[None]:
    """Every model file and tokenizer is loaded once per session: the tests open the same few models hundreds of times.

    A file that changes is loaded again.
    """
    sources = {OnnxSession: "model.onnx", OnnxText: "tokenizer.json"}
    with pytest.MonkeyPatch.context() as patched:
        for owner, file in sources.items():
            patched.setattr(owner, "_load", _kept(owner._load, file))
        yield


def _kept(load: Any, file: str) -> Any:
    kept: dict[tuple[Path, int, int], Any] = {}

    def loaded(self: Any) -> Any:
        path = self._model.folder / file
        if not path.is_file():
            return load(self)
        key = (path, path.stat().st_mtime_ns, path.stat().st_size)
        if key not in kept:
            kept[key] = load(self)
        return kept[key]

    return loaded


@pytest.fixture(scope="module")
def forwards_once() -> Iterator[None]:
    """The same batch goes through the same model once per module.

    For modules that test what is done with vectors. Those that test encoders do without it.
    """
    real = OnnxSession._forward
    known: dict[bytes, Output] = {}

    def forward(self: OnnxSession, feeds: Mapping[str, Array]) -> Output:
        key = hashlib.blake2b(str(self._model.folder).encode())
        for name, array in sorted(feeds.items()):
            key.update(f"{name}{array.dtype}{array.shape}".encode())
            key.update(np.ascontiguousarray(array).data)
        found = known.get(key.digest())
        if found is None:
            found = known[key.digest()] = real(self, feeds)
        return found.copy()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(OnnxSession, "_forward", forward)
        yield


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleSources:
    """The sources of the sample library."""
    return write_sample(tmp_path_factory.mktemp("sources") / "sample")


@pytest.fixture(scope="session")
def sample_folder(models: ModelStore, sample: SampleSources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample library, built. Read only: use `sample_copy` to change it."""
    folder = tmp_path_factory.mktemp("libraries") / "sample"
    sources = Sources((sample.handbook,), (sample.cases,), (sample.facts,))
    # One view per image instead of six: the tests need the path, not the last cut-out.
    build_library(folder, sources, load_settings(overrides=["channels.image_views=1"]).settings)
    return folder


@pytest.fixture
def sample_library(sample_folder: Path):
    """The sample library, opened."""
    with Library.open(sample_folder) as library:
        yield library


@pytest.fixture
def sample_copy(sample_folder: Path, tmp_path: Path) -> Path:
    """A copy of the sample library that a test may change."""
    return Path(shutil.copytree(sample_folder, tmp_path / "copy"))
