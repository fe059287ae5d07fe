"""Multiple choice: which letter a reply names, accuracy overall and per letter, sets of letters."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from eval.metrics.closed import final_answer, strict_category
from eval.metrics.normalise import clean
from eval.metrics.scores import Score, f_measure, mean_score, share

_EMPHASIS = re.compile(r"[*_`]+")


@dataclass(frozen=True, slots=True)
class LetterScore:
    """One option letter: the share of its gold items answered right, how often it is gold, how often it was chosen.

    Chosen far more often than gold is the sign of a bias for a position.
    """

    letter: str
    recall: Score
    chosen: int


@dataclass(frozen=True, slots=True)
class ChoiceScores:
    """`unparsed` replies named no option and count as wrong; `most_frequent` is what always naming one letter gets."""

    accuracy: Score
    letters: tuple[LetterScore, ...]
    unparsed: int
    most_frequent: Score


def parse_choice(reply: str, options: Mapping[str, str]) -> str | None:
    """The letter that a reply chooses among `options` (letter to text); None when it names none or several.

    The first of these that says anything decides: the reply's final answer is a letter; it is an option's text, alone
    or behind its letter; a letter is introduced as a choice (`option B`, `(B)`, `B.` at the start, `answer is B`); an
    option's text is named by whole words.
    """
    for text in dict.fromkeys((final_answer(reply), reply) if options else ()):
        said = _EMPHASIS.sub("", text).strip()
        found = next((letters for letters in _readings(said, options) if letters), frozenset())
        if found:
            return next(iter(found)) if len(found) == 1 else None
    return None


def mirage_choice(reply: str, letters: str = "ABCD") -> str | None:
    """MIRAGE's rule: after the last `"answer_choice": "`, the first of its patterns that fits; None counts as wrong.

    Read in Teddy-XiongGZ/MIRAGE, src/utils.py: the whole string; a letter before or, and, slash or comma; Option X;
    a colon before X; X before a full stop, quote or colon.
    """
    said = reply.rpartition('"answer_choice": "')[2].strip()
    patterns = (
        r"^\s*([{}])$", r"^\s*([{}]) or", r"^\s*([{}]) and", r"^\s*([{}])/", r"^\s*([{}]),", r"[Oo]ption ([{}])",
        r":\s*([{}])", r"^\s*([{}])\.", r'^\s*([{}])"', r"^\s*([{}]):",
    )  # fmt: skip
    found = (re.search(pattern.replace("{}", letters), said) for pattern in patterns)
    return next((match[1] for match in found if match), None)


def medevalkit_choice(reply: str, options: Mapping[str, str]) -> str:
    """MedEvalKit's rule: a letter, else an option's text, else the option most similar by difflib: never None."""
    said = final_answer(reply).strip()
    letter = said.rstrip(".").upper()
    if letter in options:
        return letter
    exact = [letter for letter, text in options.items() if text.strip().lower() == said.lower()]
    if exact:
        return exact[0]
    return max(options, key=lambda one: difflib.SequenceMatcher(None, said.lower(), options[one].lower()).ratio())


def choice_scores(gold: Sequence[str], chosen: Sequence[str | None]) -> ChoiceScores:
    """Accuracy of chosen letters, overall and per gold letter.

    Raises:
        ValueError: the lengths differ.
    """
    if len(gold) != len(chosen):
        raise ValueError(f"{len(chosen)} replies for {len(gold)} questions")
    pairs = list(zip(gold, chosen, strict=True))
    counts, said = Counter(gold), Counter(chosen)
    letters = sorted({*counts, *(letter for letter in said if letter is not None)})
    right = Counter(a for a, b in pairs if a == b)
    return ChoiceScores(
        accuracy=share(right.total(), len(pairs)),
        letters=tuple(LetterScore(one, share(right[one], counts[one]), said[one]) for one in letters),
        unparsed=said[None],
        most_frequent=share(max(counts.values(), default=0), len(pairs)),
    )


def macro_over_sets(scores: Mapping[str, Score]) -> Score:
    """The mean of the sets' figures, each set alike (MIRAGE's overall accuracy); empty sets are left out."""
    return mean_score(score.value for score in scores.values())


def standard_error(accuracy: float, n: int) -> float:
    """The standard error of an accuracy over n questions, sqrt(p (1 - p) / n), as MIRAGE prints it."""
    return float((accuracy * (1 - accuracy) / n) ** 0.5)


def set_scores(gold: Sequence[Set[str]], chosen: Sequence[Set[str]]) -> tuple[Score, Score]:
    """Questions with several right letters (GEMeX): share of exactly equal sets, and the mean F1 of the sets."""
    pairs = list(zip(gold, chosen, strict=True))
    return share(sum(a == b for a, b in pairs), len(pairs)), mean_score(_set_f1(a, b) for a, b in pairs)


def _set_f1(gold: Set[str], chosen: Set[str]) -> float:
    both = len(gold & chosen)
    return f_measure(both / len(chosen), both / len(gold)) if gold and chosen else float(gold == chosen)


def _readings(said: str, options: Mapping[str, str]) -> Iterator[frozenset[str]]:
    """The letters that a reply may mean, by one way of reading after the other."""
    letters = "|".join(re.escape(letter) for letter in options)
    whole = re.fullmatch(rf"\W*({letters})\W*", said, re.IGNORECASE)
    yield frozenset((_as_given(whole[1], options),) if whole else ())
    yield frozenset(letter for letter, text in options.items() if text.casefold().strip() == said.casefold())
    bare = clean(said)
    forms = ((letter, clean(text)) for letter, text in options.items())
    yield frozenset(letter for letter, text in forms if text and bare in {text, f"{clean(letter)} {text}"})
    patterns = (  # upper case only, because `a` is a word
        rf"(?i:\b(?:option|choice|answer)\b)\s*(?i:is\b)?\s*:?\s*\(?({letters})\b(?!')",
        rf"(?<!\w)\(({letters})\)",
        rf"^({letters})\s*(?:[.):,;]|$|-\s)",
        rf"(?:^|\n)({letters})[.):]\s",
    )
    yield frozenset(_as_given(found, options) for pattern in patterns for found in re.findall(pattern, said))
    chosen = strict_category(said, tuple(options.values()))
    yield frozenset(letter for letter, text in options.items() if text == chosen)


def _as_given(letter: str, options: Mapping[str, str]) -> str:
    return next(name for name in options if name.lower() == letter.lower())
