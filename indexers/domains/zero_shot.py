"""Domains of images by prompts: the texts that an image-text encoder is asked, without any labelled image.

Radford et al., 2021, https://arxiv.org/abs/2103.00020, section 3.1
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from indexers.domains.softmax import Floats, fit_temperature, softmax
from indexers.encoders.unit_rows import unit_rows
from rag.domains.names import DOMAINS, Domain
from rag.errors import ConfigError
from rag.protocols import Encoder
from rag.types import Matrix, Query

SCALE = 100.0
"""What cosines are multiplied by: the bound of CLIP's learned scale, which trained models reach."""


@dataclass(frozen=True, slots=True, eq=False)
class PromptDomains:
    """Plays `rag.routing.DomainModel` on image vectors of an image-text encoder.

    prompts: one unit row per domain of `names`, (n_domains, dim).
    """

    names: tuple[Domain, ...]
    prompts: Matrix
    scale: float = SCALE

    def posteriors(self, vectors: Matrix) -> Floats:
        """Probabilities of `names` for vectors (n, dim), shape (n, n_domains)."""
        return softmax(self._cosines(vectors) * self.scale)

    def posterior(self, vectors: Matrix) -> dict[Domain, float]:
        """The mean over the rows of one image."""
        shares = self.posteriors(np.atleast_2d(vectors)).mean(axis=0)
        return dict(zip(self.names, shares.tolist(), strict=True))

    def calibrated(self, vectors: Matrix, domains: Sequence[Domain]) -> PromptDomains:
        """With the scale under which labelled images are as probable as they are right.

        Raises:
            ConfigError: there is no image of a domain that prompts name.
        """
        known = [place for place, domain in enumerate(domains) if domain in self.names]
        if not known:
            raise ConfigError("no labelled image is of a domain that the prompts name; calibrate on other images")
        targets: npt.NDArray[np.intp] = np.array([self.names.index(domains[place]) for place in known], dtype=np.intp)
        return replace(self, scale=SCALE / fit_temperature(self._cosines(vectors[known]) * SCALE, targets))

    def _cosines(self, vectors: Matrix) -> Floats:
        found: Floats = unit_rows(vectors).astype(np.float64) @ self.prompts.T.astype(np.float64)
        return found


class PromptedDomains:
    """As `PromptDomains`, for an encoder whose prompts are encoded when the first image comes: words need no model."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def posterior(self, vectors: Matrix) -> dict[Domain, float]:
        """The mean over the rows of one image. Raises what `prompt_domains` raises."""
        return self._asked.posterior(vectors)

    @cached_property
    def _asked(self) -> PromptDomains:
        return prompt_domains(self._encoder)


def prompt_domains(encoder: Encoder, prompts: Mapping[str, Sequence[str]] | None = None) -> PromptDomains:
    """The mean vector of each domain's prompts.

    Raises:
        ConfigError: the encoder reads no text, or makes several rows of one; domains cannot be asked for in words.
    """
    wanted = shipped_prompts() if prompts is None else prompts
    names = tuple(domain for domain in DOMAINS if domain in wanted)
    means = []
    for name in names:
        vectors = encoder.encode_queries([Query(text=prompt) for prompt in wanted[name]])
        rows = [vector for vector in vectors if isinstance(vector, np.ndarray) and len(vector) == 1]
        if len(rows) < len(vectors) or encoder.spec.form != "dense":
            raise ConfigError(
                f"the encoder of channel {encoder.spec.name} gives no single vector for a text; "
                "zero-shot domains need an image-text encoder"
            )
        means.append(np.concatenate(rows).mean(axis=0))
    return PromptDomains(names, unit_rows(np.stack(means)))


def shipped_prompts() -> Mapping[str, Sequence[str]]:
    """The prompts that ship with Vesalius."""
    loaded: dict[str, list[str]] = tomllib.loads(
        (files("indexers.domains") / "prompts.toml").read_text(encoding="utf-8")
    )
    return loaded
