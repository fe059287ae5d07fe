"""What one unit of a source costs: bytes by channel, seconds by stage. Measured on a few units of the very sources."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median

from indexers.build import Source
from indexers.devices import DeviceLost, OutOfDeviceMemory, runs_on_devices
from indexers.stores.payload import PassageCodec
from rag.errors import QueryError, SourceError
from rag.retrievers import Channel
from rag.types import Matrix, Passage, SourceKind, SparseVector, Storage, Unit, VectorSpec

SAMPLED_UNITS: Mapping[SourceKind, int] = {"pages": 4, "cases": 1, "facts": 1}
_SAMPLED_PASSAGES = 8
"""Of a unit at the most: a unit holds 16 cases or 256 facts, which are much alike."""
NUMBER_BYTES: Mapping[Storage, float] = {"f32": 4, "f16": 2, "int8": 3, "turbo8": 1, "turbo4": 0.5, "binary": 1.125}
"""Bytes on disk per number. int8 codes stand beside 16-bit numbers and binary codes beside 8-bit Turbo ones, with which
they are rescored; the engine's Turbo types stand alone."""
_TERM_BYTES = 8
"""A term id and its weight, 32 bits each."""
_POINT_BYTES = 100
"""About what the engine keeps per point beside vectors and payload: its id, versions, field indexes."""


@dataclass(frozen=True, slots=True)
class ChannelCost:
    """Rows (terms of a sparse channel) that one unit gives to a channel, on average."""

    kind: str
    spec: VectorSpec
    rows: float

    @property
    def name(self) -> str:
        """Kind and channel."""
        return f"{self.kind}.{self.spec.name}"

    @property
    def unit_bytes(self) -> float:
        """Bytes of one unit's vectors on disk."""
        if self.spec.form == "sparse":
            return self.rows * _TERM_BYTES
        return self.rows * self.spec.dim * NUMBER_BYTES[self.spec.storage]


@dataclass(frozen=True, slots=True)
class SourceCost:
    """What one unit of a source kind costs. Seconds: of reading, of encoders on this CPU, of encoders on devices."""

    source: SourceKind
    channels: tuple[ChannelCost, ...] = ()
    payload_bytes: float = 0.0
    image_bytes: float = 0.0
    parse_s: float = 0.0
    host_s: float = 0.0
    device_s: float = 0.0
    units: int = 0

    def wall_s(self, devices: int) -> float:
        """Seconds per unit when reading goes on beside encoding and devices share their part."""
        return max(self.parse_s, self.host_s + self.device_s / max(devices, 1))


class _Chosen(Container[str]):
    """Makes a parser give only the units at some places: all others look done, in the order in which it asks."""

    def __init__(self, places: frozenset[int]) -> None:
        self._places, self._asked = places, 0

    def __contains__(self, key: object) -> bool:
        self._asked += 1
        return self._asked - 1 not in self._places


def sampled_units(sources: Sequence[Source]) -> Iterator[tuple[Unit, float]]:
    """A few units of sources of one kind, spread over documents and their pages, with the seconds of reading each."""
    if not sources:
        return
    wanted = SAMPLED_UNITS[sources[0].document.source]
    spread = [sources[len(sources) * i // min(wanted, len(sources))] for i in range(min(wanted, len(sources)))]
    for source in spread:
        most = max(1, wanted // len(spread))
        units = source.document.units
        places = frozenset(units * (2 * i + 1) // (2 * most) for i in range(most)) if wanted > 1 else frozenset({0})
        found = source.parser.parse(source.document, _Chosen(places))
        with suppress(SourceError):  # the build meets the same error, and reports it
            started = time.perf_counter()
            for unit in islice(found, most):
                yield unit, time.perf_counter() - started
                started = time.perf_counter()


@dataclass(slots=True)
class _Sample:
    rows: dict[tuple[str, VectorSpec], float] = field(default_factory=lambda: defaultdict(float))
    payload: float = 0.0
    images: float = 0.0
    parse: list[float] = field(default_factory=list)
    host_s: float = 0.0
    device_s: float = 0.0


class CostMeter:
    """Measures sources. Each encoder reads one passage before its clock starts, so that loading is not counted."""

    def __init__(self, channels: Sequence[Channel], scratch: Path) -> None:
        """`scratch` is the folder into which the sources' parsers write images."""
        self._channels, self._codec = channels, PassageCodec(scratch)
        self._scratch = scratch.absolute()
        self._warm: set[int] = set()

    def measure(self, sources: Sequence[Source], source: SourceKind) -> SourceCost | None:
        """The cost of a unit of these sources, all of one kind; None when none of the sampled units can be read."""
        sample = _Sample()
        for unit, seconds in sampled_units(sources):
            sample.parse.append(seconds)
            if unit.passages:
                self._add(sample, unit.passages)
        n = len(sample.parse)
        if not n:
            return None
        channels = tuple(ChannelCost(kind, spec, rows / n) for (kind, spec), rows in sample.rows.items())
        return SourceCost(
            source, channels, sample.payload / n, sample.images / n, median(sample.parse), sample.host_s / n,
            sample.device_s / n, n,
        )  # fmt: skip

    def _add(self, sample: _Sample, passages: Sequence[Passage]) -> None:
        for kind in sorted({passage.kind for passage in passages}):
            whole = [passage for passage in passages if passage.kind == kind]
            some = whole[:_SAMPLED_PASSAGES]
            share = len(whole) / len(some)
            for passage in some:
                sample.payload += share * (_payload_bytes(self._codec, passage) + _POINT_BYTES)
                sample.images += share * sum(self._own_bytes(image) for image in passage.images)
            for channel in self._channels:
                if channel.kind == kind:
                    self._encode(sample, channel, some, share)

    def _own_bytes(self, image: Path) -> int:
        """Bytes of an image that the build writes; those of cases stay where they are."""
        return image.stat().st_size if image.is_relative_to(self._scratch) else 0

    def _encode(self, sample: _Sample, channel: Channel, passages: Sequence[Passage], share: float) -> None:
        if id(channel.encoder) not in self._warm:
            self._warm.add(id(channel.encoder))
            _vectors(channel, passages[:1])
        started = time.perf_counter()
        made = _vectors(channel, passages)
        seconds = share * (time.perf_counter() - started)
        if runs_on_devices(channel.encoder):
            sample.device_s += seconds
        else:
            sample.host_s += seconds
        for spec, rows in made:
            sample.rows[channel.kind, spec] += share * rows


def _vectors(channel: Channel, passages: Sequence[Passage]) -> list[tuple[VectorSpec, int]]:
    """How many rows each vector has. A passage that the encoder cannot read has none, as in a build."""
    found: list[tuple[VectorSpec, int]] = []
    for passage in passages:
        with suppress(SourceError, QueryError, OutOfDeviceMemory, DeviceLost):
            found += _rows(channel, passage)
    return found


def _rows(channel: Channel, passage: Passage) -> list[tuple[VectorSpec, int]]:
    encoder = channel.encoder
    if runs_on_devices(encoder):
        prepared = encoder.prepare(passage)
        made: Mapping[str, Matrix] = {} if prepared is None else encoder.forward(encoder.devices[0], [prepared])[0]
        return [(spec, len(made[spec.name])) for spec in channel.specs if spec.name in made]
    vector = encoder.encode_passages([passage])[0]
    if vector is None:
        return []
    if isinstance(vector, SparseVector):
        return [(channel.spec, len(vector.indices))]
    return [(channel.spec, 1 if channel.spec.form == "dense" else len(vector))]


def _payload_bytes(codec: PassageCodec, passage: Passage) -> int:
    return len(json.dumps(codec.encode(passage), ensure_ascii=False).encode())
