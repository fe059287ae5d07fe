"""Tables with named columns: their header, their cells, and the triples of those that name head, relation and tail."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from indexers.sources.characters import clean
from indexers.sources.fact_rows import MAX_LINE, Origin, Row, Triple, fact_row
from indexers.sources.lines import TextLine, read_lines
from rag.errors import SourceError

_REQUIRED = ("head", "relation", "tail")


class Header(NamedTuple):
    """The first line of a table. `number` is its line, `names` its columns in lower case without quotes."""

    number: int
    names: tuple[str, ...]
    separator: str
    quoted: bool

    def has(self, *names: str) -> bool:
        """Whether all these columns are there."""
        return set(names) <= set(self.names)


class Cells(NamedTuple):
    """One line of a table by column, or the problem with it."""

    line: int
    values: Mapping[str, str]
    problem: str = ""


def filled_lines(path: Path) -> Iterator[TextLine]:
    """The lines of a file that hold something."""
    return (line for line in read_lines(path, MAX_LINE) if line.problem or line.text.strip())


def read_header(path: Path) -> Header:
    """The header of a table; comment lines above it are passed over. Raises SourceError when the file is empty.

    A .csv file has commas, or `#`, between its columns, any other has tabs. Where the header stands in double quotes
    its cells do too, and lose them.
    """
    is_csv = ".csv" in path.suffixes[-2:] or path.name.lower().endswith((".csv", ".csv.gz"))
    for line in filled_lines(path):
        text = clean(line.text)
        if text.startswith("#") and not _is_named_comment(text):
            continue
        separator = ("#" if "#" in text else ",") if is_csv else "\t"
        quoted = separator == "," or text.startswith('"')
        names = tuple(name.strip().strip('"').lower() for name in _split(text.lstrip("#"), separator, quoted=quoted))
        # A table may quote its cells and not its header: "?id" is how SPARQL tools write one, and they quote.
        return Header(line.number, names, separator, quoted or names[0].startswith("?"))
    raise SourceError("the file is empty")


def _is_named_comment(text: str) -> bool:
    """Old HPO annotation files write their header as a comment."""
    return text.lower().startswith("#databaseid\t")


def read_cells(path: Path, header: Header) -> Iterator[Cells]:
    """The lines below the header."""
    for line in filled_lines(path):
        if line.number <= header.number:
            continue
        if line.problem:
            yield Cells(line.number, {}, line.problem)
            continue
        cells = [cell.strip() for cell in _split(clean(line.text), header.separator, quoted=header.quoted)]
        if len(cells) != len(header.names):
            yield Cells(line.number, {}, f"{len(cells)} columns where the header has {len(header.names)}")
        else:
            yield Cells(line.number, dict(zip(header.names, cells, strict=True)))


def _split(text: str, separator: str, *, quoted: bool) -> list[str]:
    if not quoted or '"' not in text:
        return text.split(separator)
    between = f'"{separator}"'
    if text[0] == text[-1] == '"' and text.count('"') == 2 * text.count(between) + 2:
        return text[1:-1].split(between)  # every cell is quoted and none holds a quote: four times as fast as csv
    try:
        return next(csv.reader([text], delimiter=separator))
    except csv.Error:
        return text.split(separator)


def triple_rows(path: Path) -> Iterator[Row]:
    """Every triple and every bad line of a table of triples. Raises SourceError when its columns are not named."""
    header = triple_header(path)
    for line, cells, problem in read_cells(path, header):
        if problem:
            yield Row(line, problem=problem)
            continue
        origin = Origin(
            cells.get("source", ""), cells.get("license", ""), cells.get("version", ""),
            cells.get("tier", "").lower() or "ontology",
        )  # fmt: skip
        polarity, change = cells.get("polarity", "").lower() or "present", cells.get("change", "").lower() or "none"
        yield fact_row(line, Triple(cells["head"], cells["relation"], cells["tail"], polarity, change), origin)


def triple_header(path: Path) -> Header:
    """The header of a table of triples; `#`-separated files name their three columns as they like."""
    header = read_header(path)
    if header.separator == "#" and len(header.names) == len(_REQUIRED):
        return header._replace(names=_REQUIRED)
    missing = [name for name in _REQUIRED if name not in header.names]
    if missing:
        raise SourceError(
            f"the first line must name the columns head, relation and tail; it lacks {', '.join(missing)}"
        )
    return header
