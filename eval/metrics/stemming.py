"""Porter's stemmer, for METEOR and ROUGE with stems as published figures have them.

Porter, 1980, "An algorithm for suffix stripping", https://tartarus.org/martin/PorterStemmer/def.txt, with the later
departures that the common Python stemmer makes (abli and logi, the y after a vowel, short ies and ied).
Retrieval has a lighter stemmer of its own, `rag.sentences.stem`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache

_EXCEPTIONS = {
    "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "innings": "inning", "outings": "outing",
    "cannings": "canning",
    **{word: word for word in ("sky", "news", "inning", "outing", "canning", "howe", "proceed", "exceed", "succeed")},
}  # fmt: skip

Rule = tuple[str, str]

_STEP_2: tuple[Rule, ...] = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("bli", "ble"),
    ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"),
    ("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"),
    ("iviti", "ive"), ("biliti", "ble"), ("fulli", "ful"),
)  # fmt: skip
_STEP_3: tuple[Rule, ...] = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", ""),
)  # fmt: skip
_STEP_4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti",
    "ous", "ive", "ize",
)  # fmt: skip


@lru_cache(maxsize=65_536)
def porter_stem(word: str) -> str:
    """The stem of a word, in lower case; words of one or two letters stay."""
    lower = word.lower()
    if lower in _EXCEPTIONS:
        return _EXCEPTIONS[lower]
    if len(lower) <= 2:
        return lower
    for step in _STEPS:
        lower = step(lower)
    return lower


def _is_consonant(word: str, i: int) -> bool:
    if word[i] in "aeiou":
        return False
    return word[i] != "y" or i == 0 or not _is_consonant(word, i - 1)


def _measure(stem: str) -> int:
    """How many vowel-consonant sequences the stem has: m in [C](VC)^m[V]."""
    kinds = [_is_consonant(stem, i) for i in range(len(stem))]
    return sum(not before and after for before, after in itertools.pairwise(kinds))


def _has_vowel(stem: str) -> bool:
    return any(not _is_consonant(stem, i) for i in range(len(stem)))


def _ends_double(word: str) -> bool:
    return len(word) >= 2 and word[-1] == word[-2] and _is_consonant(word, len(word) - 1)


def _ends_cvc(word: str) -> bool:
    """Consonant, vowel, consonant other than w, x, y; or a word of vowel and consonant."""
    last = len(word) - 1
    if last == 1:
        return not _is_consonant(word, 0) and _is_consonant(word, 1)
    return (
        last >= 2
        and _is_consonant(word, last - 2)
        and not _is_consonant(word, last - 1)
        and _is_consonant(word, last)
        and word[-1] not in "wxy"
    )


def _plural(word: str) -> str:
    if word.endswith("ies") and len(word) == 4:
        return word[:-1]
    for ending, kept in (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")):
        if word.endswith(ending):
            return word.removesuffix(ending) + kept
    return word


def _past(word: str) -> str:
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        stem = word.removesuffix(ending)
        if stem != word and _has_vowel(stem):
            return _mended(stem)
    return word


def _mended(stem: str) -> str:
    """After -ed or -ing is gone: hop for hopp, hope for hop(e), conflate for conflat."""
    if stem.endswith(("at", "bl", "iz")):
        return stem + "e"
    if _ends_double(stem):
        return stem if stem[-1] in "lsz" else stem[:-1]
    return stem + "e" if _measure(stem) == 1 and _ends_cvc(stem) else stem


def _final_y(word: str) -> str:
    stem = word[:-1]
    return stem + "i" if word[-1] == "y" and len(stem) > 1 and _is_consonant(stem, len(stem) - 1) else word


def _derived(word: str) -> str:
    """Step 2; -alli is taken off first, so that what is below it comes off as well."""
    if word.endswith("alli") and _measure(word[:-4]) > 0:
        return _derived(word[:-2])
    if word.endswith("logi"):  # the l belongs to the stem that is measured: -ology
        return word[:-1] if _measure(word[:-3]) > 0 else word
    return _replaced(word, _STEP_2)


def _endings(word: str) -> str:
    return _replaced(word, _STEP_3)


def _replaced(word: str, rules: tuple[Rule, ...]) -> str:
    """The longest ending is replaced, if what is before it has a measure above 0."""
    fitting = [rule for rule in rules if word.endswith(rule[0])]
    if not fitting:
        return word
    ending, new = max(fitting, key=lambda rule: len(rule[0]))
    stem = word.removesuffix(ending)
    return stem + new if _measure(stem) > 0 else word


def _bare(word: str) -> str:
    """Step 4: the longest ending goes, if what is before it has a measure above 1; -ion only after s or t."""
    fitting = [ending for ending in _STEP_4 if word.endswith(ending)]
    if not fitting:
        return word
    stem = word.removesuffix(max(fitting, key=len))
    if max(fitting, key=len) == "ion" and not stem.endswith(("s", "t")):
        return word
    return stem if _measure(stem) > 1 else word


def _final_e(word: str) -> str:
    stem = word.removesuffix("e")
    if stem == word:
        return word
    measure = _measure(stem)
    return stem if measure > 1 or (measure == 1 and not _ends_cvc(stem)) else word


def _final_ll(word: str) -> str:
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


_STEPS: tuple[Callable[[str], str], ...] = (
    _plural, _past, _final_y, _derived, _endings, _bare, _final_e, _final_ll,
)  # fmt: skip
