"""How far a negation or a hedge reaches: the polarity of every finding in a sentence.

After NegEx and ConText (Chapman et al., 2001, J Biomed Inform 34; Harkema et al., 2009, J Biomed Inform 42): a cue
reaches forward or backward until something ends its scope. The rules for lists, for modifiers that open a new phrase
and for double negation are our own; docs/findings.md states them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from knowledge.findings.chains import CUE_STOPS, LIST_GAPS, chain_after, chain_before, finding_before
from knowledge.findings.tokens import Item, Span
from rag.passages import Polarity


@dataclass(frozen=True, slots=True)
class Verdict:
    """The polarity of a finding and the words that decide it; a resolved finding is absent.

    `kept` is False for one that the sentence only asks about or remembers, `firm` is True for one that a verb of its
    own asserts. `source` is the place of the cue among the items, -1 without one.
    """

    polarity: Polarity = "present"
    cue: Span | None = None
    resolved: bool = False
    kept: bool = True
    firm: bool = False
    source: int = -1


@dataclass(slots=True)
class _Scope:
    """The forward cue that holds now, whether it has met a finding, and what stood since that finding."""

    cue: int
    verdict: Verdict
    consumed: bool = False
    gap: set[str] = field(default_factory=set)


_LOOKING_BACK = frozenset(("change", "absent_before", "absent_after", "uncertain_after", "uncertain_either"))
_SHOWING = frozenset(("shows", "showed", "show", "showing", "demonstrates", "reveals", "revealed"))
_EARLIER = frozenset(("earlier", "prior", "previous", "previously", "last", "yesterday"))
_PHRASE_ENDS = frozenset(("comma", "break_hard", "break_soft", "and", "dash"))
_FORWARD = {"absent_before": "absent", "uncertain_before": "uncertain", "uncertain_either": "uncertain"}


def resolve_scope(items: Sequence[Item]) -> dict[int, Verdict]:
    """The verdict of each finding, by its place among the items."""
    verdicts = _forward(items)
    _backward(items, verdicts)
    _alternatives(items, verdicts)
    return verdicts


def _forward(items: Sequence[Item]) -> dict[int, Verdict]:
    verdicts: dict[int, Verdict] = {}
    scope: _Scope | None = None
    for i, item in enumerate(items):
        if item.kind == "finding":
            if scope is not None and _starts_afresh(items, i, scope):
                scope = None
            verdicts[i] = _own(item) if scope is None else _under(item, scope.verdict)
            if scope is not None:
                scope.consumed, scope.gap = True, set()
        elif item.kind in _FORWARD or item.kind in ("request", "history"):
            scope = _opened(items, i, scope)
        elif scope is not None:
            scope = _kept(items, i, scope)
    return verdicts


def _own(item: Item) -> Verdict:
    return Verdict(item.polarity, item.cue)


def _under(item: Item, verdict: Verdict) -> Verdict:
    """A finding under a forward cue; one that its own state already denies stays denied."""
    return _own(item) if item.polarity == "absent" and verdict.kept else verdict


def _opened(items: Sequence[Item], i: int, scope: _Scope | None) -> _Scope | None:
    """The scope after a forward cue at i."""
    item = items[i]
    if item.kind == "uncertain_either" and not _reaches_forward(items, i):
        return scope
    span = (item.start, item.end)
    if item.kind in ("request", "history"):
        return _Scope(i, Verdict(kept=False, cue=span, source=i))
    if scope is not None and not scope.consumed:
        if item.kind == "absent_before" and scope.verdict.polarity == "absent" and scope.cue == i - 1:
            return None  # two negations side by side
        if item.kind != "absent_before":
            return scope  # "no evidence of possible ..." and "evaluate for possible ..."
    if scope is not None and item.kind != "absent_before" and not scope.gap & {"comma", "and"}:
        return scope  # "no opacity to suggest pneumonia"
    polarity: Polarity = "absent" if item.kind == "absent_before" else "uncertain"
    return _Scope(i, Verdict(polarity, span, source=i))


def _kept(items: Sequence[Item], i: int, scope: _Scope) -> _Scope | None:
    """The scope after an item that is neither a finding nor a cue."""
    kind = items[i].kind
    if kind == "break_hard" and not scope.verdict.kept and not scope.consumed and items[i].text.startswith("there"):
        return scope  # "if there is ..."
    if kind == "colon" and scope.cue == i - 1:
        return scope  # "not seen: effusion, pneumothorax"
    if _turns_to_study(items, i, scope):
        return None
    if kind in ("break_hard", "colon") or (kind in ("break_soft", "dash", "affirm") and scope.consumed):
        return None
    if kind == "comma" and not _denies(scope) and not _or_follows(items, i):
        return None
    if kind == "other" and items[i].value == "place" and scope.gap & {"comma", "and"}:
        scope.gap.add("place")
    elif kind == "article" and not scope.gap & {"comma", "and"}:
        pass
    elif scope.consumed:
        scope.gap.add(kind)
    return scope


def _turns_to_study(items: Sequence[Item], i: int, scope: _Scope) -> bool:
    """As in "no cough, CXR with ..." and "no cough and the film shows ...": what the study shows is a new statement."""
    if not (items[i].value == "study" or items[i].text in _SHOWING):
        return False
    return any(item.kind in ("comma", "and") for item in items[scope.cue + 1 : i])


def _denies(scope: _Scope) -> bool:
    return scope.verdict.kept and scope.verdict.polarity == "absent"


def _starts_afresh(items: Sequence[Item], i: int, scope: _Scope) -> bool:
    """Whether the finding at i opens a new phrase, outside the cue that held for the finding before it."""
    if items[i].cue is not None and any(item.kind in ("comma", "and") for item in items[scope.cue + 1 : i]):
        return True  # "no collapse, heart enlarged": a body part with its own predicate
    if not scope.consumed:
        return False
    gap = scope.gap
    if "or" in gap:
        return False
    if gap & {"article", "place", "copula"}:
        return bool(gap & {"comma", "and", "place"})
    if gap & {"severity", "change"} and not _or_follows(items, i):
        return True
    # "no ptx L effusion": a side without any connector belongs to the next phrase.
    return "laterality" in gap and not gap & {"comma", "and", "word", "preposition"}


def _or_follows(items: Sequence[Item], i: int) -> bool:
    """Whether the list that goes on at i is held together by an `or`."""
    for item in items[i + 1 :]:
        if item.kind == "or":
            return True
        if item.kind in ("break_hard", "break_soft", "dash", "colon", "copula") or "_" in item.kind:
            return False
    return False


def _reaches_forward(items: Sequence[Item], i: int) -> bool:
    """Whether a cue of either direction speaks of what follows: a finding comes before anything that parts them."""
    for item in items[i + 1 :]:
        if item.kind == "finding":
            return True
        if item.kind not in ("word", "other", "article", "laterality", "severity", "change", "preposition", "function"):
            return False
    return False


def _backward(items: Sequence[Item], verdicts: dict[int, Verdict]) -> None:
    for i, item in enumerate(items):
        if item.kind == "affirm_after":
            _affirm(items, i, verdicts)
        if item.kind not in _LOOKING_BACK or (item.kind == "absent_after" and _is_about_earlier(items, i)):
            continue
        found = _backward_verdict(items, i)
        if found is None:
            continue
        targets = [] if _has_own_subject(items, i) else chain_before(items, i, CUE_STOPS)
        leads = item.kind == "change" and _reaches_forward(items, i)
        if leads or (not targets and item.kind in ("change", "absent_after")):
            targets = chain_after(items, i)
        for target in targets:
            verdicts[target] = _combined(verdicts[target], found)


def _has_own_subject(items: Sequence[Item], i: int) -> bool:
    """As in "opacity at the base, aspiration not excluded": the cue speaks of a word that names no finding."""
    if items[i].kind not in ("absent_after", "uncertain_after"):
        return False
    named = False
    for item in reversed(items[:i]):
        if item.kind not in ("word", "copula", "function"):
            return named and item.kind == "comma"
        named = named or (item.kind == "word" and not item.value.endswith("ly"))
    return False


def _affirm(items: Sequence[Item], i: int, verdicts: dict[int, Verdict]) -> None:
    """As in "no infiltrate, lines in place": a verb of its own ends the denial that a comma let through."""
    place = finding_before(items, i, CUE_STOPS)
    if place is None or verdicts[place].polarity == "uncertain" or not verdicts[place].kept:
        return
    before = max((j for j in range(place) if items[j].kind == "finding"), default=None)
    denied = verdicts[place].polarity == "absent"
    if denied:
        if before is None or verdicts[before].source != verdicts[place].source:
            return
        joints = {item.kind for item in items[before + 1 : place]}
        if "or" in joints or not joints & {"comma", "dash"}:
            return
    verdicts[place] = Verdict("present", (items[i].start, items[i].end) if denied else None, source=i, firm=True)


def _backward_verdict(items: Sequence[Item], i: int) -> Verdict | None:
    """What the item at i says of the finding before it; None when it says nothing."""
    item = items[i]
    span = (item.start, item.end)
    if item.kind == "change" and item.value == "resolved":
        return Verdict("absent", span, resolved=True, source=i)
    if item.kind == "absent_after":
        doubled = i > 0 and items[i - 1].kind == "absent_before"
        return Verdict("present", span, source=i) if doubled else Verdict("absent", span, source=i)
    if item.kind == "uncertain_after":
        return Verdict("uncertain", span, source=i)
    if item.kind == "uncertain_either" and not _reaches_forward(items, i) and _is_predicate(items, i):
        return Verdict("uncertain", span, source=i)
    answers = i > 0 and (items[i - 1].kind in ("colon", "dash") or items[i - 1].value == "?")
    if item.kind == "absent_before" and answers and not _reaches_forward(items, i):
        return Verdict("absent", span, source=i)
    return None


def _is_about_earlier(items: Sequence[Item], i: int) -> bool:
    """As in "not visible on the earlier study": it says nothing of this one."""
    after = [item.text for item in items[i + 1 : i + 5]]
    return bool(after) and after[0] in ("on", "in") and not _EARLIER.isdisjoint(after)


def _is_predicate(items: Sequence[Item], i: int) -> bool:
    """Whether a hedge speaks of what stands before it: after a verb, a modal verb itself, or at the end of a phrase."""
    if items[i].value in ("may", "might", "could"):
        return True
    before = items[i - 1].kind if i else ""
    if before in ("copula", "colon", "dash"):
        return True
    following = items[i + 1].kind if i + 1 < len(items) else "comma"
    return following in _PHRASE_ENDS or (following == "word" and before == "finding")


def _combined(now: Verdict, found: Verdict) -> Verdict:
    """A backward cue over what held before: a denial stays, and denies a hedge; nothing else outweighs it."""
    if now.firm:
        return now
    if not now.kept or (now.polarity == "absent" and not found.resolved):
        return replace(now, polarity="present", cue=found.cue) if found.polarity == "present" and now.kept else now
    return found


def _alternatives(items: Sequence[Item], verdicts: dict[int, Verdict]) -> None:
    """Two findings offered as alternatives are both uncertain; two names of one finding leave it present."""
    places = sorted(verdicts)
    for i, item in enumerate(items):
        if item.kind != "or" or item.value in ("/", "nor"):
            continue
        before = max((place for place in places if place < i), default=None)
        after = min((place for place in places if place > i), default=None)
        sides = [place for place in (before, after) if place is not None and _adjacent(items, place, i)]
        same = len(sides) == 2 and bool(set(items[sides[0]].labels) & set(items[sides[1]].labels))
        if (len(sides) < 2 or same) and item.value in ("or", "and / or"):
            continue
        for place in sides:
            if verdicts[place] == _own(items[place]) and items[place].polarity == "present":
                verdicts[place] = Verdict("uncertain", (item.start, item.end), source=i)


def _adjacent(items: Sequence[Item], place: int, i: int) -> bool:
    """Whether nothing but the words of one phrase stands between a finding and the `or` at i.

    A comparison ("rather than", "is less likely than") may also have a comma or its verb there.
    """
    low, high = sorted((place, i))
    joints = {item.kind for item in items[low + 1 : high]}
    allowed = LIST_GAPS - {"and", "or"} if " than" in items[i].value else LIST_GAPS - {"comma", "and", "or"}
    return not joints - allowed - {"copula" if " than" in items[i].value else "word"}
