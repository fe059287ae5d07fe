"""Body parts and their states: "the heart is mildly enlarged", "clear lungs", "costophrenic angles are sharp".

A body part whose state decides a finding becomes that finding; one without a state is only a place.
"""

from __future__ import annotations

from collections.abc import Sequence

from knowledge.findings.lexicon import Lexicon, Subject
from knowledge.findings.tokens import Item
from rag.passages import Polarity

_REACH = 10
"""Items between a body part and its state: "the heart, as far as can be judged on this film, is enlarged"."""
_BEFORE = 5
"""Items by which a state may stand before its body part: "blunting of the left costophrenic angle"."""
_STOPS = frozenset(("finding", "break_hard", "break_soft", "dash", "absent_before", "request", "history"))
_BETWEEN = frozenset(("word", "laterality", "severity", "article", "preposition", "other"))
_BETWEEN_LISTED = frozenset(("subject", "comma", "and"))
"""In "normal heart, lungs and mediastinum" one state holds for the list."""


def resolve_states(items: Sequence[Item], lexicon: Lexicon) -> list[Item]:
    """The items with every body part either a finding (its polarity and cue set) or a plain `other`."""
    resolved = list(items)
    for i, item in enumerate(items):
        if item.kind != "subject":
            continue
        subject = lexicon.subjects[item.value]
        place = _state_before(items, i, subject, _BETWEEN)
        place = _state_after(items, i, subject) if place is None else place
        place = _state_before(items, i, subject, _BETWEEN_LISTED) if place is None else place
        if place is None:
            resolved[i] = item._replace(kind="other", value="study" if item.value == "study" else "place")
            continue
        _settle(resolved, i, place, subject)
    return resolved


def _state_of(item: Item, subject: Subject) -> Polarity | None:
    if item.kind not in ("state", "severity", "change", "absent_after"):
        return None
    if item.value in subject.present:
        return "present"
    if item.value in subject.absent:
        return "absent"
    return "uncertain" if item.value in subject.uncertain else None


def _state_before(items: Sequence[Item], i: int, subject: Subject, between: frozenset[str]) -> int | None:
    """The state before a body part, with nothing but items of the kinds `between` in the way."""
    reach = _REACH if between is _BETWEEN_LISTED else _BEFORE
    for j in range(i - 1, max(-1, i - 1 - reach), -1):
        if items[j].kind == "state" and _state_of(items[j], subject) is not None:
            return None if _belongs_to_earlier(items, j) else j
        if items[j].kind not in between:
            return None
    return None


def _belongs_to_earlier(items: Sequence[Item], state: int) -> bool:
    """Whether a verb or another body part just before makes the state a predicate ("heart is normal lungs clear")."""
    j = state - 1
    while j >= 0 and items[j].kind in ("severity", "absent_before", "function"):
        j -= 1
    return j >= 0 and items[j].kind in ("copula", "subject", "colon") and items[j].value != ";"


def _state_after(items: Sequence[Item], i: int, subject: Subject) -> int | None:
    weak: int | None = None
    joined = False
    for j in range(i + 1, min(len(items), i + 1 + _REACH)):
        item = items[j]
        if item.kind == "absent_before" and _is_plain_not(item):
            continue
        if item.value == "but" and _says_state(items[j + 1 : j + 3], subject):
            continue  # "hyperinflated but clear", "hard to see but appears enlarged"
        joined = joined or item.kind in ("and", "or", "comma")
        if item.kind == "subject" and not joined:
            break  # "chest: heart size normal"
        if item.kind in _STOPS or (item.kind == "comma" and not _list_of_subjects(items, j)):
            break
        if _state_of(item, subject) is not None:
            if item.kind == "state":
                return j
            weak = j if weak is None else weak
    return weak


def _says_state(following: Sequence[Item], subject: Subject) -> bool:
    said = [item for item in following if item.kind != "copula"]
    return bool(said) and _state_of(said[0], subject) is not None


def _is_plain_not(item: Item) -> bool:
    return item.value in ("not", "isn't", "aren't", "wasn't", "weren't")


def _list_of_subjects(items: Sequence[Item], comma: int) -> bool:
    following = (item.kind for item in items[comma + 1 :] if item.kind not in ("article", "and", "word"))
    return next(following, None) == "subject"


_FLIPPED: dict[Polarity, Polarity] = {"present": "absent", "absent": "present", "uncertain": "uncertain"}


def _settle(resolved: list[Item], i: int, place: int, subject: Subject) -> None:
    """Turn the body part at i into a finding decided by the state at `place`, and use up the words that say so."""
    state = resolved[place]
    polarity = _state_of(state, subject) or "uncertain"
    cue = (state.start, state.end)
    low, high = sorted((i, place))
    for j in range(low + 1, high):
        item = resolved[j]
        if item.kind == "absent_before" and place > i:
            polarity, cue = _FLIPPED[polarity], (item.start, state.end)
            resolved[j] = item._replace(kind="word")
        elif item.kind.startswith("uncertain") and place > i:
            polarity = "uncertain"
            resolved[j] = item._replace(kind="word")
    if state.kind != "state":
        # A grade or change that was read as the state says nothing more.
        resolved[place] = state._replace(kind="word")
    resolved[i] = resolved[i]._replace(kind="finding", labels=(subject.label,), polarity=polarity, cue=cue)
