"""What can be chosen about the fine-tuning of a dual encoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from rag.errors import ConfigError

Method = Literal["lora", "full"]
METHODS: tuple[Method, ...] = ("lora", "full")
_RATES: dict[Method, float] = {"lora": 5e-4, "full": 1e-5}
"""Usual step sizes: Hu et al., 2021, https://arxiv.org/abs/2106.09685; Radford et al., 2021, end at 1e-5 and below."""


@dataclass(frozen=True, slots=True)
class TuningOptions:
    """How a model is fine-tuned.

    method: "lora" trains two thin matrices beside each weight matrix, "full" every weight. rank: width of the thin
    matrices. epochs: passes over the training pairs at the most. batch: pairs that are told apart at once; memory grows
    with it. learning_rate: 0 takes the method's usual one. crop: least share of an image's sides that a random cut-out
    keeps. softness, domain_weight: as in `TrainingOptions` of a head. validation_share: of the groups, for stopping.
    patience: epochs without a better validation before training ends. save_every: steps between two saved states.

    Raises:
        ConfigError: a number is outside its range.
    """

    method: Method = "lora"
    rank: int = 8
    epochs: int = 20
    batch: int = 32
    learning_rate: float = 0.0
    weight_decay: float = 0.01
    crop: float = 0.85
    softness: float = 0.2
    domain_weight: float = 2.0
    validation_share: float = 0.2
    patience: int = 4
    save_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method {self.method!r}: it is lora or full")
        if min(self.rank, self.epochs, self.patience, self.save_every) < 1 or self.batch < 2:
            raise ConfigError("rank, epochs, patience and save_every of a fine-tuning are at least 1, its batch 2")
        if min(self.learning_rate, self.weight_decay) < 0 or not 0 < self.crop <= 1:
            raise ConfigError("learning_rate and weight_decay of a fine-tuning are not negative, crop is in (0, 1]")
        if not 0 <= self.softness < 1 or not 0 < self.validation_share <= 0.5 or self.domain_weight <= 0:
            raise ConfigError("softness is in [0, 1), validation_share in (0, 0.5], domain_weight above 0")

    @property
    def rate(self) -> float:
        """The step size that is used."""
        return self.learning_rate or _RATES[self.method]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)
