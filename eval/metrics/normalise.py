"""How answers are made comparable: the clean rule, and the rule of the visual question answering challenge."""

from __future__ import annotations

import re
import unicodedata

_ARTICLES = frozenset(("a", "an", "the"))
_NUMBER_WORDS = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_WORDS = re.compile(r"(?:(?<![^\s(\[=<>≤≥])-)?\d+(?:\.\d+)?%?|[^\W\d_]+(?:'[^\W\d_]+)?\d*|\w+|[+<>≤≥]")
_SIGNS = str.maketrans("’‘−", "''-")


def clean(text: str) -> str:
    """Lower case, Unicode compatibility forms folded, punctuation and articles gone, number words as digits.

    What changes a meaning stays: decimals, percentages, the sign of a number, plus, less and greater. A genitive s
    goes. Articles stay when nothing else is there, so the option `A` is not lost.
    """
    folded = unicodedata.normalize("NFKC", text).translate(_SIGNS).lower()
    found = [word.removesuffix("'s") for word in _WORDS.findall(_THOUSANDS.sub("", folded))]
    kept = [word for word in found if word not in _ARTICLES] or found
    return " ".join(_NUMBER_WORDS.get(word, word) for word in kept)


_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_CHALLENGE_NUMBERS = {"none": "0", **_NUMBER_WORDS}
_NEGATED = ("ain", "are", "ca", "could", "did", "does", "do", "had", "has", "have", "is", "might", "must", "need",
            "sha", "should", "was", "were", "wo", "would")  # fmt: skip
_CONTRACTIONS = {
    **{f"{verb}nt": f"{verb}n't" for verb in _NEGATED if verb != "ain"},
    "aint": "ain't",
    **{f"{word}ve": f"{word}'ve" for word in ("could", "i", "might", "must", "should", "they", "we", "would", "you")},
    **{f"{word}re": f"{word}'re" for word in ("they", "you")},
    **{f"{word}s": f"{word}'s" for word in ("he", "let", "that", "there", "what", "where", "who")},
    "im": "i'm", "youll": "you'll", "theyll": "they'll", "itll": "it'll",
}  # fmt: skip


def challenge(text: str) -> str:
    """The normalisation of the VQA challenge as LLaVA-Med uses it, quirks and all.

    A punctuation mark is deleted where it stands beside a space anywhere in the text, or where the text has a comma
    between digits; otherwise it becomes a space. `none` and the number words become digits, articles go (so the answer
    `A` is lost: never use it for multiple choice), apostrophes come back. Goyal et al., 2017,
    https://doi.org/10.1109/CVPR.2017.670; quirks as read in microsoft/LLaVA-Med at fc39e79.
    """
    original = text.lower()
    deletes = _COMMA_IN_NUMBER.search(original) is not None
    result = original
    for mark in _MARKS:
        beside_space = f"{mark} " in original or f" {mark}" in original
        result = result.replace(mark, "" if beside_space or deletes else " ")
    kept = [_CHALLENGE_NUMBERS.get(word, word) for word in _FULL_STOP.sub("", result).split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in kept if word not in _ARTICLES).replace(",", "")
