"""What a sentence speaks of: each mention with its polarity, change, side, degree and the words that modify it.

Negation, hedges and modifiers are resolved by `knowledge.findings`, whose rules speak of findings and places without
caring which ones: here any finding takes the place of CheXpert's fourteen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from knowledge.extraction.nodes import Linked, Node, nodes_of
from knowledge.extraction.phrases import Loose, Phrase, phrases_of
from knowledge.extraction.protocol import Category, Style
from knowledge.extraction.vocabulary import word_set
from knowledge.findings.modifiers import Modifiers, resolve_modifiers
from knowledge.findings.phrases import repair
from knowledge.findings.scope import Verdict, resolve_scope
from knowledge.findings.tokens import Item, Span
from knowledge.triples import Change, key_of
from rag.passages import Polarity

CHANGES: dict[str, Change] = {
    "new": "new", "increased": "worse", "decreased": "better", "unchanged": "stable", "resolved": "resolved",
}  # fmt: skip
"""The findings' words for change in those of the triple contract."""


@dataclass(slots=True)
class Mention:
    """`text[start:end]`, nodes `[first, last]`. Only an observation has a polarity other than present.

    `modifiers` are spans of words taken off it. `place` is the mention of the body part it is said of by its form alone
    ("left lung nodule", "the aorta is calcified"). `key` and `name` are those of a linked concept or of the words;
    `kind_of` is the concept of the head alone where the words say more. `kept` is False for what is only asked about or
    remembered.
    """

    category: Category
    start: int
    end: int
    first: int
    last: int
    key: str
    name: str
    kind_of: str = ""
    modifiers: tuple[Span, ...] = ()
    place: Mention | None = None
    polarity: Polarity = "present"
    change: Change = "none"
    side: str = ""
    grade: str = ""
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """A sentence read: its nodes, and its mentions in the order of the text."""

    text: str
    span: Span
    style: Style
    nodes: tuple[Node, ...]
    mentions: tuple[Mention, ...]


def read_sentence(text: str, span: Span, style: Style, linked: Sequence[Linked] = ()) -> Reading:
    """The mentions of the sentence `text[span]`; `linked` are the concepts that a linker found inside it."""
    nodes = nodes_of(text, span, style, linked)
    phrases, loose = phrases_of(nodes, others=style == "definition")
    mentions = _named(text, nodes, phrases)
    mentions = sorted([*mentions, *_states(text, nodes, mentions, loose)], key=lambda one: one.first)
    _judge(nodes, mentions)
    return Reading(text, span, style, tuple(nodes), tuple(mentions))


_SAYING_NOTHING = word_set("saying_nothing")


def _named(text: str, nodes: Sequence[Node], phrases: Sequence[Phrase]) -> list[Mention]:
    made: dict[int, Mention] = {}
    found: list[Mention] = []
    for phrase in phrases:
        if phrase.first == phrase.last and not phrase.modifiers and nodes[phrase.last].text in _SAYING_NOTHING:
            continue
        mention = _mention(text, nodes, phrase.category, (phrase.first, phrase.last))
        made[id(phrase)] = mention
        states = [
            span
            for span in phrase.modifiers
            if phrase.category == "anatomy" and nodes[span[0]].kind in ("state", "kind")
        ]
        mention.modifiers = tuple(_offsets(nodes, span) for span in phrase.modifiers if span not in states)
        mention.place = made.get(id(phrase.place))
        found.append(mention)
        for state in states:
            observed = _mention(text, nodes, "observation", state)
            observed.place = mention
            found.append(observed)
    return found


def _mention(text: str, nodes: Sequence[Node], category: Category, span: Span) -> Mention:
    first, last = span
    start, end = nodes[first].start, nodes[last].end
    head = nodes[last]
    whole = first == last and bool(head.key)
    name = head.name if whole else text[start:end]
    key = head.key if whole else key_of(text[start:end])
    return Mention(category, start, end, first, last, key, name, kind_of="" if whole else head.key)


def _offsets(nodes: Sequence[Node], span: Span) -> Span:
    return nodes[span[0]].start, nodes[span[1]].end


def _states(text: str, nodes: Sequence[Node], named: Sequence[Mention], loose: Sequence[Loose]) -> list[Mention]:
    """Loose adjectives that tell the state of a body part; those that describe a finding become its modifiers."""
    found: list[Mention] = []
    for one in loose:
        for subject in _subjects(nodes, named, one.first):
            if subject.category != "anatomy":
                subject.modifiers = (*subject.modifiers, _offsets(nodes, (one.first, one.last)))
            elif nodes[one.last].kind in ("state", "kind"):
                observed = _mention(text, nodes, "observation", (one.last, one.last))
                observed.place = subject
                if nodes[one.last - 1].kind == "severity":
                    observed.modifiers = (_offsets(nodes, (one.last - 1, one.last - 1)),)
                found.append(observed)
    return found


_PASSED = frozenset(
    (
        "adverb", "severity", "change", "and", "or", "comma", "copula", "state", "kind", "position", "descriptor",
        "measure", "laterality", "absent_before", "uncertain_either", "uncertain_before", "function", "article",
        "quantity",
    )
)  # fmt: skip


def _subjects(nodes: Sequence[Node], named: Sequence[Mention], place: int) -> list[Mention]:
    """What an adjective at `place` speaks of: the phrase before it, and the body parts listed with that one."""
    by_last = {mention.last: mention for mention in named}
    predicate = False
    for i in range(place - 1, -1, -1):
        mention = by_last.get(i)
        if mention is not None:
            return _settled(nodes, named, mention, place, predicate=predicate)
        if nodes[i].kind not in _PASSED and nodes[i].text not in ("remain", "remains", "appear", "appears"):
            return []
        predicate = predicate or nodes[i].kind == "copula" or nodes[i].text in ("remains", "remain")
    return []


def _settled(
    nodes: Sequence[Node], named: Sequence[Mention], nearest: Mention, place: int, *, predicate: bool
) -> list[Mention]:
    if nearest.category == "other":
        return [nearest] if predicate else []
    subject = _before_preposition(nodes, named, nearest)
    if subject is not None:
        return [subject] if predicate and subject.category == "observation" else []
    if nearest.category == "observation":
        described = nodes[place].kind in ("descriptor", "measure", "adverb", "severity")
        return [nearest] if predicate or described else []
    return [nearest, *_listed_before(nodes, named, nearest)]


def _before_preposition(nodes: Sequence[Node], named: Sequence[Mention], nearest: Mention) -> Mention | None:
    """The finding that a body part only places: of "the rash on the arm is red" the rash."""
    i = nearest.first - 1
    while i >= 0 and nodes[i].kind in ("article", "laterality", "quantity"):
        i -= 1
    if i < 0 or nodes[i].kind != "preposition":
        return None
    return next((one for one in reversed(named) if one.last < i and one.category == "observation"), None)


def _listed_before(nodes: Sequence[Node], named: Sequence[Mention], nearest: Mention) -> list[Mention]:
    """Body parts in one list with the nearest: "lids and lashes are normal"."""
    listed: list[Mention] = []
    first = nearest.first
    for mention in reversed(named):
        if mention.last >= first or mention.category != "anatomy":
            continue
        between = {node.kind for node in nodes[mention.last + 1 : first]}
        if not between or between - {"and", "comma", "article", "or"}:
            break
        listed.append(mention)
        first = mention.first
    return listed


def _judge(nodes: Sequence[Node], mentions: Sequence[Mention]) -> None:
    """Set polarity, change, side and degree of every observation."""
    items, places = _scope_items(nodes, mentions)
    items = repair(items, {item.kind for item in items})
    verdicts = resolve_scope(items)
    modifiers = resolve_modifiers(items, verdicts)
    for place, spoken in places.items():
        if place not in verdicts:
            continue
        for mention in spoken:
            _apply(mention, verdicts[place], modifiers[place])


def _apply(mention: Mention, verdict: Verdict, said: Modifiers) -> None:
    mention.polarity, mention.kept = verdict.polarity, verdict.kept
    mention.change = CHANGES[said.change] if said.change else "none"
    mention.side, mention.grade = said.laterality or "", said.severity or ""


def _scope_items(nodes: Sequence[Node], mentions: Sequence[Mention]) -> tuple[list[Item], dict[int, list[Mention]]]:
    """The sentence as the scope rules read it, and which mentions stand behind each finding there."""
    at: dict[int, list[Mention]] = {}
    for mention in mentions:
        at.setdefault(mention.first, []).append(mention)
    items: list[Item] = []
    places: dict[int, list[Mention]] = {}
    i = 0
    while i < len(nodes):
        spoken = at.get(i)
        if spoken is None:
            items.append(nodes[i].item)
            i += 1
            continue
        if spoken[0].category == "observation":
            places[len(items)] = spoken
        items.append(_scope_item(nodes, spoken[0], len(items)))
        i = spoken[0].last + 1
    return items, places


def _scope_item(nodes: Sequence[Node], mention: Mention, place: int) -> Item:
    item = nodes[mention.first].item._replace(end=mention.end)
    if mention.category == "observation":
        # Every mention is a label of its own, so that no two are taken for two names of one finding.
        return item._replace(kind="finding", labels=(str(place),))
    if mention.category == "anatomy":
        return item._replace(kind="other", value="place")
    return item._replace(kind="word")
