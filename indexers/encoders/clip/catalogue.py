"""Image-text encoders known by name: where they are, how they read, and what they are for. The list is data.

`catalogue.toml` holds what the publishers say; no trained weights could be opened where it was written. An opened
checkpoint is therefore compared with its entry.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from indexers.encoders.clip.options import ClipLibraryName, ClipOptions
from indexers.encoders.clip.shape import DualShape
from rag.domains.names import ImageDomain, parse_domain
from rag.errors import ConfigError

_TOLERANCE = 1e-3
"""Publishers round means and deviations to three digits or more; other normalisations differ by 0.02 at least."""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One named encoder. What is None or empty is not known here and is not compared.

    library: the adapter that opens it, None when none does. model: its hub id, empty when the publisher offers it
    elsewhere only. revision: a commit of the hub. gated: its terms must be accepted on the hub. domains: what it is
    meant for, by its publisher. note: what to know before opening it.
    """

    name: str
    library: ClipLibraryName | None
    model: str
    revision: str | None
    dim: int | None
    image_size: int | None
    context_length: int | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    licence: str
    gated: bool
    domains: tuple[ImageDomain, ...]
    note: str

    def resolve(self, options: ClipOptions, local: Mapping[str, Path]) -> ClipOptions:
        """The options with the entry's folder or hub id, library and revision; what the user set stays.

        A folder under the entry's name in `local` comes before the hub. Raises ConfigError when no adapter opens the
        model, or it is on no hub and no folder is named.
        """
        said = f"{options.key} = {self.name}"
        if self.library is None:
            raise ConfigError(f"{said}: no adapter here opens it. {self.note}")
        folder = local.get(self.name)
        if folder is None and not self.model:
            raise ConfigError(f"{said}: it is not on the hub; name its folder: models.local.{self.name}. {self.note}")
        library = self.library if options.library == "auto" else options.library
        if folder is not None:
            return replace(options, model=str(folder), revision=None, library=library)
        return replace(options, model=self.model, revision=options.revision or self.revision, library=library)

    def require(self, found: DualShape, options: ClipOptions) -> None:
        """Compare an opened checkpoint. Raises ConfigError naming every value that differs, with both sides."""
        pairs = {
            "dimensions": (self.dim, found.dim),
            "image size": (self.image_size, found.image_size),
            "context length": (self.context_length, found.context_length),
            "mean of pixels": (self.mean, found.mean),
            "deviation of pixels": (self.std, found.std),
        }
        wrong = [
            f"{what} {own} instead of {said}"
            for what, (said, own) in pairs.items()
            if said is not None and own is not None and not _same(said, own)
        ]
        if wrong:
            raise ConfigError(
                f"{options.key} = {self.name}: the checkpoint in {options.model} has {', '.join(wrong)}; it is another "
                f"model. Correct models.local.{self.name} or the revision, or name the checkpoint itself as the model"
            )


@cache
def catalogue() -> Mapping[str, CatalogueEntry]:
    """The entries of `catalogue.toml` by name."""
    text = (files("indexers.encoders.clip") / "catalogue.toml").read_text(encoding="utf-8")
    return {name: _entry(name, values) for name, values in tomllib.loads(text).items()}


def require_known(options: ClipOptions) -> None:
    """Refuse a word that names no entry and no folder: hub ids have an owner. Raises ConfigError with the nearest."""
    model = options.model
    if "/" in model or "\\" in model or Path(model).expanduser().exists():
        return
    names = list(catalogue())
    near = difflib.get_close_matches(model.casefold(), names, n=1, cutoff=0.0)[0]
    raise ConfigError(
        f"{options.key} = {model}: there is no such folder and no encoder of that name; did you mean {near!r}? "
        f"Known are: {', '.join(names)}"
    )


def _entry(name: str, values: Mapping[str, Any]) -> CatalogueEntry:
    mean, std = values.get("mean"), values.get("std")
    return CatalogueEntry(
        name,
        values.get("library"),
        values.get("model", ""),
        values.get("revision"),
        values.get("dim"),
        values.get("image_size"),
        values.get("context_length"),
        None if mean is None else tuple(mean),
        None if std is None else tuple(std),
        values["licence"],
        values.get("gated", False),
        tuple(parse_domain(domain) for domain in values["domains"]),
        values["note"],
    )


def _same(said: int | tuple[float, ...], own: int | tuple[float, ...]) -> bool:
    if isinstance(said, int) or isinstance(own, int):
        return said == own
    return len(said) == len(own) and all(abs(a - b) <= _TOLERANCE for a, b in zip(said, own, strict=True))
