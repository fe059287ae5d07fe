"""The domains a question can belong to, and distributions over them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Literal, get_args

from rag.errors import QueryError

ImageDomain = Literal[
    "radiograph", "cross-section", "ultrasound", "pathology", "ophthalmology", "clinical-photo", "endoscopy"
]
"""Projection X-rays (chest films above all) · CT, MR and PET · ultrasound · histology, cytology and slides · fundus,
OCT and the outer eye · skin and other photographs of patients · endoscopy."""
Domain = ImageDomain | Literal["text", "unknown"]
"""`text`: the question needs no kind of picture. `unknown`: its picture is of none of these domains."""

IMAGE_DOMAINS: tuple[ImageDomain, ...] = get_args(ImageDomain)
DOMAINS: tuple[Domain, ...] = (*IMAGE_DOMAINS, "text", "unknown")

Posterior = Mapping[Domain, float]
"""How probable each domain is: numbers in [0, 1] that sum to 1; a domain left out has none."""


def parse_domain(name: str) -> ImageDomain:
    """An image domain by its exact name, as a user gives it.

    Raises:
        QueryError: there is no such domain; the message names the nearest.
    """
    for domain in IMAGE_DOMAINS:
        if name == domain:
            return domain
    raise QueryError(unknown_name("domain", name, IMAGE_DOMAINS))


def unknown_name(sort: str, name: str, known: tuple[str, ...]) -> str:
    """The message for a name outside a closed list: the nearest one, and the whole list."""
    by_key = {entry.casefold(): entry for entry in known}
    near = difflib.get_close_matches(name.casefold(), list(by_key), n=1, cutoff=0.0)
    asked = f"; did you mean {by_key[near[0]]!r}?" if near else "."
    return f"there is no {sort} {name!r}{asked} Known are: {'; '.join(known)}"


def normalised(weights: Mapping[Domain, float]) -> dict[Domain, float]:
    """The same weights, summing to 1, in the order of `DOMAINS`; domains of weight 0 are left out.

    Raises:
        ValueError: a weight is negative, or all are 0.
    """
    total = sum(weights.values())
    if not total > 0 or any(weight < 0 for weight in weights.values()):
        raise ValueError("the weights of domains must not be negative, and at least one must be above 0")
    return {domain: weights[domain] / total for domain in DOMAINS if weights.get(domain, 0.0) > 0}


def certain(domain: Domain) -> dict[Domain, float]:
    """All of the probability on one domain."""
    return {domain: 1.0}


def most_probable(posterior: Posterior) -> Domain:
    """The domain of the highest probability; of equal ones the first in `DOMAINS`."""
    return max(DOMAINS, key=lambda domain: posterior.get(domain, 0.0))
