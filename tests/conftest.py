"""Fixtures shared by all tests: the sample library is written and indexed once per session, with the real models."""

import fcntl
import gc
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

# Before numpy is loaded. Several small products at once gain nothing from threads inside one, and where the machine is
# busy or the suite runs in several processes these threads wait for each other: a training costs five times the work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

from indexers.encoders.onnx_session import Array, OnnxSession, Output, available_cores
from indexers.encoders.onnx_text import OnnxText
from indexers.models import ModelStore, default_cache
from pipelines.config import load_settings
from pipelines.ingest import Sources
from pipelines.library import Library, build_library
from pipelines.sample.build import SampleSources, write_sample
from rag.errors import MissingModel

MOST_WORKERS = 4
"""Each process reads all the tests and loads the models for itself, so that more of them gain little."""

# The fast suite draws the same examples in every run and does not time them: a busy machine fails no test. `make slow`
# draws others each time.
settings.register_profile("fast", deadline=None, derandomize=True)
settings.register_profile("thorough", deadline=None)
settings.load_profile("fast")

# Reading six thousand tests makes millions of objects and hardly any garbage, and they stay to the end.
gc.disable()

MODELS = ("bge-small-en-v1.5", "answerai-colbert-small-v1-backbone", "ms-marco-minilm-l12-v2", "dinov2-small")


def pytest_collection_finish() -> None:
    """From here on garbage is collected, and what the collection of the tests left is not looked through each time."""
    gc.freeze()
    gc.enable()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process per core for the whole suite; none for a part of it, which is done before they have started."""
    suite = {Path(__file__).parent, Path(__file__).parents[1]}
    whole = all((config.invocation_params.dir / name).resolve() in suite for name in config.args)
    return min(available_cores(), MOST_WORKERS) if whole and not config.option.keyword else 0


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that all processes of a run share: the first that needs it makes it, and the others wait for it."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, stamp = root / "shared" / name, root / "shared" / f"{name}.made"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            stamp.touch()
    return folder


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
def forwards_once() -> Iterator[Callable[[OnnxSession, Mapping[str, Array]], Output]]:
    """The same batch goes through the same model once per module; gives the forward that does not remember.

    For modules that test what is done with vectors, and tests of encoders that do not ask for the same batch twice.
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
        yield real


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleSources:
    """The sources of the sample library."""
    return write_sample(made_once(tmp_path_factory, "sample", write_sample))


@pytest.fixture(scope="session")
def sample_folder(models: ModelStore, sample: SampleSources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample library, built. Read only: use `sample_copy` to change it."""
    sources = Sources((sample.handbook,), (sample.cases,), (sample.facts,))
    # One view per image instead of six: the tests need the path, not the last cut-out.
    chosen = load_settings(overrides=["channels.image_views=1"]).settings
    built = made_once(tmp_path_factory, "library", lambda folder: build_library(folder, sources, chosen))
    # A copy for each process, because one alone may open a library.
    return Path(shutil.copytree(built, tmp_path_factory.mktemp("libraries") / "sample"))


@pytest.fixture
def sample_library(sample_folder: Path):
    """The sample library, opened."""
    with Library.open(sample_folder) as library:
        yield library


@pytest.fixture
def sample_copy(sample_folder: Path, tmp_path: Path) -> Path:
    """A copy of the sample library that a test may change."""
    return Path(shutil.copytree(sample_folder, tmp_path / "copy"))
