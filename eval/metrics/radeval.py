"""Report metrics of the `radeval` package (RadGraph, CheXbert, GREEN ...) for users who have it and its weights."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from rag.errors import EnvironmentProblem, MissingExtra, UsageError

LOWER_IS_BETTER = frozenset(("radcliq",))


class RadEvalMetric:
    """Per-report values of one metric of radeval 2.

    The package is imported at the first call. Its models come from a model hub: without `allow_downloads` the hub's own
    offline switch must be on, so that nothing is fetched unasked.

    Raises:
        MissingExtra: the package is not installed.
        EnvironmentProblem: downloads are not allowed and the hub is not offline, or the metric's weights are missing.
        UsageError: fewer or more references than reports.
    """

    def __init__(self, name: str, *, allow_downloads: bool = False) -> None:
        self.name = f"radeval:{name}"
        self._metric, self._allow_downloads = name, allow_downloads
        self._evaluator: Any = None

    def score(self, generated: Sequence[str], references: Sequence[str]) -> Mapping[str, list[float]]:
        """One value per report under each name that the metric has, such as `radgraph_partial`."""
        if len(generated) != len(references):
            raise UsageError(f"{len(generated)} reports for {len(references)} references")
        evaluator = self._open()
        try:
            found = evaluator(refs=list(references), hyps=list(generated))
        except OSError as error:
            raise EnvironmentProblem(
                f"{self.name} cannot run: {error}; its weights must be in the hub's cache"
            ) from error
        return {
            f"radeval:{name}": [float(value) for value in values]
            for name, values in found.items()
            if isinstance(values, list) and len(values) == len(generated)
        }

    def _open(self) -> Any:  # noqa: ANN401 - a class of an untyped package
        if self._evaluator is None:
            self._refuse_downloads()
            try:
                module = importlib.import_module("radeval")
            except ImportError as error:
                raise MissingExtra("radeval", feature=f"the metric {self.name}") from error
            try:
                self._evaluator = module.RadEval(metrics=[self._metric], per_sample=True, show_progress=False)
            except OSError as error:
                raise EnvironmentProblem(
                    f"{self.name} cannot be opened: {error}; its weights must be in the hub's cache"
                ) from error
        return self._evaluator

    def _refuse_downloads(self) -> None:
        import os

        if not self._allow_downloads and os.environ.get("HF_HUB_OFFLINE", "0").upper() not in {
            "1",
            "TRUE",
            "YES",
            "ON",
        }:
            raise EnvironmentProblem(
                f"{self.name} may fetch weights; set HF_HUB_OFFLINE=1 to use those you have, or allow downloads"
            )
