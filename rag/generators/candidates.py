"""Evidence as candidate sentences: what may be quoted, and the context in which it is read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.sentences import Sentence, split_sentences
from rag.types import Evidence, Passage

_IMPERATIVE = re.compile(
    r"^(?:[•·*-]\s*)?(?:describe|identify|explain|list|discuss|compare|contrast|define|distinguish|differentiate|name|"
    r"summari[sz]e|outline|evaluate|classify|relate|recall|by the end of)\b",
    re.IGNORECASE,
)
_DEPENDENT = re.compile(
    r"^(?:it|its|they|their|them|this|these|those|he|she|his|her|such|here|both|thus|therefore|however|also|"
    r"as a result|in contrast|instead|the (?:former|latter|other|others))\b",
    re.IGNORECASE,
)
_DEPENDENT_NOUN = re.compile(r"^(?:this|these|those|such) [a-z-]+", re.IGNORECASE)
_PAIR_WORDS = 70
"""Two sentences longer than this together are no quote any more."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stretch of a passage that may be quoted: `passage.text[start:end]`.

    `context` is what a scorer reads: the heading, then the sentence with single spaces, after the one before it when it
    leans on that. `lead` is where that one begins, None otherwise. `rank` counts hits from 0, `index` sentences.
    """

    passage: Passage
    rank: int
    index: int
    start: int
    end: int
    context: str
    lead: int | None = None

    @property
    def quote(self) -> str:
        """The exact words of the passage, with the sentence before when this one does not stand alone."""
        return self.passage.text[self.start if self.lead is None else self.lead : self.end]

    @property
    def text(self) -> str:
        """The quote with single spaces, as a claim shows it."""
        return " ".join(self.quote.split())


def candidates_of(evidence: Evidence) -> list[Candidate]:
    """Every sentence of the evidence that can be an answer: no headings, questions or learning objectives."""
    found: list[Candidate] = []
    for rank, hit in enumerate(evidence.hits):
        passage = hit.passage
        sentences = split_sentences(passage.text)
        if passage.kind == "fact" and passage.text.strip():
            found.append(_whole(passage, rank))
            continue
        usable = [i for i, sentence in enumerate(sentences) if _may_answer(sentence)]
        if not usable and passage.text.strip():
            found.append(_whole(passage, rank))
        found.extend(_candidate(passage, rank, sentences, i) for i in usable)
    return found


def _may_answer(sentence: Sentence) -> bool:
    text = sentence.text.strip()
    if sentence.kind == "heading" or text.endswith(("?", ":")) or len(text.split()) < 3:
        return False
    return sentence.kind == "prose" or not _IMPERATIVE.match(text)


def _whole(passage: Passage, rank: int) -> Candidate:
    start = len(passage.text) - len(passage.text.lstrip())
    end = len(passage.text.rstrip())
    text = " ".join(passage.text.split())
    return Candidate(passage, rank, 0, start, end, text)


def _candidate(passage: Passage, rank: int, sentences: list[Sentence], i: int) -> Candidate:
    sentence = sentences[i]
    lead = None
    if i and leans_back(sentence.text) and _may_answer(sentences[i - 1]) and sentences[i - 1].kind == "prose":
        pair = passage.text[sentences[i - 1].start : sentence.end]
        lead = sentences[i - 1].start if len(pair.split()) <= _PAIR_WORDS else None
    spoken = " ".join(passage.text[sentence.start if lead is None else lead : sentence.end].split())
    heading = sentence.heading or (passage.section[-1] if passage.section else "")
    context = f"{heading}: {spoken}" if heading else spoken
    return Candidate(passage, rank, i, sentence.start, sentence.end, context, lead)


def leans_back(text: str) -> bool:
    """Whether a sentence begins with a word that points to the sentence before it (it, they, this process ...)."""
    return bool(_DEPENDENT.match(text) or _DEPENDENT_NOUN.match(text))
