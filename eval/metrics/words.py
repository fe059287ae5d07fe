"""Answers compared word by word: exact match and token F1, and the bag-of-words figures of published scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eval.metrics.normalise import challenge, clean
from eval.metrics.scores import f_measure


@dataclass(frozen=True, slots=True)
class Overlap:
    """Precision, recall and F1 of the words of a reply against a gold answer, each in [0, 1]."""

    precision: float
    recall: float
    f1: float


def exact_match(reply: str, golds: Sequence[str], normalise: Callable[[str], str] = clean) -> float:
    """1 when the reply equals any gold answer after normalisation, else 0."""
    said = normalise(reply)
    return float(any(said == normalise(gold) for gold in golds))


def token_overlap(reply: str, gold: str, normalise: Callable[[str], str] = clean) -> Overlap:
    """Shared words over words said (precision) and over gold words (recall); each word counts as often as in both.

    Rajpurkar et al., 2016 (SQuAD), https://doi.org/10.18653/v1/D16-1264. Two empty sides agree; one does not.
    """
    said, wanted = normalise(reply).split(), normalise(gold).split()
    if not said or not wanted:
        same = float(said == wanted)
        return Overlap(same, same, same)
    shared = sum((Counter(said) & Counter(wanted)).values())
    precision, recall = shared / len(said), shared / len(wanted)
    return Overlap(precision, recall, f_measure(precision, recall))


def token_f1(reply: str, golds: Sequence[str], normalise: Callable[[str], str] = clean) -> float:
    """The best token F1 against any gold answer; 0 without gold."""
    return max((token_overlap(reply, gold, normalise).f1 for gold in golds), default=0.0)


def llava_med_overlap(reply: str, gold: str, normalise: Callable[[str], str] = challenge) -> Overlap:
    """LLaVA-Med's bag of words: true positives are counted in the reply, so repeating a gold word raises recall.

    recall = tp / (tp + fn) with tp the reply's count of shared words and fn the gold count of missing ones.
    Read in microsoft/LLaVA-Med at fc39e79; PathVQA's own script is the same without normalisation.
    """
    said, wanted = Counter(normalise(reply).split()), Counter(normalise(gold).split())
    found = sum(count for word, count in said.items() if word in wanted)
    missing = sum(count for word, count in wanted.items() if word not in said)
    precision = found / said.total() if said else 0.0
    recall = found / (found + missing) if wanted else 0.0
    return Overlap(precision, recall, f_measure(precision, recall))


def llava_med_exact(reply: str, gold: str, normalise: Callable[[str], str] = challenge) -> float:
    """What LLaVA-Med's script calls exact match: distinct gold words found over all words said, a precision."""
    said, wanted = normalise(reply).split(), set(normalise(gold).split())
    return len(wanted & set(said)) / len(said) if said else 0.0


def candidate_answer(reply: str, candidates: Sequence[str], normalise: Callable[[str], str] = challenge) -> str | None:
    """LLaVA-Med's open answer: the candidate with the largest share of its words in the reply, the first of equals.

    None without candidates or without any shared word.
    """
    said = set(normalise(reply).split())
    best, best_share = None, 0.0
    for candidate in candidates:
        wanted = normalise(candidate).split()
        found = sum(word in said for word in wanted) / len(wanted) if wanted else 0.0
        if found > best_share:
            best, best_share = candidate, found
    return best


def set_overlap(reply: str, gold: str) -> Overlap:
    """MedEvalKit's open figures on sets of lower-case words, under their right names.

    Its caller unpacks the three in another order, so the published "precision" is F1, "recall" is precision and "f1" is
    recall; an empty side, at which it fails, is 0 here. Read in alibaba-damo-academy/MedEvalKit, utils/utils.py.
    """
    said, wanted = set(reply.lower().split()), set(gold.lower().split())
    shared = len(said & wanted)
    precision = shared / len(said) if said else 0.0
    recall = shared / len(wanted) if wanted else 0.0
    return Overlap(precision, recall, f_measure(precision, recall))
