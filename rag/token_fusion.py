"""The text-image fusion score of Patho-AgenticRAG: how well a page's rows match a query's words and its picture. Pure.

    score = std_i(std_j T_ij) * mean_i(kappa(T_i)^2) * mean_i(kappa(V_i)) + mean_i(max_j T_ij)

T holds the similarity of each word row i of the query with each row j of the page, V that of each patch of the query's
image. kappa is the kurtosis of a row: how concentrated its match is. The last term is MaxSim, averaged over the query's
rows. The image enters by its kurtosis alone, never by its level, so a page full of pictures does not win by that.

Patho-AgenticRAG, 2025, https://arxiv.org/abs/2508.02258, equation 1. The paper tuned it on 50 queries and tested it on
50; it leaves open which kurtosis is meant and whether each row's is squared, which are options here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Similarities = npt.NDArray[np.floating]
_FLAT = 1e-12
"""A row whose variance is below this has no peak: it differs by rounding."""


@dataclass(frozen=True, slots=True)
class TokenFusionOptions:
    """What the paper leaves open.

    kurtosis: "population" is the fourth standardised moment (3 for a normal distribution), "excess" is 3 less.
    square: "inside" averages the squares of the text rows' kurtosis, as typeset; "outside" squares their average.
    """

    kurtosis: Literal["population", "excess"] = "population"
    square: Literal["inside", "outside"] = "inside"


_DEFAULT = TokenFusionOptions()


def row_kurtosis(similarities: Similarities, options: TokenFusionOptions = _DEFAULT) -> npt.NDArray[np.float64]:
    """The kurtosis of each row, shape (n_rows,); 0 for a row without spread, which is concentrated nowhere.

    Moments divide by the number of columns (no correction for small samples).
    """
    values = np.asarray(similarities, dtype=np.float64)
    centred = values - values.mean(axis=1, keepdims=True)
    variance = np.mean(centred**2, axis=1)
    flat = variance < _FLAT
    moment = np.mean(centred**4, axis=1) / np.where(flat, 1.0, variance) ** 2
    shift = 3.0 if options.kurtosis == "excess" else 0.0
    kurtosis: npt.NDArray[np.float64] = np.where(flat, 0.0, moment - shift)
    return kurtosis


def mean_maxsim(text: Similarities) -> float:
    """MaxSim divided by the number of query rows: the mean over rows of their best match."""
    return float(np.max(text, axis=1).mean())


def fusion_score(text: Similarities, image: Similarities | None, options: TokenFusionOptions = _DEFAULT) -> float:
    """The fusion score of one page.

    `text` has shape (n_word_rows, n_page_rows), `image` (n_patches, n_page_rows). Without an image its factor is 1, so
    a page is still judged by how concentrated the words' match is. Standard deviations are the population's.

    Raises:
        ValueError: a matrix is empty or not two-dimensional, or the two speak of different numbers of page rows.
    """
    _check(text, "text")
    if image is not None:
        _check(image, "image")
        if image.shape[1] != text.shape[1]:
            raise ValueError(f"the text meets {text.shape[1]} page rows and the image {image.shape[1]}")
    words = row_kurtosis(text, options)
    peaked = float(np.mean(words**2)) if options.square == "inside" else float(np.mean(words)) ** 2
    seen = 1.0 if image is None else float(row_kurtosis(image, options).mean())
    spread = float(np.std(np.std(np.asarray(text, np.float64), axis=1)))
    return spread * peaked * seen + mean_maxsim(text)


def _check(similarities: Similarities, name: str) -> None:
    if similarities.ndim != 2 or not similarities.size:
        raise ValueError(f"the {name} similarities have shape {similarities.shape}; query rows x page rows are needed")
