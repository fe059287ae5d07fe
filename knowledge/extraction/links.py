"""What a relation between two mentions of a sentence is, and the small tests that every rule of relations uses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from knowledge.extraction.mentions import Mention
from knowledge.extraction.nodes import Node
from knowledge.findings.tokens import Span
from rag.passages import Polarity


class Link(NamedTuple):
    """`head relation tail`. `words` is the span of a tail or head that is no mention (a modifier); None without one."""

    head: Mention
    relation: str
    tail: Mention
    polarity: Polarity
    confidence: float


class Modification(NamedTuple):
    """Words that modify a mention: their span in the text, or a side or degree that the sentence gives it elsewhere."""

    words: Span | str
    mention: Mention


FORM, PREPOSITION, VERB, HEADER = 0.95, 0.9, 0.8, 0.7
"""Confidence of a relation by the rule that found it: our own ranking, from grammar within a phrase to mere order."""

SUGGESTING = re.compile(
    r"suggest|suspicious|concern|consistent|compatible|keeping with|represent|reflect|worrisome|indicat|c / w"
    r"|diagnostic of|typical of|characteristic of|due|secondary to|favor|favour|suspect|thought to|most likely"
    r"|question of"
)
"""Words by which a finding points to another."""
LIGHT = frozenset(
    ("article", "quantity", "adverb", "severity", "descriptor", "state", "kind", "change", "measure", "laterality")
)
"""Kinds of nodes that say nothing of where or why: articles and modifiers."""
LISTING = frozenset(("and", "or", "comma", "article", "position", "absent_before")) | LIGHT
"""Kinds of nodes that may stand between the items of a list."""


def joined(between: Sequence[Node]) -> bool:
    """Whether what stands between two mentions makes them one list, or one the company of the other ("with")."""
    kinds = {node.kind for node in between}
    accompanied = any(node.text in ("with", "w/") for node in between)
    return (accompanied or bool(kinds & {"and", "or"})) and not kinds - LISTING - {"break_soft"}


def is_light(node: Node) -> bool:
    """Whether a node says nothing of where: articles, modifiers, denials and hedges, but no "suspicious for"."""
    cue = node.kind.startswith(("absent", "uncertain")) and SUGGESTING.search(node.text) is None
    return cue or node.kind in LIGHT
