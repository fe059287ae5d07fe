"""What a finding suggests: "opacity suspicious for pneumonia", "patch, likely vitiligo"."""

from __future__ import annotations

from collections.abc import Sequence

from knowledge.extraction.links import LIGHT, SUGGESTING, VERB, Link, joined
from knowledge.extraction.mentions import Mention
from knowledge.extraction.nodes import Node
from knowledge.extraction.vocabulary import word_set
from rag.passages import Polarity

_TELLING = word_set("telling")
_HEDGES = frozenset(
    ("likely", "possibly", "probably", "perhaps", "presumably", "may", "might", "could", "may be", "could be")
)


def suggestions(nodes: Sequence[Node], mentions: Sequence[Mention]) -> list[Link]:
    """Every `suggestive_of` of a sentence; what is concluded is no sign of the next conclusion."""
    observed = [mention for mention in mentions if mention.category == "observation"]
    found: list[Link] = []
    for i, node in enumerate(nodes):
        if not _is_suggestion(nodes, i):
            continue
        heads = _signs(nodes, [one for one in observed if one.last < i], i)
        tails = _conclusions(nodes, [one for one in observed if one.first > i], i)
        found += [
            Link(head, "suggestive_of", tail, _suggested(head, tail, node), VERB) for head in heads for tail in tails
        ]
        observed = [one for one in observed if not _taken(one, found)] if found else observed
    return list({(id(link.head), id(link.tail)): link for link in reversed(found)}.values())[::-1]


def _signs(nodes: Sequence[Node], before: Sequence[Mention], cue: int) -> list[Mention]:
    """The finding before a cue, and those joined to it: "swelling and warmth, suspicious for thrombosis"."""
    found: list[Mention] = []
    following = cue
    for mention in reversed(before):
        between = nodes[mention.last + 1 : following]
        if any(other.kind == "break_hard" or other.text == ";" for other in between):
            break
        if found and (not joined(between) or mention.polarity != found[0].polarity):
            break
        found.append(mention)
        following = mention.first
    return found[::-1]


def _taken(mention: Mention, found: Sequence[Link]) -> bool:
    """A conclusion is no sign of the next conclusion."""
    return any(link.tail is mention for link in found)


def _is_suggestion(nodes: Sequence[Node], i: int) -> bool:
    node = nodes[i]
    if node.kind in ("observation", "anatomy", "unknown", "state"):
        return False
    following = nodes[i + 1].text if i + 1 < len(nodes) else ""
    if SUGGESTING.search(node.text) or (node.text in _TELLING and following in ("of", "with", "for")):
        return True
    hedge = node.text in _HEDGES or (node.kind == "uncertain_either" and node.text != "?")
    before = nodes[i - 1].kind if i else ""
    return hedge and (before in ("comma", "copula", "dash") or node.text in ("may", "might", "could"))


def _conclusions(nodes: Sequence[Node], after: Sequence[Mention], cue: int) -> list[Mention]:
    found: list[Mention] = []
    last = cue
    for mention in after:
        between = nodes[last + 1 : mention.first]
        if found and (not joined(between) or any(" than" in node.text for node in between)):
            break
        if not found and not _directly(between):
            break
        found.append(mention)
        last = mention.last
    return found


def _directly(between: Sequence[Node]) -> bool:
    allowed = LIGHT | {"copula", "preposition", "position", "boundary"}
    return all(node.kind in allowed or node.kind.startswith("uncertain") for node in between)


def _suggested(head: Mention, tail: Mention, cue: Node) -> Polarity:
    """What is denied suggests nothing, a doubted sign suggests in doubt; the suggestion itself is what is stated."""
    if head.polarity == "absent" or (
        tail.polarity == "absent" and tail.change != "resolved" and cue.kind != "break_soft"
    ):
        return "absent"
    return "uncertain" if head.polarity == "uncertain" else "present"
