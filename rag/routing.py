"""Routing: how much each passage kind and each medical domain matters for a query, and why.

The rule router weighs kinds by what the query is made of. The domain router adds a posterior over domains from the
query's image, words and tags, and the documents that the question names. Routing is a boost; it leaves hits out only
when a domain was asked for, or when the posterior is all but certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from rag.domains.combining import Signals, combine
from rag.domains.names import DOMAINS, Domain, ImageDomain, Posterior, most_probable, parse_domain
from rag.domains.partitions import choose_corpora
from rag.domains.records import domain_of, named_domain
from rag.domains.tags import tag_domain
from rag.domains.terms import TermMatch, shipped_terms
from rag.domains.weighing import BoostOptions, boost, prefer_documents, restrict
from rag.types import KINDS, Dropped, Hit, Kind, Matrix, Query

__all__ = [
    "BOTH_WEIGHTS", "IMAGE_WEIGHTS", "TEXT_WEIGHTS", "BoostOptions", "DomainModel", "DomainRouter", "Route",
    "RuleRouter", "boost", "weigh",
]  # fmt: skip

TEXT_WEIGHTS: Mapping[Kind, float] = {"page": 1.0, "figure": 1.0, "case": 0.9, "fact": 0.85}
"""For a question in words a book explains, a case or a fact illustrates. Judgement, not a measurement.

With a fusion constant of 20 a weight of 0.9 stands two ranks behind, 0.5 twenty."""
IMAGE_WEIGHTS: Mapping[Kind, float] = {"page": 0.9, "figure": 1.0, "case": 1.0, "fact": 0.5}
"""For an image without words only figures and cases can be compared with it; pages follow their figures."""
BOTH_WEIGHTS: Mapping[Kind, float] = {"page": 1.0, "figure": 1.0, "case": 1.0, "fact": 0.8}

NO_PROTOTYPES = "no image prototypes: the library has too few cases that name their domain; words and tags alone decide"


@dataclass(frozen=True, slots=True)
class RuleRouter:
    """Weights by the query's modality; `fixed` weights replace them for the kinds it names."""

    fixed: Mapping[Kind, float] = field(default_factory=dict)

    def route(self, query: Query) -> dict[Kind, float]:
        """A weight in [0, 1] per kind."""
        base = BOTH_WEIGHTS if query.images and query.text.strip() else IMAGE_WEIGHTS if query.images else TEXT_WEIGHTS
        return {kind: self.fixed.get(kind, base[kind]) for kind in KINDS}


@runtime_checkable
class DomainModel(Protocol):
    """Knows how probable each domain is for an image vector of the channel it was fitted on."""

    def posterior(self, vectors: Matrix) -> dict[Domain, float]:
        """Probabilities that sum to 1, `unknown` among them, for the rows of one image, shape (n_rows, dim)."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """A decision: a weight per kind, a probability per domain, and the reasons in plain words for the trace.

    `only`: hits of other domains are left out, because this one was asked for (`asked`) or is all but certain.
    `documents`: those that the question names; they come first, and nothing is left out for them.
    """

    kinds: Mapping[Kind, float]
    domains: Posterior
    reasons: tuple[str, ...] = ()
    only: ImageDomain | None = None
    asked: bool = False
    documents: tuple[str, ...] = ()

    def trace(self) -> dict[str, Any]:
        """The decision as JSON values, without any of the query's text but the words that decided."""
        shares = {domain: round(self.domains[domain], 3) for domain in DOMAINS if self.domains.get(domain, 0) >= 5e-4}
        return {
            "step": "route",
            "domains": shares,
            "only": self.only,
            "reasons": list(self.reasons),
            **({"documents": list(self.documents)} if self.documents else {}),
        }


@dataclass(frozen=True, slots=True)
class DomainRouter:
    """Weights of kinds from `kinds`, a posterior over domains from all that the query offers.

    images: prototypes of the library's own images, or prompts of an image-text encoder; None when there are none.
    sure: the probability from which other domains are left out. missing: what to say when `images` is None. channel:
    whose vectors of the query image `images` judges. documents: the names a question can name.
    """

    kinds: RuleRouter = field(default_factory=RuleRouter)
    images: DomainModel | None = None
    sure: float = 0.95
    missing: str = NO_PROTOTYPES
    channel: str = "image"
    documents: tuple[str, ...] = ()

    def route(self, query: Query) -> dict[Kind, float]:
        """A weight in [0, 1] per kind."""
        return self.kinds.route(query)

    def decide(
        self,
        query: Query,
        *,
        image: Matrix | None = None,
        tags: Mapping[str, str] | None = None,
        domain: str | None = None,
    ) -> Route:
        """The whole decision.

        Args:
            query: the question; a filter on `domain` or `modality` that names one domain counts as asking for it.
            image: the query image's vector in the channel that `images` was fitted on, None when it was not encoded.
            tags: DICOM tags of the query image by keyword.
            domain: the domain asked for, by its exact name; it wins over everything.

        Raises:
            QueryError: there is no such domain; the message names the nearest.
        """
        asked = parse_domain(domain) if domain is not None else _filtered(query)
        judged = self.images.posterior(image) if self.images is not None and image is not None else None
        matches = shipped_terms().match(query.text)
        signals = Signals(bool(query.images), judged, matches, tag_domain(tags or {}), asked)
        domains = combine(signals)
        top = most_probable(domains)
        certain = top not in ("text", "unknown") and domains[top] >= self.sure
        only = asked or (top if certain else None)
        reasons = self._reasons(signals, tags)
        if only is not None:
            reasons = (*reasons, f"cases of other domains than {only} are left out")
        named = choose_corpora(query.text, self.documents)
        if named:
            reasons = (*reasons, f"documents that the question names: {', '.join(named)}")
        return Route(self.route(query), domains, reasons, _image_domain(only), asked is not None, named)

    def _reasons(self, signals: Signals, tags: Mapping[str, str] | None) -> tuple[str, ...]:
        if signals.asked is not None:
            return (f"asked for: {signals.asked}",)
        found = []
        if signals.tagged is not None and tags is not None:
            found.append(f"tag Modality {tags['Modality'].strip()}: {signals.tagged}")
        if signals.image is not None:
            how = "image" if self.channel == "image" else f"image by prompts of channel {self.channel}"
            found.append(f"{how}: {_shares(signals.image)}")
        elif signals.has_image:
            found.append(self.missing if self.images is None else "the query image has no vector in the image channel")
        return (*found, *_words(signals.matches))


def weigh(
    hits: Sequence[Hit], route: Route, options: BoostOptions | None = None
) -> tuple[list[Hit], tuple[Dropped, ...]]:
    """The hits as a route reorders them, and those it leaves out with the reason.

    A domain that was only inferred leaves nothing out unless the hits hold some of it: a library without chest films is
    no reason to show nothing for one. A domain that was asked for always does.
    """
    dropped: tuple[Dropped, ...] = ()
    if route.only is not None and (route.asked or any(domain_of(hit.passage) == route.only for hit in hits)):
        hits, dropped = restrict(hits, route.only)
    chosen = options or BoostOptions()
    return prefer_documents(boost(hits, route.domains, chosen), route.documents, chosen), dropped


def _filtered(query: Query) -> ImageDomain | None:
    """The one domain that the query's own filters name."""
    values = [value for key in ("domain", "modality") for value in query.filters.get(key, ())]
    named = {named_domain(value.replace("_", " ")) for value in values}
    return named.pop() if len(named) == 1 else None


def _image_domain(domain: Domain | None) -> ImageDomain | None:
    return None if domain is None else parse_domain(domain)


def _shares(posterior: Posterior) -> str:
    ranked = sorted(posterior.items(), key=lambda entry: -entry[1])[:3]
    return ", ".join(f"{domain} {share:.2f}" for domain, share in ranked if share >= 0.005)


def _words(matches: Sequence[TermMatch]) -> tuple[str, ...]:
    by_domain: dict[str, list[str]] = {}
    for match in matches:
        by_domain.setdefault(match.domain, []).append(match.term)
    return tuple(f"words: {', '.join(terms)} ({domain})" for domain, terms in by_domain.items())
