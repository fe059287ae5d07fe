"""One ONNX model file on the CPU: loaded at first use, with its forward time kept for progress and benchmarks.

Each batch runs on one thread and several batches run at once: on two cores that gives twice the texts per second of
two threads inside one batch, which spend their time waiting for each other.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from indexers.model_lock import ModelFiles
from rag.errors import EnvironmentProblem

Array = npt.NDArray[Any]
Output = npt.NDArray[np.float32]


def available_cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


class OnnxSession:
    """Runs the file `model.onnx` of a model, on `threads` batches at a time.

    `forward_seconds` is the wall time during which the model ran, `forwards` the number of batches.
    """

    def __init__(self, model: ModelFiles, *, threads: int | None = None) -> None:
        self._model = model
        self._threads = threads or available_cores()
        self._lock = threading.Lock()
        self._session: Any = None
        self._inputs: frozenset[str] = frozenset()
        self.forward_seconds = 0.0
        self.forwards = 0

    def run(self, batches: Sequence[Mapping[str, Array]]) -> list[Output]:
        """The model's first output for each batch, in order. Inputs that the graph does not have are left out.

        Raises:
            EnvironmentProblem: the file is damaged, or a run failed.
        """
        self._loaded()
        start = time.perf_counter()
        if len(batches) < 2 or self._threads < 2:
            outputs = [self._forward(feeds) for feeds in batches]
        else:
            with ThreadPoolExecutor(min(self._threads, len(batches))) as pool:
                # Long batches first, so that no core ends up waiting for one that was started last.
                order = sorted(range(len(batches)), key=lambda i: -sum(array.size for array in batches[i].values()))
                done = dict(zip(order, pool.map(self._forward, [batches[i] for i in order]), strict=True))
            outputs = [done[i] for i in range(len(batches))]
        with self._lock:
            self.forward_seconds += time.perf_counter() - start
            self.forwards += len(batches)
        return outputs

    def _forward(self, feeds: Mapping[str, Array]) -> Output:
        wanted = {name: array for name, array in feeds.items() if name in self._inputs}
        try:
            output: Output = self._session.run(None, wanted)[0]
        except _vendor_errors() as error:
            raise EnvironmentProblem(
                f"model {self._model.name} failed: {error}; run `vesalius models verify`"
            ) from error
        return output

    def _loaded(self) -> None:
        with self._lock:
            if self._session is None:
                self._session = self._load()
                self._inputs = frozenset(item.name for item in self._session.get_inputs())

    def _load(self) -> Any:  # noqa: ANN401  # the vendor's session class is not typed
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = self._model.folder / "model.onnx"
        try:
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _vendor_errors() as error:
            raise EnvironmentProblem(
                f"model {self._model.name}: {path} cannot be loaded: {error}; run `vesalius models verify`"
            ) from error


def _vendor_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: its classes have no common base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoModel,
        state.NoSuchFile, state.NotImplemented, state.RuntimeException,
    )  # fmt: skip
