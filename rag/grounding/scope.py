"""What a text affirms, denies and doubts: how far the words of negation and of uncertainty reach. Rules, no model.

After NegEx (Chapman et al., 2001, https://doi.org/10.1006/jbin.2001.1029) and ConText (Harkema et al., 2009), with one
difference: only the words that a cue certainly governs (its noun phrase, or the verb after "not") count as denied or
doubted. What stands further on may or may not be meant, and counts as either, so it never makes two texts disagree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from rag.sentences import STOPWORDS, content_stems


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_Force = Literal["phrase", "verb", "back"]
_PIECE = re.compile(r"[^\W_]+(?:[.,’'-][^\W_]+)*%?|[.;:!?,()—–]")
_COPULAS = _words("is are was were be been being appears appear seems seem remains remain")
_AUXILIARIES = _words(
    "is are was were be been being am has have had do does did can could will would shall should may might must "
    "appears appear seems seem remains remain"
)
_BREAKS = _words(". ; : ! ? ( ) — –")
_SUBORDINATORS = _words(
    "but however although though except whereas yet because when if while until unless since which who that where "
    "despite instead rather"
)
_PREPOSITIONS = _words(
    "in on at from to by with during for after before into between through under over within as than via per"
)
_DETERMINERS = _words("the a an there this these those his her its their it they he she")
_LISTING = frozenset(["or", "nor"])
_FORMULA = re.compile(r"\bNO\b")
PRESENCE = _words(
    "see seen identify identified note noted detect detected visible visualised visualized demonstrated "
    "found observed evident appreciated apparent present evidence sign signs indication suggestion exist exists "
    "occur occurs"
)
"""Words that only say that something is there: a denial of one denies what it speaks of."""
_MOST_WORDS = 6


@dataclass(frozen=True, slots=True)
class Cues:
    """The cues of one property, by what they govern.

    phrase: the noun phrase that follows; verb: the next content word; back: the phrase before it, after a verb
    ("effusion is absent"). `two` are cues of two words, which win over single ones; None is no cue at all.
    """

    phrase: frozenset[str]
    verb: frozenset[str]
    back: frozenset[str]
    two: dict[tuple[str, str], _Force | None]


_DENIAL = Cues(
    phrase=_words("no without neither nor denies denied absence lack lacks lacking excludes exclude"),
    verb=_words("not never cannot non"),
    back=_words("absent lacking excluded negative unlikely missing"),
    two={
        ("not", "only"): None, ("no", "longer"): "verb", ("no", "more"): None, ("no", "less"): None,
        ("negative", "for"): "phrase", ("free", "of"): "phrase", ("devoid", "of"): "phrase", ("unlikely", "to"): "verb",
        ("fails", "to"): "verb", ("fail", "to"): "verb", ("failed", "to"): "verb", ("failure", "to"): "verb",
        ("unable", "to"): "verb", ("inability", "to"): "verb", ("ruled", "out"): "back", ("rules", "out"): "phrase",
        ("instead", "of"): "phrase", ("rather", "than"): "phrase", ("no", "doubt"): None, ("not", "merely"): None,
    },
)  # fmt: skip
_DOUBT = Cues(
    phrase=_words("possible possibly probable probably suspected suspicious likely questionable perhaps"),
    verb=_words("may might could"),
    back=_words("possible probable suspected likely unlikely uncertain questionable"),
    two={
        ("suspicious", "for"): "phrase", ("suspicion", "of"): "phrase", ("suggestive", "of"): "phrase",
        ("cannot", "exclude"): "phrase", ("not", "excluded"): "back", ("likely", "to"): "verb",
        ("as", "possible"): None,
    },
)  # fmt: skip


def polarity_of(text: str) -> dict[str, set[bool]]:
    """For each content stem of a text, whether it occurs affirmed (True), denied (False), or possibly either."""
    return {stem: set(states) for stem, states in _read(text, "denial").items()}


def certainty_of(text: str) -> dict[str, set[bool]]:
    """For each content stem of a text, whether it is stated (True), only thought possible (False), or either."""
    return {stem: set(states) for stem, states in _read(text, "doubt").items()}


def scopes_agree(claim: str, quote: str) -> bool:
    """No shared content word is only affirmed in one text and only denied in the other."""
    ours, theirs = _read(claim, "denial"), _read(quote, "denial")
    return all(ours[stem] & theirs[stem] for stem in ours.keys() & theirs.keys())


def certainty_agrees(claim: str, quote: str) -> bool:
    """The claim states nothing that the quote only thinks possible; the other way round, it is merely more careful."""
    ours, theirs = _read(claim, "doubt"), _read(quote, "doubt")
    return not any(ours[stem] == {True} and theirs[stem] == {False} for stem in ours.keys() & theirs.keys())


def without_formulas(text: str) -> str:
    """A text in which the capitals NO (nitric oxide) are no denial; in a report all in capitals they stay one."""
    if "NO" not in text or 2 * sum(letter.isupper() for letter in text) > sum(letter.isalpha() for letter in text):
        return text
    return _FORMULA.sub("N.O", text)


@lru_cache(maxsize=4096)
def _read(text: str, what: Literal["denial", "doubt"]) -> dict[str, frozenset[bool]]:
    cues = _DENIAL if what == "denial" else _DOUBT
    pieces = [piece.lower().replace("’", "'") for piece in _PIECE.findall(without_formulas(text))]
    states: list[bool | None] = [True] * len(pieces)  # False: governed by a cue; None: either
    skipped: set[int] = set()
    for i in range(len(pieces)):
        force, n_words = _cue(pieces, i, cues, skipped)
        skipped.update(range(i, i + n_words))
        if force == "verb":
            _govern_verb(pieces, states, i, i + n_words)
        elif force == "phrase":
            _govern_phrase(pieces, states, i + n_words)
        elif force == "back":
            _govern_back(pieces, states, i)
    found: dict[str, frozenset[bool]] = {}
    for i, piece in enumerate(pieces):
        if i in skipped or piece in PRESENCE:
            continue
        state = states[i]
        for stem in content_stems(piece):
            found[stem] = found.get(stem, frozenset()) | ({True, False} if state is None else {state})
    return found


def _cue(pieces: list[str], i: int, cues: Cues, skipped: set[int]) -> tuple[_Force | None, int]:
    """How the piece at i governs, and of how many pieces the cue consists; (None, 0) for no cue."""
    if i in skipped:
        return None, 0
    piece = pieces[i]
    pair = (piece, pieces[i + 1] if i + 1 < len(pieces) else "")
    if pair in cues.two:
        force = cues.two[pair]
        return force, 2 if force is not None else 0
    if piece.endswith("n't") and cues is _DENIAL:
        return "verb", 1
    if piece in cues.back and _after_copula(pieces, i):
        return "back", 1
    if piece in cues.phrase:
        return "phrase", 1
    return ("verb", 1) if piece in cues.verb else (None, 0)


def _after_copula(pieces: list[str], i: int) -> bool:
    """Whether a verb of being stands in front of the piece at i, with at most an adverb between."""
    return any(word in _COPULAS for word in pieces[max(0, i - 2) : i])


def _is_content(piece: str) -> bool:
    return piece[0].isalnum() and piece not in STOPWORDS and piece not in _AUXILIARIES


def _govern_verb(pieces: list[str], states: list[bool | None], cue: int, start: int) -> None:
    """After "not" and its like the next content word is governed, the rest of the clause may be."""
    target = next((i for i in range(start, len(pieces)) if _is_content(pieces[i]) or pieces[i] in _BREAKS), None)
    if target is None or pieces[target] in _BREAKS:
        return
    if pieces[target] in PRESENCE:
        _govern_back(pieces, states, cue)
        target += 1
    else:
        states[target] = False
        target += 1
    for i in range(target, len(pieces)):
        if pieces[i] in _BREAKS or pieces[i] in _SUBORDINATORS or (pieces[i] == "," and not _lists(pieces, i)):
            return
        if states[i] is True:
            states[i] = None


def _govern_phrase(pieces: list[str], states: list[bool | None], start: int) -> None:
    """After "no" and its like: the noun phrase that follows, and those listed with it by commas and "or"."""
    governed, sure = 0, True
    for i in range(start, len(pieces)):
        piece = pieces[i]
        if piece in _BREAKS or piece in _SUBORDINATORS:
            return
        if piece in {",", "and"}:
            if i + 1 < len(pieces) and (pieces[i + 1] in _DETERMINERS or not _lists(pieces, i)) and _says(pieces, i):
                return
            sure = sure and piece == "," and _lists(pieces, i)
        elif piece in _AUXILIARIES or piece in _PREPOSITIONS:
            sure = False
        elif piece in _LISTING:
            sure = True
        elif _is_content(piece) and piece not in PRESENCE:
            governed += 1
            if states[i] is not False:
                states[i] = False if sure and governed <= _MOST_WORDS else None


def _govern_back(pieces: list[str], states: list[bool | None], cue: int) -> None:
    """Before "absent" and "not seen": the noun phrase in front of the verb; what a preposition adds may be meant."""
    start = cue
    while start and pieces[start - 1] not in _BREAKS and pieces[start - 1] not in _SUBORDINATORS:
        start -= 1
        if pieces[start] == "," and not _lists(pieces, start):
            start += 1
            break
    sure = True
    for i in range(start, cue):
        if pieces[i] in _PREPOSITIONS:
            sure = False
        elif _is_content(pieces[i]) and pieces[i] not in PRESENCE and states[i] is True:
            states[i] = False if sure else None


def _lists(pieces: list[str], i: int) -> bool:
    """Whether the list that goes on at i is held together by "or" before its clause ends."""
    for piece in pieces[i + 1 :]:
        if piece in _LISTING:
            return True
        if piece in _BREAKS or piece in _SUBORDINATORS or piece in _AUXILIARIES:
            return False
    return False


def _says(pieces: list[str], i: int) -> bool:
    """Whether what follows is a clause of its own: a verb comes before it ends."""
    for piece in pieces[i + 1 :]:
        if piece in _BREAKS:
            return False
        if piece in _AUXILIARIES:
            return True
    return False
