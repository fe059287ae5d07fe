"""Reports compared by wording: BLEU, ROUGE-L, METEOR, and the text preparation that published figures use.

Wording overlap rewards a report that denies what it should assert: give the finding-level scores beside it.
All functions take words in order; `report_words` and its kin make them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eval.metrics.scores import f_measure
from eval.metrics.stemming import porter_stem

Words = Sequence[str]
Synonyms = Callable[[str], frozenset[str]]

_ALPHANUMERIC = re.compile(r"[a-z0-9]+")
_DELETED = str.maketrans("", "", ".,?;*!%^&_+():<=>@[]{}\"'/\\")


def report_words(text: str) -> list[str]:
    """The default preparation: lower case, words and numbers with their decimals, punctuation as words of its own."""
    return re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+(?:['-][^\W\d_]+)*|[^\w\s]|_+", text.lower())


def rouge_words(text: str, *, stemmed: bool = False) -> list[str]:
    """The preparation of the common ROUGE package: runs of a-z and 0-9; words of 4 letters and more may be stemmed."""
    found = _ALPHANUMERIC.findall(text.lower())
    return [porter_stem(word) if len(word) > 3 else word for word in found] if stemmed else found


def r2gen_words(text: str, form: Literal["iu_xray", "mimic_cxr"] = "mimic_cxr") -> list[str]:
    """R2Gen's report cleaning: list numbers and marks go, sentences are joined by " . "; hyphens stay.

    Quirks and all: `1. ` goes wherever it stands, an empty sentence keeps its stop, and the IU X-ray form does not see
    the end of a sentence at a line break. As read in cuhksz-nlp/R2Gen, modules/tokenizers.py; BLEU changes by points.
    """
    if form == "mimic_cxr":
        text = re.sub(" {2,}", " ", re.sub("_{2,}", "_", text.replace("\n", " ")))
    flat = re.sub(r"\.{2,}", ".", text).replace("1. ", "")
    for pattern in (". {}. ", " {}. "):
        for number in "2345":
            flat = flat.replace(pattern.format(number), ". ")
    sentences = flat.strip().lower().split(". ")
    return (" . ".join(sentence.strip().translate(_DELETED) for sentence in sentences) + " .").split()


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """What BLEU needs of one report: matches and n-grams said for n = 1 to 4, words said, words of the reference."""

    matched: tuple[int, ...]
    said: tuple[int, ...]
    length: int
    reference: int


def corpus_bleu(reports: Sequence[Words], references: Sequence[Sequence[Words]]) -> tuple[float, ...]:
    """Cumulative BLEU-1 to BLEU-4 of a whole set in [0, 1], as COCO's caption scorer has it.

    Clipped counts and lengths are summed over the set; the brevity penalty takes each report's closest reference
    (the shorter of two). Papineni et al., 2002, https://doi.org/10.3115/1073083.1073135; the tiny smoothing (1e-15,
    1e-9) of pycocoevalcap. All 0 without reports.

    Raises:
        ValueError: the lengths differ, or a report has no reference.
    """
    counts = [_count(report, golds) for report, golds in zip(reports, references, strict=True)]
    if not counts:
        return (0.0,) * 4
    matched = np.sum([one.matched for one in counts], axis=0)
    said = np.sum([one.said for one in counts], axis=0)
    length, reference = sum(one.length for one in counts), sum(one.reference for one in counts)
    ratio = (length + 1e-15) / (reference + 1e-9)
    penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    product, found = 1.0, []
    for n in range(4):
        product *= (float(matched[n]) + 1e-15) / (float(said[n]) + 1e-9)
        found.append(product ** (1 / (n + 1)) * penalty)
    return tuple(found)


def sentence_bleu(report: Words, references: Sequence[Words], order: int = 4, epsilon: float = 0.1) -> float:
    """Cumulative BLEU of one report up to n-grams of `order`; an order without a match counts as `epsilon` matches.

    That is NLTK's smoothing method 1 (Chen and Cherry, 2014, https://doi.org/10.3115/v1/W14-3346); order 1
    of it is TemMed-Bench's BLEU. 0 when no word matches.
    """
    one = _count(report, references)
    if not one.matched[0]:
        return 0.0
    shares = [(one.matched[n] or epsilon) / max(1, one.said[n]) for n in range(order)]
    penalty = 1.0 if one.length > one.reference else math.exp(1 - one.reference / one.length)
    return penalty * math.exp(sum(math.log(share) for share in shares) / order)


def rouge_l(report: Words, references: Sequence[Words], beta: float = 1.0) -> float:
    """F-measure of the longest common subsequence, the best over the references for precision and recall each.

    Lin, 2004, https://aclanthology.org/W04-1013. beta 1 is the common package's; COCO's caption scorer has 1.2.
    """
    precision = recall = 0.0
    for reference in references:
        shared = _longest_common(report, reference)
        precision = max(precision, shared / len(report) if report else 0.0)
        recall = max(recall, shared / len(reference) if reference else 0.0)
    return f_measure(precision, recall, beta)


def meteor(report: Words, references: Sequence[Words], synonyms: Synonyms | None = None) -> float:
    """METEOR, the best over the references: recall-weighted F of aligned words, less a penalty for broken order.

    Words are aligned when equal, then by Porter stem, then by `synonyms` (the words that one word may stand for).
    Without synonyms name the figure `meteor_exact_stem`; with WordNet's, `meteor_wordnet`. Banerjee and Lavie, 2005,
    https://aclanthology.org/W05-0909, with NLTK's parameters (0.9, 3, 0.5) and its alignment, which takes the last
    equal word first and does not seek the fewest chunks.
    """
    return max((_meteor_one(report, reference, synonyms) for reference in references), default=0.0)


def wordnet_synonyms() -> Synonyms:
    """Synonyms from the WordNet that the user's NLTK data holds; nothing is downloaded.

    Raises:
        MissingExtra: NLTK is not installed, or its data has no WordNet.
    """
    from rag.errors import MissingExtra

    try:
        from nltk.corpus import wordnet  # type: ignore[import-untyped, unused-ignore]

        wordnet.ensure_loaded()
    except (ImportError, LookupError) as error:
        raise MissingExtra("nltk", feature="METEOR with synonyms (NLTK with its WordNet data in $NLTK_DATA)") from error

    def lookup(word: str) -> frozenset[str]:
        names = (lemma.name() for synset in wordnet.synsets(word) for lemma in synset.lemmas())
        return frozenset((word, *(name for name in names if "_" not in name)))

    return lookup


def _count(report: Words, references: Sequence[Words]) -> _Counts:
    if not references:
        raise ValueError("BLEU needs at least one reference per report")
    matched, said = [], []
    for n in range(1, 5):
        own = _grams(report, n)
        best: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            best |= _grams(reference, n)
        matched.append((own & best).total())
        said.append(max(0, len(report) - n + 1))
    closest = min((len(reference) for reference in references), key=lambda size: (abs(size - len(report)), size))
    return _Counts(tuple(matched), tuple(said), len(report), closest)


def _grams(words: Words, n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _longest_common(first: Words, second: Words) -> int:
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for j, other in enumerate(second, start=1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]


def _meteor_one(report: Words, reference: Words, synonyms: Synonyms | None) -> float:
    pairs = _align([word.lower() for word in report], [word.lower() for word in reference], synonyms)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(report), len(pairs) / len(reference)
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    chunks = 1 + sum((i + 1, j + 1) != following for (i, j), following in itertools.pairwise(pairs))
    return mean * (1 - 0.5 * (chunks / len(pairs)) ** 3)


def _align(report: Words, reference: Words, synonyms: Synonyms | None) -> list[tuple[int, int]]:
    """Pairs of places (report, reference), in the report's order."""
    left, right = list(range(len(report))), list(range(len(reference)))
    found: list[tuple[int, int]] = []

    def take(match: Callable[[str, str], bool]) -> None:
        for i in reversed(left[:]):
            j = next((j for j in reversed(right) if match(report[i], reference[j])), None)
            if j is not None:
                found.append((i, j))
                left.remove(i)
                right.remove(j)

    take(lambda a, b: a == b)
    take(lambda a, b: porter_stem(a) == porter_stem(b))
    if synonyms is not None:
        take(lambda a, b: b in synonyms(a))
    return sorted(found)
