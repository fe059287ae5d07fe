"""The fields a search can be filtered by, and the value a passage has for each."""

from __future__ import annotations

from rag.types import CaseLocator, FactLocator, Passage

FILTER_FIELDS: tuple[str, ...] = (
    "id",
    "document", "page", "record", "patient", "study", "head", "relation", "tail", "polarity",
    "domain", "modality", "source", "license", "view",
)  # fmt: skip
"""The passage's id, which stores need no index for; then fields of the locator, then those of `Passage.meta`."""


def filter_values(passage: Passage) -> dict[str, str]:
    """What a store indexes for filtering: field to value, absent fields left out."""
    locator = passage.locator
    found: dict[str, str | None] = {
        "document": passage.document,
        "page": None if passage.page is None else str(passage.page),
    }
    if isinstance(locator, CaseLocator):
        found |= {"record": locator.record, "patient": locator.patient, "study": locator.study}
    elif isinstance(locator, FactLocator):
        found |= {
            "head": locator.head, "relation": locator.relation, "tail": locator.tail, "polarity": locator.polarity,
        }  # fmt: skip
    found |= {name: passage.meta[name] for name in FILTER_FIELDS if name in passage.meta and name not in found}
    return {name: value for name, value in found.items() if value}
