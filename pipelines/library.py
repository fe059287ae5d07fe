"""A library: an index in a folder. Build it, open it, search it, keep it in order."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from indexers.journal import Journal
from indexers.manifest import Manifest, read_manifest
from indexers.sources.perceptual import ImageKeys
from indexers.sources.query_images import QueryPictures
from pipelines import compose
from pipelines.answer_cards import PageImage
from pipelines.building import build_library, opened_journal
from pipelines.config import Settings, load_settings
from pipelines.fitted import domain_counts, refresh_fitted
from pipelines.ingest import (
    BuildOptions,
    Sources,
    build_lock,
    remove_passages,
)
from pipelines.measures import folder_bytes, read_rates
from pipelines.retriever_gate import read_gate
from pipelines.search import SearchEngine, SearchResult, Withhold
from pipelines.verification import Checked, Findings, Repair, check_passages, inspect, repair
from rag.domains.partitions import parse_corpus
from rag.errors import ConfigError, UsageError
from rag.pairs import CasePair, PairRetriever
from rag.protocols import Store
from rag.timeline import Study
from rag.types import KINDS, Hit, Kind, Passage, Query

__all__ = ["Library", "build_library", "opened_journal"]

_READ_BATCH = 512


class Library:
    """An open library. Use it as a context manager, or close it.

    library = Library.open("library")
    hits = library.search(Query(text="Which epithelium lines the trachea?"), k=5)
    """

    def __init__(self, folder: Path, settings: Settings, manifest: Manifest, store: Store) -> None:
        self.folder, self.settings, self.manifest = folder, settings, manifest
        self._store = store
        self._parts = compose.Parts(settings, folder)
        self._engine: SearchEngine | None = None
        self._pictures = QueryPictures(settings.cases.burned_in)

    @classmethod
    def open(cls, folder: str | Path, settings: Settings | None = None) -> Library:
        """Open a library that was built before.

        Without settings, those that it was built with are used. Raises LibraryNotFound, IndexMismatch when the
        settings would make another index, and StoreError.
        """
        place = Path(folder)
        manifest = read_manifest(place)
        chosen = settings or load_settings(manifest.preset, library=manifest.settings).settings
        parts = compose.Parts(chosen, place)
        manifest.require(parts.manifest())
        return cls(place, chosen, manifest, parts.store(place))

    @classmethod
    def build(
        cls,
        sources: Sources | str | Path,
        folder: str | Path = "library",
        *,
        preset: str | None = None,
        settings: Settings | None = None,
        options: BuildOptions | None = None,
    ) -> Library:
        """Build or extend a library and open it. A plain path stands for a book or a folder of books."""
        wanted = sources if isinstance(sources, Sources) else Sources(pages=(Path(sources),))
        chosen = settings or load_settings(preset).settings
        build_library(Path(folder), wanted, chosen, options)
        return cls.open(folder, chosen)

    def search(
        self, query: Query | str, k: int = 10, kinds: Sequence[Kind] = KINDS, *, rerank: bool | None = None
    ) -> list[Hit]:
        """The k best passages of these kinds for a question or an image, best first."""
        asked = query if isinstance(query, Query) else Query(text=query)
        return list(self.search_timed(asked, k=k, kinds=kinds, rerank=rerank).hits)

    def search_timed(
        self,
        query: Query,
        *,
        k: int,
        kinds: Sequence[Kind] = KINDS,
        rerank: bool | None = None,
        withhold: Withhold | None = None,
    ) -> SearchResult:
        """As `search`, with the seconds of each stage; see `SearchEngine.search` for `withhold`."""
        if k < 0:
            raise UsageError(f"k is {k}; it must be 0 or more")
        self._require_documents(query)
        return self.engine(rerank=rerank).search(self.readable(query), k=k, kinds=kinds, withhold=withhold)

    def readable(self, query: Query) -> Query:
        """The query with pictures in place of DICOM files, which last until the library is closed."""
        return self._pictures.readable(query)

    def _require_documents(self, query: Query) -> None:
        """Raise QueryError for a filter on a document that the library does not have."""
        wanted = query.filters.get("document", ())
        if wanted and (self.folder / "journal.sqlite").is_file():
            with opened_journal(self.folder) as journal:
                names = journal.names()
            for name in wanted:
                parse_corpus(name, names)

    def engine(self, *, rerank: bool | None = None) -> SearchEngine:
        """The search engine of this library; `rerank` overrides the settings."""
        if rerank is not None and rerank != self.settings.rerank.enabled:
            return self._parts.engine(self._store, rerank=rerank)
        if self._engine is None:
            self._engine = self._parts.engine(self._store, rerank=self.settings.rerank.enabled)
        return self._engine

    @property
    def parts(self) -> compose.Parts:
        """The wired encoders, models and steps behind this library."""
        return self._parts

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """Whole passages by id, with their word boxes."""
        return self._store.get(ids)

    def passages(self, kind: Kind) -> Iterator[Passage]:
        """Every passage of a kind, by id ascending."""
        batch: list[str] = []
        for passage_id in self._store.ids(kind):
            batch.append(passage_id)
            if len(batch) == _READ_BATCH:
                yield from self._store.get(batch)
                batch = []
        yield from self._store.get(batch)

    def history(self, patient: str, before_day: float | None = None, *, undated: bool = True) -> tuple[Study, ...]:
        """A patient's studies in the order of time, only those before a day when one is given (pipelines.timeline)."""
        from pipelines.timeline import timeline

        return timeline(self._store, patient, before_day, undated=undated)

    def pairs(self, query: Query, k: int = 10) -> list[CasePair]:
        """Pairs of images of other patients that look like the query's prior and current image (rag.pairs).

        Raises QueryError when the query lacks one of the two images, ConfigError when cases have no image channel.
        """
        encoder = next(
            (one.encoder for one in self._parts.channels() if (one.kind, one.name) == ("case", "image")), None
        )
        if encoder is None:
            raise ConfigError("pairs of images need the channel image on cases; this library has none")
        shown = self.readable(query)
        keys = ImageKeys().of_files((*shown.images, *shown.prior_images))
        return PairRetriever(self._store, encoder).retrieve(shown, k, images=keys)

    def page_image(self, passage: Passage) -> PageImage | None:
        """The rendered page that a page or figure stands on, or None when there is none."""
        page = passage
        if passage.kind == "figure":
            found = self._store.get([passage.meta.get("page_id", "")])
            if not found:
                return None
            page = found[0]
        width, _, height = page.meta.get("size", "").partition("x")
        if page.kind != "page" or not page.images or not height or not page.images[0].is_file():
            return None
        return PageImage(page.images[0], float(width), float(height))

    def status(self) -> dict[str, Any]:
        """What the library holds: counts, documents, bytes on disk, the last build, domains, and the retriever gate."""
        with opened_journal(self.folder) as journal:
            documents = journal.documents()
        complete = all(document["complete"] for document in documents)
        rates, gate = read_rates(self.folder), read_gate(self.folder)
        domains, fault = domain_counts(self.folder, self.manifest)
        return {
            "library": str(self.folder),
            "preset": self.manifest.preset,
            "counts": {kind: self._store.count(kind) for kind in KINDS},
            "documents": documents,
            "fingerprint": self.manifest.fingerprint,
            "state": "complete" if complete else "partial",
            "bytes": folder_bytes(self.folder),
            "last_build": asdict(rates[-1]) if rates else None,
            "domains": domains,
            "gate": gate["figures"] if gate else None,
            "notes": [fault] if fault else [],
        }

    def verify(self) -> dict[str, Any]:
        """Compare the store with the journal: passages that are missing, orphaned or altered, by kind and id."""
        found = Findings()
        with opened_journal(self.folder) as journal:
            for _ in check_passages(self._store, journal, found):
                pass
        lists = {"missing": found.missing, "orphaned": found.orphaned, "altered": found.altered}
        problems = {name: [{"kind": row.kind, "id": row.id} for row in rows] for name, rows in lists.items()}
        return {"ok": found.ok, **problems}

    def inspect(self, *, deep: bool = False) -> Findings:
        """As `verify`, and whether image files and vectors are there and sound; all vectors when `deep`."""
        with opened_journal(self.folder) as journal:
            return inspect(self._checked(journal), deep=deep)

    def repair(self, *, deep: bool = False) -> tuple[Findings, Repair]:
        """Inspect, delete what no document gave, and un-mark what is missing for the next build."""
        with build_lock(self.folder), opened_journal(self.folder) as journal:
            checked = self._checked(journal)
            found = inspect(checked, deep=deep)
            repaired = repair(checked, found)
            refresh_fitted(self.folder, self._store, self.manifest)
        return found, repaired

    def _checked(self, journal: Journal) -> Checked:
        return Checked(self.folder, self._store, journal, self._parts.channels())

    def remove(self, names: Sequence[str]) -> dict[str, int]:
        """Remove documents by name; returns the passages removed by kind. Raises UsageError for an unknown name."""
        before = Counter({kind: self._store.count(kind) for kind in KINDS})
        with build_lock(self.folder), opened_journal(self.folder) as journal:
            documents = {name: journal.named(name) for name in names}
            unknown = sorted(name for name, found in documents.items() if not found)
            if unknown:
                known = ", ".join(sorted({str(row["name"]) for row in journal.documents()})) or "none"
                raise UsageError(f"no document {', '.join(unknown)} in {self.folder}; documents are: {known}")
            for name, found in documents.items():
                # The journal comes last: stopped before, the same command finds the document again and goes on.
                remove_passages(name, [source for _, source in found], self._store)
                for sha256, _ in found:
                    shutil.rmtree(self.folder / "images" / sha256[:16], ignore_errors=True)
                journal.forget(found, name)
            refresh_fitted(self.folder, self._store, self.manifest)
        return {kind: before[kind] - self._store.count(kind) for kind in KINDS}

    @property
    def store(self) -> Store:
        """The store behind this library."""
        return self._store

    def close(self) -> None:
        """Release the store, and delete the pictures made of DICOM query images."""
        self._pictures.close()
        self._store.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
