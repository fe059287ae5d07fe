"""How strongly a link attracts a walker, what it costs an explanation, and how widely known a path's concepts are.

Both implementations call these, so that equal graphs give equal numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def link_weight(sources: npt.ArrayLike) -> Numbers:
    """What one triple adds to its link: 1 + ln(sources that support it).

    A source is a document and the data set that it says a row is from, so a table compiled of three data sets can be
    three. Ten sources do not make a statement ten times as true: they often copy it from each other.
    """
    weight: Numbers = 1.0 + np.log(np.asarray(sources, np.float64))
    return weight


def link_cost(degree_a: npt.ArrayLike, degree_b: npt.ArrayLike, sources: npt.ArrayLike) -> Numbers:
    """What a link costs an explanation: round(100 (1 + (log2 degree_a + log2 degree_b) / 2) / link_weight).

    A link between two concepts with few others says more than one through a hub. A degree is a concept's number of
    links, `sources` those of the link's best triple. Whole numbers, so that sums along a path are exact and ties are
    ties.
    """
    spread = (np.log2(np.asarray(degree_a, np.float64)) + np.log2(np.asarray(degree_b, np.float64))) / 2
    cost: Any = np.rint(100 * (1 + spread) / link_weight(sources))
    least: Numbers = np.maximum(cost, 1.0)
    return least
