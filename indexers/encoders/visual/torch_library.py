"""Setting up torch: torchvision's missing operators, devices, number types, and what errors of a device mean."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

from indexers.devices import DeviceLost, OutOfDeviceMemory
from rag.errors import ConfigError, MissingExtra

Dtype = Literal["auto", "bf16", "f32"]

# The model libraries are optional and checked by nobody here; these names say what is meant.
Tensor: TypeAlias = Any
TorchDtype: TypeAlias = Any
Model: TypeAlias = Any
Processor: TypeAlias = Any
Library: TypeAlias = Any

_keep: list[Any] = []
"""Operator libraries live as long as this list: torch forgets them when the object goes."""

_setting_up = threading.Lock()

_LOST = (
    "device-side assert",
    "unspecified launch failure",
    "ecc",
    "has fallen off",
    "uncorrectable",
    "driver shutting",
)
"""Words in messages of a CUDA context that no later call can use (CUDA runtime API, error codes 214, 710 and 719)."""


def load_torch(feature: str) -> Library:
    """The torch module, with a torchvision that can be imported. Raises MissingExtra.

    PyPI's torchvision is built for CUDA: beside a CPU torch its operators are missing and importing it fails. No model
    here calls them, so they are declared without a body.
    """
    try:
        torch = importlib.import_module("torch")
        with _setting_up:
            _load_torchvision(torch)
    except ImportError as error:
        raise MissingExtra("models", feature=feature) from error
    return torch


def _load_torchvision(torch: Library) -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        if torch.version.cuda is not None:
            raise
        declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _keep.append(declared)
        importlib.import_module("torchvision")


def load_library(name: str, feature: str) -> Library:
    """Another optional library, imported after torch was set up. Raises MissingExtra."""
    load_torch(feature)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra("models", feature=feature) from error


def device_names(wanted: Sequence[str]) -> tuple[str, ...]:
    """Devices by name: "auto" means every CUDA device, or the CPU when there is none.

    Raises:
        ConfigError: a device is named that this machine does not have.
    """
    if tuple(wanted) != ("auto",):
        unique = tuple(dict.fromkeys(wanted))
        if "auto" in unique or not unique:
            raise ConfigError('visual.devices: give "auto" alone, or the names of devices such as cuda:0')
        if any(name != "cpu" for name in unique):
            _check_devices(unique)
        return unique
    torch = load_torch("encoding on this machine")
    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) or ("cpu",)


def _check_devices(names: Sequence[str]) -> None:
    torch = load_torch("encoding on this machine")
    present = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    absent = [name for name in names if name not in present]
    if absent:
        raise ConfigError(f"there is no device {absent[0]}; this machine has: {', '.join(present)}")


def cpu_knows_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU multiplies bfloat16 itself; without it bfloat16 is slower than float32."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return "avx512_bf16" in flags or "amx_bf16" in flags


def dtype_name(wanted: Dtype, devices: Sequence[str]) -> Literal["bf16", "f32"]:
    """The number type of weights and activations. "auto": bf16 on CUDA and on CPUs that multiply it, else f32."""
    if wanted != "auto":
        return wanted
    return "bf16" if any(name.startswith("cuda") for name in devices) or cpu_knows_bf16() else "f32"


def torch_dtype(name: Literal["bf16", "f32"]) -> TorchDtype:
    """Torch's own object for a number type."""
    torch = load_torch("encoding on this machine")
    return torch.bfloat16 if name == "bf16" else torch.float32


def to_device(tensors: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Tensors on a device; to CUDA from pinned memory, so that the copy runs beside the computation.

    Values that are no tensors stay as they are.
    """
    moved = dict(tensors)
    for name, value in tensors.items():
        if hasattr(value, "pin_memory"):
            cuda = device.startswith("cuda")
            moved[name] = value.pin_memory().to(device, non_blocking=True) if cuda else value.to(device)
    return moved


def free_bytes(device: str) -> int | None:
    """Free memory of a CUDA device, counting what torch holds and does not use; None for a CPU."""
    if not device.startswith("cuda"):
        return None
    torch = load_torch("encoding on this machine")
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) + int(torch.cuda.memory_reserved(device)) - int(torch.cuda.memory_allocated(device))


@contextmanager
def device_errors(device: str) -> Iterator[None]:
    """Translate torch's errors. Raises OutOfDeviceMemory (memory was released) or DeviceLost."""
    torch = load_torch("encoding on this machine")
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise OutOfDeviceMemory(f"{device}: {error}") from error
    except MemoryError as error:
        raise OutOfDeviceMemory(f"{device}: out of memory") from error
    except RuntimeError as error:
        message = str(error).lower()
        if "not enough memory" in message or "can't allocate memory" in message:
            raise OutOfDeviceMemory(f"{device}: {error}") from error
        if device.startswith("cuda") and ("cuda error" in message or any(word in message for word in _LOST)):
            raise DeviceLost(f"{device} failed: {str(error).splitlines()[0]}") from error
        raise
