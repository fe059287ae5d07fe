"""What the loop may do in the outside world, and nothing else: search, look records up, look closer at an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rag.agent.actions import Fractions
from rag.chat import Deadline
from rag.types import Dropped, Hit, Kind, Passage, Query


@dataclass(frozen=True, slots=True)
class Search:
    """Passages of some kinds for a text, images, or both; `filters` come on top of the question's own."""

    kinds: tuple[Kind, ...]
    text: str
    images: tuple[Path, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The earlier records of the question's own patient, or what they say of one region."""

    region: str = ""


@dataclass(frozen=True, slots=True)
class Closer:
    """Figures and cases that look like a part of an image; `box` in fractions of its width and height."""

    image: Path
    box: Fractions


Call = Search | Timeline | Closer


@dataclass(frozen=True, slots=True)
class Found:
    """What a call gave: hits, best first, those left out with their reasons, notes for readers, and events."""

    hits: tuple[Hit, ...]
    dropped: tuple[Dropped, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ()


@runtime_checkable
class Tools(Protocol):
    """A library as the loop sees it. Guard, router and selector hold for every call, on behalf of the question.

    Thread-safe. Each call gets the deadline and may give less when it is near; it raises a VesaliusError when it fails.
    """

    def first(self, query: Query, kinds: Sequence[Kind], deadline: Deadline) -> Found:
        """The single pass: what the question gets without any loop."""
        ...

    def search(self, query: Query, asked: Search, deadline: Deadline) -> Found:
        """A search made for a question."""
        ...

    def timeline(self, query: Query, asked: Timeline, deadline: Deadline) -> Found:
        """The records of the question's patient from before its day."""
        ...

    def closer(self, query: Query, asked: Closer, deadline: Deadline) -> Found:
        """A search with a part of an image."""
        ...

    def passages(self, ids: Sequence[str]) -> list[Passage]:
        """Whole passages by id, in this order; unknown ids are left out."""
        ...


def call(tools: Tools, query: Query, asked: Call, deadline: Deadline) -> Found:
    """Do what is asked."""
    if isinstance(asked, Search):
        return tools.search(query, asked, deadline)
    if isinstance(asked, Timeline):
        return tools.timeline(query, asked, deadline)
    return tools.closer(query, asked, deadline)
