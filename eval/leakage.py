"""The leakage guard: passages that a query must not be helped by.

A question about a patient is too easy when the library holds that patient's other studies or the very same image.
Such passages are taken out of a ranking before it is judged, and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eval.datasets import QueryItem
from eval.gold import canonical, unit_of
from rag.fingerprint import sha256_file
from rag.types import CaseLocator, Passage

Guard = Callable[[QueryItem, Passage], str | None]
"""Why a passage is withheld from an item; None when it may be shown."""


class SameOrigin:
    """Withholds passages of the query's own patient, study or image, and those that the row excludes by name.

    What the row itself calls right (gold, strict, relaxed) is never withheld: in image-to-report retrieval within one
    corpus the query's own record is what must be found. To search for *other* records of the same case, name the
    query's own record in the row's `exclude`.
    """

    def __init__(self) -> None:
        self._digests: dict[Path, str | None] = {}

    def __call__(self, item: QueryItem, passage: Passage) -> str | None:
        """The reason to withhold a passage, or None."""
        unit = unit_of(passage)
        if canonical(unit, item.exclude) in item.exclude:
            return "excluded by the query row"
        if canonical(unit, item.named) in item.named:
            return None
        locator = passage.locator
        if isinstance(locator, CaseLocator):
            if item.query.patient is not None and locator.patient == item.query.patient:
                return "same patient"
            if item.study is not None and locator.study == item.study:
                return "same study"
        return "same image" if self._shares_image(item, passage) else None

    def _shares_image(self, item: QueryItem, passage: Passage) -> bool:
        """Whether a query image and an image of a case are the same file, byte by byte."""
        if passage.kind != "case" or not item.query.images:
            return False
        own = {self._digest(image) for image in item.query.images} - {None}
        return any(self._digest(image) in own for image in passage.images)

    def _digest(self, image: Path) -> str | None:
        if image not in self._digests:
            self._digests[image] = sha256_file(image) if image.is_file() else None
        return self._digests[image]
