"""Writing the sample library's sources: a handbook, case records, facts and gold questions."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

VERSION = "1"
STAMP = "sample-version.txt"


@dataclass(frozen=True, slots=True)
class SampleSources:
    """Where the parts of the sample library lie; `queries` is a folder of question files."""

    handbook: Path
    cases: Path
    facts: Path
    queries: Path


def write_sample(folder: Path) -> SampleSources:
    """Writes the sample library's sources into a folder and says where they are; does nothing if they are there.

    The work happens in a sibling folder that is renamed at the end, so an interrupted call leaves no half library.
    An older version of the library in the folder is replaced.

    Raises:
        FileExistsError: if the folder holds files that are not a sample library.
    """
    stamp = folder / STAMP
    if not stamp.is_file() or stamp.read_text(encoding="utf-8").strip() != VERSION:
        _refuse_foreign(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _write(draft)
            if folder.exists():
                shutil.rmtree(folder)
            draft.chmod(0o777 & ~_umask())
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        logger.info("sample library version %s written to %s", VERSION, folder)
    return _sources(folder)


def _sources(folder: Path) -> SampleSources:
    return SampleSources(
        handbook=folder / "handbook.pdf",
        cases=folder / "cases" / "records.jsonl",
        facts=folder / "facts" / "triples.tsv",
        queries=folder / "queries",
    )


def _refuse_foreign(folder: Path) -> None:
    known = {"handbook.pdf", "cases", "facts", "queries", STAMP}
    foreign = sorted(item.name for item in folder.iterdir() if item.name not in known) if folder.exists() else []
    if foreign:
        raise FileExistsError(f"{folder} holds {foreign[0]!r}, which is no part of a sample library; name a new folder")


def _write(folder: Path) -> None:
    # Imported here: drawing and PyMuPDF must not load with the package.
    from pipelines.sample.gold import write_questions
    from pipelines.sample.records import write_records
    from pipelines.sample.triples import write_triples
    from pipelines.sample.typeset import write_handbook

    sources = _sources(folder)
    book = write_handbook(sources.handbook)
    write_records(sources.cases.parent)
    write_triples(sources.facts, {entry.title.split()[0]: entry.title for entry in book.outline if entry.depth == 3})
    write_questions(sources.queries, sources.cases.parent, book)
    (folder / STAMP).write_text(VERSION + "\n", encoding="utf-8")


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
