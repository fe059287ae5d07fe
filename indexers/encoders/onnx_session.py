"""One ONNX model file on the CPU: loaded at first use, with its forward time kept for progress and benchmarks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from indexers.model_lock import ModelFiles
from rag.errors import EnvironmentProblem

Array = npt.NDArray[Any]


def available_cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


class OnnxSession:
    """Runs the file `model.onnx` of a model.

    `forward_seconds` and `forwards` count the time inside the model and the number of calls.
    """

    def __init__(self, model: ModelFiles, *, threads: int | None = None) -> None:
        self._model = model
        self._threads = threads or available_cores()
        self._lock = threading.Lock()
        self._session: Any = None
        self._inputs: frozenset[str] = frozenset()
        self.forward_seconds = 0.0
        self.forwards = 0

    def run(self, feeds: Mapping[str, Array]) -> npt.NDArray[np.float32]:
        """The model's first output. Inputs that the graph does not have are left out.

        Raises:
            EnvironmentProblem: the file is damaged, or the run failed.
        """
        session = self._loaded()
        wanted = {name: array for name, array in feeds.items() if name in self._inputs}
        errors = _vendor_errors()
        start = time.perf_counter()
        try:
            output: npt.NDArray[np.float32] = session.run(None, wanted)[0]
        except errors as error:
            raise EnvironmentProblem(
                f"model {self._model.name} failed: {error}; run `vesalius models verify`"
            ) from error
        self.forward_seconds += time.perf_counter() - start
        self.forwards += 1
        return output

    def _loaded(self) -> Any:  # noqa: ANN401  # the vendor's session class is not typed
        with self._lock:
            if self._session is None:
                self._session = self._load()
                self._inputs = frozenset(item.name for item in self._session.get_inputs())
            return self._session

    def _load(self) -> Any:  # noqa: ANN401
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # Threads that wait must sleep: a build parses and renders on the same cores while the model runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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
