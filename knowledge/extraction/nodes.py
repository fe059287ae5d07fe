"""The pieces of a sentence from which noun phrases are built: words by class, cues, measures, linked concepts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from knowledge.extraction.protocol import Category, Style
from knowledge.extraction.vocabulary import Vocabulary, cue_lexicon, vocabulary
from knowledge.findings.tokens import Item, Span, tokenize

INNER: frozenset[str] = frozenset(
    (
        "anatomy", "attribute", "position", "observation", "state", "kind", "descriptor", "quantity", "other", "adverb",
        "unknown", "laterality", "severity", "change", "measure",
    )
)  # fmt: skip
"""Classes of what may stand inside a noun phrase; everything else ends one."""

_UNITS = frozenset(["mm", "cm", "m", "ml", "cc", "um", "µm", "μm", "nm", "mmhg", "degrees", "degree", "%", "percent"])
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*$")
_TIMES = frozenset(("x", "×", "by", "to"))


class Linked(NamedTuple):
    """A concept found at `text[start:end]`, and what kind of thing it is, None where that is not known."""

    start: int
    end: int
    key: str
    name: str
    category: Category | None = None


class Node(NamedTuple):
    """A word, phrase or mark: its class (a `WordClass`, an item's kind, or "measure"), its place and its item.

    `key` and `name` are those of a linked concept, empty without one.
    """

    kind: str
    start: int
    end: int
    item: Item
    key: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        """The words in lower case, as the cue lexicon read them."""
        return self.item.text


def nodes_of(text: str, span: Span, style: Style, linked: Sequence[Linked]) -> list[Node]:
    """The nodes of a sentence, in order; `linked` are the concepts that stand in it."""
    words = vocabulary(style)
    items = cue_lexicon(style).items(tokenize(text, *span), whole=True)
    nodes = _measured(_compounds(text, [_node(item, words) for item in items], words))
    return _with_concepts(text, nodes, linked) if linked else nodes


def _node(item: Item, words: Vocabulary) -> Node:
    kind: str
    if item.kind == "word" and item.text[:1].isalpha():
        kind = words.word_class(item.text)
    elif item.kind == "word":
        kind = "number" if _NUMBER.match(item.text) else "mark"
    else:
        kind = {"finding": "observation", "subject": "anatomy"}.get(item.kind, item.kind)
    return Node(kind, item.start, item.end, item)


def _compounds(text: str, nodes: Sequence[Node], words: Vocabulary) -> list[Node]:
    """Words with a hyphen between them as one: "ring-enhancing" is a descriptor, whatever "ring" is."""
    joined: list[Node] = []
    for node in nodes:
        before = joined[-1] if joined else None
        if before is not None and node.start == before.end + 1 and text[before.end] == "-" and _is_plain(before, node):
            whole = f"{before.text}-{node.text}"
            item = before.item._replace(kind="word", value=whole, text=whole, end=node.end)
            joined[-1] = Node(words.word_class(whole), before.start, node.end, item)
        else:
            joined.append(node)
    return joined


def _is_plain(before: Node, node: Node) -> bool:
    return before.item.kind == "word" and node.item.kind in ("word", "preposition", "function", "absent_after")


def _measured(nodes: Sequence[Node]) -> list[Node]:
    """Numbers with a unit as one node: "12 mm", "2.5 x 1.5 cm"."""
    found: list[Node] = []
    i = 0
    while i < len(nodes):
        stop = _measure_end(nodes, i)
        if stop is None:
            found.append(nodes[i])
            i += 1
            continue
        words = " ".join(node.text for node in nodes[i:stop])
        item = nodes[i].item._replace(kind="word", value=words, text=words, end=nodes[stop - 1].end)
        found.append(Node("measure", nodes[i].start, nodes[stop - 1].end, item))
        i = stop
    return found


def _measure_end(nodes: Sequence[Node], i: int) -> int | None:
    j = i
    while j + 1 < len(nodes) and nodes[j].kind == "number":
        j += 1
        if nodes[j].text in _UNITS:
            return j + 1
        if nodes[j].text not in _TIMES:
            return None
        j += 1
    return None


def _with_concepts(text: str, nodes: list[Node], linked: Sequence[Linked]) -> list[Node]:
    """The nodes with those that a concept covers made one; concepts that only modify are left as words."""
    for span in sorted(linked, key=lambda one: (one.end - one.start, one.start)):
        first = next((i for i, node in enumerate(nodes) if node.start == span.start), None)
        last = next((i for i, node in enumerate(nodes) if node.end == span.end), None)
        if first is None or last is None or last < first:
            continue
        kind = _concept_kind(nodes[first : last + 1], span)
        if kind is None:
            continue
        words = text[span.start : span.end].lower()
        item = nodes[first].item._replace(kind="word", value=words, text=words, end=span.end)
        nodes = [*nodes[:first], Node(kind, span.start, span.end, item, span.key, span.name), *nodes[last + 1 :]]
    return nodes


def _concept_kind(covered: Sequence[Node], span: Linked) -> str | None:
    """The class a concept's words get; None for one that is a side, a degree or a plain adjective.

    Words that deny, doubt, ask or compare are never part of a name: a vocabulary that has "no diabetic retinopathy" as
    a concept must not turn a denial into a finding.
    """
    if any(node.kind in _NEVER_NAMED or node.kind.startswith(("absent", "uncertain", "break")) for node in covered):
        return None
    head = covered[-1].kind
    if len(covered) == 1 and (head not in INNER or head in _ADJECTIVES):
        return None
    if span.category is not None:
        return span.category
    if head in ("anatomy", "attribute"):
        # A body part in a state is a finding: "pale optic disc", "low lung volumes".
        stated = any(node.kind in ("state", "kind", "descriptor", "severity") for node in covered)
        return "observation" if stated else "anatomy"
    return head if head in ("observation", "other") else "unknown"


_ADJECTIVES = frozenset(
    ("laterality", "severity", "position", "descriptor", "quantity", "adverb", "state", "kind", "measure")
)
_NEVER_NAMED = frozenset(("change", "comma", "colon", "copula", "request", "history", "affirm", "affirm_after", "or"))
