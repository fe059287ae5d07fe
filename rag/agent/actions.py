"""What a model may ask for: one action per turn, as one JSON schema. Nothing else a model says has any effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, get_args

from rag.types import Kind

ActionName = Literal[
    "search_pages", "search_figures", "search_cases", "search_facts", "patient_timeline", "look_closer", "answer",
    "abstain",
]  # fmt: skip
NAMES: tuple[ActionName, ...] = get_args(ActionName)
KIND_OF: Mapping[str, Kind] = {
    "search_pages": "page", "search_figures": "figure", "search_cases": "case", "search_facts": "fact",
}  # fmt: skip

MOST_REASON, MOST_QUERY, MOST_REGION = 240, 300, 80
"""Characters. A model that repeats itself for ever is cut off by the schema, not by the token limit."""

Fractions = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `part` is the sub-question it serves; `target` and `box` say where to look closer.

    `box` is x0, y0, x1, y1 in fractions of width and height. `evidence` are labels of passages that were shown.
    """

    name: ActionName
    reason: str = ""
    query: str = ""
    part: str = ""
    target: str = ""
    box: Fractions | None = None
    region: str = ""
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Allowed:
    """What this turn allows: actions, sub-questions, labels shown, and labels of images that can be looked at."""

    actions: tuple[ActionName, ...]
    parts: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


class Refused(Exception):
    """The reply asks for nothing that may be done; the message says why, for the model to read."""


def allowed_actions(kinds: Sequence[Kind], *, patient: bool, images: bool) -> tuple[ActionName, ...]:
    """The actions that make sense for a question over these kinds."""
    searches = [name for name in NAMES if KIND_OF.get(name) in kinds]
    looks: list[ActionName] = [*(["patient_timeline"] if patient else []), *(["look_closer"] if images else [])]  # type: ignore[list-item]
    return (*searches, *looks, "answer", "abstain")


def action_schema(allowed: Allowed) -> dict[str, Any]:
    """The JSON schema of one turn. `reason` stands before `action`, so a model thinks before it decides.

    Labels are enumerated: what was not shown cannot be named. An empty enumeration is no valid schema, so a field that
    has nothing to name is left out.
    """
    properties: dict[str, Any] = {
        "reason": {"type": "string", "maxLength": MOST_REASON},
        "action": {"type": "string", "enum": [*allowed.actions]},
        "part": {"type": "string", "enum": [*allowed.parts]},
        "query": {"type": "string", "maxLength": MOST_QUERY},
    }
    if "patient_timeline" in allowed.actions:
        properties["region"] = {"type": "string", "maxLength": MOST_REGION}
    if allowed.images:
        share = {"type": "number", "minimum": 0, "maximum": 1}
        properties["target"] = {"type": "string", "enum": [*allowed.images]}
        properties["box"] = {"type": "array", "items": share, "minItems": 4, "maxItems": 4}
    if allowed.evidence:
        shown = {"type": "string", "enum": [*allowed.evidence]}
        properties["evidence"] = {"type": "array", "items": shown, "maxItems": len(allowed.evidence)}
    return {
        "type": "object", "properties": properties, "required": ["reason", "action"], "additionalProperties": False,
    }  # fmt: skip


def read_action(data: Mapping[str, Any], allowed: Allowed) -> Action:
    """The action that an object asks for. Labels that were not shown are left out of `evidence`.

    Raises:
        Refused: unknown action, field of another type, text that is too long, or nothing to search for.
    """
    name = data.get("action")
    if name not in allowed.actions:
        raise Refused(f"action must be one of {', '.join(allowed.actions)}")
    reason = _text(data, "reason", MOST_REASON)
    part = _text(data, "part", MOST_REASON) or allowed.parts[0]
    if part not in allowed.parts:
        raise Refused(f"part must be one of {', '.join(allowed.parts)}")
    query, region = _text(data, "query", MOST_QUERY), _text(data, "region", MOST_REGION)
    if name in KIND_OF and not query:
        raise Refused(f"{name} needs a query")
    target, box = "", None
    if name == "look_closer":
        target, box = _text(data, "target", MOST_REASON), _box(data.get("box"))
        if target not in allowed.images:
            raise Refused(f"target must be one of {', '.join(allowed.images)}")
    return Action(name, reason, query, part, target, box, region, _labels(data.get("evidence"), allowed))


def _text(data: Mapping[str, Any], field: str, most: int) -> str:
    value = data.get(field, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(f"{field} must be a text")
    if len(value) > most:
        raise Refused(f"{field} has {len(value)} characters; at most {most} are allowed")
    return " ".join(value.split())


def _box(value: object) -> Fractions:
    if not isinstance(value, list) or len(value) != 4:
        raise Refused("box must be four numbers: x0, y0, x1, y1")
    numbers = [one for one in value if isinstance(one, int | float) and not isinstance(one, bool) and abs(one) <= 1]
    if len(numbers) != 4 or not all(isfinite(one) and one >= 0 for one in numbers):
        raise Refused("box must be four numbers between 0 and 1")
    x0, y0, x1, y1 = map(float, numbers)
    if x1 - x0 < 0.02 or y1 - y0 < 0.02:
        raise Refused("box must have x0 < x1 and y0 < y1, and cover something")
    return (x0, y0, x1, y1)


def _labels(value: object, allowed: Allowed) -> tuple[str, ...]:
    given = value if isinstance(value, list) else []
    return tuple(dict.fromkeys(one for one in given if isinstance(one, str) and one in allowed.evidence))
