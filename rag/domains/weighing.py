"""What a posterior over domains does to a ranking: hits of improbable domains move back, or are left out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.domains.names import Domain, Posterior
from rag.domains.records import domain_of
from rag.types import Dropped, Hit


@dataclass(frozen=True, slots=True)
class BoostOptions:
    """How strongly domains move hits.

    strength: share of a hit's weight that its domain decides, in [0, 1]; 0 changes nothing. constant: that of the rank
    score weight / (constant + rank), 60 as in Cormack et al., 2009, https://doi.org/10.1145/1571941.1572114. With both
    defaults a hit of an impossible domain at rank 1 stands behind fitting ones down to rank 549. Compared in
    docs/route-by-domain.md.
    """

    strength: float = 0.9
    constant: float = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1 or self.constant < 0:
            raise ValueError("strength must lie in [0, 1] and constant must not be negative")


_DEFAULT = BoostOptions()


def boost(hits: Sequence[Hit], posterior: Posterior, options: BoostOptions = _DEFAULT) -> list[Hit]:
    """The hits, best first, reordered by their rank and how probable their domain is; none is lost.

    Ranks are used, not scores, because the scores of a fused or reranked list mean nothing across its parts; the new
    score is weight / (constant + rank). A hit of no known domain keeps weight 1: pages and facts speak of all. What the
    posterior gives to `text` and `unknown` changes nothing; when that is all, the hits stay as they are.
    """
    if not any(share > 0 for name, share in posterior.items() if name not in ("text", "unknown")):
        return list(hits)
    weighed = [
        replace(hit, score=_weight(domain_of(hit.passage), posterior, options.strength) / (options.constant + rank))
        for rank, hit in enumerate(hits, start=1)
    ]
    # Python's sort is stable: equal scores stay in the order given.
    return sorted(weighed, key=lambda hit: -hit.score)


def prefer_documents(hits: Sequence[Hit], documents: Sequence[str], options: BoostOptions = _DEFAULT) -> list[Hit]:
    """The hits reordered so that those of these documents come first, as `boost` does with domains; none is lost."""
    if not documents or options.strength == 0 or not any(hit.passage.document in documents for hit in hits):
        return list(hits)
    weighed = [
        replace(
            hit, score=(1.0 if hit.passage.document in documents else 1 - options.strength) / (options.constant + rank)
        )
        for rank, hit in enumerate(hits, start=1)
    ]
    return sorted(weighed, key=lambda hit: -hit.score)


def _weight(domain: Domain | None, posterior: Posterior, strength: float) -> float:
    neutral = posterior.get("text", 0.0) + posterior.get("unknown", 0.0)
    top = max((share for name, share in posterior.items() if name not in ("text", "unknown")), default=0.0)
    if domain is None or top == 0.0:
        return 1.0
    fitting = 0.0 if domain in ("text", "unknown") else posterior.get(domain, 0.0) / top
    return neutral + (1 - neutral) * (1 - strength + strength * fitting)


def restrict(hits: Sequence[Hit], domain: Domain) -> tuple[list[Hit], tuple[Dropped, ...]]:
    """The hits of one domain and of none, in their order, and those of other domains with the reason."""
    kept: list[Hit] = []
    dropped: list[Dropped] = []
    for hit in hits:
        own = domain_of(hit.passage)
        if own is None or own == domain:
            kept.append(hit)
        else:
            dropped.append(Dropped(hit, f"domain {own}, the question is about {domain}"))
    return kept, tuple(dropped)
