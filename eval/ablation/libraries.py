"""The libraries of an experiment: found, or built once per way of indexing, opened once, and shared by all cells."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.ablation.experiment import SAMPLE, Experiment, Sources
from eval.ablation.identity import LibraryState, library_state
from indexers.manifest import FILE, read_manifest, write_atomic
from indexers.models import default_cache
from indexers.progress import ProgressSink, silent
from pipelines import compose, ingest
from pipelines.config import Settings
from pipelines.library import Library, build_library
from pipelines.sample.build import SampleSources, write_sample
from rag.errors import ConfigError, IndexMismatch, LibraryNotFound, UsageError
from rag.fingerprint import digest, sha256_file
from rag.types import KINDS

SHAPING = {"models", "pages", "cases", "channels", "store", "late", "visual", "clip", "clips", "aligned"}
"""Sections of the settings that make another index, or other encoders."""
STAMP = "experiment-sources.json"


@dataclass(frozen=True, slots=True)
class OpenLibrary:
    """A library and what it holds. `parts` are its models, loaded once for all cells whose settings allow it.

    `opened` is None for one that is not built yet: enough to plan, not to search.
    """

    folder: Path
    opened: Library | None
    state: LibraryState
    parts: compose.Parts

    @property
    def library(self) -> Library:
        """The open library. Raises LibraryNotFound when it is not built yet."""
        if self.opened is None:
            raise LibraryNotFound(self.folder)
        return self.opened


def default_stage_folder() -> Path:
    """Where stage results and the experiments' own libraries are kept: `$VESALIUS_CACHE/stages`."""
    return default_cache() / "stages"


class Libraries:
    """The libraries of one experiment. Use it as a context manager, or close it.

    `built` are the folders that this run had to index; with `rebuild` it looks at the sources of each again.
    """

    def __init__(self, experiment: Experiment, cache: Path, sink: ProgressSink = silent, *, dry: bool = False) -> None:
        """`dry`: nothing is built; a library that is not there can be planned with, not searched."""
        self._experiment, self._cache, self._sink, self._dry = experiment, cache, sink, dry
        self._open: dict[Path, OpenLibrary] = {}
        self._shared: dict[tuple[Path, str], compose.Parts] = {}
        self.built: set[Path] = set()
        self.build_seconds = 0.0
        self.rebuild = False

    def settings_of(self) -> Mapping[str, Any]:
        """Settings that the library was built with, which cells start from; none for one that is built here."""
        folder = self._given()
        return {} if folder is None else read_manifest(folder).settings

    def preset(self) -> str | None:
        """The preset that the library was built with."""
        folder = self._given()
        return None if folder is None else read_manifest(folder).preset

    def folder(self, settings: Settings) -> Path:
        """The library's folder for some settings; not made here."""
        given = self._given()
        if given is not None:
            return given
        sources = [str(path.absolute()) for path in self._paths()] or [SAMPLE]
        shape = settings.model_dump(mode="json", include=SHAPING - {"models"})
        return self._cache / "libraries" / digest({"sources": sources, "shape": shape, "preset": settings.preset})

    def is_ready(self, settings: Settings) -> bool:
        """Whether the library is there and its sources are those that it was built from."""
        folder = self.folder(settings)
        if self._given() is not None:
            return True
        try:
            stamped = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool((folder / FILE).is_file() and stamped == self._stamp() and not self.rebuild)

    def open(self, settings: Settings) -> OpenLibrary:
        """The library for some settings, built first where it has to be.

        Raises:
            IndexMismatch: the library was made with other encoders than these settings name.
        """
        folder = self.folder(settings)
        if folder not in self._open:
            if self._dry and not self.is_ready(settings):
                return self._unbuilt(folder, settings)
            self._build(folder, settings)
            library = Library.open(folder, settings)
            self._open[folder] = OpenLibrary(folder, library, library_state(library), library.parts)
            self._shared[folder, _shape(settings)] = library.parts
        return self._open[folder]

    def _unbuilt(self, folder: Path, settings: Settings) -> OpenLibrary:
        """A library as a plan sees it before it is built: nothing of it can be in the cache."""
        parts = compose.Parts(settings, folder)
        kinds = dict.fromkeys(KINDS, f"unbuilt {folder.name}")
        self._open[folder] = OpenLibrary(folder, None, LibraryState("unbuilt", kinds, None, None, None), parts)
        self._shared[folder, _shape(settings)] = parts
        return self._open[folder]

    def parts(self, settings: Settings) -> compose.Parts:
        """The models and steps of some settings over their library; models are those already loaded, if they fit."""
        opened = self.open(settings)
        folder, shape = opened.folder, _shape(settings)
        made = compose.Parts(settings, folder)
        if (folder, shape) in self._shared:
            shared = self._shared[folder, shape]
            made.encoders, made.models, made.cache = shared.encoders, shared.models, shared.cache
        else:
            opened.library.manifest.require(made.manifest())
            self._shared[folder, shape] = made
        # One reader of sentences for all: it depends on no setting but where the models are.
        made.__dict__["reranker"] = opened.parts.reranker
        return made

    def question_file(self, name: str) -> Path:
        """A question file; `sample/NAME` is one of the sample library's."""
        if name.startswith(f"{SAMPLE}/"):
            path = self._sample().queries / f"{name.removeprefix(f'{SAMPLE}/')}.jsonl"
            if not path.is_file():
                known = ", ".join(sorted(f"{SAMPLE}/{one.stem}" for one in path.parent.glob("*.jsonl")))
                raise ConfigError(f"there is no question file {name}; the sample's are {known}")
            return path
        return Path(name).expanduser()

    def close(self) -> None:
        """Close every library."""
        for one in self._open.values():
            if one.opened is not None:
                one.opened.close()
        self._open.clear()

    def __enter__(self) -> Libraries:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _given(self) -> Path | None:
        wanted = self._experiment.library
        if wanted is None:
            raise ConfigError(
                f"the experiment {self._experiment.name} names no library; give one with --set library=DIR"
            )
        return Path(wanted).expanduser() if isinstance(wanted, str) and wanted != SAMPLE else None

    def _sample(self) -> SampleSources:
        return write_sample(self._cache / "sample")

    def _wanted(self) -> ingest.Sources:
        wanted = self._experiment.library
        if isinstance(wanted, Sources):
            return ingest.Sources(tuple(wanted.pages), tuple(wanted.cases), tuple(wanted.facts))
        sample = self._sample()
        return ingest.Sources((sample.handbook,), (sample.cases,), (sample.facts,))

    def _paths(self) -> list[Path]:
        wanted = self._experiment.library
        return [*wanted.pages, *wanted.cases, *wanted.facts] if isinstance(wanted, Sources) else []

    def _stamp(self) -> dict[str, str]:
        """Each source file and its content."""
        found: dict[str, str] = {}
        for _, paths in self._wanted().by_kind():
            for path in paths:
                if not path.exists():
                    raise UsageError(f"there is no source {path}; correct `library` in the experiment")
                files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
                found |= {str(one.absolute()): sha256_file(one) for one in files}
        return found

    def _build(self, folder: Path, settings: Settings) -> None:
        if self.is_ready(settings):
            return
        started, stamp = time.perf_counter(), self._stamp()
        options = ingest.BuildOptions(sink=self._sink)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            build_library(folder, self._wanted(), settings, options)
        except IndexMismatch:
            # Made by an older version of the encoders or parsers: nothing else uses this folder.
            shutil.rmtree(folder)
            build_library(folder, self._wanted(), settings, options)
        write_atomic(folder / STAMP, (json.dumps(stamp, indent=1) + "\n").encode())
        self.built.add(folder)
        self.build_seconds += time.perf_counter() - started


def _shape(settings: Settings) -> str:
    return digest(settings.model_dump(mode="json", include=SHAPING))
