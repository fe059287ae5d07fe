"""Which image encoder reads a question: domains have encoders assigned, and a posterior shares the weight out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rag.domains.names import DOMAINS, ImageDomain, Posterior
from rag.errors import ConfigError


@dataclass(frozen=True, slots=True)
class EncoderAssignment:
    """Image channels by domain. `default` reads domains without one of their own, and what is of none.

    least: channels of less weight are not searched; encoding with a model that hardly counts costs as much as with one
    that does.
    """

    default: str
    by_domain: Mapping[ImageDomain, str] = field(default_factory=dict)
    least: float = 0.05

    @property
    def channels(self) -> tuple[str, ...]:
        """The default, then every assigned channel in the order of the domains, each once."""
        return tuple(dict.fromkeys([self.default, *(self.channel(domain) for domain in DOMAINS)]))

    def channel(self, domain: str) -> str:
        """The channel that images of a domain are encoded for when a library is built."""
        return {str(name): channel for name, channel in self.by_domain.items()}.get(domain, self.default)

    def weights(self, posterior: Posterior) -> dict[str, float]:
        """The weight of each channel for a question, summing to 1: the probability of the domains it reads."""
        shares: dict[str, float] = {}
        for domain in DOMAINS:
            channel = self.channel(domain)
            shares[channel] = shares.get(channel, 0.0) + posterior.get(domain, 0.0)
        kept = {channel: share for channel, share in shares.items() if share >= self.least}
        kept = kept or {self.default: 1.0}
        total = sum(kept.values())
        return {channel: share / total for channel, share in kept.items()}

    def require(self, channels: Sequence[str]) -> None:
        """Every assigned channel must exist.

        Raises:
            ConfigError: a domain is assigned an encoder that the library does not have.
        """
        wanted = {**{str(domain): channel for domain, channel in self.by_domain.items()}, "every other": self.default}
        for domain, channel in wanted.items():
            if channel not in channels:
                known = ", ".join(channels) or "none"
                raise ConfigError(f"the encoder {channel!r} of domain {domain} is none of this library's: {known}")


def channel_weights(assignment: EncoderAssignment, posterior: Posterior) -> dict[str, float]:
    """What each image channel counts in fusion for a question: its share of the posterior, together 1.

    A channel of weight 0 is not searched. Channels that the assignment does not name (text, or a second image encoder
    beside it) are not in the result: they are searched and count as before.
    """
    shares = assignment.weights(posterior)
    return {channel: shares.get(channel, 0.0) for channel in assignment.channels}


def shared_out(
    weights: Mapping[str, float], shares: Mapping[str, float], kinds: Sequence[str] = ("figure", "case")
) -> dict[str, float]:
    """Fusion weights by "kind.channel" (1 when absent) with those of image channels multiplied by their shares.

    `shares` is what `channel_weights` gives; a user's own weight of a channel still holds within its share.
    """
    names = {f"{kind}.{channel}": share for kind in kinds for channel, share in shares.items()}
    return {**weights, **{name: weights.get(name, 1.0) * share for name, share in names.items()}}
