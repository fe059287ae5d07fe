"""Fixtures shared by all tests: the sample library is written and indexed once per session, with the real models."""

import shutil
from pathlib import Path

import pytest

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
