"""Readers of triple files: TSV and comma-separated with named columns, `#`-separated, and OBO ontologies."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

from indexers.sources.characters import clean
from indexers.sources.lines import TextLine, read_lines
from rag.errors import SourceError
from rag.types import Polarity

MAX_LINE = 64 << 10
_REQUIRED = ("head", "relation", "tail")
_OPTIONAL = ("polarity", "source", "license")
_POLARITIES = frozenset(get_args(Polarity))
_OBO_TAGS = ("is_a:", "relationship:", "synonym:", "def:")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_MODIFIERS = re.compile(r"\s*\{[^{}]*\}\s*$")


class Row(NamedTuple):
    """One triple as read, or the problem with its line. `line` counts from 1."""

    line: int
    head: str = ""
    relation: str = ""
    tail: str = ""
    polarity: str = "present"
    source: str = ""
    license: str = ""
    problem: str = ""


def plain_name(path: Path) -> str:
    """A fact file's name without its extensions."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem


def is_obo(path: Path) -> bool:
    """Whether a file is an OBO ontology, by its name."""
    return path.name.lower().endswith((".obo", ".obo.gz"))


def read_rows(path: Path) -> Iterator[Row]:
    """Every triple and every bad line of a fact file, streamed. Raises SourceError when it has no usable form."""
    return _obo_rows(path) if is_obo(path) else _table_rows(path)


def count_rows(path: Path) -> int:
    """At least as many rows as `read_rows` gives, without reading what they mean."""
    lines = read_lines(path, MAX_LINE)
    if is_obo(path):
        return sum(1 for line in lines if line.problem or line.text.startswith(_OBO_TAGS))
    return max(sum(1 for line in lines if line.problem or line.text.strip()) - 1, 0)


def _table_rows(path: Path) -> Iterator[Row]:
    lines = (line for line in read_lines(path, MAX_LINE) if line.problem or line.text.strip())
    header = next(lines, None)
    if header is None:
        raise SourceError("the file is empty")
    separator = _separator(path, header)
    places = _places(_split(header.text, separator), separator)
    n_columns = len(_split(header.text, separator))
    for line in lines:
        if line.problem:
            yield Row(line.number, problem=line.problem)
            continue
        cells = [cell.strip() for cell in _split(clean(line.text), separator)]
        if len(cells) != n_columns:
            yield Row(line.number, problem=f"{len(cells)} columns where the header has {n_columns}")
        else:
            yield _row(line.number, {name: cells[place] for name, place in places.items()})


def _row(number: int, cells: dict[str, str]) -> Row:
    empty = [name for name in _REQUIRED if not cells[name]]
    polarity = cells.get("polarity", "").lower() or "present"
    problem = f"empty {' and '.join(empty)}" if empty else ""
    if polarity not in _POLARITIES:
        problem = f"polarity {polarity!r} is none of {', '.join(sorted(_POLARITIES))}"
    return Row(number, cells["head"], cells["relation"], cells["tail"], polarity, cells.get("source", ""),
               cells.get("license", ""), problem)  # fmt: skip


def _separator(path: Path, header: TextLine) -> str:
    if not path.name.lower().endswith(".csv"):
        return "\t"
    return "#" if "#" in header.text else ","


def _split(text: str, separator: str) -> list[str]:
    return next(csv.reader([text])) if separator == "," else text.split(separator)


def _places(names: list[str], separator: str) -> dict[str, int]:
    """Column of each field. `#`-separated files name their three columns as they like."""
    names = [name.strip().lower() for name in names]
    if separator == "#" and len(names) == len(_REQUIRED):
        return dict(zip(_REQUIRED, range(3), strict=True))
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise SourceError(
            f"the first line must name the columns head, relation and tail; it lacks {', '.join(missing)}"
        )
    return {name: names.index(name) for name in (*_REQUIRED, *_OPTIONAL) if name in names}


class _Stanza(NamedTuple):
    """Lines of an OBO stanza as (number, tag, value)."""

    kind: str
    tags: tuple[tuple[int, str, str], ...]
    problems: tuple[Row, ...]

    def first(self, tag: str) -> str:
        return next((value for _, name, value in self.tags if name == tag), "")


def _stanzas(path: Path) -> Iterator[_Stanza]:
    kind, tags, problems = "header", list[tuple[int, str, str]](), list[Row]()
    for line in read_lines(path, MAX_LINE):
        text = line.text.strip()
        if line.problem:
            problems.append(Row(line.number, problem=line.problem))
        elif text.startswith("[") and text.endswith("]"):
            yield _Stanza(kind, tuple(tags), tuple(problems))
            kind, tags, problems = text[1:-1], [], []
        elif ":" in text and not text.startswith("!"):
            tag, _, value = text.partition(":")
            tags.append((line.number, tag, value.strip()))
    yield _Stanza(kind, tuple(tags), tuple(problems))


def _obo_rows(path: Path) -> Iterator[Row]:
    """Facts of the terms that are not obsolete, with names in place of ids."""
    names: dict[str, str] = {}
    n_terms = 0
    for stanza in _stanzas(path):
        n_terms += stanza.kind == "Term"
        if stanza.kind != "header" and stanza.first("name"):
            names[stanza.first("id")] = _unescaped(stanza.first("name"))
    if not n_terms:
        raise SourceError("the file has no [Term]; it is not an OBO ontology")
    source = ""
    for stanza in _stanzas(path):
        yield from stanza.problems
        if stanza.kind == "header":
            source = stanza.first("ontology")
        elif stanza.kind == "Term" and stanza.first("is_obsolete") != "true":
            yield from _term_rows(stanza, names, source)


def _term_rows(stanza: _Stanza, names: dict[str, str], source: str) -> Iterator[Row]:
    term = stanza.first("id")
    head = names.get(term, term)
    for line, tag, value in stanza.tags:
        if f"{tag}:" not in _OBO_TAGS:
            continue
        relation, tail = _relation(tag, value, names)
        if relation and (tag, tail) != ("synonym", head):
            yield _row(line, {"head": head, "relation": relation, "tail": tail, "source": source})


def _relation(tag: str, value: str, names: dict[str, str]) -> tuple[str, str]:
    if tag in {"def", "synonym"}:
        quoted = _QUOTED.match(value)
        text = clean(_unescaped(quoted.group(1))) if quoted else ""
        return ("definition" if tag == "def" else tag), " ".join(text.split())
    target, _, comment = value.partition(" ! ")
    words = _MODIFIERS.sub("", target).split()
    relation = tag if tag == "is_a" else (words.pop(0) if words else "")
    target = words[0] if words else ""
    return relation, names.get(target) or _unescaped(comment.strip()) or target


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: {"n": " ", "t": " ", "W": " "}.get(match.group(1), match.group(1)), text)
