"""Who may play: the small interfaces between the rooms. All are synchronous and batched.

Each has a simple implementation in the package and one contract test class in `rag.testing` that every
implementation passes.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from rag.types import (
    Document,
    Draft,
    Evidence,
    Hit,
    Kind,
    Matrix,
    Passage,
    Point,
    Prefetch,
    Query,
    Unit,
    Vector,
    VectorSpec,
)


@runtime_checkable
class Parser(Protocol):
    """Reads one kind of source file."""

    def open(self, path: Path) -> Document:
        """Identify a file. Raises SourceError when it cannot be used at all."""
        ...

    def parse(self, document: Document, done: Container[str]) -> Iterator[Unit]:
        """Yield the document's units in order, leaving out those whose key is in `done`.

        A bad item becomes a `Skipped` inside its unit. Raises SourceError when the rest of the file is unreadable.
        """
        ...


@runtime_checkable
class Encoder(Protocol):
    """Turns queries and passages into vectors of one space, one channel of the index.

    Rows of dense and multi vectors have unit length. The result for an item does not depend on the batch it is in
    beyond the rounding of quantised models. None means that the item has nothing this encoder reads.
    """

    @property
    def spec(self) -> VectorSpec: ...

    @property
    def fingerprint(self) -> str:
        """Identifies weights and every setting that changes the vectors."""
        ...

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]: ...

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]: ...


@runtime_checkable
class Localizer(Protocol):
    """Knows where on a page the rows of an encoder's multivector were read from: what similarity maps are made of."""

    def row_boxes(self, passage: Passage) -> Matrix:
        """One box per row of the passage's vector, shape (n_rows, 4).

        x0, y0, x1, y1 are fractions of the page's width and height, in [0, 1] from the top left corner; NaN for a row
        that stands for no place (a prompt's token).
        """
        ...


@runtime_checkable
class Store(Protocol):
    """Keeps points, one collection per passage kind. Raises StoreError when the engine fails.

    Filters map a field of `rag.filters` to accepted values: a hit must match one value of every field.
    """

    @property
    def specs(self) -> Mapping[Kind, tuple[VectorSpec, ...]]: ...

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points; the same id again replaces the earlier one. Durable when the call returns."""
        ...

    def search(
        self,
        kind: Kind,
        channel: str,
        vector: Vector,
        k: int,
        filters: Mapping[str, tuple[str, ...]],
        prefetch: Prefetch | None = None,
    ) -> list[Hit]:
        """The k best passages of one channel, best first, ties by id ascending; layouts are left out.

        Each hit notes its rank and score under the channel's name. With `prefetch` only the first stage's passages
        are scored, inside the engine; scores are those of the exact search. Filters hold for both stages.

        dense: dot product. multi: MaxSim, summed over query rows. sparse: IDF-weighted dot product.
        """
        ...

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages with these ids, whole, in the order asked for; unknown ids are left out."""
        ...

    def points(self, ids: Sequence[str]) -> list[Point]:
        """As `get`, with every vector as it is stored (of a quantised channel, the numbers kept for rescoring)."""
        ...

    def ids(self, kind: Kind) -> Iterator[str]:
        """Every stored id of a kind, ascending."""
        ...

    def count(self, kind: Kind) -> int: ...

    def delete(self, kind: Kind, document: str) -> None:
        """Remove all passages of a document of one kind."""
        ...

    def optimize(self) -> None:
        """Compact after a build. Never changes what is found."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Retriever(Protocol):
    """Finds passages for a query."""

    def retrieve(self, query: Query, k: int) -> list[Hit]: ...


@runtime_checkable
class Reranker(Protocol):
    """Reorders hits by reading query and passage together. Keeps the set of hits, changes score and order."""

    def rerank(self, query: Query, hits: Sequence[Hit]) -> list[Hit]: ...


@runtime_checkable
class Router(Protocol):
    """Says how much each passage kind matters for a query: a weight in [0, 1] per kind; 0 leaves it out."""

    def route(self, query: Query) -> Mapping[Kind, float]: ...


@runtime_checkable
class Selector(Protocol):
    """Decides how many hits become evidence. Keeps order; every dropped hit keeps its reason."""

    def select(self, query: Query, hits: Sequence[Hit]) -> Evidence: ...


@runtime_checkable
class Generator(Protocol):
    """Drafts an answer from evidence. Every claim names a passage of the evidence and quotes it."""

    def generate(self, query: Query, evidence: Evidence) -> Draft: ...


@runtime_checkable
class Judge(Protocol):
    """Says how far a quote supports a claim, in [0, 1]."""

    def support(self, claim: str, quote: str) -> float: ...
