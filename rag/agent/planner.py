"""The deterministic planner: what a question asks, part by part, and how to ask for each part in other words.

A full peer of a model: with it alone everything works. It never puts the text of an option into a search, because an
option is a guess and finds what agrees with it; it asks for what would tell the options apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.agent.state import SubQuestion
from rag.sentences import STOPWORDS, content_stems, split_sentences, words
from rag.types import Query

Split = Callable[[str], tuple[str, ...]]
"""Splits a question that asks several things at once; at least one part."""

MOST_PARTS = 4

_COMPARED = (
    re.compile(
        r"\b(?:differences?|differ\w*|distinguish\w*|contrast|compar\w+)\b.*?\bbetween\s+(?P<a>.+?)\s+and\s+(?P<b>[^?.]+)",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?:compare|contrast)(?:\s+and\s+contrast)?\s+(?P<a>.+?)\s+(?:and|with|to|versus|vs\.?)\s+(?P<b>[^?.]+)",
        re.IGNORECASE,
    ),
    re.compile(
        r"\bhow\s+(?:is|are|does|do)\s+(?P<a>.+?)\s+(?:different|differ|distinguished)\s+from\s+(?P<b>[^?.]+)",
        re.IGNORECASE,
    ),
    re.compile(r"^(?P<a>[^?.,]{3,80}?)\s+(?:versus|vs\.?)\s+(?P<b>[^?.]{3,80})", re.IGNORECASE),
)
_LISTED = re.compile(r"(?:^|[\s:;,])\(?(?:\d{1,2}|[a-d]|i{1,3}|iv)[.)]\s+(?=\S)", re.IGNORECASE)
_LEAD = re.compile(r"^(?:and|also|then|first(?:ly)?|second(?:ly)?|finally|please)\b[,:]?\s*", re.IGNORECASE)

_ASKS = re.compile(
    r"(?:(?:in|to|from|by|for|at|on|of|with) )?(?:what|which|who|whom|whose|where|when|why|how)\b"
    r"|(?:describe|explain|compare|discuss|name|list|identify|define|give|state)\b|.*_{2,}",
    re.IGNORECASE | re.DOTALL,
)
_RELATIVE = re.compile(r"(?:which|who|whose)\b", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]+"|“[^”]+”|«[^»]+»')
_MASK = re.compile(r"\bQuoted(\d+)\b")

_SLOTS = {
    "side": re.compile(r"\b(?:which side|left or right|right or left|lateralit\w+)\b", re.IGNORECASE),
    "number": re.compile(r"\b(?:how (?:many|much|long|often|large|wide|big|fast)|what dos(?:e|age))\b", re.IGNORECASE),
    "modality": re.compile(r"\b(?:which|what) (?:imaging )?(?:modality|imaging|scan)\b", re.IGNORECASE),
}  # fmt: skip

_KINDS = (
    ("mechanism", re.compile(r"\b(?:how (?:does|do|is|are)|why|mechanism|pathophysiolog\w+|causes?)\b", re.IGNORECASE)),
    ("location", re.compile(r"\b(?:where|which (?:lobe|region|part|site|side)|locat\w+|found in)\b", re.IGNORECASE)),
    ("differential", re.compile(r"\b(?:differential|diagnos\w+|most likely|cause of)\b", re.IGNORECASE)),
    ("findings", re.compile(r"\b(?:findings?|signs?|symptoms?|appear\w*|features?|manifest\w+|looks? like)\b", re.I)),
)  # fmt: skip
_ADDED = {
    "mechanism": "mechanism, caused by, results in",
    "location": "located in, position",
    "differential": "diagnosis, caused by",
    "findings": "signs, symptoms and features",
    "definition": "is defined as, is called",
}
_FRAME_WORDS = (
    "term terms word name called following option options statement true false correct best describe describes likely "
    "type types example examples question answer explain choice reason"
)
_FRAME = frozenset(_FRAME_WORDS.split())

_NUMBERS = re.compile(r"^\W*[<>≤≥~]?\s*\d[\d.,\s/–-]*(?:%|[a-zµ°/]{1,8})?\W*$", re.IGNORECASE)
_CRITERIA = (
    ("value and range", _NUMBERS),
    ("side", re.compile(r"^(?:the )?(?:left|right|bilateral|both)\b", re.IGNORECASE)),
    ("increase or decrease", re.compile(r"\b(?:increas|decreas|rais|lower|reduc|elevat|unchanged)", re.IGNORECASE)),
    ("drug class and use", re.compile(r"(?:pril|sartan|olol|statin|azole|cillin|mycin|zosin|ide|ine)s?$", re.I)),
    ("diagnosis criteria", re.compile(r"(?:itis|oma|osis|emia|pathy|syndrome|disease|failure)s?$", re.IGNORECASE)),
)  # fmt: skip
_ANY_CRITERION = "distinguishing features"


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans by templates. `split` splits a question that asks several things ("Which ... , and what ...?").

    `only_shown` tells a question that asks no more than what its image shows: there are no other words to search with.
    """

    split: Split
    only_shown: Callable[[str], bool] = lambda text: not text.strip()

    def parts(self, query: Query) -> tuple[SubQuestion, ...]:
        """The sub-questions in order, at least one and at most four. A choice is one, whatever its stem looks like."""
        if query.options:
            return (SubQuestion("S1", query.text.strip(), slots_of(query.text)),)
        texts = [text for text in self._texts(query.text) if text][:MOST_PARTS] or [query.text.strip()]
        return tuple(SubQuestion(f"S{n}", text, slots_of(text)) for n, text in enumerate(texts, start=1))

    def _texts(self, text: str) -> list[str]:
        # What stands in quotation marks is one thing, whatever it looks like inside.
        quotes = _QUOTED.findall(text)
        numbers = iter(range(len(quotes)))
        masked = _QUOTED.sub(lambda _: f"Quoted{next(numbers)}", text)
        compared = [_unmasked(side, quotes) for side in _compared(masked)]
        if compared:
            return compared
        listed = [piece.strip(" ,;") for piece in _LISTED.split(masked)]
        if len(listed) > 2 and all(len(piece.split()) >= 3 for piece in listed[1:]):
            return [_unmasked(_LEAD.sub("", piece), quotes) for piece in listed[1:]]
        pieces = [one.text for part in self.split(masked) for one in split_sentences(part)]
        parts = [_unmasked(part, quotes) for part in _asking(pieces, masked)]
        # "Explain your choice." asks nothing that could be searched for alone.
        return parts if len(parts) > 1 and all(_keywords(part) for part in parts) else [text]

    def queries(self, part: SubQuestion, query: Query, *, several: bool) -> tuple[str, ...]:
        """What to search for, for one part, one after the other until it is answered; `several`: there are others."""
        if self.only_shown(part.text):
            return ()
        plan = [part.text] if several else []
        plan.append(criteria_query(part.text, query.options) if query.options else _template(part.text))
        plan.append(_keywords(part.text))
        return tuple(dict.fromkeys(text for text in plan if text.strip()))


def _asking(pieces: Sequence[str], whole: str) -> list[str]:
    """The pieces, those that ask nothing joined to a neighbour: a scene to the question after it, the rest before it.

    A semicolon or a comma may as well stand within a description; only a question word begins another question.
    """
    parts: list[str] = []
    scene = ""
    for piece in pieces:
        text = _LEAD.sub("", piece.strip())
        if parts and (text.startswith("(") or _is_relative(piece.strip(), whole)):
            link = " " if text.startswith("(") else ", "
            parts[-1] = f"{parts[-1].rstrip(',')}{link}{text}"
        elif _ASKS.match(text) or text.endswith("?"):
            parts.append(f"{scene} {text}".strip())
            scene = ""
        else:
            scene = f"{scene} {text}".strip()
    if scene and parts:
        parts[-1] = f"{parts[-1]} {scene}"
    return parts or [scene]


def _is_relative(text: str, whole: str) -> bool:
    """Whether a piece that begins with "which" goes on with the sentence before it instead of asking."""
    place = whole.find(text)
    return place > 0 and bool(_RELATIVE.match(text)) and whole[:place].rstrip().endswith((",", ";"))


def _unmasked(text: str, quotes: Sequence[str]) -> str:
    return _MASK.sub(lambda match: quotes[int(match[1])] if int(match[1]) < len(quotes) else match[0], text)


def slots_of(text: str) -> tuple[str, ...]:
    """What the answer to a question must hold: a side, a number, a modality."""
    return tuple(name for name, pattern in _SLOTS.items() if pattern.search(text))


def kind_of(text: str) -> str:
    """What kind of question it is: mechanism, location, differential, findings, or else a definition."""
    return next((name for name, pattern in _KINDS if pattern.search(text)), "definition")


def criteria_query(question: str, options: Sequence[str]) -> str:
    """The topic of a choice with what tells its options apart (a value, a side ...), without any option's text."""
    said = {word for option in options for word in words(option)} - set(words(question))
    criterion = next((name for name, pattern in _CRITERIA if all(pattern.search(o.strip()) for o in options)), "")
    added = " ".join(word for word in words(criterion or _ANY_CRITERION) if word not in said)
    return f"{_keywords(question)} {added}".strip()


def _compared(text: str) -> list[str]:
    for pattern in _COMPARED:
        found = pattern.search(text)
        if found:
            sides = [found["a"].strip(" ,"), found["b"].strip(" ,")]
            if all(content_stems(side) for side in sides):
                return [*sides]
    return []


def _template(text: str) -> str:
    return f"{_keywords(text)} {_ADDED[kind_of(text)]}".strip()


def _keywords(text: str) -> str:
    return " ".join(dict.fromkeys(word for word in words(text) if word not in STOPWORDS and word not in _FRAME))
