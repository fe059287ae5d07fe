"""One copy of a model on each device, loaded when it is first needed."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

from indexers.devices import DeviceLost, OutOfDeviceMemory
from indexers.encoders.visual.torch_library import Model, device_errors


class ModelCopies:
    """`load` is called once per device, by whichever thread asks first; devices load side by side."""

    def __init__(self, load: Callable[[str], Model]) -> None:
        self._load = load
        self._models: dict[str, Model] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def on(self, device: str) -> Model:
        """The device's copy.

        Raises:
            DeviceLost: the device failed or has no room for the model, which no smaller batch would change.
        """
        with self._locks[device]:
            if device not in self._models:
                try:
                    with device_errors(device):
                        self._models[device] = self._load(device)
                except OutOfDeviceMemory as error:
                    raise DeviceLost(f"the model does not fit into the memory of {device}: {error}") from error
            return self._models[device]

    def drop(self, device: str) -> None:
        """Forget a device's copy, after the device failed."""
        with self._locks[device]:
            self._models.pop(device, None)
