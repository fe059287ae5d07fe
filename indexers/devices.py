"""Encoders that run on a device (a GPU, a remote server): what the encode pipeline needs to know of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard, runtime_checkable

from rag.protocols import Encoder
from rag.types import Matrix, Passage, Vector, VectorSpec


class OutOfDeviceMemory(Exception):
    """A batch did not fit into the device's memory. Nothing is lost: the pipeline tries half of it."""


class DeviceLost(Exception):
    """A device stopped answering (removed, driver reset, server down). The others take over its batches."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A passage ready for a device.

    `patches` counts the rows it will give, which is its cost; `tensors` is the encoder's own business.
    """

    passage_id: str
    patches: int
    tensors: object


@runtime_checkable
class DeviceEncoder(Encoder, Protocol):
    """An encoder whose work splits into preparing on the CPU and a forward pass on one of several devices.

    `prepare` may be called from several threads, `forward` from one thread per device. `encode_passages` does both in
    turn on the first device: see `encode_in_turn`.
    """

    @property
    def specs(self) -> tuple[VectorSpec, ...]:
        """The channels it fills: its own, `spec`, first; then pooled ones of the same dimension."""
        ...

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices it runs on, for example "cuda:0", "cpu", or a server's address."""
        ...

    def prepare(self, passage: Passage) -> Prepared | None:
        """Decode and resize. None when the passage holds nothing this encoder reads. Raises SourceError."""
        ...

    def free_bytes(self, device: str) -> int | None:
        """Memory free for batches on a device; None where it cannot be known."""
        ...

    def patch_bytes(self) -> int:
        """Memory that one patch of a batch takes at the most, in bytes: the first batch's size comes from it."""
        ...

    def forward(self, device: str, batch: Sequence[Prepared]) -> list[Mapping[str, Matrix]]:
        """The vectors of each item by channel name, padding dropped, finite, rows of unit length.

        Raises OutOfDeviceMemory or DeviceLost.
        """
        ...


def runs_on_devices(encoder: Encoder) -> TypeGuard[DeviceEncoder]:
    """Whether an encoder is a `DeviceEncoder`.

    Looks at its class only: `isinstance` would read the properties too, which hashes weights and looks for GPUs.
    """
    return all(hasattr(type(encoder), name) for name in ("prepare", "forward", "free_bytes"))


def encode_in_turn(
    encoder: DeviceEncoder, passages: Sequence[Passage], channel: str, together: int | None = None
) -> list[Vector | None]:
    """What `encode_passages` gives outside the encode pipeline: one channel's vector of each passage, in their order.

    None where `prepare` gave none. Runs on the encoder's first device, `together` passages in a forward pass, 1 or
    more; None: all of them in one. Raises what `prepare` and `forward` raise.
    """
    prepared = [encoder.prepare(passage) for passage in passages]
    present = [item for item in prepared if item is not None]
    found: list[Mapping[str, Matrix]] = []
    step = together or max(len(present), 1)
    for start in range(0, len(present), step):
        found += encoder.forward(encoder.devices[0], present[start : start + step])
    rows = iter(found)
    return [None if item is None else next(rows)[channel] for item in prepared]
