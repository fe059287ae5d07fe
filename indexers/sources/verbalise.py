"""A triple as a sentence, so that text encoders and readers can use it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from rag.passages import Change
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
    "not_indicated_for": Phrase("is not indicated for", "is not known to be without use for"),
    "indicated_for": Phrase("is indicated for", "is not indicated for"),
    "contraindicated_for": Phrase("is contraindicated for", "is not contraindicated for"),
    "disease_modifying_treatment_of": Phrase(
        "is a disease-modifying treatment of", "is not a disease-modifying treatment of"
    ),
    "symptomatic_treatment_of": Phrase("is a symptomatic treatment of", "is not a symptomatic treatment of"),
    "fundus_sign": Phrase("shows in the fundus:", "does not show in the fundus:"),
    "has_sign": Phrase("shows the sign:", "does not show the sign:"),
    "has_finding": Phrase("has the finding", "does not have the finding"),
    "located_at": Phrase("is located at", "is not located at"),
    "suggestive_of": Phrase("is suggestive of", "is not suggestive of"),
    "modify": Phrase("describes", "does not describe"),
    "imaged_by": Phrase("is imaged by", "is not imaged by"),
    "treated_by": Phrase("is treated by", "is not treated by"),
    "synonym_of": Phrase("is another name for", "is not another name for"),
    "inheritance": Phrase("has the inheritance pattern", "does not have the inheritance pattern"),
    "clinical_course": Phrase("has the clinical course:", "does not have the clinical course:"),
    "clinical_modifier": Phrase("is qualified as:", "is not qualified as:"),
    "past_medical_history": Phrase("has in its history:", "does not have in its history:"),
    "affected_cell_type": Phrase("affects the cell type", "does not affect the cell type"),
    "involved_substance": Phrase("involves the substance", "does not involve the substance"),
    "involved_food": Phrase("involves the food", "does not involve the food"),
    "involved_organism": Phrase("involves the organism", "does not involve the organism"),
    "genetic_basis": Phrase("has the genetic basis:", "does not have the genetic basis:"),
    "has_material_basis_in": Phrase("has its material basis in", "does not have its material basis in"),
    "caused_by": Phrase("is caused by", "is not caused by"),
    "sign_of": Phrase("is a sign of", "is not a sign of"),
    "symptom_of": Phrase("is a symptom of", "is not a symptom of"),
    "seen_on": Phrase("is seen on", "is not seen on"),
    "suggests": Phrase("suggests", "does not suggest"),
    "transmits": Phrase("transmits", "does not transmit"),
    "prevents": Phrase("prevents", "does not prevent"),
    "induces": Phrase("induces", "does not induce"),
    "icd10cm_code": Phrase("has the ICD-10-CM code", "does not have the ICD-10-CM code"),
}
"""Wordings of common relations. Any other is worded from its own name."""

_CHANGES: Mapping[Change, str] = MappingProxyType(
    {
        "none": "",
        "new": "It is new since the earlier examination.",
        "worse": "It has become worse since the earlier examination.",
        "better": "It has become better since the earlier examination.",
        "stable": "It has stayed the same since the earlier examination.",
        "resolved": "It has gone since the earlier examination.",
    }
)
_NEGATIVE = ("no ", "not ", "never ", "without ")
_PREPOSITIONS = frozenset({"of", "in", "by", "to", "from", "with", "for", "at", "on", "as", "into"})


def verbalise(head: str, relation: str, tail: str, polarity: Polarity = "present", change: Change = "none") -> str:
    """One sentence with head and tail as they are written, and a second one when the finding changed.

    An absent finding never reads like a present one, nor a changed one like one that stayed.
    """
    phrase = _PHRASES.get(relation) or _PHRASES.get(relation.lower()) or _worded(relation)
    words = phrase.absent if polarity == "absent" else phrase.present
    sentence = f"{head} {words} {tail}"
    if polarity == "uncertain":
        sentence = f"It is uncertain whether {sentence}"
    if not sentence.endswith((".", "!", "?")):
        sentence += "."
    return f"{sentence} {_CHANGES[change]}" if change != "none" else sentence


def _worded(relation: str) -> Phrase:
    words = " ".join(relation.replace("_", " ").split())
    first, _, rest = words.partition(" ")
    if words.lower().startswith(_NEGATIVE):
        # A second "not" would turn the meaning into its opposite.
        return Phrase(f"has the relation {words!r} to", f"does not have the relation {words!r} to")
    match first.lower():
        case "has" | "have" if rest:
            return Phrase(f"has the {rest}", f"does not have the {rest}")
        case "is" | "are" | "can" | "may" | "was" if rest:
            return Phrase(f"{first} {rest}", f"{first} not {rest}")
    if words.rsplit(" ", 1)[-1].lower() in _PREPOSITIONS:
        if first.endswith("s") and not first.endswith(("ss", "is", "us")):
            return Phrase(words, f"does not {_base_form(first)} {rest}")
        return Phrase(f"is {words}", f"is not {words}")
    name = words.removeprefix("the ")
    return Phrase(f"has the {name}:", f"does not have the {name}:")


def _base_form(verb: str) -> str:
    """A verb in the third person without its ending: "arises" gives "arise", "passes" gives "pass"."""
    return verb[:-2] if verb.endswith(("sses", "ches", "shes", "xes", "zzes")) else verb[:-1]
