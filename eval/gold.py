"""What a query's right answers are, and which hits count as one of them.

A unit is what is judged: a page of a book (its figures count as the page), a case of a collection, or a fact.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rag.types import Hit, Kind, Passage

Unit = tuple[str, ...]
"""("page", book, page), ("case", collection or "", record) or ("fact", head, relation, tail)."""

_KINDS_OF_SOURCE: Mapping[str, tuple[Kind, ...]] = {"page": ("page", "figure"), "case": ("case",), "fact": ("fact",)}


@dataclass(frozen=True, slots=True)
class RankedUnit:
    """A unit at its place in a ranking, with the score of its first hit."""

    unit: Unit
    score: float

    @property
    def name(self) -> str:
        """The unit in one word, such as `page/anatomy/12`."""
        return "/".join(self.unit)


def parse_gold(entry: object, collection: str | None = None) -> Unit:
    """One entry of a `gold` list as a unit; a report without a collection takes the row's, or matches any.

    Raises:
        ValueError: the entry has another form; the message says which are known.
    """
    known = '{"source": "page", "book", "page"}, {"source": "report", "id"} or {"source": "fact", "fact": [h, r, t]}'
    match entry:
        case {"source": "page", "book": str(book), "page": int(page)} if book and page >= 1 and page is not True:
            return ("page", book, str(page))
        case {"source": "report", "collection": str(given), "id": str() | int() as record}:
            return ("case", given, str(record))
        case {"source": "report", "id": str() | int() as record, **others} if "collection" not in others:
            return ("case", collection or "", str(record))
        case {"source": "fact", "fact": [str(head), str(relation), str(tail)]}:
            return ("fact", head, relation, tail)
        case _:
            raise ValueError(f"gold entry {entry!r} has none of the known forms: {known}")


def unit_of(passage: Passage) -> Unit:
    """The unit that a passage belongs to."""
    if passage.fact is not None:
        return ("fact", *passage.fact)
    if passage.record is not None:
        return ("case", passage.document, passage.record)
    return ("page", passage.document, str(passage.page))


def canonical(unit: Unit, named: Collection[Unit]) -> Unit:
    """The unit under the name the query row uses: a case named without a collection matches in any collection."""
    anywhere = (unit[0], "", unit[-1])
    return anywhere if unit[0] == "case" and unit not in named and anywhere in named else unit


def rank_units(hits: Sequence[Hit], named: Collection[Unit]) -> tuple[RankedUnit, ...]:
    """Hits, best first, as a ranking of units: each counts once, at its first position.

    The order of the hits stands; neighbours of equal score are ordered by unit name descending, as trec_eval does.
    (Sorting by score again would be wrong: a reranked head and the tail behind it have scores of two scales.)
    """
    first: dict[Unit, float] = {}
    for hit in hits:
        first.setdefault(canonical(unit_of(hit.passage), named), hit.score)
    ranked = [RankedUnit(unit, score) for unit, score in first.items()]
    ties = groupby(ranked, key=lambda entry: entry.score)
    return tuple(entry for _, tie in ties for entry in sorted(tie, key=lambda entry: entry.name, reverse=True))


def kinds_of(units: Collection[Unit]) -> tuple[Kind, ...]:
    """The passage kinds in which these units can be found, in the order page, figure, case, fact."""
    sources = {unit[0] for unit in units}
    return tuple(kind for source, kinds in _KINDS_OF_SOURCE.items() if source in sources for kind in kinds)
