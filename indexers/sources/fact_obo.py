"""Ontologies in the OBO format, versions 1.2 and 1.4.

The format: https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from indexers.sources.characters import clean
from indexers.sources.fact_rows import MAX_LINE, Origin, Row, Triple, fact_row, license_beside, noted
from indexers.sources.lines import read_lines
from rag.errors import SourceError

FACT_TAGS = ("is_a", "relationship", "synonym", "def")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_MODIFIERS = re.compile(r"\s*\{[^{}]*\}\s*$")
_LICENSE_PROPERTY = re.compile(r"[:/]license\s+(?:\"([^\"]*)\"|(\S+))")
"""dc:license, dcterms:license, or the whole address of either."""
_VERSION_PROPERTY = re.compile(r"owl:versionInfo\s+(?:\"([^\"]*)\"|(\S+))")
_DATE = re.compile(r"\d{4}-\d{2}(?:-\d{2})?")
_MOST_XREFS = 32
_NO_TERM = "the file has no [Term]; it is not an OBO ontology"


class Stanza(NamedTuple):
    """Lines of an OBO stanza as (number, tag, value)."""

    kind: str
    tags: tuple[tuple[int, str, str], ...]
    problems: tuple[Row, ...]

    def first(self, tag: str) -> str:
        """The value of a tag, without the comment and the modifiers behind it; empty when it is not there."""
        return next((value for _, name, value in self.tags if name == tag), "")

    def all(self, tag: str) -> list[str]:
        """Every value of a tag."""
        return [value for _, name, value in self.tags if name == tag]


@dataclass(slots=True)
class Terms:
    """The names of an ontology's terms by id, those of their older ids among them, and where the ontology is from."""

    names: dict[str, str] = field(default_factory=dict)
    current: dict[str, str] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)

    def current_id(self, term: str) -> str:
        """The id that stands for this one today: itself, unless it was merged into another or replaced."""
        for _ in range(len(self.current)):  # a chain of replacements; a circle of them ends here
            if self.current.get(term, term) == term:
                break
            term = self.current[term]
        return term

    def name(self, term: str) -> str:
        """The name of a term; empty when the ontology does not hold it."""
        return self.names.get(self.current_id(term)) or self.names.get(term, "")


def read_terms(path: Path) -> Terms:
    """The names in an ontology. Raises SourceError when it has no term."""
    terms = Terms()
    n_terms = 0
    for stanza in _stanzas(path):
        if stanza.kind == "header":
            terms.origin = _origin(path, stanza)
            continue
        n_terms += stanza.kind == "Term"
        term = stanza.first("id")
        if stanza.first("name"):
            terms.names.setdefault(term, _sentence(stanza.first("name")))
        for other in stanza.all("alt_id"):
            terms.current.setdefault(_target(other), term)
        if _is_obsolete(stanza) and stanza.first("replaced_by"):
            terms.current[term] = _target(stanza.first("replaced_by"))
    if not n_terms:
        raise SourceError(_NO_TERM)
    return terms


def ontology_rows(path: Path) -> Iterator[Row]:
    """Facts of the terms that are not obsolete, with names in place of ids.

    A parent that the file does not hold keeps the name in its comment, or its id. Circles of parents are kept as they
    are; a term that is its own parent is a problem. Cross-references and older ids are notes of a term's first fact.
    """
    terms = read_terms(path)
    for stanza in _stanzas(path):
        yield from stanza.problems
        if stanza.kind == "Term" and not _is_obsolete(stanza):
            yield from _term_rows(stanza, terms)


def count_ontology_rows(path: Path) -> int:
    """At least as many rows as `ontology_rows` gives, without reading what they mean. Raises SourceError like it."""
    tags = tuple(f"{tag}:" for tag in FACT_TAGS)
    n_rows = n_terms = 0
    for line in read_lines(path, MAX_LINE):
        n_rows += bool(line.problem) or line.text.startswith(tags)
        n_terms += line.text.strip() == "[Term]"
    if not n_terms:
        raise SourceError(_NO_TERM)
    return n_rows


def _stanzas(path: Path) -> Iterator[Stanza]:
    kind, tags, problems = "header", list[tuple[int, str, str]](), list[Row]()
    for line in read_lines(path, MAX_LINE):
        text = line.text.strip()
        if line.problem:
            problems.append(Row(line.number, problem=line.problem))
        elif text.startswith("[") and text.endswith("]"):
            yield Stanza(kind, tuple(tags), tuple(problems))
            kind, tags, problems = text[1:-1], [], []
        elif ":" in text and not text.startswith("!"):
            tag, _, value = text.partition(":")
            tags.append((line.number, tag, value.strip()))
    yield Stanza(kind, tuple(tags), tuple(problems))


def _origin(path: Path, header: Stanza) -> Origin:
    properties = "\n".join(header.all("property_value"))
    version = header.first("data-version") or _group(_VERSION_PROPERTY.search(properties))
    date = _DATE.search(version)
    license_text = _group(_LICENSE_PROPERTY.search(properties)) or license_beside(path)
    return Origin(header.first("ontology"), license_text, date.group(0) if date else version)


def _group(found: re.Match[str] | None) -> str:
    return next((group for group in found.groups() if group), "") if found else ""


def _is_obsolete(stanza: Stanza) -> bool:
    return _target(stanza.first("is_obsolete")).lower() == "true"


def _term_rows(stanza: Stanza, terms: Terms) -> Iterator[Row]:
    term = stanza.first("id")
    head = terms.names.get(term, term)
    about = noted(
        ("head_id", term),
        ("head_alt_ids", " ".join(map(_target, stanza.all("alt_id")))),
        ("head_xrefs", " ".join(islice(map(_target, stanza.all("xref")), _MOST_XREFS))),
    )
    for line, tag, value in stanza.tags:
        if tag not in FACT_TAGS:
            continue
        relation, target, tail = _relation(tag, value, terms)
        if tag == "synonym" and tail == head:
            continue
        if target and target == term:
            yield Row(line, problem=f"{term} stands in the relation {relation} to itself")
        elif relation:
            yield fact_row(line, Triple(head, relation, tail), terms.origin, (*about, *noted(("tail_id", target))))
            about = noted(("head_id", term))


def _relation(tag: str, value: str, terms: Terms) -> tuple[str, str, str]:
    """Relation, id of the tail (empty for texts), and tail."""
    if tag in {"def", "synonym"}:
        quoted = _QUOTED.match(value)
        return ("definition" if tag == "def" else tag), "", _sentence(quoted.group(1)) if quoted else ""
    target, _, comment = value.partition(" ! ")
    words = _MODIFIERS.sub("", target).split()
    relation = tag if tag == "is_a" else (words.pop(0) if words else "")
    target = terms.current_id(words[0]) if words else ""
    return relation, target, terms.name(target) or _sentence(comment) or target


def _target(value: str) -> str:
    """The first word of a value: an id without its comment, modifiers and quoted name."""
    return (value.split(maxsplit=1) or [""])[0]


def _sentence(text: str) -> str:
    return " ".join(clean(_ESCAPE.sub(_unescaped, text)).split())


def _unescaped(match: re.Match[str]) -> str:
    return {"n": " ", "t": " ", "W": " "}.get(match.group(1), match.group(1))
