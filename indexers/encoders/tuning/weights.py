"""Which numbers of a model are trained: every weight, or thin matrices beside its weight matrices (LoRA).

Hu et al., 2021, https://arxiv.org/abs/2106.09685. The model is called with its weights given from outside, so nothing
in it is replaced, and merged weights are what it was trained with.
"""

from __future__ import annotations

import math

from indexers.encoders.tuning.options import TuningOptions
from indexers.encoders.visual.torch_library import Model, Tensor, load_torch

SCALE = "logit_scale"
_MATRICES = (".weight", "in_proj_weight", "proj", "text_projection")
_DOWN, _UP = "@down", "@up"
_STRENGTH = 2.0
"""The thin matrices' product counts twice, whatever their rank: alpha = 2 r, as is usual."""
_HIGHEST = math.log(100.0)
"""CLIP's own limit of the logit scale."""


class TrainedWeights:
    """The trained numbers of one model, and the weights that they make of it."""

    def __init__(self, model: Model, options: TuningOptions) -> None:
        """Thin matrices start with a product of 0: the model is at first what it was."""
        self._torch = load_torch("fine-tuning")
        self._full = options.method == "full"
        self._frozen = {name: one.detach().float() for name, one in model.named_parameters()}
        self.numbers: dict[str, Tensor] = {}
        if self._full:
            self.numbers = {name: one.clone() for name, one in self._frozen.items()}
        else:
            generator = self._torch.Generator().manual_seed(options.seed)
            for name in adapted_names(model):
                self._add(name, options.rank, generator)
            if SCALE in self._frozen:
                self.numbers[SCALE] = self._frozen[SCALE].clone()
        for one in self.numbers.values():
            one.requires_grad_(requires_grad=True)

    def _add(self, name: str, rank: int, generator: object) -> None:
        weight = self._frozen[name]
        rows, columns = weight.shape
        width = min(rank, rows, columns)
        down = self._torch.randn(width, columns, generator=generator) / math.sqrt(columns)
        self.numbers[name + _DOWN] = down.to(weight.device)
        self.numbers[name + _UP] = self._torch.zeros(rows, width, device=weight.device)

    def weights(self) -> dict[str, Tensor]:
        """The model's parameters as they are now, by name; those that are not trained are left out."""
        made = {name: one for name, one in self.numbers.items() if _UP not in name and _DOWN not in name}
        for name, up in self.numbers.items():
            if name.endswith(_UP):
                own = name.removesuffix(_UP)
                made[own] = self._frozen[own] + _STRENGTH * (up @ self.numbers[own + _DOWN])
        if SCALE in made:
            made[SCALE] = made[SCALE].clamp(max=_HIGHEST)
        return made

    def load(self, numbers: dict[str, Tensor]) -> None:
        """Take these numbers for the trained ones."""
        with self._torch.no_grad():
            for name, one in self.numbers.items():
                one.copy_(numbers[name])


def adapted_names(model: Model) -> list[str]:
    """The weight matrices that get thin ones beside them: those of attention, of perceptrons and of projections.

    Embeddings and convolutions stay as they are.
    """
    torch = load_torch("fine-tuning")
    tables = {
        f"{name}.weight" if name else "weight"
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Embedding)
    }
    return [
        name
        for name, one in model.named_parameters()
        if one.ndim == 2 and name not in tables and name.endswith(_MATRICES)
    ]
