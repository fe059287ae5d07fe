"""What can be chosen about the encoder of page images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from indexers.encoders.visual.torch_library import Dtype
from rag.errors import ConfigError
from rag.types import Storage, VectorSpec

Library = Literal["auto", "colpali-engine", "sentence-transformers", "vllm"]
Coarse = Literal["rows", "columns", "rows-columns", "hierarchical", "none"]

CHANNEL = "visual"
COARSE_CHANNEL, FIRST_CHANNEL = "visual_coarse", "visual_first"
FIRST_ROWS = 8
"""Rows of the very first stage, means of runs of coarse rows: few enough for a graph over very many pages."""


@dataclass(frozen=True, slots=True)
class VisualOptions:
    """Which checkpoint encodes page images, how its rows are pooled and stored, and where it runs.

    model: a checkpoint's folder or a model id of the hub, with `revision` a commit of it; for "vllm" the served model's
    name, a folder where the server reads a folder. url: the vLLM server. devices: names, or "auto" for every GPU, else
    the CPU. max_patches: image rows of a page at the most, 0 for what the model's processor says; fewer patches mean a
    coarser picture. pool_factor: token pooling, so many rows become one. coarse: the few rows of the first search
    stages: means over each row or column of patches, clusters, or none.

    Raises:
        ConfigError: a number is out of range.
    """

    model: str = ""
    revision: str | None = None
    library: Library = "auto"
    url: str = "http://127.0.0.1:8000"
    devices: tuple[str, ...] = ("auto",)
    dtype: Dtype = "auto"
    max_patches: int = 0
    pool_factor: int = 1
    storage: Storage = "turbo8"
    coarse: Coarse = "rows"

    def __post_init__(self) -> None:
        if self.pool_factor < 1:
            raise ConfigError(f"visual.pool_factor = {self.pool_factor}: give 1 for no pooling, or more")
        if self.max_patches < 0:
            raise ConfigError(f"visual.max_patches = {self.max_patches}: give 0 for the model's own limit, or more")
        if not self.model.strip():
            raise ConfigError("visual.model is empty: give a checkpoint's folder or a model id of the hub")

    def specs(self, dim: int) -> tuple[VectorSpec, ...]:
        """The channels of an encoder with `dim` dimensions: the full rows; the pooled ones, finer first, if any."""
        full = VectorSpec(CHANNEL, "multi", dim, self.storage)
        if self.coarse == "none":
            return (full,)
        coarse, first = (VectorSpec(name, "multi", dim, "f16") for name in (COARSE_CHANNEL, FIRST_CHANNEL))
        return (full, coarse, replace(first, graph=True))

    def identity(self) -> dict[str, object]:
        """The settings that change stored vectors, for a fingerprint.

        `dtype` counts as it is written, so a library built on a GPU with "auto" opens on a CPU: the same weights in
        another number type give the same rows up to rounding (cosine over 0.99).
        """
        return {
            "dtype": self.dtype,
            "max_patches": self.max_patches,
            "pool_factor": self.pool_factor,
            "coarse": self.coarse,
            "first": FIRST_ROWS,
            "storage": self.storage,
        }
