"""Does a claim agree with its quote in numbers, side, degree, polarity and certainty? Rules, no model.

Each check answers True unless it finds a disagreement that a reader would call an error: a number or unit that the
quote does not have, left for right, present for absent. They are gates, not evidence of support.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rag.grounding import quantities as numbers
from rag.grounding.alignment import denials_agree, places_agree
from rag.grounding.modifiers import NUMBER, codes, scales, values_of
from rag.grounding.scope import certainty_agrees, polarity_of, scopes_agree
from rag.sentences import content_stems

__all__ = [
    "GATES", "Gate", "certainty_agrees", "disagreements", "numbers_agree", "polarity_agrees", "polarity_of",
    "qualifiers_agree", "sides_agree",
]  # fmt: skip

Gate = Callable[[str, str], bool]
"""Whether a claim (first) agrees with a quote (second) in one respect."""

_SIDE = "side"
_NEGATING = ("un", "in", "im", "ir", "non", "ab", "dis", "de", "a")
_OPPOSITE_PREFIXES = (
    ("hyper", "hypo"), ("tachy", "brady"), ("intra", "extra"), ("intra", "inter"), ("poly", "oligo"), ("endo", "exo"),
    ("endo", "epi"), ("macro", "micro"), ("pre", "post"), ("supra", "infra"), ("iso", "aniso"), ("ante", "post"),
)  # fmt: skip
_SHORTEST = 4
"""Letters that must be left behind a prefix: "ion" is no opposite of "union"."""


def numbers_agree(claim: str, quote: str) -> bool:
    """Every number of the claim stands in the quote, in a comparable unit and, where the texts run alike, in its place.

    So do names made of letters and digits (T4, B12).
    """
    return (
        numbers.numbers_agree(claim, quote)
        and codes(claim) <= codes(quote)
        and places_agree(claim, quote, frozenset((NUMBER,)))
    )


def sides_agree(claim: str, quote: str) -> bool:
    """The claim names no side that the quote does not name, and none in place of the other."""
    nothing: frozenset[str] = frozenset()
    ours, theirs = values_of(claim).get(_SIDE, nothing), values_of(quote).get(_SIDE, nothing)
    return ours <= theirs and places_agree(claim, quote, frozenset((_SIDE,)))


def polarity_agrees(claim: str, quote: str) -> bool:
    """The claim denies nothing that the quote affirms, and the other way round.

    Read twice: which words each denial governs, and where denials stand in what the texts share.
    """
    return scopes_agree(claim, quote) and denials_agree(claim, quote)


def qualifiers_agree(claim: str, quote: str) -> bool:
    """The claim adds no degree or course, exchanges no value of a scale for another, and no word for its opposite.

    Scales are severity, course, size, change, time, place and the like (`words.toml`).
    """
    ours, theirs = values_of(claim), values_of(quote)
    for group, values in ours.items():
        held = theirs.get(group, frozenset())
        if group == _SIDE or values <= held:
            continue
        if group in scales().strict or (held and not held <= values):
            return False
    groups = frozenset(ours) - {_SIDE}
    return places_agree(claim, quote, groups) and not _opposed(claim, quote)


def _opposed(claim: str, quote: str) -> bool:
    """Whether a word of the claim that the quote lacks stands there with the opposite prefix, or without its prefix."""
    ours, theirs = set(content_stems(claim)), set(content_stems(quote))
    return any(_opposites(word) & (theirs - ours) for word in ours - theirs)


def _opposites(word: str) -> set[str]:
    found = {prefix + word for prefix in _NEGATING} if len(word) >= _SHORTEST else set()
    for prefix in _NEGATING:
        if word.startswith(prefix) and len(word) - len(prefix) >= _SHORTEST:
            found.add(word[len(prefix) :])
    for first, second in _OPPOSITE_PREFIXES:
        for one, other in ((first, second), (second, first)):
            if word.startswith(one):
                found.add(other + word[len(one) :])
    return found


GATES: Mapping[str, Gate] = {
    "numbers": numbers_agree,
    "laterality": sides_agree,
    "qualifiers": qualifiers_agree,
    "polarity": polarity_agrees,
    "certainty": certainty_agrees,
}
"""The checks of a claim against its quote, by the name under which an answer shows their outcome."""


def disagreements(claim: str, quote: str, gates: Mapping[str, Gate] = GATES) -> list[str]:
    """The names of the checks that a claim fails."""
    return [name for name, agrees in gates.items() if not agrees(claim, quote)]
