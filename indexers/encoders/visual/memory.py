"""How much device memory one row of a batch takes, estimated from a checkpoint's configuration. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

_SAFETY = 2
"""An estimate of live activations knows nothing of a library's work space; the encode pipeline halves what fails."""


def patch_bytes(config: Mapping[str, Any], dtype: Literal["bf16", "f32"]) -> int:
    """Bytes of activations per row at the most.

    The language model's hidden states of all layers are kept (colpali-engine asks for them), and one layer's
    feed-forward step is live; of the vision tower one layer is, for the patches merged into the row. Attention needs no
    memory of its own beyond its inputs (Dao et al., 2022, https://arxiv.org/abs/2205.14135).
    """
    outer = config.get("vlm_config", config)
    text = outer.get("text_config") or outer
    vision = outer.get("vision_config") or {}
    hidden = int(text.get("hidden_size", 2048))
    layers = int(text.get("num_hidden_layers", 24))
    wide = int(text.get("intermediate_size", 4 * hidden))
    seen = int(vision.get("embed_dim", vision.get("hidden_size", 1152)))
    seen_wide = int(vision.get("intermediate_size", 4 * seen))
    merge = int(vision.get("spatial_merge_size") or outer.get("scale_factor") or outer.get("pixel_shuffle_factor") or 1)
    live = (layers + 1) * hidden + 3 * wide + 6 * hidden + merge**2 * (3 * seen_wide + 6 * seen)
    return _SAFETY * live * (2 if dtype == "bf16" else 4)
