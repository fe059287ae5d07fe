"""A search as every store runs it: checked first, then found by the engine, then told as hits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from indexers.stores.checks import Specs, channel_spec, checked_query
from indexers.stores.payload import checked_filters
from indexers.stores.ties import Scored
from rag.errors import QueryError
from rag.types import ChannelScore, Hit, Kind, Passage, Prefetch, SparseVector, Vector, VectorSpec


@dataclass(frozen=True, slots=True)
class Plan:
    """A search that makes sense for a store: every part of it was checked.

    `stages` are the channels searched before `spec`, the first one first, each with how many passages it keeps.
    """

    kind: Kind
    spec: VectorSpec
    query: Vector
    k: int
    filters: Mapping[str, tuple[str, ...]]
    stages: tuple[tuple[VectorSpec, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What `Store.search` is asked for, in the order of its arguments."""

    kind: Kind
    channel: str
    vector: Vector
    k: int
    filters: Mapping[str, tuple[str, ...]]
    prefetch: Prefetch | None = None

    def plan(self, specs: Specs) -> Plan | None:
        """The search to run; None when nothing can match.

        Raises:
            QueryError: a kind, channel, vector, filter or first stage that does not fit the store.
        """
        spec = channel_spec(specs, self.kind, self.channel)
        query = checked_query(spec, self.vector)
        stages = tuple(self._stages(specs, self.prefetch))
        accepted = checked_filters(self.filters)
        if self.k <= 0 or accepted is None or (isinstance(query, SparseVector) and not query.indices):
            return None
        return Plan(self.kind, spec, query, self.k, accepted, stages)

    def _stages(self, specs: Specs, prefetch: Prefetch | None) -> list[tuple[VectorSpec, int]]:
        if prefetch is None:
            return []
        coarse = channel_spec(specs, self.kind, prefetch.channel)
        checked_query(coarse, self.vector)
        if prefetch.depth < 1:
            raise QueryError(f"a first stage keeps at least one passage; its depth is {prefetch.depth}")
        return [*self._stages(specs, prefetch.before), (coarse, prefetch.depth)]


def ranked_hits(channel: str, found: Sequence[Scored], passages: Mapping[str, Passage]) -> list[Hit]:
    """The hits of one channel, given the scores found, best first, and their passages by id."""
    return [
        Hit(passages[passage_id], score, {channel: ChannelScore(rank, score)})
        for rank, (score, passage_id) in enumerate(found, start=1)
    ]


def in_order(ids: Sequence[str], passages: Iterable[Passage]) -> list[Passage]:
    """The passages in the order of the ids asked for; ids that none has are left out."""
    known = {passage.id: passage for passage in passages}
    return [known[name] for name in ids if name in known]
