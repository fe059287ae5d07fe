"""Small repairs before scope is resolved: changes that are denied, and the field names of templates."""

from __future__ import annotations

from collections.abc import Sequence, Set

from knowledge.findings.tokens import Item, Kind

_PLAIN_NEGATIONS = frozenset(("no", "not", "without", "hasn't", "haven't", "isn't", "aren't", "never"))
_STEADY = ("increased", "decreased", "resolved")
_FIELD_ITEMS = 8
"""Items that the name of a template's field may have: "Pleural effusion or thickening:"."""
_FIELD_KINDS = frozenset(
    ("finding", "other", "subject", "word", "and", "or", "comma", "laterality", "function", "dash")
)


def repair(items: list[Item], kinds: Set[Kind]) -> list[Item]:
    """The items with denied changes read as unchanged, and a field's name dropped where its value names the finding.

    `kinds` are the kinds among the items: most sentences have nothing to repair.
    """
    if "change" in kinds:
        items = _denied_changes(items)
    if kinds.isdisjoint(("colon", "dash")):
        return items
    return _without_repeated_field(_headed_denials(_minus_signs(items)))


def _minus_signs(items: Sequence[Item]) -> list[Item]:
    """As in "+ infiltrate, -effusion, -ptx": a mark inside a list denies, one at its start is a bullet."""
    repaired = list(items)
    for i in range(1, len(items) - 1):
        touches = items[i].kind == "dash" and items[i].end == items[i + 1].start
        if touches and items[i - 1].kind in ("comma", "colon") and items[i + 1].kind == "finding":
            repaired[i] = items[i]._replace(kind="absent_before")
    return repaired


def _headed_denials(items: list[Item]) -> list[Item]:
    """As in "the following are absent: effusion, edema": before a colon a denial looks forward."""
    for i in range(len(items) - 1):
        if items[i].kind == "finding":
            break
        if items[i].kind == "absent_after" and items[i + 1].kind == "colon":
            return [*items[:i], items[i]._replace(kind="absent_before"), *items[i + 1 :]]
    return items


def _denied_changes(items: Sequence[Item]) -> list[Item]:
    """As in "has not resolved", "no significant worsening": the finding is there and stays as it was."""
    repaired = list(items)
    for i, item in enumerate(items):
        if item.kind != "change" or item.value not in _STEADY:
            continue
        j = i - 1
        while j >= 0 and items[j].kind in ("word", "function") and items[j].value.endswith(("ly", "interval", "yet")):
            j -= 1
        if j >= 0 and items[j].kind == "absent_before" and items[j].value in _PLAIN_NEGATIONS:
            repaired[j] = items[j]._replace(kind="word")
            repaired[i] = item._replace(value="unchanged", start=items[j].start)
    return repaired


def _without_repeated_field(items: Sequence[Item]) -> list[Item]:
    """As in "Pleural effusion: no effusion": the field's name asserts nothing by itself."""
    repaired = list(items)
    mark = next((i for i, item in enumerate(items) if item.kind in ("colon", "dash") and item.value != ";"), None)
    if mark is None or mark == 0 or mark > _FIELD_ITEMS or any(item.kind not in _FIELD_KINDS for item in items[:mark]):
        return repaired
    end = next((i for i in range(mark, len(items)) if items[i].value == ";"), len(items))
    said = {label for item in items[mark + 1 : end] if item.kind == "finding" for label in item.labels}
    for i in range(mark):
        if items[i].kind == "finding" and set(items[i].labels) & said:
            repaired[i] = items[i]._replace(kind="other")
    return repaired
