"""A triple as a sentence, so that text encoders and readers can use it."""

from __future__ import annotations

from typing import NamedTuple

from rag.types import Polarity


class Phrase(NamedTuple):
    """Words between head and tail: when the finding is present, and when it is absent."""

    present: str
    absent: str


_PHRASES = {
    "is_a": Phrase("is a kind of", "is not a kind of"),
    "part_of": Phrase("is part of", "is not part of"),
    "has_phenotype": Phrase("has the phenotype", "does not have the phenotype"),
    "has_symptom": Phrase("has the symptom", "does not have the symptom"),
    "synonym": Phrase("is also called", "is not called"),
    "alias": Phrase("is also called", "is not called"),
    "definition": Phrase("is defined as:", "is not defined as:"),
    "description": Phrase("is described as:", "is not described as:"),
    "anatomical_site": Phrase("occurs in the anatomical site", "does not occur in the anatomical site"),
    "onset": Phrase("has its onset in:", "does not have its onset in:"),
    "located_in": Phrase("is located in", "is not located in"),
    "locate in": Phrase("is located in", "is not located in"),
    "location": Phrase("is located in", "is not located in"),
    "belong to": Phrase("belongs to", "does not belong to"),
    "results_in": Phrase("results in", "does not result in"),
    "results_from": Phrase("results from", "does not result from"),
    "derives_from": Phrase("derives from", "does not derive from"),
    "transmitted_by": Phrase("is transmitted by", "is not transmitted by"),
    "affects": Phrase("affects", "does not affect"),
    "treats": Phrase("treats", "does not treat"),
    "causes": Phrase("causes", "does not cause"),
    "not_indicated_for": Phrase("is not indicated for", "is indicated for"),
    "disease_modifying_treatment_of": Phrase(
        "is a disease-modifying treatment of", "is not a disease-modifying treatment of"
    ),
    "symptomatic_treatment_of": Phrase("is a symptomatic treatment of", "is not a symptomatic treatment of"),
    "fundus_sign": Phrase("shows in the fundus:", "does not show in the fundus:"),
}
"""Wordings of common relations. Any other is worded from its own name."""

_PREPOSITIONS = frozenset({"of", "in", "by", "to", "from", "with", "for", "at", "on", "as", "into"})


def verbalise(head: str, relation: str, tail: str, polarity: Polarity = "present") -> str:
    """One sentence with head and tail as they are written. An absent finding never reads like a present one."""
    phrase = _PHRASES.get(relation) or _PHRASES.get(relation.lower()) or _worded(relation)
    words = phrase.absent if polarity == "absent" else phrase.present
    sentence = f"{head} {words} {tail}"
    if polarity == "uncertain":
        sentence = f"It is uncertain whether {sentence}"
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _worded(relation: str) -> Phrase:
    words = " ".join(relation.replace("_", " ").split())
    first, _, rest = words.partition(" ")
    match first.lower():
        case "has" | "have" if rest:
            return Phrase(f"has the {rest}", f"does not have the {rest}")
        case "is" | "are" | "can" | "may" | "was" if rest:
            return Phrase(f"{first} {rest}", f"{first} not {rest}")
    if words.rsplit(" ", 1)[-1].lower() in _PREPOSITIONS:
        return Phrase(f"is {words}" if first.lower().endswith("ed") else words, f"is not {words}")
    name = words.removeprefix("the ")
    return Phrase(f"has the {name}:", f"does not have the {name}:")
