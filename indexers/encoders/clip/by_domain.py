"""A dual encoder for the passages of some domains only: a channel of its own beside the general one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from indexers.devices import DeviceEncoder, Prepared, encode_in_turn
from rag.domains.names import ImageDomain
from rag.domains.records import domain_of
from rag.fingerprint import digest
from rag.types import Matrix, Passage, Query, Vector, VectorSpec

_TOGETHER = 16


class DomainEncoder:
    """Reads passages whose `domain_of` is one of its domains, and gives None for all others; reads every query.

    Everything else is the wrapped encoder's, under the name of its own channel. Which queries it is asked is decided
    by their domain (`rag.domains.encoders`), not here: a query has a probability of each domain, not one of them.
    """

    def __init__(self, encoder: DeviceEncoder, channel: str, domains: Sequence[ImageDomain]) -> None:
        """Raises ValueError when no domain is given, or the encoder fills more channels than one."""
        if not domains or len(encoder.specs) != 1:
            raise ValueError("a domain's encoder reads one domain or more and fills one channel")
        self._encoder, self._domains = encoder, frozenset(domains)
        self._spec = replace(encoder.spec, name=channel)

    @property
    def spec(self) -> VectorSpec:
        return self._spec

    @property
    def specs(self) -> tuple[VectorSpec, ...]:
        return (self._spec,)

    @property
    def devices(self) -> tuple[str, ...]:
        """Those of the wrapped encoder."""
        return self._encoder.devices

    @property
    def fingerprint(self) -> str:
        """The wrapped encoder's, and which domains it is for: they decide what has a vector."""
        return digest({"encoder": self._encoder.fingerprint, "domains": sorted(self._domains)})

    def prepare(self, passage: Passage) -> Prepared | None:
        """None for a passage of another domain, without opening its image. Raises SourceError."""
        return self._encoder.prepare(passage) if domain_of(passage) in self._domains else None

    def free_bytes(self, device: str) -> int | None:
        return self._encoder.free_bytes(device)

    def patch_bytes(self) -> int:
        return self._encoder.patch_bytes()

    def forward(self, device: str, batch: Sequence[Prepared]) -> list[Mapping[str, Matrix]]:
        """The row of each item under the channel's name. Raises what the wrapped encoder raises."""
        inner = self._encoder.spec.name
        return [{self._spec.name: made[inner]} for made in self._encoder.forward(device, batch)]

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        """Raises SourceError naming the file when an image cannot be read."""
        return encode_in_turn(self, passages, self._spec.name, _TOGETHER)

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        """Raises QueryError naming the file when an image cannot be read."""
        return self._encoder.encode_queries(queries)
