"""What can be chosen about the training of a contrastive head."""

from __future__ import annotations

from dataclasses import dataclass

from rag.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How a head is trained.

    dim: dimensions of one member. components: principal components kept of each side's inputs. term_rank: latent
    dimensions of the n-grams. hidden: width of the hidden layer beside the linear map, 0 for none.
    temperature: of the softmax over candidates. softness: share of the target given to texts by their likeness to the
    right one, in [0, 1). domain_weight: how many times a negative of the same domain counts.
    noise: deviation of the noise on whitened inputs. view_share: how often a cut-out replaces the whole image.
    members: heads trained on different validation splits, side by side. validation_share: of the groups, for early
    stopping. patience: epochs without a better validation before training ends.

    Raises:
        ConfigError: a number is outside its range.
    """

    dim: int = 64
    components: int = 96
    term_rank: int = 96
    hidden: int = 0
    temperature: float = 0.07
    softness: float = 0.5
    domain_weight: float = 2.0
    noise: float = 0.3
    view_share: float = 0.5
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    members: int = 5
    validation_share: float = 0.2
    epochs: int = 200
    patience: int = 30

    def __post_init__(self) -> None:
        if min(self.dim, self.components, self.members, self.epochs, self.patience) < 1:
            raise ConfigError("dim, components, members, epochs and patience of a head must be at least 1")
        if min(self.temperature, self.learning_rate, self.domain_weight) <= 0:
            raise ConfigError("temperature, learning_rate and domain_weight of a head must be above 0")
        if not 0 <= self.softness < 1 or not 0 < self.validation_share <= 0.5 or not 0 <= self.view_share <= 1:
            raise ConfigError("softness is in [0, 1), validation_share in (0, 0.5], view_share in [0, 1]")
