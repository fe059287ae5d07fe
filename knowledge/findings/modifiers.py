"""Which side, how much, and what change: the modifiers of every finding in a sentence.

A modifier belongs to the finding that follows it in the same phrase; one in a prepositional phrase or a predicate
("in the left base", "is unchanged") to the finding before it and to those listed with that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

from knowledge.findings.chains import chain_before, finding_before
from knowledge.findings.scope import Verdict
from knowledge.findings.tokens import Item

Laterality = Literal["left", "right", "bilateral"]
Severity = Literal["minimal", "mild", "moderate", "severe"]
Change = Literal["new", "increased", "decreased", "unchanged", "resolved"]

GRADES: tuple[Severity, ...] = ("minimal", "mild", "moderate", "severe")
"""Degrees from least to most. A range ("mild to moderate") counts as its higher end."""

_PHRASE = frozenset(("word", "other", "article", "laterality", "severity", "change", "function"))
_SAME_PLACE = ("adjacent", "associated", "overlying", "underlying", "compressive", "accompanying", "with", "w/")
_CHANGE_NOUNS = frozenset(
    ("increase", "decrease", "improvement", "progression", "reduction", "clearing", "enlargement")
)
_MODIFIERS = ("laterality", "severity", "change")
_UNGRADED = frozenset(("Support Devices", "No Finding"))


@dataclass(slots=True)
class Modifiers:
    """What is said of one finding besides its polarity."""

    laterality: Laterality | None = None
    severity: Severity | None = None
    change: Change | None = None


def resolve_modifiers(items: Sequence[Item], verdicts: Mapping[int, Verdict]) -> dict[int, Modifiers]:
    """The modifiers of each finding, by its place among the items."""
    found = {place: Modifiers() for place in verdicts}
    for i, item in enumerate(items):
        if item.kind in _MODIFIERS and not _is_past(items, i) and not _grades_change(items, i):
            for n_listed, place in enumerate(_targets(items, i)):
                # Those listed with the nearest finding keep a side of their own.
                if n_listed == 0 or item.kind != "laterality" or found[place].laterality is None:
                    _attach(found[place], item)
    _share_forward(items, found)
    for place, verdict in verdicts.items():
        _settle(items[place], found[place], verdict)
    return found


def _is_past(items: Sequence[Item], i: int) -> bool:
    """Of "moderate (previously severe)", "from large to small" and "was large on the prior film", what was."""
    if i == 0 or items[i].kind != "severity" or _following(items, i) is not None:
        return False
    ranged = items[i - 1].text == "from" and i + 1 < len(items) and items[i + 1].text == "to"
    was = items[i - 1].text in ("was", "were") and any(item.kind == "past" for item in items[i + 1 : i + 5])
    return ranged or was or items[i - 1].kind == "past"


def _grades_change(items: Sequence[Item], i: int) -> bool:
    """As in "slightly improved", "mild interval increase": the degree of a change, not of a finding."""
    if items[i].kind != "severity" or i + 1 >= len(items) or items[i + 1].kind != "change":
        return False
    return items[i].text.endswith("ly") or bool(_CHANGE_NOUNS & set(items[i + 1].text.split()))


def _attach(modifiers: Modifiers, item: Item) -> None:
    if item.kind == "laterality":
        both = modifiers.laterality not in (None, item.value)
        modifiers.laterality = "bilateral" if both else cast(Laterality, item.value)
    elif item.kind == "severity":
        grades = [grade for grade in GRADES if grade in (modifiers.severity, item.value)]
        modifiers.severity = grades[-1]
    elif modifiers.change in (None, "unchanged"):
        # "persistent but improved": a direction says more than that it is still there.
        modifiers.change = cast(Change, item.value)


def _settle(item: Item, modifiers: Modifiers, verdict: Verdict) -> None:
    """An absent finding has no grade and no change but `resolved`; devices have no grade."""
    if verdict.polarity == "absent":
        modifiers.severity, modifiers.change = None, "resolved" if verdict.resolved else None
    elif modifiers.change == "resolved":
        modifiers.change = None
    if _UNGRADED & set(item.labels):
        modifiers.severity = None


def _targets(items: Sequence[Item], i: int) -> list[int]:
    following = _following(items, i)
    if following is not None:
        return [following]
    chain = chain_before(items, i)
    if not chain and items[i].kind == "change":
        earlier = finding_before(items, i, frozenset())  # "... persists but has improved"
        chain = [] if earlier is None else [earlier]
    if chain and _says_something_of_before(items, i):
        return chain if items[i].kind != "severity" else chain[:1]
    if chain or items[i].kind == "severity":
        return []
    later = next((j for j in range(i + 1, len(items)) if items[j].kind in _opening_ends(items, i)), None)
    return [later] if later is not None and items[later].kind == "finding" else []


def _opening_ends(items: Sequence[Item], i: int) -> tuple[str, ...]:
    """What ends the reach of a modifier that opens a sentence: "on the left, there is ..." reaches over a comma."""
    if items[i].kind != "laterality":
        return ("finding", "break_hard", "colon", "comma")
    led = i > 0 and all(item.kind in ("preposition", "article", "laterality", "function") for item in items[:i])
    return ("finding",) if led else ("finding", "break_hard", "comma")


def _following(items: Sequence[Item], i: int) -> int | None:
    """The finding that the modifier at i stands in front of, within one phrase."""
    crossed_mark = False
    for j in range(i + 1, len(items)):
        kind = items[j].kind
        if kind == "finding":
            return None if crossed_mark and not _modifiers_only(items, i, j) else j
        if kind in ("and", "or", "comma", "preposition"):
            if kind == "preposition" and items[i].kind != "change" and items[j].value != "to":
                return None  # "small to moderate effusion" is a range, "left base on the film" is a place
            crossed_mark = crossed_mark or kind != "preposition"
        elif kind not in _PHRASE or (kind == "function" and items[j].value not in ("sided", "side", "size")):
            return None
    return None


def _modifiers_only(items: Sequence[Item], i: int, j: int) -> bool:
    """Whether every connector between i and j joins two modifiers of one finding ("new, small right and left")."""
    for k in range(i + 1, j):
        if items[k].kind in ("and", "or", "comma"):
            after = items[k + 1].kind if k + 1 < j else ""
            if items[k - 1].kind not in _MODIFIERS or after not in _MODIFIERS:
                return False
            named_before = items[i].kind == "laterality" and any(item.kind == "finding" for item in items[:i])
            if items[k].kind == "comma" and (named_before or _is_predicate(items, i)):
                return False
    return True


def _is_predicate(items: Sequence[Item], i: int) -> bool:
    return i > 0 and items[i - 1].kind in ("finding", "copula")


_CLOSERS = frozenset(
    ("comma", "colon", "dash", "and", "or", "preposition", "copula", "function", "break_hard", "break_soft", "past")
)


def _says_something_of_before(items: Sequence[Item], i: int) -> bool:
    """Whether a modifier with a finding before it and none after is a predicate or a place, not part of another phrase.

    "effusion, moderate" grades the effusion; "cardiomegaly, mild scoliosis" does not grade the cardiomegaly.
    """
    if items[i].kind == "laterality":
        return not _has_own_state(items, i)
    following = items[i + 1] if i + 1 < len(items) else None
    if following is None or following.kind in _CLOSERS or following.kind in _MODIFIERS:
        return True
    return following.kind not in ("word", "other") or following.value.endswith("ly") or not following.value[0].isalpha()


def _has_own_state(items: Sequence[Item], i: int) -> bool:
    """Whether a side after a comma opens a phrase with a state of its own ("..., right base clear")."""
    if items[i - 1].kind not in ("comma", "and"):
        return False
    for item in items[i + 1 :]:
        if item.kind == "state":
            return True
        if item.kind not in ("word", "other", "copula", "function"):
            return False
    return False


def _share_forward(items: Sequence[Item], found: Mapping[int, Modifiers]) -> None:
    """As in "left effusion and atelectasis": a bare finding shares the side and change of the one it is joined to."""
    leading: set[int] = set()
    for before, after in pairwise(sorted(found)):
        between = items[before + 1 : after]
        joined = _is_bare_joint(between)
        mine, given = found[after], found[before]
        if joined and mine.laterality is None and items[after].labels != ("No Finding",):
            mine.laterality = given.laterality
        if _leads(items, before):
            leading.add(before)
        # Alternatives share no course: "worsening edema or infection" says nothing of an infection's.
        parted = any(
            item.value in _SAME_PLACE or (item.kind == "or" and given.change != "unchanged") for item in between
        )
        if (
            before in leading
            and mine.change is None
            and not parted
            and (joined or _is_bare_comma(items, before, after))
        ):
            mine.change = given.change
            leading.add(after)


def _leads(items: Sequence[Item], place: int) -> bool:
    """Whether the finding's change stands in front of it, so that it may hold for the whole list."""
    for item in reversed(items[:place]):
        if item.kind == "change":
            return True
        if item.kind not in ("laterality", "severity", "word", "article", "preposition"):
            return False
    return False


def _is_bare_comma(items: Sequence[Item], before: int, after: int) -> bool:
    """Whether two findings are items of one list: a comma, and an `and` or `or` with it or before the last item."""
    joints = [item.kind for item in items[before + 1 : after]]
    if joints in (["comma", "and"], ["comma", "or"]):
        return True
    return joints == ["comma"] and any(item.kind in ("and", "or") for item in items[after + 1 : after + 4])


def _is_bare_joint(between: Sequence[Item]) -> bool:
    if not between:
        return False
    first = between[0]
    joined = first.kind in ("and", "or") or first.value in ("with", "w/")
    return joined and all(item.value in _SAME_PLACE for item in between[1:])
