"""A tower while it is trained: forward, backward and Adam, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from indexers.encoders.aligned.heads import Tower
from rag.types import Matrix


@dataclass(slots=True, eq=False)
class _Moments:
    first: Matrix
    second: Matrix


@dataclass(frozen=True, slots=True)
class AdamOptions:
    """Step size, and the share of a weight that is taken away per step before the step size."""

    rate: float
    decay: float


@dataclass(slots=True, eq=False)
class Network:
    """The trained weights of one tower, over inputs that are already prepared.

    Adam with decoupled weight decay: Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980; Loshchilov and Hutter,
    2019, https://arxiv.org/abs/1711.05101.
    """

    linear: Matrix
    hidden: Matrix
    correction: Matrix
    _moments: list[_Moments] = field(default_factory=list)
    _steps: int = 0
    _kept: tuple[Matrix, ...] = ()

    def forward(self, inputs: Matrix) -> Matrix:
        """Unit rows, shape (n, m); what `backward` needs is kept."""
        active = np.maximum(inputs @ self.hidden[:-1] + self.hidden[-1], 0)
        mapped = inputs @ self.linear + active @ self.correction
        lengths = np.maximum(np.linalg.norm(mapped, axis=1, keepdims=True), 1e-8)
        rows: Matrix = mapped / lengths
        self._kept = (inputs, active, rows, lengths)
        return rows

    def step(self, by_rows: Matrix, options: AdamOptions) -> None:
        """One Adam step for the latest `forward`, from the loss's gradient by its unit rows."""
        gradients = self._backward(by_rows)
        weights = (self.linear, self.hidden, self.correction)
        if not self._moments:
            self._moments = [_Moments(np.zeros_like(weight), np.zeros_like(weight)) for weight in weights]
        self._steps += 1
        correct_first, correct_second = 1 - 0.9**self._steps, 1 - 0.999**self._steps
        for weight, gradient, moments in zip(weights, gradients, self._moments, strict=True):
            moments.first += 0.1 * (gradient - moments.first)
            moments.second += 0.001 * (gradient**2 - moments.second)
            move = moments.first / correct_first / (np.sqrt(moments.second / correct_second) + 1e-8)
            np.subtract(weight, options.rate * (move + options.decay * weight), out=weight, casting="same_kind")

    def _backward(self, by_rows: Matrix) -> tuple[Matrix, Matrix, Matrix]:
        inputs, active, rows, lengths = self._kept
        by_mapped = (by_rows - rows * (rows * by_rows).sum(axis=1, keepdims=True)) / lengths
        by_active = (by_mapped @ self.correction.T) * (active > 0)
        by_hidden = np.vstack([inputs.T @ by_active, by_active.sum(axis=0, keepdims=True)])
        return inputs.T @ by_mapped, by_hidden, active.T @ by_mapped

    def weights(self) -> tuple[Matrix, Matrix, Matrix]:
        """A copy of the weights."""
        return self.linear.copy(), self.hidden.copy(), self.correction.copy()


def start_network(linear: Matrix, width: int, rng: np.random.Generator) -> Network:
    """A network that begins as its linear map: the hidden layer's output weights are 0."""
    inner, outer = linear.shape
    hidden = rng.normal(0, np.sqrt(2 / inner), (inner + 1, width)).astype(np.float32)
    hidden[-1] = 0
    return Network(linear.copy(), hidden, np.zeros((width, outer), np.float32))


def finished(prepare: Matrix, weights: tuple[Matrix, Matrix, Matrix]) -> Tower:
    """The tower with these weights."""
    return Tower(prepare, *weights)
