"""Which findings a predicate before or after them speaks of ("atelectasis and effusion are unchanged")."""

from __future__ import annotations

from collections.abc import Sequence, Set

from knowledge.findings.tokens import Item

LIST_GAPS = frozenset(
    ("word", "other", "article", "laterality", "severity", "change", "and", "or", "comma", "function", "preposition")
)
_BREAKS = frozenset(("break_hard",))
CUE_STOPS = frozenset(("break_hard", "absent_after", "uncertain_after"))
_SINGULAR = frozenset(("is", "was", "has", "appears", "seems", "looks", "has been"))


def chain_before(items: Sequence[Item], i: int, stops: frozenset[str] = _BREAKS) -> list[int]:
    """The findings that a predicate at i speaks of: the nearest before it, and those listed with that one."""
    nearest = finding_before(items, i, stops)
    if nearest is None:
        return []
    chain = [nearest]
    between = items[nearest + 1 : i]
    singular = any(item.kind == "copula" and item.value in _SINGULAR for item in between)
    crossed = any(item.kind == "colon" for item in between)  # "effusion, pneumothorax: absent"
    for j in range(nearest - 1, -1, -1):
        if items[j].kind == "finding":
            joints = {item.kind for item in items[j + 1 : chain[-1]]}
            if not _listed(joints, crossed=crossed, singular=singular or _has_opener(items, j)):
                break
            crossed = True
            chain.append(j)
        elif items[j].kind not in LIST_GAPS:
            break
    return chain


def finding_before(items: Sequence[Item], i: int, stops: frozenset[str]) -> int | None:
    """The nearest finding before i, unless an item of a kind in `stops` or a semicolon stands between."""
    for j in range(i - 1, -1, -1):
        if items[j].kind == "finding":
            return j
        if items[j].kind in stops or items[j].value == ";":
            return None
    return None


def _listed(joints: Set[str], *, crossed: bool, singular: bool) -> bool:
    if "or" in joints:
        return True
    if "and" in joints:
        return not singular
    return "comma" in joints and crossed


def _has_opener(items: Sequence[Item], j: int) -> bool:
    """Whether the phrase of the finding at j is already asserted by its own verb ("there is cardiomegaly and ...")."""
    for item in reversed(items[:j]):
        if item.kind in ("break_hard", "break_soft"):
            return True
        if item.kind not in LIST_GAPS:
            return False
    return False


def chain_after(items: Sequence[Item], i: int) -> list[int]:
    """The findings directly after a cue at i, and those listed with the first of them."""
    chain: list[int] = []
    for j in range(i + 1, len(items)):
        if items[j].kind == "finding":
            joints = {item.kind for item in items[(chain[-1] if chain else i) + 1 : j]}
            if chain and joints & {"severity", "change", "article", "comma"}:
                break
            chain.append(j)
        elif items[j].kind not in LIST_GAPS:
            break
    return chain
