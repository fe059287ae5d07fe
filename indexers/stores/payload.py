"""How a passage is written beside its vectors: a JSON object, the same for the embedded engine and a server.

The object holds one string per filter field, the passage as JSON text, and the layout. The passage is text because
the embedded engine's Python binding takes about 7 us per value and 16 us per nested object: 0.16 ms for a fact
written as an object, 0.05 ms as text.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import QueryError, StoreError
from rag.filters import FILTER_FIELDS, filter_values
from rag.types import Box, CaseLocator, FactLocator, Layout, Locator, PageLocator, Passage

PASSAGE_FIELD = "passage"
LAYOUT_FIELD = "layout"
"""Field that holds the word boxes of a page. A search does not load it."""


def checked_filters(filters: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]] | None:
    """The filters, or None when a field accepts no value at all, so that nothing can match.

    Raises:
        QueryError: a field is not one of `rag.filters.FILTER_FIELDS`, or its values are a bare string.
    """
    for field, values in filters.items():
        if field not in FILTER_FIELDS:
            raise QueryError(f"unknown filter field {field!r}; use one of: {', '.join(FILTER_FIELDS)}")
        if isinstance(values, str):
            raise QueryError(f"filter {field!r} is the text {values!r}; give a tuple of accepted values")
    return {field: tuple(values) for field, values in filters.items()} if all(filters.values()) else None


@dataclass(frozen=True, slots=True)
class PassageCodec:
    """Turns passages into JSON objects and back.

    Images inside `root` (the library folder) are written relative to it, so a library can be moved; others are
    written with their whole path. The passage's id is not part of the object: it is the id of the point.
    """

    root: Path

    def encode(self, passage: Passage) -> dict[str, str]:
        """The JSON object of a passage; bytes that are no valid Unicode are replaced, as JSON cannot hold them."""
        stored = {
            "kind": passage.kind,
            "document": passage.document,
            "text": passage.text,
            "locator": _locator_to_json(passage.locator),
            "images": [self._relative(image) for image in passage.images],
            "meta": dict(passage.meta),
        }
        text = json.dumps(stored, ensure_ascii=False, separators=(",", ":"))
        payload = {field: _valid(value) for field, value in filter_values(passage).items()}
        payload[PASSAGE_FIELD] = _valid(text)
        if passage.layout is not None:
            payload[LAYOUT_FIELD] = base64.b64encode(passage.layout.packed).decode("ascii")
        return payload

    def decode(self, passage_id: str, payload: Mapping[str, Any]) -> Passage:
        """The passage that `encode` wrote. Without the layout field its layout is None.

        Raises:
            StoreError: the object was not written by `encode`.
        """
        try:
            stored, packed = json.loads(payload[PASSAGE_FIELD]), payload.get(LAYOUT_FIELD)
            return Passage(
                id=passage_id,
                kind=stored["kind"],
                document=stored["document"],
                text=stored["text"],
                locator=_locator_from_json(stored["locator"]),
                images=tuple(self.root.absolute() / image for image in stored["images"]),
                meta=dict(stored["meta"]),
                layout=None if packed is None else Layout(base64.b64decode(packed, validate=True)),
            )
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
            raise StoreError(
                f"the stored payload of passage {passage_id} cannot be read ({error!r}); "
                f"rebuild the library with `vesalius index build --fresh`"
            ) from error

    def _relative(self, image: Path) -> str:
        absolute, root = image.absolute(), self.root.absolute()
        return (absolute.relative_to(root) if absolute.is_relative_to(root) else absolute).as_posix()


def _locator_to_json(locator: Locator) -> dict[str, Any]:
    if isinstance(locator, PageLocator):
        box = locator.box
        return {
            "page": locator.page,
            "box": None if box is None else [box.x0, box.y0, box.x1, box.y1],
            "section": list(locator.section),
        }
    if isinstance(locator, CaseLocator):
        return {"record": locator.record, "patient": locator.patient, "study": locator.study, "day": locator.day}
    fact = {
        "head": locator.head, "relation": locator.relation, "tail": locator.tail, "polarity": locator.polarity,
    }  # fmt: skip
    # Most facts say nothing of change, and libraries made before there was such a field have none.
    return fact if locator.change == "none" else {**fact, "change": locator.change}


def _locator_from_json(value: Mapping[str, Any]) -> Locator:
    if "page" in value:
        box = value["box"]
        return PageLocator(value["page"], None if box is None else Box(*box), tuple(value["section"]))
    if "record" in value:
        return CaseLocator(value["record"], value["patient"], value["study"], value["day"])
    return FactLocator(value["head"], value["relation"], value["tail"], value["polarity"], value.get("change", "none"))


def _valid(text: str) -> str:
    """The text with lone surrogates, which broken PDF fonts yield, replaced by the replacement character."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
