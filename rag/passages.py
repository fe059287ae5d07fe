"""The nouns of sources: documents, passages, and where a passage stands.

All are frozen. A step returns a new value (`dataclasses.replace`) instead of changing one.
Coordinates on a page are PDF points, origin at the top left corner. Pages count from 1.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["page", "figure", "case", "fact"]
KINDS: tuple[Kind, ...] = ("page", "figure", "case", "fact")

SourceKind = Literal["pages", "cases", "facts"]
Polarity = Literal["present", "absent", "uncertain"]
Change = Literal["none", "new", "worse", "better", "stable", "resolved"]
"""What a fact says of a finding against an earlier study."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page, in PDF points from the top left corner."""

    x0: float
    y0: float
    x1: float
    y1: float

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each word of a page passage stands: box i belongs to word i of `passage.text.split()`.

    Stored packed (int16 tenths of a point, deflated) because a page holds hundreds of words.
    """

    packed: bytes

    @classmethod
    def from_boxes(cls, boxes: npt.ArrayLike) -> Layout:
        """Pack word boxes of shape (n_words, 4), in points; the error is at most 0.05 pt."""
        tenths = np.rint(np.asarray(boxes, dtype=np.float64).reshape(-1, 4) * 10)
        return cls(zlib.compress(np.clip(tenths, -32768, 32767).astype("<i2").tobytes(), 6))

    def boxes(self) -> npt.NDArray[np.float32]:
        """The word boxes in points, shape (n_words, 4)."""
        tenths = np.frombuffer(zlib.decompress(self.packed), dtype="<i2").reshape(-1, 4)
        return (tenths / 10).astype(np.float32)


@dataclass(frozen=True, slots=True)
class PageLocator:
    """A place in a book: the physical page from 1, and the box of a figure (None for the whole page)."""

    page: int
    box: Box | None = None
    section: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseLocator:
    """A place in a report corpus. `day` counts from the patient's own reference day."""

    record: str
    patient: str | None = None
    study: str | None = None
    day: float | None = None


@dataclass(frozen=True, slots=True)
class FactLocator:
    """A triple of a knowledge graph. An absent finding is another fact than a present one, and so is one that grew."""

    head: str
    relation: str
    tail: str
    polarity: Polarity = "present"
    change: Change = "none"


Locator = PageLocator | CaseLocator | FactLocator


@dataclass(frozen=True, slots=True)
class Document:
    """One source file of a library: a book, a case corpus or a fact file.

    `name` is what users call it (a book's file stem); `sha256` identifies its content.
    `units` is how many units its parser will yield, for progress.
    """

    name: str
    path: Path
    sha256: str
    source: SourceKind
    units: int


@dataclass(frozen=True, slots=True)
class Passage:
    """What is indexed, found and cited: a page, a figure, a case or a fact. Text or image is present.

    `images` are files on this machine. `meta` holds short filterable strings such as domain, modality, source, license.
    `layout` is set for pages with a text layer; a search leaves it out, `Store.get` returns it.
    """

    id: str
    kind: Kind
    document: str
    text: str
    locator: Locator
    images: tuple[Path, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    layout: Layout | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.text.strip() and not self.images:
            raise ValueError(f"passage {self.id} has neither text nor image")

    @property
    def page(self) -> int | None:
        """The page number from 1, for pages and figures."""
        return self.locator.page if isinstance(self.locator, PageLocator) else None

    @property
    def box(self) -> Box | None:
        """The figure's box on its page."""
        return self.locator.box if isinstance(self.locator, PageLocator) else None

    @property
    def section(self) -> tuple[str, ...]:
        """Headings above the passage, outermost first."""
        return self.locator.section if isinstance(self.locator, PageLocator) else ()

    @property
    def record(self) -> str | None:
        """The case record's own id."""
        return self.locator.record if isinstance(self.locator, CaseLocator) else None

    @property
    def fact(self) -> tuple[str, str, str] | None:
        """The triple (head, relation, tail)."""
        locator = self.locator
        return (locator.head, locator.relation, locator.tail) if isinstance(locator, FactLocator) else None
