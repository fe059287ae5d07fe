"""Relations of definition sentences: "X is a Y that lines Z", "X is caused by Y", "treatment of X includes Y"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from knowledge.extraction.links import HEADER, PREPOSITION, VERB, Link
from knowledge.extraction.mentions import Mention, Reading
from knowledge.extraction.nodes import INNER, Node
from knowledge.extraction.predicates import DENIED, DOUBTED, GENERIC_PARTS, HEADED_VERB, NO_SUBJECT, Role, predicates
from knowledge.extraction.protocol import Category
from knowledge.triples import key_of
from rag.passages import Polarity

_MOST_SUBJECT_WORDS = 8
_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)
_HAS_ARTICLE = re.compile(r"\s*(?:an?|the|any|one)\b", re.IGNORECASE)
_ONE_OF_SEVERAL = re.compile(r"\s*(?:one|any|some|each|either) of (?:the |several |many |a )?", re.IGNORECASE)
_NO_KIND = frozenset(
    ("presence", "absence", "lack", "one", "result", "condition in", "term", "name", "ability", "inability")
)
_GLOSSARY = re.compile(r"^(?P<term>[^:;,.–—]{2,60}?)\s*(?::|\s[–—-])\s+(?=\w)")
_TRAILING = re.compile(
    r"(?:\s+(?:that|which|who|can|may|might|could|does|do|did|not|also|often|usually|sometimes|commonly|never|rarely|has|have|to|will|"
    r"\w+ly))+$",
    re.IGNORECASE,
)
_PART_JOINT = re.compile(r"^\s*(?:of|in|on|affecting|involving)\s+(?:the |an? |any )?$", re.IGNORECASE)
_LEFT_OUT = frozenset(
    ("article", "quantity", "adverb", "severity", "descriptor", "state", "measure", "laterality", "position")
)
_LIST = frozenset(("and", "or", "comma")) | _LEFT_OUT | {"absent_before", "change"}


@dataclass(frozen=True, slots=True)
class _Use:
    """A predicate found at `[start, end)` of the text, with its meaning."""

    start: int
    end: int
    relation: str
    inverted: bool
    takes: Role


def definition_links(reading: Reading, topic: Mention | None = None) -> list[Link]:
    """What a definition sentence says of the thing it defines; nothing when it has no subject of its own.

    `topic` is what the sentence before defined: "it" and "the disease" mean it, less surely.
    """
    uses, subject_end, subject_start = _uses(reading)
    if not uses:
        return []
    subject = _subject(reading, subject_start, subject_end)
    pointed = None if topic is None else _pointed(reading, topic)
    meant = pointed is not None and (subject is None or subject.end <= pointed.end)
    subject = pointed if meant else subject
    if subject is None:
        return []
    links: list[Link] = []
    reached = subject.end
    for i, use in enumerate(uses):
        stop = uses[i + 1].start if i + 1 < len(uses) else reading.span[1]
        if _of_another(reading, subject, links, use):
            continue
        polarity = _polarity(reading.text[reached : use.end])
        made = list(_applied(reading, subject, use, stop, polarity))
        links.extend(made)
        reached = use.end
    subject.polarity = "present"
    _settle(links)
    sure = [link._replace(confidence=HEADER) for link in links] if meant else links
    return [link for link in sure if link.head.key != link.tail.key]


_POINTER = re.compile(
    r"(?:it|they|(?:this|the) (?:disease|condition|disorder|syndrome|infection|tumou?r|lesion|structure|organ))\b",
    re.IGNORECASE,
)


def _pointed(reading: Reading, topic: Mention) -> Mention | None:
    """The topic, at the word that points back to it; None when the sentence does not open with one."""
    found = _POINTER.match(reading.text, *reading.span)
    if found is None:
        return None
    last = max(i for i, node in enumerate(reading.nodes) if node.end <= found.end())
    return replace(topic, start=found.start(), end=found.end(), first=0, last=last)


_RELATIVE = re.compile(r"\b(?:that|which|who|whose|where)\b", re.IGNORECASE)


def _of_another(reading: Reading, subject: Mention, links: Sequence[Link], use: _Use) -> bool:
    """Whether a verb speaks of another thing than the subject: "cells that produce cartilage", "used to produce"."""
    text = reading.text[: use.start].rstrip()
    if text.endswith(" to"):
        return True
    if not links:
        return False
    nearest = max((one for one in reading.mentions if one.end <= use.start), key=lambda one: one.end, default=subject)
    if not _RELATIVE.search(reading.text[nearest.end : use.start]):
        return False
    own = [subject, *(link.tail for link in links if link.relation in ("is_a", "located_at") and link.head is subject)]
    return nearest.end > subject.end and all(one.end != nearest.end for one in own)


def _uses(reading: Reading) -> tuple[list[_Use], int, int]:
    """The predicates of the sentence in order, and where its subject ends and starts."""
    text, (start, end) = reading.text, reading.span
    for pattern, relation, inverted, takes in predicates().headed:
        headed = pattern.match(text[start:end])
        verb = HEADED_VERB.search(text, start + headed.end(), end) if headed else None
        if headed and verb:
            return [_Use(verb.start(), verb.end(), relation, inverted, takes)], verb.start(), start + headed.end()
    glossary = _GLOSSARY.match(text[start:end])
    first: list[_Use] = []
    if glossary:
        place = start + glossary.end()
        first = [_Use(place, place, "is_a", inverted=False, takes="genus")]
    found = [*first, *_matches(text, first[0].end if first else start, end, defined=bool(first))]
    if not found:
        return [], start, start
    return found, start + glossary.end("term") if glossary else found[0].start, start


def _matches(text: str, start: int, end: int, *, defined: bool) -> Iterator[_Use]:
    """Predicates without overlap, in order of the text; where two begin together the first of the list wins."""
    candidates = sorted(
        (match.start(), number, match.end())
        for number, predicate in enumerate(predicates().verbs)
        if not (defined and predicate.takes == "genus")
        for match in predicate.pattern.finditer(text, start, end)
    )
    reached = -1
    for first, number, last in candidates:
        if first >= reached:
            predicate = predicates().verbs[number]
            yield _Use(first, last, predicate.relation, predicate.inverted, predicate.takes)
            reached = last


def _subject(reading: Reading, start: int, end: int) -> Mention | None:
    """The thing defined: all words in front of the verb, or of its first comma or bracket, without an article."""
    words = re.split(r"[,(;]", reading.text[start:end])[0]
    words = _TRAILING.sub("", words.rstrip())
    article = _ARTICLE.match(words)
    first = start + (article.end() if article else 0)
    last = start + len(words.rstrip())
    if NO_SUBJECT.match(words) or not 1 <= len(words.split()) <= _MOST_SUBJECT_WORDS or last <= first:
        return None
    whole = next((one for one in reading.mentions if one.start <= first and one.end == last), None)
    if whole is not None and whole.start == first:
        return whole
    inside = [i for i, node in enumerate(reading.nodes) if first <= node.start and node.end <= last]
    if not inside:
        return None
    named = {"number", "preposition", "absent_before", "mark"}
    if any(reading.nodes[i].kind not in INNER | named and reading.nodes[i].text != "of" for i in inside):
        return whole
    name = reading.text[first:last]
    category = whole.category if whole is not None else _likely(reading, first, last)
    return Mention(category, first, last, inside[0], inside[-1], key_of(name), name)


def _likely(reading: Reading, first: int, last: int) -> Category:
    known = [one for one in reading.mentions if first <= one.start and one.end <= last]
    return known[0].category if known else "other"


def _polarity(words: str) -> Polarity:
    if DENIED.search(words):
        return "absent"
    return "uncertain" if DOUBTED.search(words) else "present"


def _applied(reading: Reading, subject: Mention, use: _Use, stop: int, polarity: Polarity) -> Iterator[Link]:
    if use.takes == "genus":
        yield from _genus(reading, subject, use, stop, polarity)
        return
    for tail in _objects(reading, use.end, stop, use.takes):
        said = polarity if polarity != "present" else tail.polarity
        relation = use.relation
        if relation == "part_of" and use.inverted and subject.category == "observation":
            continue
        head, last = (tail, subject) if use.inverted else (subject, tail)
        yield Link(head, relation, last, said, VERB)


def _genus(reading: Reading, subject: Mention, use: _Use, stop: int, polarity: Polarity) -> Iterator[Link]:
    text = reading.text
    denied = re.compile(r"\s*(?:not|never)\b").match(text, use.end)
    start = denied.end() if denied else use.end
    said: Polarity = "absent" if denied else polarity
    for pattern, relation, inverted, _ in predicates().nouns:
        noun = pattern.match(text, start, stop)
        if noun:
            found = _objects(reading, noun.end(), stop, "any")[: 1 if relation == "is_a" else None]
            for tail in found:
                head, last = (tail, subject) if inverted else (subject, tail)
                yield Link(head, relation, last, said, VERB)
            return
    several = _ONE_OF_SEVERAL.match(text, start)
    start = several.end() if several else start
    for kind in _objects(reading, start, stop, "any")[:1]:
        if reading.text[kind.start : kind.end].lower() in _NO_KIND:
            return
        whole = _whole(reading, kind)
        if use.end > use.start and kind not in reading.mentions and not _HAS_ARTICLE.match(text, start):
            return  # "is just slowed": an unknown word without an article is no noun
        if reading.nodes[kind.first].kind == "state" and kind.first == kind.last:
            return
        yield Link(subject, "is_a", whole, said, VERB)
        yield from _seat(reading, subject, whole, said)


def _whole(reading: Reading, kind: Mention) -> Mention:
    """A kind up to its last noun, though an adjective stands inside: "nervous system benign neoplasm"."""
    nodes, last = reading.nodes, kind
    for mention in reading.mentions:
        if mention.first > last.last and all(node.kind in INNER for node in nodes[last.last + 1 : mention.first]):
            last = mention
    if last is kind:
        return kind
    name = reading.text[kind.start : last.end]
    return Mention(last.category, kind.start, last.end, kind.first, last.last, key_of(name), name)


def _seat(reading: Reading, subject: Mention, kind: Mention, polarity: Polarity) -> Iterator[Link]:
    """Where a disease is, by its kind: "inflammation of the liver"."""
    for part in reading.mentions:
        if part.start >= kind.end:
            joint = _PART_JOINT.match(reading.text[kind.end : part.start])
            if joint and part.category == "anatomy" and reading.nodes[part.last].text not in GENERIC_PARTS:
                yield Link(subject, "located_at", part, polarity, PREPOSITION)
            return


def _objects(reading: Reading, start: int, stop: int, takes: Role) -> list[Mention]:
    """The things listed directly behind a predicate; a word of no known kind counts where anything is taken."""
    found: list[Mention] = []
    nodes = reading.nodes
    i = next((n for n, node in enumerate(nodes) if node.start >= start), len(nodes))
    while i < len(nodes) and nodes[i].start < stop:
        mention = next((one for one in reading.mentions if one.first <= i <= one.last), None)
        if mention is None and takes in ("any", "synonym", "anatomy") and nodes[i].kind in ("unknown", "other"):
            mention = _unlisted(reading, i)
        if mention is not None:
            if _fits(mention, takes):
                found.append(mention)
            i = mention.last + 1
        elif _goes_on(nodes, i, started=bool(found)):
            i += 1
        else:
            break
    return found


def _fits(mention: Mention, takes: Role) -> bool:
    return (
        takes in ("any", "synonym") or mention.category == takes or (takes == "anatomy" and mention.category == "other")
    )


def _goes_on(nodes: Sequence[Node], i: int, *, started: bool) -> bool:
    if nodes[i].kind in _LIST or nodes[i].kind.startswith("uncertain"):
        return True
    return not started and (nodes[i].kind in ("preposition", "function") or nodes[i].text in ("by", "one", "of"))


def _unlisted(reading: Reading, i: int) -> Mention:
    """A name that no list knows: the run of its words ("Bordetella pertussis")."""
    nodes = reading.nodes
    last = i
    while last + 1 < len(nodes) and nodes[last + 1].kind in ("unknown", "other", "observation", "anatomy"):
        last += 1
    start, end = nodes[i].start, nodes[last].end
    name = reading.text[start:end]
    linked = nodes[i].key if i == last else ""
    return Mention("other", start, end, i, last, linked or key_of(name), nodes[i].name if linked else name)


def _settle(links: Sequence[Link]) -> None:
    """A denied relation denies no finding: "X does not cause Y" is no statement about Y alone."""
    for link in links:
        for mention in (link.head, link.tail):
            mention.polarity = "present"
