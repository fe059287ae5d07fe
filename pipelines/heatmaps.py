"""Where on its pages a query was found: a map of each page hit, and the regions that it points at.

Maps are made of the stored rows that the search itself compared, so nothing is encoded but the query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.answer_cards import PageImage
from rag.errors import QueryError, SourceError, UsageError
from rag.protocols import Localizer
from rag.regions import Region, best_regions
from rag.retrievers import LATE, Channel
from rag.similarity import (
    TokenNames,
    contributions,
    grid_shape,
    page_size,
    paint,
    places_of,
    similarities,
    telling,
    whole_query,
    word_values,
    words_of,
)
from rag.types import Hit, Kind, Matrix, Passage, Point, Query

if TYPE_CHECKING:
    from pipelines.library import Library

PAGES_AT_ONCE = 20
"""Pages of a document whose figures are looked for in one search, which reads the first 100 of each channel."""
MOST_FIGURES = 1000

Values = npt.NDArray[np.float32]


class MapSource(Protocol):
    """What maps read of a library."""

    def points(self, ids: Sequence[str]) -> list[Point]:
        """Whole passages with their vectors; unknown ids are left out."""
        ...

    def page_image(self, passage: Passage) -> PageImage | None:
        """The image of a page."""
        ...

    def search(self, query: Query, k: int, kinds: Sequence[Kind], *, rerank: bool) -> list[Hit]:
        """Passages found for a query."""
        ...


class WordMap(NamedTuple):
    """A word of the query, what it adds to the page's MaxSim score, and how far each place stands out for it.

    Values lie in [0, 1]. The name is empty for a row of the query that stands for no word.
    """

    name: str
    score: float
    values: Values


@dataclass(frozen=True, slots=True)
class PageMap:
    """Where one page was matched, or, in `reason`, why that cannot be told.

    `places` are boxes as fractions of the page, shape (n, 4). `words` are the query's, in its order.
    """

    hit: Hit
    rank: int
    passage: Passage
    figures: tuple[Passage, ...] = ()
    places: Matrix | None = None
    words: tuple[WordMap, ...] = ()
    reason: str = ""

    @property
    def whole(self) -> Values:
        """The values by place for the query as a whole."""
        return whole_query(np.stack([word.values for word in self.words]))

    @property
    def score(self) -> float:
        """The page's MaxSim score in the channel that the map was read from."""
        return sum(word.score for word in self.words)

    def regions(self, values: Values | None = None) -> tuple[Region, ...]:
        """The lines and figures that the whole map, or that of one word, points at, best first."""
        size = page_size(self.passage)
        if self.places is None or size is None:
            return ()
        grid = paint(self.places, self.whole if values is None else values, grid_shape(*size))
        return best_regions(grid, self.passage, self.figures)

    def telling_words(self) -> list[WordMap]:
        """The named words that stand out anywhere on the page, those that say most about where to look first."""
        named = [word for word in self.words if word.name and word.values.any()]
        if not named:
            return []
        said = telling(np.stack([word.values for word in named]))
        return [named[i] for i in np.argsort(-said, kind="stable")]


@dataclass(frozen=True, slots=True)
class _Reading:
    """A query as one channel reads it: its vector, a name per row, and what knows where the channel's rows stand."""

    channel: str
    localizer: Localizer
    vector: Matrix
    names: Sequence[str]


class PageMapper:
    """Finds where page hits were matched, in the first channel that can say it and can read the query."""

    def __init__(self, source: MapSource, channels: Sequence[Channel]) -> None:
        """Raises UsageError when no page channel knows where it reads."""
        found = [channel for channel in channels if channel.kind == "page" and isinstance(channel.encoder, Localizer)]
        if not found:
            raise UsageError(
                "heat maps need a page channel that knows where it reads (visual or late), and this library has none; "
                "build one with --preset embedded or --preset visual"
            )
        # What looks at the page says more of its figures than what reads its text.
        self._source, self._channels = source, sorted(found, key=lambda channel: channel.name == LATE)

    def maps(self, query: Query, hits: Sequence[Hit]) -> list[PageMap]:
        """One map per page hit, in the order of the hits. Raises QueryError when no channel can read the query."""
        pages = [(rank, hit) for rank, hit in enumerate(hits, start=1) if hit.passage.kind == "page"]
        if not pages:
            return []
        reading = self._read(query)
        points = {point.passage.id: point for point in self._source.points([hit.passage.id for _, hit in pages])}
        figures = self._figures(query, [hit.passage for _, hit in pages])
        return [
            _page_map(
                PageMap(hit, rank, hit.passage, figures.get(hit.passage.id, ())), points.get(hit.passage.id), reading
            )
            for rank, hit in pages
        ]

    def page_image(self, page: Passage) -> PageImage | None:
        """The image of a page, None when there is none."""
        return self._source.page_image(page)

    def _read(self, query: Query) -> _Reading:
        for channel in self._channels:
            encoder = channel.encoder
            [vector] = encoder.encode_queries([query])
            if isinstance(vector, np.ndarray) and isinstance(encoder, Localizer):
                names = encoder.query_tokens(query) if isinstance(encoder, TokenNames) else []
                # Names that do not fit the rows would put words on the wrong maps; the whole map needs none.
                fitting = names if len(names) == len(vector) else [""] * len(vector)
                return _Reading(channel.name, encoder, vector, fitting)
        tried = ", ".join(channel.name for channel in self._channels)
        raise QueryError(f"no heat map can be drawn: the query has nothing that {tried} reads; give it a text")

    def _figures(self, query: Query, pages: Sequence[Passage]) -> dict[str, tuple[Passage, ...]]:
        """The figures that stand on these pages, by page id, as a search narrowed to the pages finds them."""
        by_document: dict[str, list[str]] = {}
        for page in pages:
            by_document.setdefault(page.document, []).append(str(page.page))
        found: list[Passage] = []
        for document, numbers in by_document.items():
            for start in range(0, len(numbers), PAGES_AT_ONCE):
                places = {"document": (document,), "page": tuple(numbers[start : start + PAGES_AT_ONCE])}
                narrowed = replace(query, filters=places)
                hits = self._source.search(narrowed, MOST_FIGURES, ("figure",), rerank=False)
                found += (hit.passage for hit in hits)
        by_page: dict[str, tuple[Passage, ...]] = {}
        for figure in sorted(found, key=lambda passage: passage.id):
            key = figure.meta.get("page_id", "")
            by_page[key] = (*by_page.get(key, ()), figure)
        return by_page


class LibrarySource:
    """A library as the source of maps."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def points(self, ids: Sequence[str]) -> list[Point]:
        return self._library.store.points(ids)

    def page_image(self, passage: Passage) -> PageImage | None:
        return self._library.page_image(passage)

    def search(self, query: Query, k: int, kinds: Sequence[Kind], *, rerank: bool) -> list[Hit]:
        return self._library.search(query, k, kinds, rerank=rerank)


def _page_map(empty: PageMap, point: Point | None, reading: _Reading) -> PageMap:
    """The map of one page hit, from its stored rows."""
    rows = None if point is None else point.vectors.get(reading.channel)
    if point is None or not isinstance(rows, np.ndarray) or not len(rows):
        return replace(empty, reason=f"the page has no vectors in the channel {reading.channel}")
    try:
        boxes = reading.localizer.row_boxes(point.passage)
    except SourceError as error:
        return replace(empty, reason=str(error))
    if len(boxes) != len(rows):
        return replace(empty, reason=f"{len(rows)} rows are stored, but {len(boxes)} boxes were found for them")
    places, which = places_of(boxes)
    if not len(places) or page_size(point.passage) is None:
        return replace(empty, reason="it is not known where on the page its text stands")
    similarity = similarities(reading.vector, rows)
    words, scores = words_of(reading.names), contributions(similarity)
    values = word_values(similarity, which, [pieces for _, pieces in words])
    made = [WordMap(name, float(scores[pieces].sum()), values[i]) for i, (name, pieces) in enumerate(words)]
    return replace(empty, passage=point.passage, places=places, words=tuple(made))
