"""What an extractor is, what it is told about its text, and what it needs of a concept linker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from knowledge.triples import Statement, Tier

Style = Literal["report", "caption", "definition"]
"""How a text speaks: a report of one study, the legend of a picture, or sentences that hold in general."""

Category = Literal["anatomy", "observation", "other"]
"""A body part; what is seen or suffered; or another thing that a definition speaks of (a drug, an organism, a test)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a text comes from, for the support of every statement read out of it.

    `subject` is the key of what a report's or caption's findings are found in when nothing else is said. It is the head
    of `has_finding`; empty leaves those statements out.
    """

    document: str
    passage: str
    style: Style = "report"
    tier: Tier = "report"
    subject: str = "study"
    name: str = ""
    license: str = ""


@runtime_checkable
class LinkedSpan(Protocol):
    """A concept that a linker found: it stands at `text[start:end]`; `concept` is its key, `name` its name."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def concept(self) -> str: ...

    @property
    def name(self) -> str: ...


@runtime_checkable
class SpanLinker(Protocol):
    """Finds concepts in text; `knowledge.linking.Linker` is one. Of two spans that overlap the longer is used."""

    def link(self, text: str) -> Sequence[LinkedSpan]: ...


CategoryOf = Callable[[str], Category | None]
"""What kind of thing a concept is, by its key; None where that is not known."""


@runtime_checkable
class TripleExtractor(Protocol):
    """Reads statements out of a passage. Never raises because of what the text says; nothing found is an empty list."""

    def extract(self, text: str, source: Source) -> list[Statement]: ...
