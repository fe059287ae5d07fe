"""One posterior over domains from what a query offers: an asked-for domain, tags, its image, its words. Pure.

Sources multiply as if independent given the domain (naive Bayes); an asked-for domain overrules all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from rag.domains.names import IMAGE_DOMAINS, Domain, ImageDomain, Posterior, certain, normalised
from rag.domains.terms import TermMatch, domain_scores, text_posterior

TAGGED = 0.98
"""Trust in a DICOM tag: scanners write it, but exported and converted files carry wrong ones."""
UNSERVED = 0.04
"""Share of an image's `unknown` that each domain without prototypes may claim, so that words can still name it."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What a query offers. `image`: the posterior of its picture, None when it has none or nothing can judge it."""

    has_image: bool = False
    image: Posterior | None = None
    matches: Sequence[TermMatch] = ()
    tagged: ImageDomain | None = None
    asked: ImageDomain | None = None


def combine(signals: Signals) -> dict[Domain, float]:
    """The posterior, summing to 1.

    A picture that nothing can judge is `unknown` until words or tags say otherwise.
    """
    if signals.asked is not None:
        return certain(signals.asked)
    if signals.tagged is not None:
        return normalised({"unknown": 1 - TAGGED, signals.tagged: TAGGED})
    if not signals.has_image:
        return text_posterior(signals.matches)
    weights = _opened(certain("unknown") if signals.image is None else signals.image)
    for domain, score in domain_scores(signals.matches).items():
        weights[domain] = weights.get(domain, 0.0) * exp(score)
    return normalised(weights)


def _opened(posterior: Posterior) -> dict[Domain, float]:
    """A part of `unknown` goes to the domains that the picture could not be compared with."""
    weights = dict(posterior)
    unserved = [domain for domain in IMAGE_DOMAINS if domain not in posterior]
    unknown = weights.get("unknown", 0.0)
    for domain in unserved:
        weights[domain] = UNSERVED * unknown
    weights["unknown"] = unknown * (1 - UNSERVED * len(unserved))
    return weights
