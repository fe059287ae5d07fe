"""The domain of a case or figure, read from what its record says about itself."""

from __future__ import annotations

from collections.abc import Mapping

from rag.domains.names import IMAGE_DOMAINS, Domain, ImageDomain
from rag.domains.terms import TermMatch, domain_scores, shipped_terms
from rag.types import Passage

OTHER: frozenset[str] = frozenset({"other", "none", "unknown", "non-medical", "not medical"})
"""Values of a record's `domain` that say its image belongs to no medical domain."""
FAMILIES: Mapping[str, tuple[ImageDomain, ...]] = {"radiology": ("radiograph", "cross-section", "ultrasound")}
"""Specialties that cover several domains: which one, the caption has to say."""
SPECIALTIES: Mapping[str, ImageDomain] = {
    "pathology": "pathology",
    "histology": "pathology",
    "dermatology": "clinical-photo",
    "ophthalmology": "ophthalmology",
}
NAMED = 4.0
"""Evidence from which a caption decides: the name of an imaging method."""


def domain_of(passage: Passage) -> Domain | None:
    """The image domain of a passage; `unknown` when its record says so, None when nothing tells.

    The record's `modality` decides, then its `domain`; of a specialty with several domains, and for a figure of a book,
    the caption decides when it names an imaging method.
    """
    meta = {key: " ".join(passage.meta.get(key, "").replace("_", " ").split()) for key in ("modality", "domain")}
    if meta["domain"].casefold() in OTHER:
        return "unknown"
    if (found := _exact(meta["domain"])) or (found := named_domain(meta["modality"])):
        return found
    family = FAMILIES.get(meta["domain"].casefold())
    if family is None and (found := named_domain(meta["domain"])):
        return found
    if family is None and (meta["domain"] or passage.kind != "figure"):
        return None
    return caption_domain(passage.text, family or IMAGE_DOMAINS)


def named_domain(words: str) -> ImageDomain | None:
    """The one domain that these few words name ("color fundus photograph"); None when none or several."""
    best = {match.domain for match in _naming(words)}
    return best.pop() if len(best) == 1 else None


def caption_domain(caption: str, among: tuple[ImageDomain, ...] = IMAGE_DOMAINS) -> ImageDomain | None:
    """The domain whose imaging methods a caption names; None when none of these does, or two equally."""
    scores = domain_scores([match for match in _naming(caption) if match.domain in among])
    ranked = sorted(scores.items(), key=lambda entry: -entry[1])
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def _exact(name: str) -> ImageDomain | None:
    wanted = name.casefold()
    return SPECIALTIES.get(wanted) or next((own for own in IMAGE_DOMAINS if own == wanted.replace(" ", "-")), None)


def _naming(words: str) -> list[TermMatch]:
    return [match for match in shipped_terms().match(words) if match.weight >= NAMED]
