"""Noun phrases: body parts, findings and, in definitions, other things, with the words that only modify them.

A phrase is a run of words up to its head, the last noun known by list, ending or linker. Sides, degrees, measures and
words of appearance in front of a finding are taken off it and kept as its modifiers; a side or a position in front of a
body part belongs to the part's name, because the left lung is not the right one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from knowledge.extraction.nodes import INNER, Node
from knowledge.extraction.protocol import Category
from knowledge.findings.tokens import Span

_HEADS = frozenset(("anatomy", "attribute", "observation"))
_STARTS_NEW = frozenset(
    ("state", "kind", "descriptor", "laterality", "severity", "change", "quantity", "measure", "position", "adverb")
)
"""Classes that begin a new phrase behind a head: nouns that go on ("tumor cells") have no such word between them."""
_TAKEN_OFF = frozenset(
    ("laterality", "position", "severity", "change", "quantity", "descriptor", "state", "measure", "adverb")
)
_MOST_WORDS = 6
"""Words of the longest name a run of unknown words may give; beyond it only the words nearest to the head count."""

_LOBES = frozenset(("rul", "rml", "rll", "lul", "lll", "lingula"))
"""Names of one place each, though they are one word."""
_POSITIONED = ("anterior ", "posterior ", "superior ", "inferior ", "upper ", "lower ", "left ", "right ")
_LATIN = ("us", "um", "is", "ii", "ae", "a", "ans", "ens")


@dataclass(slots=True)
class Phrase:
    """A body part, a finding or another thing: nodes `[first, last]`, and the nodes of each modifier.

    `place` is the phrase of the body part that stood in front of a finding in the same run ("left lung nodule").
    """

    category: Category
    first: int
    last: int
    modifiers: list[Span] = field(default_factory=list)
    place: Phrase | None = None


@dataclass(frozen=True, slots=True)
class Loose:
    """Adjectives without a noun of their own, nodes `[first, last]`: "is enlarged", ", moderately differentiated"."""

    first: int
    last: int


def phrases_of(nodes: Sequence[Node], *, others: bool) -> tuple[list[Phrase], list[Loose]]:
    """The noun phrases and loose adjectives of a sentence, in order. `others` takes things of any kind too."""
    heads = _HEADS | {"other"} if others else _HEADS
    phrases: list[Phrase] = []
    loose: list[Loose] = []
    for first, last in _runs(nodes):
        start = first
        while start <= last:
            head = _head(nodes, start, last, heads)
            if head is None:
                loose.extend(_adjectives(nodes, start, last))
                break
            phrases.extend(_read(nodes, start, head))
            start = phrases[-1].last = _name_end(nodes, head, last)
            start += 1
    return phrases, loose


def _runs(nodes: Sequence[Node]) -> Iterator[Span]:
    start: int | None = None
    for i in range(len(nodes) + 1):
        inside = i < len(nodes) and (nodes[i].kind in INNER or _joins_positions(nodes, i))
        if inside and start is None:
            start = i
        elif not inside and start is not None:
            yield start, i - 1
            start = None


def _joins_positions(nodes: Sequence[Node], i: int) -> bool:
    """Whether an `and` joins two positions of one part: "the fifth and sixth ribs"."""
    if nodes[i].kind != "and" or not 0 < i < len(nodes) - 1:
        return False
    return nodes[i - 1].kind == "position" == nodes[i + 1].kind


def _head(nodes: Sequence[Node], start: int, last: int, heads: frozenset[str]) -> int | None:
    """The head of the phrase that starts there: the last noun before anything that opens another phrase."""
    found: int | None = None
    for i in range(start, last + 1):
        if nodes[i].kind in heads:
            found = i
        elif found is not None and nodes[i].kind in _STARTS_NEW:
            break
    return found


def _name_end(nodes: Sequence[Node], head: int, last: int) -> int:
    """Where a Latin name ends whose head stands first: "diabetes mellitus", "pityriasis alba"."""
    while head < last and nodes[head + 1].kind == "unknown" and nodes[head + 1].text.endswith(_LATIN):
        head += 1
    return head


def _adjectives(nodes: Sequence[Node], start: int, last: int) -> Iterator[Loose]:
    i = start
    while i <= last:
        if nodes[i].kind in ("state", "kind", "descriptor", "measure"):
            # The degree of a state is its own modifier ("mildly enlarged"), that of a look is part of it.
            degrees = ("adverb",) if nodes[i].kind in ("state", "kind") else ("adverb", "severity")
            yield Loose(i - 1 if i > start and nodes[i - 1].kind in degrees else i, i)
        i += 1


def _read(nodes: Sequence[Node], start: int, head: int) -> Iterator[Phrase]:
    category = _category(nodes, start, head)
    if category == "observation":
        place = _leading_place(nodes, start, head)
        if place is not None:
            part = _part(nodes, start, place)
            yield part
            yield _thing(nodes, place + 1, head, category, part)
            return
        yield _thing(nodes, start, head, category, None)
    elif category == "anatomy":
        yield _part(nodes, start, head)
    else:
        yield _thing(nodes, start, head, category, None)


def _category(nodes: Sequence[Node], start: int, head: int) -> Category:
    kind = nodes[head].kind
    if kind == "attribute":
        return "observation" if any(node.kind == "observation" for node in nodes[start:head]) else "anatomy"
    return "anatomy" if kind == "anatomy" else "observation" if kind == "observation" else "other"


def _leading_place(nodes: Sequence[Node], start: int, head: int) -> int | None:
    """Where a body part with a side or position ends in front of a finding; "lung nodule" is one name."""
    for i in range(head - 1, start - 1, -1):
        if nodes[i].kind != "anatomy":
            continue
        placed = any(node.kind in ("laterality", "position") for node in nodes[start:i])
        # A linked concept of several words is a part with a position of its own ("lower lobe").
        named = nodes[i].text in _LOBES or (bool(nodes[i].key) and len(nodes[i].text.split()) > 1)
        named = named or nodes[i].text.startswith(_POSITIONED)
        return i if placed or named else None
    return None


def _part(nodes: Sequence[Node], start: int, head: int) -> Phrase:
    """A body part: states and looks are taken off in front of it, sides and positions are not."""
    modifiers: list[Span] = []
    i = start
    while i < head and nodes[i].kind in (
        "state",
        "kind",
        "descriptor",
        "quantity",
        "severity",
        "change",
        "measure",
        "adverb",
    ):
        if nodes[i].kind in ("state", "kind", "descriptor"):
            modifiers.append((i, i))
        i += 1
    return Phrase("anatomy", max(i, head - _MOST_WORDS + 1), head, modifiers)


def _thing(nodes: Sequence[Node], start: int, head: int, category: Category, place: Phrase | None) -> Phrase:
    modifiers: list[Span] = []
    i = start
    while i < head and nodes[i].kind in _TAKEN_OFF:
        last = i
        while last + 1 < head and _goes_with(nodes[last].kind, nodes[last + 1].kind):
            last += 1
        if nodes[last].kind != "change" and not (nodes[last].kind == "adverb" and last == i):
            modifiers.append((i, last))
        i = last + 1
    return Phrase(category, max(i, head - _MOST_WORDS + 1), head, modifiers, place)


def _goes_with(kind: str, following: str) -> bool:
    """Whether two words make one modifier: "right apical", "moderately differentiated"."""
    if kind in ("laterality", "position"):
        return following == "position"
    return kind == "adverb" and following in ("descriptor", "state")
