"""Late-interaction models of colpali-engine: ColPali, ColQwen2 to 3.5, ColIdefics3 (ColSmol) and ColModernVBert.

Faysse et al., 2024, https://arxiv.org/abs/2407.01449
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL.Image import Image

from indexers.encoders.visual.checkpoint import Checkpoint, read_json
from indexers.encoders.visual.grids import DynamicLayout, PageLayout, TiledLayout
from indexers.encoders.visual.models import ModelSpec
from indexers.encoders.visual.torch_library import (
    Library,
    Model,
    Processor,
    Tensor,
    TorchDtype,
    load_library,
    load_torch,
)
from rag.errors import ConfigError

_FEATURE = "encoding page images with colpali-engine"


class ColpaliEngine:
    """Loads a checkpoint's processor and model through colpali-engine."""

    name = "colpali-engine"

    def __init__(self, checkpoint: Checkpoint, spec: ModelSpec) -> None:
        self._checkpoint = checkpoint
        self._spec = spec

    def processor(self, layout: PageLayout) -> Processor:
        """The processor, its picture size limited to the layout's."""
        models = load_library("colpali_engine.models", _FEATURE)
        made = getattr(models, self._spec.processor).from_pretrained(
            str(self._checkpoint.reader), local_files_only=True
        )
        limit_processor(made, layout)
        return made

    def image_inputs(self, processor: Processor, image: Image) -> dict[str, Any]:
        """Tensors of one page, a batch of one."""
        return dict(processor.process_images([image]))

    def text_inputs(self, processor: Processor, text: str) -> dict[str, Any]:
        """Tensors of one query, with the model's query prefix and augmentation tokens."""
        return dict(processor.process_queries([text]))

    def load(self, device: str, dtype: TorchDtype) -> Model:
        """The model on a device, ready to run; an adapter is merged into its base model."""
        models = load_library("colpali_engine.models", _FEATURE)
        model_class = getattr(models, self._spec.model)
        options = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
        if self._checkpoint.base is None:
            model, found = model_class.from_pretrained(
                str(self._checkpoint.folder), output_loading_info=True, **options
            )
            _check_loaded(found, self._checkpoint)
        else:
            model = self._with_adapter(model_class, options)
        return _without_word_head(model).eval().to(device)

    def _with_adapter(self, model_class: Library, options: Mapping[str, Any]) -> Model:
        """The library reads the base's place from the adapter's settings, so a copy that says where it is stands in."""
        folder = self._checkpoint.folder
        with tempfile.TemporaryDirectory(prefix="vesalius-adapter-") as place:
            stage = Path(place)
            settings = read_json(folder / "adapter_config.json")
            settings |= {"base_model_name_or_path": str(self._checkpoint.base), "revision": None}
            (stage / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
            (stage / "adapter_model.safetensors").symlink_to(folder / "adapter_model.safetensors")
            model, found = model_class.from_pretrained(str(stage), output_loading_info=True, **options)
        _check_loaded(found, self._checkpoint)
        tuners = load_library("peft.tuners.tuners_utils", _FEATURE)
        merged = [module.merge() for module in model.modules() if isinstance(module, tuners.BaseTunerLayer)]
        if not merged:
            raise ConfigError(f"the adapter in {folder} changes no layer of its base model {self._checkpoint.base}")
        return model

    def embed(self, model: Model, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Rows (batch, length, dim) and the mask of those that are not padding."""
        rows = model(**inputs, **(self._spec.arguments or {}))
        return rows, inputs["attention_mask"].bool()


def _check_loaded(found: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Weights the files lack would be made up at random, without an error: a plain chat model has no projection."""
    lacking = sorted(name for name in found["missing_keys"] if "lm_head" not in name)
    if lacking:
        raise ConfigError(
            f"visual.model {checkpoint.name}: its weights lack {lacking[0]} ({len(lacking)} missing in all); "
            f"is it a page encoder, and of the family its config.json says?"
        )


def _without_word_head(model: Model) -> Model:
    """ColPali's tied word head is left without data on loading, and nobody reads words: a pass-through stands in."""
    torch = load_torch(_FEATURE)
    for module in model.modules():
        head = getattr(module, "lm_head", None)
        if head is not None:
            module.lm_head = torch.nn.Identity()
    return model


def limit_processor(processor: Processor, layout: PageLayout) -> None:
    """Make a processor scale pages as a layout says: `max_patches` is applied there."""
    images = processor.image_processor
    load_torch(_FEATURE)
    match layout:
        case DynamicLayout():
            images.size = type(images.size)(shortest_edge=layout.least_pixels, longest_edge=layout.most_pixels)
        case TiledLayout():
            images.size = type(images.size)(longest_edge=layout.longest)
        case _:
            return
