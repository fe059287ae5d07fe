"""Late-interaction models in transformers' own format (*ForRetrieval), run by sentence-transformers.

Its MultiVectorEncoder decides what a query or page becomes and which rows count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL.Image import Image

from indexers.encoders.visual.checkpoint import Checkpoint
from indexers.encoders.visual.colpali import limit_processor
from indexers.encoders.visual.grids import PageLayout
from indexers.encoders.visual.models import ModelSpec
from indexers.encoders.visual.torch_library import Model, Processor, Tensor, TorchDtype, load_library
from rag.errors import ConfigError

_FEATURE = "encoding page images with sentence-transformers"


class SentenceMultiVector:
    """Loads a checkpoint's processor through transformers and its model through sentence-transformers."""

    name = "sentence-transformers"

    def __init__(self, checkpoint: Checkpoint, spec: ModelSpec) -> None:
        if checkpoint.base is not None:
            raise ConfigError(f"visual.model {checkpoint.name}: sentence-transformers does not load adapters; merge it")
        self._folder = str(checkpoint.folder)
        self._spec = spec

    def processor(self, layout: PageLayout) -> Processor:
        """The processor, its picture size limited to the layout's."""
        transformers = load_library("transformers", _FEATURE)
        made = getattr(transformers, self._spec.processor).from_pretrained(self._folder, local_files_only=True)
        limit_processor(made, layout)
        return made

    def image_inputs(self, processor: Processor, image: Image) -> dict[str, Any]:
        """Tensors of one page, a batch of one."""
        return {**processor.process_images(images=[image]), "modality": "image"}

    def text_inputs(self, processor: Processor, text: str) -> dict[str, Any]:
        """Tensors of one query, with the model's query prefix and augmentation tokens."""
        return {**processor.process_queries(text=[text]), "modality": "text"}

    def load(self, device: str, dtype: TorchDtype) -> Model:
        """The model on a device, ready to run."""
        library = load_library("sentence_transformers", _FEATURE)
        options = {"dtype": dtype, "use_safetensors": True}
        model = library.MultiVectorEncoder(self._folder, device=device, model_kwargs=options, local_files_only=True)
        return model.eval()

    def embed(self, model: Model, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Rows (batch, length, dim) and the mask of those that count."""
        task = "document" if inputs.get("modality") == "image" else "query"
        found = model(dict(inputs), task=task)
        return found["token_embeddings"], found["attention_mask"].bool()
