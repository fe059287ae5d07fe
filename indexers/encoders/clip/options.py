"""What can be chosen about the dual encoder of images and captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from indexers.encoders.visual.torch_library import Dtype
from rag.errors import ConfigError

ClipLibraryName = Literal["auto", "open_clip", "transformers", "sentence-transformers"]

CHANNEL = "clip"


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """Which checkpoint encodes images and captions, and where it runs.

    model: a name of the catalogue, a checkpoint's folder, or a model id of the hub, with `revision` a commit of it; for
    open_clip also ARCHITECTURE/FILE, an architecture of its list and a safetensors file. devices: names, or "auto" for
    every GPU, else the CPU. key: the setting that names the model, for messages.

    Raises:
        ConfigError: no model is named.
    """

    model: str = ""
    revision: str | None = None
    library: ClipLibraryName = "auto"
    devices: tuple[str, ...] = ("auto",)
    dtype: Dtype = "auto"
    key: str = "clip.model"

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ConfigError(f"{self.key} is empty: give a name of the catalogue, a folder, or a model id of the hub")
