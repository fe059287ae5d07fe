"""The form of a reply as a JSON schema: statements with the id of a passage and a quote, or "insufficient"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LONGEST_TEXT = 600
"""Characters of a statement or a quote at the most: longer ones are no sentence."""


def reply_schema(
    labels: Sequence[str], sections: Sequence[str], *, most: int, letters: Sequence[str] = ()
) -> dict[str, Any]:
    """The schema of a reply that may cite only the passages with these labels, at most `most` statements per section.

    "insufficient" comes first, so that declining is an answer and no afterthought. With `letters` the reply also names
    a choice.
    """
    claim = {
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT},
            "evidence": {"type": "string", "enum": list(labels)},
            "quote": {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT},
        },
        "required": ["text", "evidence", "quote"],
        "additionalProperties": False,
    }
    properties: dict[str, Any] = {"insufficient": {"type": "boolean"}}
    if letters:
        properties["choice"] = {"type": "string", "enum": list(letters)}
    properties |= {name: {"type": "array", "items": claim, "maxItems": most} for name in sections}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
