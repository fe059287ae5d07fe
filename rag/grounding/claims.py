"""What a model wrote, as single statements with the names of what they cite.

Free text or JSON comes in; out come statements without markers and without boilerplate. Nothing is looked up here:
`rag.grounding.resolving` finds the quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from rag.sentences import split_sentences, words

_NAME = r"[Ee]?\d{1,3}"
_JOIN = r"\s*(?:,|;|and|&|-|–|—|to)\s*"
_MARKER = re.compile(
    rf"\[\s*\^?(?P<square>{_NAME}(?:{_JOIN}{_NAME})*)\s*\]|\(\s*(?P<round>[Ee]\d{{1,3}}(?:{_JOIN}[Ee]?\d{{1,3}})*)\s*\)"
    rf"|【\s*(?P<wide>{_NAME}(?:{_JOIN}{_NAME})*)[^】]{{0,20}}】"
)
_RANGE = re.compile(rf"({_NAME})\s*(?:-|–|—|\bto\b)\s*({_NAME})")
_WIDEST_RANGE = 50
"""A range of more citations than this is no citation but a slip, and only its ends count."""

_PREFIX = re.compile(
    r"^(?:(?:sure|certainly|of course|okay|ok)[,!.]\s*|here is (?:the|an|my) answer[:.]\s*"
    r"|(?:based on|according to|from) (?:the |this |these )?(?:provided |given |available |retrieved |above |cited )?"
    r"(?:evidence|passages?|context|sources?|references?|texts?|information|documents?|excerpts?)"
    r"(?: provided| given| above)?\s*[,:]\s*"
    r"|(?:in summary|in conclusion|to summari[sz]e|overall|in short|therefore|thus|additionally|furthermore|moreover"
    r"|also|finally|note that|it is (?:important|worth) (?:to note|noting) that)\s*[,:]?\s+"
    r"|(?:final )?answer\s*[:.]\s*|the evidence (?:says|states|shows|indicates) that\s+)",
    re.IGNORECASE,
)
_BOILERPLATE = re.compile(
    r"^(?:i hope\b|let me know\b|please (?:consult|note|see|let)\b|as an ai\b|i am (?:an|only) ai\b"
    r"|i'?m (?:sorry|an ai)\b|this (?:is not|answer is not|does not constitute) (?:a )?(?:medical|substitute)\b"
    r"|consult (?:a|your)\b"
    r"|always (?:consult|seek)\b|(?:references?|sources?|citations?|bibliography)\s*:?\s*$"
    r"|(?:the )?(?:evidence|passages?|sources?) (?:do|does) not (?:contain|provide|mention|answer)\b"
    r"|sure\b|certainly\b|of course\b|here (?:is|are)\b.{0,60}:?$|not a medical device\b)",
    re.IGNORECASE,
)
_REFERENCES = re.compile(
    r"^\W*(?:references?|sources?|citations?|bibliography|works cited)\W*$", re.IGNORECASE | re.MULTILINE
)
_MARKUP = re.compile(r"^\s{0,3}(?:#{1,6}\s+|[-*•]\s+|\d{1,2}[.)]\s+|>\s*)|\*\*|__|`", re.MULTILINE)
_CLAUSES = re.compile(
    r";\s+(?=\w)|,\s+(?:and|but|while|whereas)\s+(?=(?:the|a|an|no|there|in|on|its|their)\s)", re.IGNORECASE
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|can|could|may|might|will|would|does|do|did|\w{3,}(?:s|ed))\b", re.IGNORECASE
)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
_LEAST_WORDS = 3


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its text without markers, the names it cites in order ("E3", "2"), and the words it quotes.

    `paragraph` counts the paragraphs of the reply from 0; `quote` is empty when the model gave none.
    """

    text: str
    cites: tuple[str, ...] = ()
    quote: str = ""
    paragraph: int = 0


def statements(reply: str) -> tuple[Statement, ...]:
    """The statements of a reply, in order; boilerplate and lists of references are left out. Never raises."""
    claims = _json_claims(reply)
    if claims is None:
        return tuple(_of_text(reply))
    return tuple(one for row in claims for one in _of_claim(row))


def cited_names(text: str) -> tuple[str, ...]:
    """The names that the markers of a text cite, each once, in order: [1], [E3], [1, 2], [2-4], (E3, E4), [1][2]."""
    found: dict[str, None] = {}
    for match in _MARKER.finditer(text):
        inner = match["square"] or match["round"] or match["wide"]
        for piece in re.split(r"\s*(?:,|;|\band\b|&)\s*", inner):
            found.update(dict.fromkeys(_expanded(piece)))
    return tuple(found)


def without_markers(text: str) -> str:
    """A text without its citation markers, and without the gap that they leave."""
    bare = re.sub(r"\b(?:according to|as (?:stated|shown|described) in|see)\s*$", "", _MARKER.sub("\0", text))
    bare = re.sub(
        r"(?:\b(?:[Aa]ccording to|[Aa]s (?:stated|shown|described) in|[Ii]n|[Ss]ee)\s+)\0(?:\0|\s)*,?\s*", "", bare
    )
    bare = re.sub(r"\s*\0", "", bare)
    return re.sub(r"\s+([.,;:!?])", r"\1", " ".join(bare.split()))


def _expanded(piece: str) -> Iterator[str]:
    """The names of one piece of a marker; a range gives all within it, with the letter of its first end."""
    ends = _RANGE.fullmatch(piece.strip())
    if ends is None:
        yield piece.strip().upper()
        return
    letter = "E" if ends[1][0] in "Ee" else ""
    first, last = (int(end.lstrip("Ee")) for end in ends.groups())
    within = range(first, last + 1) if first <= last <= first + _WIDEST_RANGE else (first, last)
    yield from (f"{letter}{number}" for number in within)


def _of_text(reply: str) -> Iterator[Statement]:
    text = _REFERENCES.split(reply, maxsplit=1)[0]
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text)):
        rows: list[Statement] = []
        for sentence in split_sentences(_sealed(_MARKUP.sub("", paragraph))):
            rows.extend(_of_sentence(sentence.text, number, rows))
        yield from rows


def _sealed(text: str) -> str:
    """Markers behind a full stop go in front of it, so that they stay with the sentence they belong to."""
    return re.sub(rf"([.!?])((?:\s*(?:{_MARKER_PLAIN}))+)", r"\2\1", text)


_MARKER_PLAIN = re.sub(r"\?P<\w+>", "?:", _MARKER.pattern)


def _of_sentence(sentence: str, paragraph: int, before: list[Statement]) -> Iterator[Statement]:
    """The statements of a sentence. Markers alone belong to the statement before them."""
    cites = cited_names(sentence)
    text = _stripped(without_markers(sentence))
    if len(words(text)) < _LEAST_WORDS or _BOILERPLATE.match(text) or text.endswith((":", "?")):
        if cites and before and not words(text):
            before[-1] = replace(before[-1], cites=tuple(dict.fromkeys((*before[-1].cites, *cites))))
        return
    pieces = _clauses(sentence)
    for piece in pieces:
        own = cited_names(piece) or cites
        yield Statement(_closed(_stripped(without_markers(piece))), own, "", paragraph)


def _stripped(text: str) -> str:
    """A text without the phrases that open replies; what follows begins with a capital."""
    previous = ""
    while text != previous:
        previous, text = text, _PREFIX.sub("", text, count=1)
    return text[:1].upper() + text[1:]


def _closed(text: str) -> str:
    """A statement that ends like a sentence and begins like one."""
    text = text.strip().rstrip(",;")
    return text if not text or text[-1] in ".!?" else text + "."


def _clauses(sentence: str) -> list[str]:
    """A sentence cut into clauses that each say something: at a semicolon or ", and the", with verbs around."""
    pieces = [piece for piece in _CLAUSES.split(sentence) if piece and piece.strip()]
    complete = all(_VERB.search(piece) and len(words(without_markers(piece))) > _LEAST_WORDS for piece in pieces)
    return pieces if len(pieces) > 1 and complete else [sentence]


def _json_claims(reply: str) -> list[Any] | None:
    """The claims of a reply in JSON, also inside a fence or cut off at the end; None when it is no JSON of claims."""
    fenced = _FENCE.search(reply)
    # A reply that was cut off has no closing fence.
    body = (fenced[1] if fenced else re.sub(r"^\s*```(?:json)?", "", reply, flags=re.IGNORECASE)).strip()
    if not body.startswith(("{", "[")) or _MARKER.match(body):
        return None
    try:
        data = json.loads(body)
    except ValueError:
        return _salvaged(body)
    if isinstance(data, dict):
        data = next((data[name] for name in ("claims", "statements", "sentences") if name in data), None)
    return data if isinstance(data, list) else None


def _salvaged(body: str) -> list[Any] | None:
    """The whole objects of a list that was cut off."""
    start, found, decoder = body.find("["), [], json.JSONDecoder()
    while start >= 0 and (start := body.find("{", start)) >= 0:
        try:
            row, start = decoder.raw_decode(body, start)
        except ValueError:
            break
        found.append(row)
    return found or None


def _of_claim(row: object) -> Iterator[Statement]:
    """The statements of one object of a JSON reply; anything else gives none, and a bare text is read as text."""
    if isinstance(row, str):
        yield from _of_text(row)
        return
    if not isinstance(row, dict) or not isinstance(text := row.get("text", row.get("claim", "")), str):
        return
    given: object = next(
        (row[name] for name in ("citations", "cites", "evidence", "citation", "id") if name in row), []
    )
    names = [str(name).strip(" []()").upper() for name in (given if isinstance(given, list) else [given])]
    quote = row.get("quote", "")
    cites = tuple(dict.fromkeys([*(name for name in names if name), *cited_names(text)]))
    bare = _stripped(without_markers(text))
    if words(bare):
        yield Statement(_closed(bare), cites, quote if isinstance(quote, str) else "")
