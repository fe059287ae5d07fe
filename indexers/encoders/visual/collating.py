"""Putting the tensors of several pages into one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from indexers.encoders.visual.torch_library import Tensor, TorchDtype

SEQUENCES = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""Inputs with one number per row; only these are padded at the model's side."""

_UNUSED = ("labels",)
"""Processors add these for training; with them a model computes a loss."""


def collate(items: Sequence[Mapping[str, Any]], *, pad: int, left: bool) -> dict[str, Any]:
    """One batch of items that are batches of one. Rows are padded with `pad` at the left or right, and masked.

    Other inputs of unequal length (patches, tiles) are padded with zeros at the end: the models leave those out by
    their grid or because they are all zero. Values that are no tensors come from the first item.
    """
    names = [name for name in items[0] if name not in _UNUSED]
    batch: dict[str, Any] = {}
    for name in names:
        values = [item[name] for item in items]
        if not hasattr(values[0], "shape"):
            batch[name] = values[0]
        elif name in SEQUENCES:
            batch[name] = _joined(values, pad if name == "input_ids" else 0, left=left)
        else:
            batch[name] = _joined(values, 0, left=False) if values[0].ndim > 2 else _concatenated(values)
    return batch


def _joined(values: Sequence[Tensor], fill: int, *, left: bool) -> Tensor:
    longest = max(value.shape[1] for value in values)
    total = sum(value.shape[0] for value in values)
    out = values[0].new_full((total, longest, *values[0].shape[2:]), fill)
    for place, value in enumerate(values):
        length = value.shape[1]
        start = longest - length if left else 0
        out[place, start : start + length] = value[0]
    return out


def _concatenated(values: Sequence[Tensor]) -> Tensor:
    # Without importing torch here: any tensor of the list can make the empty one to fill.
    out = values[0].new_empty((sum(len(value) for value in values), *values[0].shape[1:]))
    start = 0
    for value in values:
        out[start : start + len(value)] = value
        start += len(value)
    return out


def fp_inputs(inputs: Mapping[str, Any], dtype: TorchDtype) -> dict[str, Any]:
    """Inputs with pictures in the model's number type; ids and masks stay as they are."""
    return {
        name: value.to(dtype) if hasattr(value, "is_floating_point") and value.is_floating_point() else value
        for name, value in inputs.items()
    }
