"""The nouns of Vesalius: what flows from a source file to a checked answer.

All are frozen. A step returns a new value (`dataclasses.replace`) instead of changing one.
Coordinates on a page are PDF points, origin at the top left corner. Pages count from 1.
The nouns of sources stand in `rag.passages`; import all of them from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rag.passages import (
    KINDS,
    Box,
    CaseLocator,
    Change,
    Document,
    FactLocator,
    Kind,
    Layout,
    Locator,
    PageLocator,
    Passage,
    Polarity,
    SourceKind,
)

__all__ = [
    "KINDS", "Answer", "Box", "CaseLocator", "Change", "ChannelScore", "Citation", "Claim", "Document", "Draft",
    "DraftClaim", "Dropped", "Evidence", "FactLocator", "Hit", "Kind", "Layout", "Locator", "Matrix",
    "PageLocator", "Passage", "Point", "Polarity", "Prefetch", "Query", "Skipped", "SourceKind", "SparseVector",
    "Storage", "Unit", "Vector", "VectorForm", "VectorSpec",
]  # fmt: skip

Matrix = npt.NDArray[np.float32]
"""Vectors of one item, float32, shape (n_vectors, dim): one row when dense, many for late interaction."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item that could not be indexed: which file, where in it, at which stage, and why."""

    path: str
    locator: str
    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unit:
    """The step of work that is parsed, encoded, written and marked as a whole (a page, a few cases, some facts).

    Its key is stable across runs, so a resumed build knows what is done; encoding never mixes two units.
    """

    key: str
    passages: tuple[Passage, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A question: text, image or both. `filters` maps a field to the values accepted for it.

    `images` and `prior_images` are files. `options` are the choices of a multiple-choice question, in order.
    `patient` names whose earlier records are looked up, only those before `before_day` when it is given, and only what
    they say about `region` when it is named. `domain` is the kind of picture asked for, by its exact name. `tags` are
    DICOM tags of the image by keyword, of those that name nobody ("Modality"). `study` is the study that the question
    comes from, for the leakage guard.
    """

    text: str = ""
    images: tuple[Path, ...] = ()
    id: str = "query"
    options: tuple[str, ...] = ()
    prior_images: tuple[Path, ...] = ()
    patient: str | None = None
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    before_day: float | None = None
    region: str = ""
    domain: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    study: str | None = None

    def __post_init__(self) -> None:
        # Python users write images=("cxr.png",); the rest of the system sees paths.
        object.__setattr__(self, "images", tuple(Path(image) for image in self.images))
        object.__setattr__(self, "prior_images", tuple(Path(image) for image in self.prior_images))
        if not self.text.strip() and not self.images:
            raise ValueError("a query needs a text or an image")


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term weights: unsigned 32-bit term ids, ascending and unique, with their weights."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


Vector = Matrix | SparseVector

VectorForm = Literal["dense", "multi", "sparse"]

Storage = Literal["f32", "f16", "int8", "turbo8", "turbo4", "binary"]
"""How a store keeps the numbers of a vector: 32 or 16 bits, or quantised to 8, 4 or 1 bits and rescored."""


@dataclass(frozen=True, slots=True)
class VectorSpec:
    """One named vector of a passage kind, called a channel.

    dense: one row, compared by dot product. multi: several rows, compared by MaxSim. sparse: term weights, the
    store multiplies the query's by their inverse document frequency. Rows are unit length, so dot product is cosine.
    `graph`: a large collection may be searched through an approximate nearest-neighbour graph (HNSW) on this channel;
    meant for the few pooled rows of a first stage, never for full multivectors.
    """

    name: str
    form: VectorForm
    dim: int = 0
    storage: Storage = "f32"
    graph: bool = False


@dataclass(frozen=True, slots=True)
class Prefetch:
    """The first stage of a two-stage search: only the `depth` best passages by another channel are scored.

    The same query vector is used; that channel has the same dimensions. It may be searched approximately. `before` is a
    stage before this one, with still fewer rows per passage, for large collections.
    """

    channel: str
    depth: int
    before: Prefetch | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A passage with its vectors by channel, ready to be stored. A channel without a vector is left out."""

    passage: Passage
    vectors: Mapping[str, Vector]


@dataclass(frozen=True, slots=True)
class ChannelScore:
    """Rank (from 1) and raw score of a hit in one channel. Raw scores of two channels are never compared."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found, with the score that ranks it now and what each channel said."""

    passage: Passage
    score: float
    channels: Mapping[str, ChannelScore] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A hit that was found and not kept, with the reason."""

    hit: Hit
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The hits kept for an answer, best first, those dropped, and the budget in words they had to fit.

    `notes` say, by passage id, what a reader must know beside the text: when a record was written, and with what its
    comparisons compare. They are no evidence and may not be quoted.
    """

    hits: tuple[Hit, ...]
    dropped: tuple[Dropped, ...] = ()
    budget_words: int = 0
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DraftClaim:
    """A statement as a generator made it, with the passage it cites and the words it quotes from there."""

    text: str
    passage_id: str
    quote: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a generator returns, before any check. `choice` is the index of an option, from 0.

    `confidence` in [0, 1] is the generator's own estimate that the evidence answers the question.
    """

    claims: tuple[DraftClaim, ...]
    choice: int | None = None
    confidence: float = 0.0
    usage: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Citation:
    """The number n that a claim shows, and what stands behind it: a passage, the quoted words and their boxes.

    `box` covers the whole quote; `lines` holds one box per printed line of it.
    """

    n: int
    passage: Passage
    quote: str
    box: Box | None = None
    lines: tuple[Box, ...] = ()

    @property
    def document(self) -> str:
        """The cited document's name."""
        return self.passage.document

    @property
    def page(self) -> int | None:
        """The cited page, from 1."""
        return self.passage.page


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of an answer: the numbers of its citations, its support in [0, 1], and each check's outcome."""

    text: str
    citations: tuple[int, ...]
    support: float
    checks: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Answer:
    """A grounded answer, or an abstention with its reason. `choice` is the chosen option's letter."""

    id: str
    text: str
    claims: tuple[Claim, ...]
    citations: tuple[Citation, ...]
    evidence: Evidence
    choice: str | None = None
    abstained: bool = False
    reason: str | None = None
    confidence: float = 0.0
    stop_reason: str = "answered"
    usage: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    trace: tuple[Mapping[str, Any], ...] = ()
