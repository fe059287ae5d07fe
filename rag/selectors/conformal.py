"""Guarantees from a few labelled queries: conformal quantiles and certified risks. Pure.

Both assume that later queries are exchangeable with the labelled ones: the same kind of questions to the same library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr

from rag.errors import ConfigError

Procedure = Literal["fixed-sequence", "bonferroni"]


def conformal_quantile(values: Sequence[float], target: float) -> float:
    """A bound that the value of a further query does not exceed, with probability at least `target`.

    The ceil((n + 1) * target)-th smallest of the n values: the finite-sample quantile of split conformal prediction
    (Vovk, Gammerman and Shafer, 2005; Angelopoulos and Bates, 2021, https://arxiv.org/abs/2107.07511, section 1). The
    probability is over the draw of the n values and the further one together. Infinite when n is too small for the
    target (fewer than `target / (1 - target)` values), or when too many values are infinite.

    Raises:
        ConfigError: the target is not between 0 and 1.
    """
    _check_share("target", target)
    # (n + 1) * 0.9 may come out a rounding error above a whole number, which would ask for one value more.
    rank = math.ceil((len(values) + 1) * target - 1e-9)
    return float(np.sort(np.asarray(values, dtype=np.float64))[rank - 1]) if rank <= len(values) else math.inf


def hoeffding_bentkus(risk: float, n: int, limit: float) -> float:
    """The p-value of "the true risk is above `limit`", given a mean loss `risk` over n losses in [0, 1].

    min( exp(-n h(min(risk, limit), limit)), e P(Bin(n, limit) <= ceil(n risk)) ), with
    h(a, b) = a log(a / b) + (1 - a) log((1 - a) / (1 - b)): Hoeffding's and Bentkus' inequalities together, as in
    Bates et al., 2021, https://arxiv.org/abs/2101.02703, and Angelopoulos et al., 2021 (learn then test),
    https://arxiv.org/abs/2110.01052.
    """
    low = min(risk, limit)
    divergence = _part(low, limit) + _part(1 - low, 1 - limit)
    hoeffding = math.exp(-n * divergence)
    bentkus = math.e * float(bdtr(math.ceil(n * risk - 1e-9), n, limit))
    return min(1.0, hoeffding, bentkus)


def certified(losses: npt.ArrayLike, limit: float, delta: float, procedure: Procedure = "fixed-sequence") -> list[int]:
    """The columns of a table of losses whose true risk is at most `limit`, all of them with probability 1 - delta.

    `losses` has shape (n_queries, n_settings), values in [0, 1]; RULE (Xia et al., EMNLP 2024,
    https://arxiv.org/abs/2407.05131) has one column per k and 1 where the answer from k reports was wrong. The
    family-wise error is controlled by Bonferroni (each p-value against delta over their number), or by testing in a
    fixed sequence from the last column to the first, which stops at the first failure: stronger when the last column
    has the least risk, as when losses fall with k.

    Raises:
        ConfigError: limit or delta is not between 0 and 1.
        ValueError: the table is not two-dimensional or holds losses outside [0, 1].
    """
    _check_share("risk", limit)
    _check_share("delta", delta)
    table = np.asarray(losses, dtype=np.float64)
    if table.ndim != 2 or not ((table >= 0) & (table <= 1)).all():
        raise ValueError("a table of losses has one row per query, one column per setting, and values in [0, 1]")
    n, settings = table.shape
    if n == 0:
        return []
    values = [hoeffding_bentkus(float(risk), n, limit) for risk in table.mean(axis=0)]
    if procedure == "bonferroni":
        return [column for column, value in enumerate(values) if value <= delta / settings]
    passed: list[int] = []
    for column in reversed(range(settings)):
        if values[column] > delta:
            break
        passed.insert(0, column)
    return passed


def _part(share: float, limit: float) -> float:
    return share * math.log(share / limit) if share > 0 else 0.0


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ConfigError(f"calibration: {name} is {value}; it must be between 0 and 1")
