"""What an index card asks, and of which pages: the user's own query rows, or sentences out of the pages themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from eval.datasets import QueryItem
from eval.gold import unit_of
from rag.errors import QueryError
from rag.protocols import Encoder, Store
from rag.sentences import split_sentences
from rag.types import Matrix, Passage, Query, SparseVector

T = TypeVar("T")

_BATCH = 256
_WORDS = range(8, 31)
"""Words of a sentence that is put as a query: as long as what people ask, and enough to mean something."""
SENTENCES = "sentences"
"""The name of the set of queries that were made from the pages' own sentences."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A query row with its vector, shape (n_rows, dim)."""

    item: QueryItem
    vector: Matrix


@dataclass(frozen=True, slots=True)
class CardPages:
    """The pages that a card is measured on, with their stored rows.

    `held` is how many pages the library holds; `rowless` is how many of those looked at have no rows in the channel.
    """

    passages: tuple[Passage, ...]
    rows: tuple[Matrix, ...]
    held: int
    rowless: int = 0

    @property
    def sampled(self) -> bool:
        """Whether only a part of the library was looked at."""
        return len(self.rows) + self.rowless < self.held

    @property
    def mean_rows(self) -> float:
        """Rows per page."""
        return sum(map(len, self.rows)) / len(self.rows)

    @property
    def dim(self) -> int:
        """Numbers per row."""
        return int(self.rows[0].shape[1])


def judged_items(items: Sequence[QueryItem], limit: int) -> list[QueryItem]:
    """Rows that have a page as gold, at most `limit` of each set, evenly spaced over the set.

    Raises:
        QueryError: no row has a page as gold.
    """
    by_set: dict[str, list[QueryItem]] = {}
    for item in items:
        if any(unit[0] == "page" for unit in item.gold):
            by_set.setdefault(item.set_name, []).append(item)
    if not by_set:
        raise QueryError('no query row has a page as "gold"; add {"source": "page", "book": ..., "page": ...} entries')
    return [item for rows in by_set.values() for item in spaced(rows, limit)]


def read_pages(store: Store, channel: str, items: Sequence[QueryItem], limit: int) -> CardPages:
    """Pages with rows in a channel, at most `limit`: those that queries ask for first, the rest evenly spaced.

    Raises:
        QueryError: no page has rows in the channel.
    """
    wanted = {unit for item in items for unit in item.gold}
    ids = list(store.ids("page"))
    chosen = ids if len(ids) <= limit else _sampled(store, ids, wanted, limit)
    passages, rows = [], []
    for batch in _batches(chosen):
        for point in store.points(batch):
            vector = point.vectors.get(channel)
            if vector is not None and not isinstance(vector, SparseVector) and len(vector):
                passages.append(point.passage)
                rows.append(vector)
    if not rows:
        raise QueryError(f"no page of the library has rows in channel {channel!r}; name another with --channel")
    return CardPages(tuple(passages), tuple(rows), len(ids), len(chosen) - len(rows))


def sentence_items(pages: Sequence[Passage], limit: int) -> list[QueryItem]:
    """A sentence of each page as a query, of at most `limit` pages, evenly spaced; they have no gold.

    Raises:
        QueryError: no page has a sentence of a query's length (page images without a text layer).
    """
    found = [(page, text) for page in pages if (text := _middle_sentence(page.text))]
    if not found:
        raise QueryError("the pages have no text to make queries from; give your own with --queries")
    return [QueryItem(Query(text, id=f"{page.document}/{page.page}"), SENTENCES) for page, text in spaced(found, limit)]


def encode_items(encoder: Encoder, items: Iterable[QueryItem]) -> list[Asked]:
    """The items that the encoder can read, with their vectors.

    Raises:
        QueryError: it can read none.
    """
    asked = [
        Asked(item, vector)
        for item in items
        for vector in encoder.encode_queries([item.query])
        if vector is not None and not isinstance(vector, SparseVector)
    ]
    if not asked:
        raise QueryError("the channel's encoder can read none of the queries; does it read text?")
    return asked


def spaced(items: Sequence[T], limit: int) -> list[T]:
    """At most `limit` items, evenly spaced from the first."""
    if len(items) <= limit:
        return list(items)
    return [items[place * len(items) // limit] for place in range(limit)]


def _sampled(store: Store, ids: Sequence[str], wanted: set[tuple[str, ...]], limit: int) -> list[str]:
    asked_for = [
        passage.id for batch in _batches(ids) for passage in store.get(batch) if wanted and unit_of(passage) in wanted
    ][:limit]
    rest = sorted(set(ids) - set(asked_for))
    return sorted([*asked_for, *spaced(rest, limit - len(asked_for))])


def _batches(ids: Iterable[str]) -> Iterable[list[str]]:
    left = iter(ids)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _middle_sentence(text: str) -> str:
    """The sentence of prose of a query's length nearest to the middle of the text; empty when there is none."""
    usable = [one for one in split_sentences(text) if one.kind == "prose" and len(one.text.split()) in _WORDS]
    return min(usable, key=lambda one: abs(one.start + one.end - len(text))).text if usable else ""
