"""Which form a fact file has, by its name and its first lines, and its rows. docs/facts.md shows every form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from indexers.sources.fact_annotations import annotation_rows, is_annotation_header, ontology_beside
from indexers.sources.fact_codes import code_rows, looks_like_codes
from indexers.sources.fact_lists import (
    FACET_COLUMNS,
    INDICATION_COLUMNS,
    facet_rows,
    glossary_rows,
    indication_rows,
    is_glossary_header,
    looks_like_glossary,
)
from indexers.sources.fact_obo import count_ontology_rows, ontology_rows
from indexers.sources.fact_rows import Row
from indexers.sources.fact_signs import check_signs, sign_rows
from indexers.sources.fact_tables import filled_lines, read_header, triple_header, triple_rows
from rag.errors import SourceError

Form = Literal["triples", "ontology", "annotations", "facets", "indications", "glossary", "codes", "signs"]

SUFFIXES = (".tsv", ".csv", ".obo", ".hpoa", ".json", ".txt")
"""Endings of fact files; each may have .gz behind it."""
UNSURE_SUFFIXES = (".json", ".txt")
"""Endings that other files have as well: of a folder, only those whose content has a known form are facts."""

_READERS: Mapping[Form, Callable[[Path], Iterator[Row]]] = MappingProxyType(
    {
        "triples": triple_rows, "ontology": ontology_rows, "annotations": annotation_rows, "facets": facet_rows,
        "indications": indication_rows, "glossary": glossary_rows, "codes": code_rows, "signs": sign_rows,
    }
)  # fmt: skip


def plain_name(path: Path) -> str:
    """A fact file's name without its extensions."""
    return Path(_unpacked_name(path)).stem


def suffix_of(path: Path) -> str:
    """A file's ending in lower case, that of the packed file for a .gz."""
    return Path(_unpacked_name(path)).suffix.lower()


def _unpacked_name(path: Path) -> str:
    return path.name[:-3] if path.name.lower().endswith(".gz") else path.name


def form_of(path: Path) -> Form:
    """The form of a fact file.

    Raises SourceError when it has none, with what was expected; whether a table of triples names its columns, and an
    ontology has terms, is found when it is read.
    """
    suffix = suffix_of(path)
    if suffix == ".obo":
        return "ontology"
    if suffix == ".json":
        check_signs(path)
        return "signs"
    if suffix == ".txt" and _begins_as_ontology(path):
        return "ontology"
    if suffix in {"", ".txt"} and looks_like_codes(path):
        return "codes"
    return _form_of_table(path, suffix)


def _begins_as_ontology(path: Path) -> bool:
    first = next(filled_lines(path), None)
    return first is not None and first.text.startswith("format-version:")


def _form_of_table(path: Path, suffix: str) -> Form:
    header = read_header(path)
    if is_annotation_header(header):
        return "annotations"
    if suffix == ".hpoa":
        raise SourceError("the first line below the comments must name database_id, disease_name and hpo_id")
    if header.has(*FACET_COLUMNS):
        return "facets"
    if header.has(*INDICATION_COLUMNS) and not header.has("head"):
        return "indications"
    if is_glossary_header(header) or looks_like_glossary(path):
        return "glossary"
    if suffix != ".txt" or header.has("head", "relation", "tail"):
        return "triples"
    raise SourceError(
        "a .txt file of facts is a list of ICD-10-CM codes, a glossary or a table of triples with its columns named; "
        "this one is none of them"
    )


def read_rows(path: Path) -> Iterator[Row]:
    """Every triple and every bad line of a fact file, streamed. Raises SourceError when it has no usable form."""
    yield from _READERS[form_of(path)](path)


def count_rows(path: Path) -> int:
    """How many rows `read_rows` gives; of an ontology, at least as many. Raises SourceError like it."""
    form = form_of(path)
    if form == "ontology":
        return count_ontology_rows(path)
    if form == "triples":
        header = triple_header(path)
        return sum(1 for line in filled_lines(path) if line.number > header.number)
    return sum(1 for _ in _READERS[form](path))


def read_beside(path: Path) -> Path | None:
    """Another file that says what this one means, and is part of its content: the ontology of HPO annotations."""
    return ontology_beside(path) if form_of(path) == "annotations" else None
