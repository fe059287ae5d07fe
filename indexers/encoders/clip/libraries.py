"""The libraries that load dual encoders, behind one small interface."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from PIL.Image import Image

from indexers.encoders.clip.shape import DualShape
from indexers.encoders.visual.torch_library import Model, Processor, Tensor, TorchDtype, load_library, load_torch
from rag.errors import EnvironmentProblem

_FEATURE = "encoding images and captions"
_WORDS = 64
"""Tokens of a caption when a configuration names no limit: SigLIP's."""

_PICTURE_SETTINGS = ("size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color")


class DualLibrary(Protocol):
    """Prepares single items and runs batches of one sort: of images, or of texts."""

    @property
    def name(self) -> str: ...

    def image_inputs(self, image: Image) -> dict[str, Tensor]: ...

    def text_inputs(self, text: str) -> dict[str, Tensor]: ...

    def load(self, device: str, dtype: TorchDtype) -> Model: ...

    def images(self, model: Model, inputs: Mapping[str, Tensor]) -> Tensor: ...

    def texts(self, model: Model, inputs: Mapping[str, Tensor]) -> Tensor: ...


class TransformersDual:
    """CLIP, SigLIP and SigLIP 2 of transformers."""

    name = "transformers"

    def __init__(self, folder: Path, shape: DualShape) -> None:
        self._folder = str(folder)
        self._words = shape.context_length or _WORDS

    @cached_property
    def _processor(self) -> Processor:
        return load_library("transformers", _FEATURE).AutoProcessor.from_pretrained(self._folder, local_files_only=True)

    def image_inputs(self, image: Image) -> dict[str, Tensor]:
        """Pixels of one image, a batch of one."""
        return dict(self._processor(images=[image], return_tensors="pt"))

    def text_inputs(self, text: str) -> dict[str, Tensor]:
        """The first window of a text, padded to the model's length as SigLIP was trained."""
        options = {"padding": "max_length", "truncation": True, "max_length": self._words, "return_tensors": "pt"}
        return dict(self._processor(text=[text], **options))

    def load(self, device: str, dtype: TorchDtype) -> Model:
        """The model on a device, ready to run."""
        library = load_library("transformers", _FEATURE).AutoModel
        model = library.from_pretrained(self._folder, dtype=dtype, use_safetensors=True, local_files_only=True)
        return model.eval().to(device)

    def images(self, model: Model, inputs: Mapping[str, Tensor]) -> Tensor:
        """One row per image."""
        found = model.get_image_features(**inputs)
        return getattr(found, "pooler_output", found)

    def texts(self, model: Model, inputs: Mapping[str, Tensor]) -> Tensor:
        """One row per text."""
        found = model.get_text_features(**inputs)
        return getattr(found, "pooler_output", found)


class OpenClipDual:
    """Models of open_clip: a folder with open_clip_config.json, or an architecture of its list with a weight file."""

    name = "open_clip"

    def __init__(self, source: str, weights: Path | None, pictures: Mapping[str, Any]) -> None:
        """`pictures`: how an image is scaled, its size first; what is absent is open_clip's default."""
        self._source = source
        self._weights = weights
        self._pictures = pictures

    @cached_property
    def _tools(self) -> tuple[Processor, Processor]:
        library = load_library("open_clip", _FEATURE)
        transforms = load_library("open_clip.transform", _FEATURE)
        wanted = {name: value for name, value in self._pictures.items() if name in _PICTURE_SETTINGS}
        steps = transforms.image_transform_v2(transforms.PreprocessCfg(**wanted), is_train=False)
        return steps, library.get_tokenizer(self._source)

    def image_inputs(self, image: Image) -> dict[str, Tensor]:
        """Pixels of one image, a batch of one."""
        return {"pixel_values": self._tools[0](image).unsqueeze(0)}

    def text_inputs(self, text: str) -> dict[str, Tensor]:
        """The first window of a text, padded to the model's length."""
        return {"input_ids": self._tools[1]([text])}

    def load(self, device: str, dtype: TorchDtype) -> Model:
        """The model on a device, ready to run. Raises EnvironmentProblem when a part of it is not on this machine."""
        library = load_library("open_clip", _FEATURE)
        given: dict[str, str] = {} if self._weights is None else {"pretrained": str(self._weights)}
        try:
            model, _ = library.create_model_from_pretrained(self._source, weights_only=True, **given)
        except OSError as error:
            # A tower of another library: its configuration stands in that library's own checkpoint.
            raise EnvironmentProblem(
                f"{self._source} cannot be loaded ({str(error).splitlines()[0]}); if its open_clip_config.json has an "
                "hf_model_name, that checkpoint must be in the hub's cache, or hf_model_name be a folder with it"
            ) from error
        return model.eval().to(device=device, dtype=dtype)

    def images(self, model: Model, inputs: Mapping[str, Tensor]) -> Tensor:
        """One row per image."""
        return model.encode_image(inputs["pixel_values"])

    def texts(self, model: Model, inputs: Mapping[str, Tensor]) -> Tensor:
        """One row per text."""
        return model.encode_text(inputs["input_ids"])


class SentenceDual:
    """Models of sentence-transformers that read images and texts.

    Its model prepares its own inputs, so one copy stays on the CPU for that.
    """

    name = "sentence-transformers"

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._lock = threading.Lock()

    @cached_property
    def _reader(self) -> Model:
        return self.load("cpu", load_torch(_FEATURE).float32)

    def image_inputs(self, image: Image) -> dict[str, Tensor]:
        """Tensors of one image, a batch of one."""
        return self._inputs(image)

    def text_inputs(self, text: str) -> dict[str, Tensor]:
        """Tensors of the first window of a text, a batch of one."""
        return self._inputs(text)

    def _inputs(self, item: Image | str) -> dict[str, Tensor]:
        with self._lock:
            return dict(self._reader.preprocess([item]))

    def load(self, device: str, dtype: TorchDtype) -> Model:
        """The model on a device, ready to run."""
        library = load_library("sentence_transformers", _FEATURE)
        options = {"dtype": dtype, "use_safetensors": True}
        model = library.SentenceTransformer(self._folder, device=device, model_kwargs=options, local_files_only=True)
        return model.eval()

    def images(self, model: Model, inputs: Mapping[str, Tensor]) -> Tensor:
        """One row per image."""
        return model(dict(inputs))["sentence_embedding"]

    def texts(self, model: Model, inputs: Mapping[str, Tensor]) -> Tensor:
        """One row per text."""
        return model(dict(inputs))["sentence_embedding"]
