"""A triple as words that never lose what it denies, doubts or says of change.

Every rendering of an absent triple holds "no", of an uncertain one "possible", of one with a change the word for it,
and no present triple begins like that. Two triples that differ in polarity or change alone never read the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from knowledge.triples import Change, Triple
from rag.passages import Polarity

_PARTICIPLES: Mapping[str, str] = {"located_at": "located at", "suggestive_of": "suggesting"}
"""Of a finding: the polarity is the finding's own, "no opacity suggesting pneumonia"."""
_NOUNS: Mapping[str, str] = {
    "is_a": "kind of",
    "part_of": "part of",
    "causes": "cause of",
    "treated_by": "treatment with",
    "synonym_of": "other name for",
    "imaged_by": "imaging by",
    "derives_from": "origin in",
    "transmitted_by": "transmission by",
}
"""Of two things: the polarity is the relation's, "virus: no cause of scabies" denies no virus."""

_CHANGES: Mapping[Change, str] = {
    "none": "", "new": "new", "worse": "worse than before", "better": "better than before", "stable": "unchanged",
    "resolved": "resolved",
}  # fmt: skip
_POLARITIES: Mapping[Polarity, str] = {"present": "", "absent": "no", "uncertain": "possible"}


def render(triple: Triple, names: Mapping[str, str]) -> str:
    """The triple in words. `names` maps concept keys to names; a key without one is shown as it is.

    What is said of a finding stands around it ("small pleural effusion", "no opacity located at left lung base"); what
    is said of a study or of two things stands behind a colon ("study: no pleural effusion", "virus: no cause of
    scabies"). The change stands in brackets at the end.
    """
    head, tail = _name(triple.head, names), _name(triple.tail, names)
    turned = _POLARITIES[triple.polarity]
    if triple.relation == "modify":
        said = _joined(turned, f"{head} {tail}")
    elif triple.relation == "has_finding":
        said = f"{head}: {_joined(turned, tail)}"
    elif triple.relation == "change":
        said = f"{_joined(turned, head)}: {tail}"
    elif triple.relation in _PARTICIPLES:
        said = f"{_joined(turned, head)} {_PARTICIPLES[triple.relation]} {tail}"
    else:
        noun = _NOUNS.get(triple.relation) or " ".join(triple.relation.replace("_", " ").split())
        said = f"{head}: {_joined(turned, noun)} {tail}"
    change = _CHANGES[triple.change]
    return f"{said} [{change}]" if change else said


def _joined(turned: str, words: str) -> str:
    """The words with "no" or "possible" in front.

    Words that open like that themselves are quoted, so a concept named "no finding" is not taken for a denial.
    """
    opening = words.casefold().split()[:1]
    shown = f'"{words}"' if opening in (["no"], ["possible"]) or words.startswith('"') else words
    return f"{turned} {shown}" if turned else shown


def _name(key: str, names: Mapping[str, str]) -> str:
    return " ".join((names.get(key) or key).split())
