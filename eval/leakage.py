"""The leakage guard of evaluation: what a query row must not be helped by.

A question about a patient is too easy when the library holds that patient's other studies or the very same image.
Such passages are taken out of a ranking before it is judged, and counted by reason. The rules are `rag.leakage`'s;
here they meet the row, which says where it comes from and what it calls right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eval.datasets import QueryItem
from eval.gold import canonical, unit_of
from indexers.sources.perceptual import ImageKeys
from rag.leakage import Guard as Rules
from rag.leakage import Guarded, Likeness, QueryOrigin, guarded, single_image_cosines
from rag.types import Dropped, Hit

Guard = Callable[[QueryItem, Sequence[Hit]], Guarded]
"""Splits a query's hits into those that may be shown and those withheld, each with its reason."""

EXCLUDED = "excluded by the query row"


class SameOrigin:
    """Withholds passages of the query's own patient, study or image, and those that the row excludes by name.

    What the row itself calls right (gold, strict, relaxed) is never withheld: in image-to-report retrieval within one
    corpus the query's own record is what must be found. To search for *other* records of the same case, name the
    query's own record in the row's `exclude`. Images are compared by perceptual hash, and by the vectors that found
    them where the query has one image.
    """

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules = rules or Rules()
        self._keys = ImageKeys()

    def __call__(self, item: QueryItem, hits: Sequence[Hit]) -> Guarded:
        """The hits that may be shown, and those withheld with their reasons, each in the order of the ranking.

        Seen together, a hit with the query's image tells of whom it is, so its kin are withheld, too.
        """
        units = {hit.passage.id: unit_of(hit.passage) for hit in hits}
        barred = {name for name, unit in units.items() if canonical(unit, item.exclude) in item.exclude}
        right = {name for name, unit in units.items() if canonical(unit, item.named) in item.named}
        found = guarded(self.origin(item), hits, self._rules, self._likeness(item, hits), exempt=right | barred)
        reasons = {one.hit.passage.id: one.reason for one in found.dropped} | dict.fromkeys(barred, EXCLUDED)
        return Guarded(
            tuple(hit for hit in hits if hit.passage.id not in reasons),
            tuple(Dropped(hit, reasons[hit.passage.id]) for hit in hits if hit.passage.id in reasons),
        )

    def origin(self, item: QueryItem) -> QueryOrigin:
        """Where a row comes from, as far as it says: its patient, its study, and the keys of its images."""
        return QueryOrigin(item.query.patient, item.study, images=self._keys.of_files(item.query.images))

    def _likeness(self, item: QueryItem, hits: Sequence[Hit]) -> Likeness:
        cosines = single_image_cosines(hits, self._rules.channel) if len(item.query.images) == 1 else {}
        return Likeness(self._keys.of_passage, cosines)
