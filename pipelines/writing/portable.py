"""What may be taken over from another patient's report: no names, dates, measurements, courses of time or advice."""

from __future__ import annotations

import re
from itertools import pairwise

from indexers.sources.identifiers import find_identifiers
from pipelines.writing.reading import ReportSentence
from rag.sentences import NUMBER_WORDS, words

_OF_ONE_PATIENT = frozenset(
    ["patient", "patients", "he", "she", "his", "her", "mr", "mrs", "ms", "miss", "dr", "prof", "doctor", "nurse",
     "mother", "father", "year-old", "aged", "age", "born", "referral", "referred", "history", "known", "admitted",
     "ward", "bed", "clinic", "complains", "complaint", "it", "its", "they", "them", "this", "these", "those"]
)  # fmt: skip
_OF_TIME = re.compile(
    r"\b(?:previous\w*|prior|earlier|before|again|remain\w*|persist\w*|since|still|no longer|residual|recurren\w*|"
    r"after|following|follow-up|compar\w+|interval|new|newly|unchanged|stable|improv\w*|worsen\w*|resolv\w*|resolution|"
    r"increas\w*|decreas\w*|larger|smaller|clear(?:ed|ing)|progress\w*|regress\w*|last|recent\w*|yesterday|today|now|"
    r"ago|days?|weeks?|months?|years?|january|february|march|april|may|june|july|august|september|october|november|"
    r"december)\b",
    re.IGNORECASE,
)
_ADVICE = re.compile(
    r"\b(?:advis\w+|recommend\w*|suggested?|please|urgent\w*|should|must|correlat\w+|repeat|discuss\w*|inform\w*|"
    r"telephon\w+|phoned|called|reported to|emergency)\b",
    re.IGNORECASE,
)
_UNITS = frozenset(
    ["mm", "cm", "m", "ml", "l", "mg", "g", "kg", "millimetres", "millimeters", "centimetres", "centimeters", "degrees",
     "percent"]
)  # fmt: skip
_LEAST, _MOST = 2, 40


def is_portable(sentence: ReportSentence, *, of_change: bool = False) -> bool:
    """Whether a sentence of another patient's report could be said of a similar image, word for word.

    Rules, on the safe side: any digit, any word of time or comparison, of a person, of advice, or a name by the rules
    of `indexers.sources.identifiers` holds the sentence back. `of_change`: of a pair of images a change may be said.
    """
    text = sentence.text
    spoken = words(text)
    if not _LEAST <= len(spoken) <= _MOST or any(letter.isdigit() for letter in text) or text.rstrip().endswith("?"):
        return False
    timed = _OF_TIME.search(text) is not None or any(finding.change is not None for finding in sentence.findings)
    if (timed and not of_change) or _ADVICE.search(text) or not _OF_ONE_PATIENT.isdisjoint(spoken):
        return False
    if any(word in NUMBER_WORDS and after in _UNITS for word, after in pairwise(spoken)):
        return False
    return not find_identifiers(text)
