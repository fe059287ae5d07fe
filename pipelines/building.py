"""Building a library: sources in, a folder with an index out, and what is fitted on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from indexers.build import Source
from indexers.journal import Journal
from indexers.manifest import FILE, read_manifest, write_manifest
from indexers.switching import finish_switch
from pipelines import compose
from pipelines.config import Settings
from pipelines.fitted import refresh_fitted
from pipelines.ingest import (
    FIT_FROM,
    BuildOptions,
    BuildReport,
    MakeEngine,
    Sources,
    build_lock,
    clear,
    find_sources,
    ingest,
    sample_images,
)
from pipelines.limits import require_fitting
from pipelines.measures import recorded_rate
from rag.errors import LibraryNotFound


def build_library(
    folder: Path, wanted: Sources, settings: Settings, options: BuildOptions | None = None
) -> BuildReport:
    """Index sources into the library folder, making it when needed, and go on where an earlier build stopped.

    Raises IndexMismatch when the library was made with another configuration (unless `fresh`), UsageError when there
    is nothing to index, ConfigError when a page would not fit into a multivector, StoreError when another build is at
    work.
    """
    options = options or BuildOptions()
    finish_switch(folder)
    parts = compose.Parts(settings, folder)
    parts.require_models()
    with build_lock(folder):
        if options.fresh:
            clear(folder)
        elif (folder / FILE).exists():
            read_manifest(folder).require(parts.manifest())
        found = find_sources(_absolute(wanted), compose.Parsers(settings, folder))
        if not (folder / FILE).exists():
            _begin(parts, folder, found[0])
        require_fitting(settings, parts.channels())
        store = parts.store(folder)
        try:
            with recorded_rate(folder):
                report = ingest(folder, store, parts.channels(), found, options, _engine(folder, settings, options))
            refresh_fitted(folder, store, read_manifest(folder))
            return report
        finally:
            store.close()


def _engine(folder: Path, settings: Settings, options: BuildOptions) -> MakeEngine | None:
    """Ray, when it is asked for. Its workers wire their own encoders from the settings."""
    if not options.ray:
        return None
    from indexers.ray_engine import RayBuilder, RayOptions
    from pipelines.workers import LibraryWorker

    worker, wide = LibraryWorker(settings, folder.absolute()), RayOptions(**settings.ray.model_dump())
    return lambda store, journal, meter: RayBuilder(store, journal, worker, meter, wide)


def _absolute(wanted: Sources) -> Sources:
    """The journal notes where files are, for a rebuild from any working directory."""
    return Sources(*(tuple(path.absolute() for path in paths) for _, paths in wanted.by_kind()))


def _begin(parts: compose.Parts, folder: Path, sources: Sequence[Source]) -> None:
    """Begin a library: fit what is fitted on its own images, then write down what it is made with."""
    if compose.IMAGE in parts.model_names() and not (folder / compose.WHITENING).exists():
        images = sample_images([source for source in sources if source.document.source in parts.image_sources()])
        if len(images) >= FIT_FROM:
            parts.fit_images(images, folder)
    parts.keep_head(folder)
    write_manifest(folder, parts.manifest())


@contextmanager
def opened_journal(folder: Path) -> Iterator[Journal]:
    """The journal of a library that exists. Raises LibraryNotFound or StoreError."""
    if not (folder / FILE).exists():
        raise LibraryNotFound(folder)
    journal = Journal(folder / "journal.sqlite")
    try:
        yield journal
    finally:
        journal.close()
