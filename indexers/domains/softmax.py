"""Multinomial logistic regression with a ridge penalty, and the temperature that makes it honest. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def fit_softmax(rows: Floats, targets: npt.NDArray[np.intp], n_classes: int, ridge: float) -> Floats:
    """Weights (d + 1, n_classes), the last row the offsets, from rows (n, d) and class numbers (n,).

    Classes weigh by the square root of their size: neither drowned by the large ones nor blown up from three images.
    `ridge` multiplies half the squared weights, offsets apart. Convex, so the result depends on nothing else.
    """
    from scipy.optimize import minimize

    sizes = np.bincount(targets, minlength=n_classes)
    weight = 1 / np.sqrt(sizes[targets])
    weight *= len(rows) / weight.sum()
    wide = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    wanted = np.eye(n_classes)[targets]

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(-1, n_classes)
        logits = wide @ weights
        total = log_sum_exp(logits)
        gradient = wide.T @ (weight[:, None] * (np.exp(logits - total[:, None]) - wanted))
        gradient[:-1] += ridge * weights[:-1]
        value = weight @ (total - (logits * wanted).sum(axis=1)) + 0.5 * ridge * float((weights[:-1] ** 2).sum())
        return float(value), gradient.ravel()

    start = np.zeros(wide.shape[1] * n_classes)
    found: Floats = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found.reshape(-1, n_classes)


def fit_temperature(logits: Floats, targets: npt.NDArray[np.intp]) -> float:
    """The number to divide logits (n, n_classes) by that minimises the negative log-likelihood; in [0.3, 20].

    A few images that are told apart without a mistake would ask for certainty; the lower bound refuses it.

    Guo et al., 2017, https://arxiv.org/abs/1706.04599
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float((log_sum_exp(scaled) - scaled[np.arange(len(targets)), targets]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.3), np.log(20)), method="bounded").x))


def log_sum_exp(logits: Floats) -> Floats:
    """The logarithm of the sum of exponentials of each row, shape (n,)."""
    top = logits.max(axis=1)
    total: Floats = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return total


def softmax(logits: Floats) -> Floats:
    """Each row as probabilities."""
    shares: Floats = np.exp(logits - log_sum_exp(logits)[:, None])
    return shares
