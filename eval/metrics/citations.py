"""Citations: is each sentence supported by what it cites, and is each citation needed?

Gao et al., 2023 (ALCE), https://arxiv.org/abs/2305.14627. The figure is worth what its judge is worth: name it with the
judge, such as `citation_recall_lexical`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eval.metrics.scores import Score, mean_score, share
from rag.protocols import Judge
from rag.sentences import split_sentences

Entails = Callable[[str, str], bool]
"""(premise, claim) to whether the premise supports the claim."""

_MARKER = re.compile(r"\s*\[(\d+(?:\s*,\s*\d+)*)\]")
_STOP_BEFORE_MARKER = re.compile(r"([.!?])((?:\s*\[\d+(?:\s*,\s*\d+)*\])+)")


@dataclass(frozen=True, slots=True)
class CitedSentence:
    """A sentence without its markers, and the numbers it cites, from 1."""

    text: str
    citations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CitationScores:
    """One answer: `recall` over sentences, `precision` over the citations of sentences without an invalid number.

    `invalid`: citations of passages that were not shown, of all citations; ALCE leaves them unpunished in precision.
    `uncited`: sentences without a citation.
    """

    recall: Score
    precision: Score
    invalid: Score
    uncited: Score


@dataclass(frozen=True, slots=True)
class CitationSummary:
    """The means over answers (`n` answers; those without the denominator left out) and the pooled invalid rate."""

    recall: Score
    precision: Score
    invalid: Score
    uncited: Score


def entails_by(judge: Judge, threshold: float = 0.5) -> Entails:
    """A yes or no from a judge's support; 0.5 is the middle of its scale, calibrate it for a judge you report."""
    return lambda premise, claim: judge.support(claim, premise) >= threshold


def split_cited(answer: str) -> tuple[CitedSentence, ...]:
    """The sentences of an answer with their `[n]` markers, which may stand before or after the full stop."""
    moved = _STOP_BEFORE_MARKER.sub(lambda match: f"{match[2]}{match[1]}", answer)
    found = []
    for sentence in split_sentences(moved):
        numbers = [int(one) for group in _MARKER.findall(sentence.text) for one in group.split(",")]
        text = _MARKER.sub("", sentence.text).strip()
        if text:
            found.append(CitedSentence(text, tuple(dict.fromkeys(numbers))))
    return tuple(found)


def citation_scores(
    sentences: Sequence[CitedSentence], passages: Mapping[int, str], entails: Entails
) -> CitationScores:
    """ALCE's recall and precision of one answer; `passages` are the texts shown, by number.

    A sentence is recalled when all its passages together support it, and none of its numbers is invalid. A citation of
    such a sentence is precise when it supports the sentence alone, or the others without it do not.
    """
    recalled = [_is_supported(sentence, passages, entails) for sentence in sentences]
    precise = [
        good and _is_needed(sentence, number, passages, entails)
        for sentence, good in zip(sentences, recalled, strict=True)
        if all(number in passages for number in sentence.citations)
        for number in sentence.citations
    ]
    cited = [number for sentence in sentences for number in sentence.citations]
    return CitationScores(
        recall=share(sum(recalled), len(sentences)),
        precision=share(sum(precise), len(precise)),
        invalid=share(sum(number not in passages for number in cited), len(cited)),
        uncited=share(sum(not sentence.citations for sentence in sentences), len(sentences)),
    )


def summarise_citations(answers: Sequence[CitationScores]) -> CitationSummary:
    """The mean of each figure over answers; an answer without citations has precision 0, as in ALCE."""
    return CitationSummary(
        recall=mean_score(one.recall.value for one in answers),
        precision=mean_score(_precision_of(one) for one in answers),
        invalid=share(
            sum((one.invalid.value or 0.0) * one.invalid.n for one in answers), sum(one.invalid.n for one in answers)
        ),
        uncited=mean_score(one.uncited.value for one in answers),
    )


def _precision_of(one: CitationScores) -> float | None:
    """None for an answer without a sentence."""
    return None if not one.recall.n else one.precision.value or 0.0


def _is_supported(sentence: CitedSentence, passages: Mapping[int, str], entails: Entails) -> bool:
    numbers = sentence.citations
    if not numbers or any(number not in passages for number in numbers):
        return False
    return entails("\n".join(passages[number] for number in numbers), sentence.text)


def _is_needed(sentence: CitedSentence, number: int, passages: Mapping[int, str], entails: Entails) -> bool:
    others = [passages[other] for other in sentence.citations if other != number]
    if not others or entails(passages[number], sentence.text):
        return True
    return not entails("\n".join(others), sentence.text)
