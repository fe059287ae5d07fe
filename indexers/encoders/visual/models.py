"""The known models: how a checkpoint's configuration names them, the classes that load them, and their prompts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rag.errors import ConfigError

LayoutKind = Literal["fixed", "dynamic", "tiled"]
LocalLibrary = Literal["colpali-engine", "sentence-transformers"]

_QWEN_PROMPT = "<|im_start|>user\n<|vision_start|><image><|vision_end|>Describe the image.<|im_end|><|endoftext|>"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One family of late-interaction models.

    family: our name. model_type: what `config.json` says, of an adapter its base model's. model, processor: class names
    in the library. layout: how the processor cuts a page into patches (`grids`). prompt: what the library puts around
    the page, "<image>" where its rows stand. dim: dimensions of a row; projection: the layer that makes it. model_id,
    licence: a published checkpoint and the licence it declares, empty where none was verified. arguments: for the
    forward pass beside the inputs.
    """

    family: str
    model_type: str
    library: LocalLibrary
    model: str
    processor: str
    layout: LayoutKind
    prompt: str
    dim: int = 128
    projection: str = "custom_text_proj"
    model_id: str = ""
    licence: str = ""
    arguments: Mapping[str, object] | None = None


# ColPali computes word scores nobody reads (257,000 per row); one row of them is the least that can be asked for.
_NO_WORDS = {"logits_to_keep": 1, "use_cache": False}

MODELS: tuple[ModelSpec, ...] = (
    ModelSpec("colpali", "paligemma", "colpali-engine", "ColPali", "ColPaliProcessor", "fixed",
              "<image><bos><bos>Describe the image.\n", model_id="vidore/colpali-v1.3", arguments=_NO_WORDS),
    ModelSpec("colqwen2", "qwen2_vl", "colpali-engine", "ColQwen2", "ColQwen2Processor", "dynamic", _QWEN_PROMPT,
              model_id="vidore/colqwen2-v1.0"),
    ModelSpec("colqwen2.5", "qwen2_5_vl", "colpali-engine", "ColQwen2_5", "ColQwen2_5_Processor", "dynamic",
              _QWEN_PROMPT, model_id="vidore/colqwen2.5-v0.2"),
    ModelSpec("colqwen3", "qwen3_vl", "colpali-engine", "ColQwen3", "ColQwen3Processor", "dynamic", _QWEN_PROMPT, 320),
    ModelSpec("colqwen3.5", "qwen3_5", "colpali-engine", "ColQwen3_5", "ColQwen3_5Processor", "dynamic", _QWEN_PROMPT),
    ModelSpec("colidefics3", "idefics3", "colpali-engine", "ColIdefics3", "ColIdefics3Processor", "tiled",
              "<|im_start|>User:<image>Describe the image.<end_of_utterance>\nAssistant:", projection="linear",
              model_id="vidore/colSmol-256M"),
    ModelSpec("colmodernvbert", "modernvbert", "colpali-engine", "ColModernVBert", "ColModernVBertProcessor", "tiled",
              "<|begin_of_text|>User:<image>Describe the image.<end_of_utterance>\nAssistant:",
              model_id="ModernVBERT/colmodernvbert", licence="MIT"),
    ModelSpec("native-colpali", "colpali", "sentence-transformers", "ColPaliForRetrieval", "ColPaliProcessor", "fixed",
              "<image><bos>Describe the image.\n", projection="embedding_proj_layer",
              model_id="vidore/colpali-v1.3-hf"),
    ModelSpec("native-colqwen2", "colqwen2", "sentence-transformers", "ColQwen2ForRetrieval", "ColQwen2Processor",
              "dynamic", _QWEN_PROMPT, projection="embedding_proj_layer", model_id="vidore/colqwen2-v1.0-hf"),
)  # fmt: skip
"""Dimensions and classes: colpali-engine 0.3.18 and transformers 5.19; licences as the projects publish them."""


def detect(config: Mapping[str, Any], name: str, library: str = "auto") -> ModelSpec:
    """The family of a checkpoint by its `config.json`, an adapter's base configuration included.

    Raises:
        ConfigError: the model is of no known family, or the wanted library does not load it.
    """
    model_type = str(config.get("model_type", ""))
    spec = next((spec for spec in MODELS if spec.model_type == model_type), None)
    if spec is None:
        known = ", ".join(spec.model_type for spec in MODELS)
        near = difflib.get_close_matches(model_type, [spec.model_type for spec in MODELS], n=1)
        hint = f"; did you mean {near[0]}" if near else ""
        raise ConfigError(
            f"visual.model {name}: its config.json says model_type {model_type!r}, which is no page encoder known here "
            f"({known}){hint}; other models can be served by vLLM with visual.library = vllm"
        )
    if library not in ("auto", "vllm", spec.library):
        raise ConfigError(
            f"visual.library = {library} does not load {name} ({spec.family}); use {spec.library} or auto"
        )
    return spec


def dimensions(spec: ModelSpec, config: Mapping[str, Any]) -> int:
    """Dimensions of a row: the configuration's own where the model class reads it, else the class's."""
    key = {"colqwen3.5": "dim", "native-colpali": "embedding_dim", "native-colqwen2": "embedding_dim"}.get(spec.family)
    return int(config.get(key, spec.dim)) if key else spec.dim
