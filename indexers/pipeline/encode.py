"""From a parsed unit to its points: which encoders read it, what they made of it, and what could not be read.

Encoders without a device read one unit at a time, so a resumed build makes the same vectors as an unbroken one. Device
encoders read batches of pages of many units; their vectors do not depend on the batch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexers.devices import DeviceEncoder, Prepared, runs_on_devices
from indexers.encoders.pooled import PooledEncoder
from indexers.pipeline.work import Encoded, Work
from indexers.stores.checks import MULTI_LIMIT
from rag.errors import QueryError, SourceError
from rag.retrievers import Channel
from rag.types import Kind, Matrix, Passage, Point, Skipped, SparseVector, Vector, VectorSpec


@dataclass(frozen=True, slots=True)
class ChannelGroups:
    """The channels of each kind, those whose encoder runs on devices apart from the others."""

    plain: Mapping[Kind, tuple[Channel, ...]]
    device: Mapping[Kind, tuple[Channel, ...]]

    @classmethod
    def of(cls, channels: Sequence[Channel]) -> ChannelGroups:
        """Sort channels by kind and by where their encoder runs."""
        plain: dict[Kind, tuple[Channel, ...]] = {channel.kind: () for channel in channels}
        device = dict(plain)
        for channel in channels:
            group = device if runs_on_devices(channel.encoder) else plain
            group[channel.kind] += (channel,)
        return cls(plain, device)

    @property
    def encoders(self) -> tuple[DeviceEncoder, ...]:
        """The device encoders, each once."""
        found = {id(channel.encoder): channel.encoder for group in self.device.values() for channel in group}
        return tuple(encoder for encoder in found.values() if runs_on_devices(encoder))

    def device_encoders(self, kind: Kind) -> tuple[DeviceEncoder, ...]:
        """The device encoders that read a kind, each once."""
        return tuple(
            encoder
            for encoder in self.encoders
            if any(channel.encoder is encoder for channel in self.device.get(kind, ()))
        )


class Assembly:
    """One unit under way: what each encoder has made of its passages so far. Parts may be added from any thread.

    A passage that one encoder cannot read becomes a skipped item and gives no point at all.
    """

    def __init__(self, work: Work, groups: ChannelGroups) -> None:
        self.work, self.groups = work, groups
        self.passages: tuple[Passage, ...] = tuple(p for p in work.unit.passages if p.kind in groups.plain)
        self._vectors: list[dict[str, Vector]] = [{} for _ in self.passages]
        self._failed: dict[int, Skipped] = {}
        self._lock = threading.Lock()
        self._parts = 1 + sum(len(groups.device_encoders(passage.kind)) for passage in self.passages)

    def add(self, index: int, vectors: Mapping[str, Vector]) -> None:
        """Keep vectors of the passage at `index`, by channel name."""
        with self._lock:
            self._vectors[index].update(vectors)

    def fail(self, index: int, reason: str, stage: str = "encode") -> None:
        """The passage at `index` cannot be encoded."""
        passage = self.passages[index]
        where = passage.record or (f"page {passage.page}" if passage.page else passage.id)
        with self._lock:
            self._failed.setdefault(index, Skipped(passage.document, where, stage, reason))

    def part_done(self) -> bool:
        """One part of the work has ended; true when it was the last one."""
        with self._lock:
            self._parts -= 1
            return self._parts == 0

    def encoded(self) -> Encoded:
        """The unit with its points."""
        whole = [index for index in range(len(self.passages)) if index not in self._failed]
        unit = self.work.unit
        points = tuple(Point(self.passages[index], self._vectors[index]) for index in whole)
        skipped = (*unit.skipped, *(item for _, item in sorted(self._failed.items(), key=lambda pair: pair[0])))
        return Encoded(
            self.work.document, replace(unit, passages=tuple(p.passage for p in points), skipped=skipped), points
        )


@dataclass(frozen=True, slots=True)
class Item:
    """A passage on its way through one device encoder; `prepared` is what the device is given."""

    assembly: Assembly
    index: int
    encoder: DeviceEncoder
    prepared: Prepared

    @property
    def patches(self) -> int:
        """Rows that it will give: its cost."""
        return self.prepared.patches


def encode_plain(assembly: Assembly) -> None:
    """Make the vectors of all channels whose encoder needs no device."""
    for kind, channels in assembly.groups.plain.items():
        chosen = [index for index, passage in enumerate(assembly.passages) if passage.kind == kind]
        if chosen and channels:
            _encode_group(assembly, chosen, channels)


def _encode_group(assembly: Assembly, chosen: Sequence[int], channels: Sequence[Channel]) -> None:
    """A group of passages in one go; when one of them cannot be read, each alone."""
    try:
        found = _encode_together([assembly.passages[index] for index in chosen], channels)
    except (SourceError, QueryError) as error:
        if len(chosen) == 1:
            assembly.fail(chosen[0], str(error))
            return
        for index in chosen:
            _encode_group(assembly, [index], channels)
        return
    for index, vectors in zip(chosen, found, strict=True):
        assembly.add(index, vectors)


def _encode_together(passages: Sequence[Passage], channels: Sequence[Channel]) -> list[dict[str, Vector]]:
    vectors: list[dict[str, Vector]] = [{} for _ in passages]
    for channel in channels:
        for found, vector in zip(vectors, channel.encoder.encode_passages(passages), strict=True):
            if vector is not None:
                found[channel.name] = storable(channel.spec, vector)
                if channel.coarse and isinstance(channel.encoder, PooledEncoder):
                    found[channel.coarse[0].name] = channel.encoder.coarse(np.asarray(vector))
    return vectors


def parts_to_prepare(assembly: Assembly) -> Iterator[tuple[int, DeviceEncoder]]:
    """Each passage (by its index in the assembly) with each device encoder that reads it."""
    for index, passage in enumerate(assembly.passages):
        for encoder in assembly.groups.device_encoders(passage.kind):
            yield index, encoder


def prepare(assembly: Assembly, index: int, encoder: DeviceEncoder) -> Item | None:
    """Decode and resize one passage. None when there is nothing to encode, or it cannot be read and is now skipped."""
    try:
        prepared = encoder.prepare(assembly.passages[index])
    except (SourceError, QueryError) as error:
        assembly.fail(index, str(error))
        return None
    return None if prepared is None else Item(assembly, index, encoder, prepared)


def deliver(item: Item, vectors: Mapping[str, Matrix]) -> None:
    """Keep what a device made of an item. Vectors that cannot be stored make the passage a skipped item, alone."""
    passage = item.assembly.passages[item.index]
    try:
        kept = {
            spec.name: storable(spec, _checked(spec, vectors))
            for channel in item.assembly.groups.device[passage.kind]
            if channel.encoder is item.encoder
            for spec in channel.specs
        }
    except SourceError as error:
        item.assembly.fail(item.index, str(error))
    else:
        item.assembly.add(item.index, kept)


def _checked(spec: VectorSpec, vectors: Mapping[str, Matrix]) -> Matrix:
    vector = vectors.get(spec.name)
    if vector is None or not len(vector):
        raise SourceError(f"the model gave no {spec.name} vector for it", stage="encode")
    if not np.isfinite(vector).all():
        raise SourceError(
            f"its {spec.name} vector holds numbers that are not finite; look at the image, or encode it in float32",
            stage="encode",
        )
    return vector


def storable(spec: VectorSpec, vector: Vector) -> Vector:
    """The vector as this kind stores it, if the engine can hold it.

    A kind with one row per passage (facts) keeps the first window of a long text; BM25 reads all of it. A page of far
    too many words is skipped (SourceError): it must not end the build.
    """
    if isinstance(vector, SparseVector):
        return vector
    if spec.form == "dense":
        return vector[:1]
    if vector.size > MULTI_LIMIT:
        raise SourceError(
            f"its {spec.name} vector has {vector.size:,} numbers; Qdrant holds {MULTI_LIMIT:,}; split the page",
            stage="encode",
        )
    return vector
