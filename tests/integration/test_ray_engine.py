"""A build on Ray with two local workers gives the library that a local build gives, also when a worker dies."""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from indexers.journal import Journal
from indexers.progress import ProgressMeter, silent
from indexers.ray_engine import AllBut, RayBuilder, RayOptions, plan_tasks
from pipelines.compose import Parsers, Parts
from pipelines.config import load_settings
from pipelines.ingest import BuildOptions, Sources, find_sources, ingest
from pipelines.sample.build import write_sample
from pipelines.workers import LibraryWorker
from rag.types import KINDS, Document

WORDS_ONLY = [f"channels.{kind}=[bm25]" for kind in ("pages", "figures", "cases", "facts")]


@dataclass(frozen=True)
class DyingWorker(LibraryWorker):
    """The first worker that reads a file takes its whole process down."""

    marker: Path = Path()

    def parser(self, path, source):
        try:
            self.marker.touch(exist_ok=False)
        except FileExistsError:
            return LibraryWorker.parser(self, path, source)
        return os.kill(os.getpid(), signal.SIGKILL)


def stored(folder):
    journal = Journal(folder / "journal.sqlite")
    try:
        return {kind: dict(journal.checksums(kind)) for kind in KINDS}, journal.documents()
    finally:
        journal.close()


def test_tasks_cover_every_missing_page_once():
    document = Document("book", Path("book.pdf"), "ab" * 32, "pages", 100)
    done = {f"{'ab' * 16}:p{page:05d}" for page in range(11, 21)}
    tasks = plan_tasks(document, done, None, 32)
    keys = [key for task in tasks for key in task.done.keys]
    assert len(keys) == len(set(keys)) == 90
    assert not done & set(keys)
    assert [len(task.done.keys) for task in tasks] == [32, 32, 26]
    assert len(plan_tasks(document, done, 12, 32)[0].done.keys) == 2
    assert "x" not in AllBut(frozenset({"x"}))
    assert "y" in AllBut(frozenset({"x"}))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dying", [False, True])
def test_two_local_workers_make_the_same_library(tmp_path, dying):
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    sample = write_sample(tmp_path / "sample")
    settings = load_settings(overrides=WORDS_ONLY).settings
    wanted = Sources((sample.handbook,), (sample.cases,), (sample.facts,))
    for name in ("local", "ray"):
        folder = tmp_path / name
        folder.mkdir()
        found = find_sources(wanted, Parsers(settings, folder))
        parts = Parts(settings, folder)
        store = parts.store(folder)
        if name == "local":
            ingest(folder, store, parts.channels(), found, BuildOptions())
        else:
            journal = Journal(folder / "journal.sqlite")
            for source in found[0]:
                journal.begin(source.document)
            worker = DyingWorker(settings, folder, tmp_path / "died") if dying else LibraryWorker(settings, folder)
            builder = RayBuilder(store, journal, worker, ProgressMeter(silent), RayOptions(actors=2, units=8))
            builder.run(found[0])
            journal.close()
            assert builder.clock.units == 41
        assert {kind: set(store.ids(kind)) for kind in KINDS} == {
            kind: set(rows) for kind, rows in stored(folder)[0].items()
        }
        store.close()
    assert (tmp_path / "died").exists() == dying
    (local, rows), (made, others) = stored(tmp_path / "local"), stored(tmp_path / "ray")
    assert made == local
    assert [row["complete"] for row in others] == [row["complete"] for row in rows] == [True, True, True]
    ray.shutdown()
