"""Where findings are: by the form of a phrase, by a preposition, by a verb, or by a header in front of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from knowledge.extraction.links import (
    FORM,
    HEADER,
    LIGHT,
    LISTING,
    PREPOSITION,
    SUGGESTING,
    VERB,
    Link,
    is_light,
    joined,
)
from knowledge.extraction.mentions import Mention
from knowledge.extraction.nodes import Node
from knowledge.extraction.vocabulary import word_set

_SHOWING = word_set("showing")
_INVOLVING = word_set("involving")
_FREE = frozenset(("free of", "free from", "clear of", "devoid of", "negative for"))
_MEASURED = frozenset(("volume", "volumes", "size", "pressure", "thickness", "silhouette", "contour", "contours"))
"""Last words of parts in which nothing is found: they are only measured."""


def places(nodes: Sequence[Node], mentions: Sequence[Mention]) -> list[Link]:
    """Every `located_at` of a sentence, and `part_of` where one body part places another."""
    placed = list(_by_form(mentions))
    placed += _by_preposition(nodes, mentions, {id(link.head) for link in placed})
    return [*placed, *_by_verb(nodes, mentions, {id(link.head) for link in placed if link.relation == "located_at"})]


def _by_form(mentions: Sequence[Mention]) -> Iterator[Link]:
    for mention in mentions:
        if mention.place is not None and mention.category == "observation":
            yield _located(mention, mention.place, FORM)


def _located(finding: Mention, place: Mention, confidence: float) -> Link:
    return Link(finding, "located_at", place, finding.polarity, confidence)


def _by_preposition(nodes: Sequence[Node], mentions: Sequence[Mention], done: set[int]) -> list[Link]:
    found: list[Link] = []
    for i, place in enumerate(mentions):
        if place.category != "anatomy":
            continue
        joint = _joint_before(nodes, place)
        if joint is None:
            found += _listed_place(nodes, mentions, i, found)
            continue
        before = [one for one in mentions[:i] if one.last < joint]
        nearest = before[-1] if before else None
        if nearest is not None and nearest.category == "anatomy" and _adjoin(nodes, nearest.last, joint):
            if nodes[joint].text in ("of", "in", "within"):
                found.append(Link(nearest, "part_of", place, "present", PREPOSITION))
            continue
        targets = _heads_before(nodes, before, joint)
        if not targets and nearest is None:
            targets = _first_after(nodes, mentions[i + 1 :], place)
        found += [_located(target, place, PREPOSITION) for target in targets if id(target) not in done]
    return found


def _joint_before(nodes: Sequence[Node], place: Mention) -> int | None:
    """The preposition, or the verb that works as one, by which a place is joined to what is there."""
    i = place.first - 1
    while i >= 0 and (nodes[i].kind in LIGHT or nodes[i].text in ("into", "to", "its")):
        if nodes[i].kind == "preposition":
            break
        i -= 1
    if i < 0:
        return None
    from_there = nodes[i].text == "from" and i > 0 and nodes[i - 1].kind == "boundary"
    return i if nodes[i].kind == "preposition" or nodes[i].text in _INVOLVING or from_there else None


def _adjoin(nodes: Sequence[Node], last: int, joint: int) -> bool:
    return all(node.kind in LIGHT for node in nodes[last + 1 : joint])


def _heads_before(nodes: Sequence[Node], before: Sequence[Mention], joint: int) -> list[Mention]:
    """The finding that a place belongs to, with those joined to it by `and` or `or`."""
    heads: list[Mention] = []
    last = joint
    for mention in reversed(before):
        between = nodes[mention.last + 1 : last]
        if any(node.kind in ("break_hard", "colon") or node.text == ";" for node in between):
            break
        if mention.category == "anatomy":
            if heads:
                break
            continue
        if heads and not joined(between):
            break
        if (
            not heads
            and nodes[joint].text == "of"
            and any(node.kind in ("boundary", "unknown", "break_soft") for node in between)
        ):
            break  # "of" belongs to the noun before it: "precludes a view of the fundus"
        heads.append(mention)
        last = mention.first
        if mention.place is not None:
            break
    return [head for head in heads if head.category == "observation"]


def _first_after(nodes: Sequence[Node], after: Sequence[Mention], place: Mention) -> list[Mention]:
    """What a place that opens the sentence holds: "in the left lung there is an opacity"."""
    heads: list[Mention] = []
    for mention in after:
        if mention.category != "observation":
            break
        if heads and not joined(nodes[heads[-1].last + 1 : mention.first]):
            break
        if not heads and any(SUGGESTING.search(node.text) for node in nodes[place.last + 1 : mention.first]):
            break
        heads.append(mention)
    return heads


def _listed_place(nodes: Sequence[Node], mentions: Sequence[Mention], i: int, found: Sequence[Link]) -> list[Link]:
    """A place in a list with one that is already joined: "affects the skin and peripheral nerves"."""
    before = mentions[i - 1] if i else None
    if before is None or before.category != "anatomy" or not joined(nodes[before.last + 1 : mentions[i].first]):
        return []
    return [link._replace(tail=mentions[i]) for link in found if link.tail is before and link.relation == "located_at"]


def _by_verb(nodes: Sequence[Node], mentions: Sequence[Mention], done: set[int]) -> list[Link]:
    """A body part that shows, contains or comes with findings, or stands as a header in front of them."""
    found: list[Link] = []
    for i, place in enumerate(mentions):
        if place.category != "anatomy" or i + 1 >= len(mentions):
            continue
        confidence = _joint_after(nodes, place, mentions[i + 1])
        if confidence is None:
            continue
        previous: Mention = place
        for mention in mentions[i + 1 :]:
            between = nodes[previous.last + 1 : mention.first]
            if mention.category != "observation" or (previous is not place and not _goes_on(between, previous)):
                break
            if id(mention) not in done:
                found.append(_located(mention, place, confidence))
            previous = mention
    return found


def _joint_after(nodes: Sequence[Node], place: Mention, following: Mention) -> float | None:
    """How sure it is that what follows is in this place; None when nothing says so."""
    if following.category != "observation" or nodes[place.last].text.rsplit(" ", 1)[-1] in _MEASURED:
        return None
    if following.place is place and following.first > place.last:
        return VERB
    between = nodes[place.last + 1 : following.first]
    if _shows(nodes, place, following):
        return VERB
    marks = [node for node in between if not is_light(node)]
    if not marks:
        return None if _placed(nodes, place) else HEADER
    headed = marks[-1].kind == "colon" and marks[-1].text == ":"
    return HEADER if headed and not {node.kind for node in marks} & {"break_hard", "break_soft"} else None


def _shows(nodes: Sequence[Node], place: Mention, following: Mention) -> bool:
    between = nodes[place.last + 1 : following.first]
    if not between or _placed(nodes, place):
        return False
    lead = [node for node in between if not is_light(node)]
    if any(node.text in _FREE for node in between):
        return all(node.kind in ("boundary", "copula", "function", "adverb") for node in lead)
    plain = all(node.kind in ("boundary", "copula", "break_soft", "function", "adverb") for node in lead)
    return plain and any(node.text in _SHOWING or node.text in ("with", "w/") for node in lead)


def _placed(nodes: Sequence[Node], place: Mention) -> bool:
    """Whether a preposition already joins this place to a finding before it."""
    joint = _joint_before(nodes, place)
    return joint is not None and any(node.kind in ("observation",) for node in nodes[:joint])


def _goes_on(between: Sequence[Node], previous: Mention) -> bool:
    accompanied = any(node.text in ("with", "w/") for node in between)
    if (
        previous.place is not None
        and not accompanied
        and not {node.kind for node in between} <= {"and", "comma"} | LIGHT
    ):
        return False
    return all(node.kind in LISTING or node.text in ("with", "w/") for node in between)
