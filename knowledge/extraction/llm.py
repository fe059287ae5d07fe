"""Statements by a language model: a prompt with a JSON schema, and answers that are checked against the passage.

What a model says is believed only as far as the passage bears it out: its sentence must occur there, head and tail must
stand in that sentence, relation, polarity and change must be of the closed lists, and the rules must not read as denied
what the model calls present. The rest is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, cast, get_args

from knowledge.extraction.mentions import read_sentence
from knowledge.extraction.protocol import Source
from knowledge.model_answers import Completer, find_quote, objects_of
from knowledge.triples import CHANGES, Change, Statement, Support, Triple, key_of
from rag.passages import Polarity

METHOD = "llm-1"
RELATIONS = (
    "located_at", "suggestive_of", "modify", "has_finding", "change", "is_a", "part_of", "causes", "treated_by",
    "synonym_of",
)  # fmt: skip
_TOKENS_PER_WORD = 1.3
"""Tokens per English word, the usual rule of thumb for byte-pair vocabularies; medical text is nearer to 1.5."""
_WORDS_PER_FACT, _WORDS_PER_SENTENCE = 25, 20
"""Words of one fact in the answer and of one sentence of the passage, from which the answer's length is guessed."""


class Cost(NamedTuple):
    """What an extraction would take: calls, tokens in and out, and money in the currency of the prices given."""

    calls: int
    tokens_in: int
    tokens_out: int
    price: float


@dataclass(slots=True)
class Tally:
    """What became of the model's answers. `dropped` counts facts by the reason they were refused."""

    calls: int = 0
    kept: int = 0
    unreadable: int = 0
    failed: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


@dataclass(frozen=True, slots=True)
class LanguageModelExtractor:
    """A `TripleExtractor` on any `Completer`. `tally` keeps count over all passages.

    A call that raises counts as failed and gives no statements, so one bad passage does not stop a build.
    """

    model: Completer
    confidence: float = 0.6
    """How far a statement is trusted: below the rules, which were measured; no model was measured here."""
    tally: Tally = field(default_factory=Tally)

    def extract(self, text: str, source: Source) -> list[Statement]:
        if not text.strip():
            return []
        self.tally.calls += 1
        try:
            answer = self.model.complete(prompt_for(text))
        except Exception:  # noqa: BLE001 - a client may raise anything; the passage is counted and the build goes on
            self.tally.failed += 1
            return []
        facts = objects_of(answer, "facts", "head")
        if facts is None:
            self.tally.unreadable += 1
            return []
        return list(self._checked(facts, text, source))

    def _checked(self, facts: Sequence[object], text: str, source: Source) -> Iterator[Statement]:
        seen: set[str] = set()
        for fact in facts:
            made = _statement(fact, text, source, self.confidence)
            if isinstance(made, str):
                self.tally.drop(made)
            elif made.triple.id in seen:
                self.tally.drop("repeated")
            else:
                seen.add(made.triple.id)
                self.tally.kept += 1
                yield made


def prompt_for(text: str) -> str:
    """The prompt for one passage."""
    filled = _template().replace("{relations}", ", ".join(RELATIONS)).replace("{changes}", ", ".join(CHANGES))
    # The passage goes in last, so that braces in it are never filled; the end mark cannot be forged from inside.
    return filled.replace("{passage}", text.replace(">>>", "> > >"))


def estimate(texts: Sequence[str], *, price_in: float, price_out: float) -> Cost:
    """What extracting these passages would take, without a call. Prices are per million tokens.

    Tokens are words times 1.3. The answer is guessed as one fact of 25 words for every 20 words of text, at least one.
    """
    spoken = [text for text in texts if text.strip()]
    frame = len(prompt_for("").split())
    words_in = sum(frame + len(text.split()) for text in spoken)
    words_out = sum(_WORDS_PER_FACT * max(1, round(len(text.split()) / _WORDS_PER_SENTENCE)) for text in spoken)
    tokens_in, tokens_out = round(words_in * _TOKENS_PER_WORD), round(words_out * _TOKENS_PER_WORD)
    return Cost(len(spoken), tokens_in, tokens_out, (tokens_in * price_in + tokens_out * price_out) / 1_000_000)


def schema() -> dict[str, Any]:
    """The JSON schema of an answer, for servers with structured output."""
    words = {"type": "string", "minLength": 1}
    fact = {
        "type": "object",
        "properties": {
            "head": words,
            "relation": {"enum": list(RELATIONS)},
            "tail": words,
            "polarity": {"enum": list(get_args(Polarity))},
            "change": {"enum": list(CHANGES)},
            "sentence": words,
        },
        "required": ["head", "relation", "tail", "polarity", "change", "sentence"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"facts": {"type": "array", "items": fact}},
        "required": ["facts"],
        "additionalProperties": False,
    }


@cache
def _template() -> str:
    return files("knowledge.extraction").joinpath("llm_prompt.txt").read_text(encoding="utf-8")


def _statement(fact: object, text: str, source: Source, confidence: float) -> Statement | str:
    """The statement, or the reason why the fact is refused."""
    names = ("head", "relation", "tail", "polarity", "change", "sentence")
    if not isinstance(fact, dict) or not all(isinstance(fact.get(name, "none"), str) for name in names):
        return "not a fact"
    head, relation, tail, sentence = (
        " ".join(fact.get(name, "").split()) for name in ("head", "relation", "tail", "sentence")
    )
    polarity, change = fact.get("polarity", ""), fact.get("change", "none")
    refused = _refusal(head, relation, tail, (polarity, change))
    if refused:
        return refused
    place = find_quote(sentence, text)
    if place is None:
        return "sentence not in the passage"
    of_study = relation == "has_finding" and head.casefold() == "study" and bool(source.subject)
    shown = " ".join(text[place[0] : place[1]].split()).casefold()
    spoken = (() if of_study else (head,)) + (() if relation == "change" else (tail,))
    if any(words.casefold() not in shown for words in spoken):
        return "words not in the sentence"
    finding = tail if relation in ("has_finding", "modify") else head
    if source.style != "definition" and _disputed(finding, polarity, text, place):
        return "polarity disputed by the rules"
    support = Support(
        document=source.document,
        passage=source.passage,
        head_text="" if of_study else head,
        tail_text="" if relation == "change" else tail,
        tier=source.tier,
        source=source.name,
        license=source.license,
        method=METHOD,
        confidence=confidence,
        start=place[0],
        end=place[1],
    )
    key = source.subject if of_study else key_of(head)
    return Statement(Triple(key, relation, key_of(tail), cast(Polarity, polarity), cast(Change, change)), support)


def _disputed(finding: str, polarity: str, text: str, place: tuple[int, int]) -> bool:
    """Whether the rules read a finding of the sentence as denied where the model calls it present, or the reverse.

    A triple that lost its negation is the worst a knowledge graph can hold, so two readers must not contradict there.
    """
    said = {
        one.polarity
        for one in read_sentence(text, place, "report").mentions
        if one.category == "observation" and one.kept and key_of(text[one.start : one.end]) in key_of(finding)
    }
    return len(said) == 1 and {polarity, *said} == {"present", "absent"}


def _refusal(head: str, relation: str, tail: str, said: tuple[str, str]) -> str:
    if not head or not tail or key_of(head) == key_of(tail):
        return "no two ends"
    if relation not in RELATIONS:
        return "unknown relation"
    if said[0] not in get_args(Polarity):
        return "unknown polarity"
    if said[1] not in CHANGES or (relation == "change" and tail not in CHANGES):
        return "unknown change"
    return ""
