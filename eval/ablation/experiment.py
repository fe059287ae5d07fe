"""The experiment file: what is asked, of which library, with which factors at which levels. YAML, checked by pydantic.

Everything that could be wrong in the file is wrong before anything runs: an unknown key, factor, level or metric is an
error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from eval.ablation.results import Level
from rag.errors import ConfigError

SAMPLE = "sample"
"""The library that Vesalius writes and indexes itself; `sample/NAME` are its question files."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _listed(value: object) -> object:
    """One thing where a list is meant."""
    return [value] if isinstance(value, str | int | float | bool) else value


class Sources(_Section):
    """A library that is built for the experiment from these files, once per way of indexing them."""

    pages: Annotated[list[Path], BeforeValidator(_listed)] = Field(default_factory=list)
    cases: Annotated[list[Path], BeforeValidator(_listed)] = Field(default_factory=list)
    facts: Annotated[list[Path], BeforeValidator(_listed)] = Field(default_factory=list)


class NamedLevel(_Section):
    """A level that changes several things at once, under a name of its own."""

    name: str = Field(min_length=1)
    set: dict[str, Any] = Field(default_factory=dict)


LevelSpec = Level | list[Level] | NamedLevel


class Fractional(_Section):
    """Some cells of the full design: the baseline, and others drawn so that levels stay balanced."""

    fractional: int = Field(ge=2)


class Listed(_Section):
    """These cells and no others; a factor that a cell does not name has its baseline level."""

    cells: list[dict[str, Level]] = Field(min_length=1, alias="list")


class Budget(_Section):
    """What a run may cost; a plan that exceeds it is refused before it starts. Prices are per million tokens."""

    minutes: float | None = Field(None, gt=0)
    model_calls: int | None = Field(None, ge=0)
    cost: float | None = Field(None, ge=0)
    prompt_price: float = Field(0.0, ge=0)
    completion_price: float = Field(0.0, ge=0)


class Experiment(_Section):
    """An experiment. `base` holds settings and switches of every cell, by key or by factor name.

    `library` is a folder, "sample", or sources to build. The first metric is the main one. Without a `baseline` a
    factor's first level is its baseline. `limit` takes the first questions of each file only.
    """

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    question: str = ""
    preset: str | None = None
    library: Sources | str | None = None
    questions: Annotated[list[str], BeforeValidator(_listed)] = Field(default_factory=list)
    metrics: Annotated[list[str], BeforeValidator(_listed)] = Field(min_length=1)
    base: dict[str, Any] = Field(default_factory=dict)
    factors: dict[str, list[LevelSpec]] = Field(default_factory=dict)
    design: Literal["one-factor", "full"] | Fractional | Listed = "one-factor"
    baseline: dict[str, Level] = Field(default_factory=dict)
    exclude: list[dict[str, Level]] = Field(default_factory=list)
    repeats: int = Field(1, ge=1, le=100)
    limit: int | None = Field(None, ge=1)
    sanity: bool = True
    seed: int = 0
    budget: Budget = Budget()


def shipped_experiments() -> list[str]:
    """Names of the experiments that ship with Vesalius."""
    folder = files("eval") / "experiments"
    return sorted(one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml"))


def load_experiment(source: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of a file, or of a shipped name.

    `overrides` are `key=value`: a key of the file (library, questions, limit, ...), or a setting, which goes to `base`.

    Raises:
        ConfigError: the file cannot be read, or something in it is unknown; the message names the nearest.
    """
    data = _read(source)
    for text in overrides:
        _override(data, text)
    return parse_experiment(data, str(source))


def settings_lines(path: Path) -> list[str]:
    """A file of settings as overrides of an experiment. Raises ConfigError."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"the configuration {path} is not a mapping of keys to values")
    return [f"{key}={json.dumps(value)}" for key, value in data.items()]


def parse_experiment(data: Mapping[str, Any], name: str = "experiment") -> Experiment:
    """An experiment from plain values. Raises ConfigError."""
    try:
        return Experiment.model_validate(data)
    except ValidationError as error:
        problems = error.errors()
        first = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] != "extra_forbidden":
            raise ConfigError(f"{name}: {key} = {first.get('input')!r}: {first['msg']}") from error
        unknown = str(first["loc"][-1])
        raise ConfigError(f"{name}: unknown key {key!r}{nearest(unknown, _keys())}") from error


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a message: which known word was meant, and all of them where they are few."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5) or difflib.get_close_matches(
        word.lower(), known, n=1, cutoff=0.0
    )
    meant = f"; did you mean {close[0]!r}?" if close else ""
    return meant + (f" (known: {', '.join(sorted(known))})" if len(known) <= 40 else "")


def level_name(level: LevelSpec) -> Level:
    """A level as a cell shows it: a value as it is, a list joined by "+", a named level by its name."""
    if isinstance(level, NamedLevel):
        return level.name
    return "+".join(str(part) for part in level) if isinstance(level, list) else level


def _keys() -> list[str]:
    sections = (Experiment, Sources, NamedLevel, Fractional, Listed, Budget)
    return sorted({info.alias or name for section in sections for name, info in section.model_fields.items()})


def _read(source: str | Path) -> dict[str, Any]:
    path = Path(source)
    shipped = files("eval") / "experiments" / f"{source}.yaml"
    try:
        text = shipped.read_text(encoding="utf-8") if str(source) in shipped_experiments() else path.read_text("utf-8")
        data = yaml.safe_load(text)
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no experiment {source}; name a YAML file, or one that ships: {', '.join(shipped_experiments())}"
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the experiment {source} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"the experiment {source} is not a mapping of keys to values")
    return data


def _override(data: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"--set {text}: expected key=value, for example --set library=DIR or --set answer.k=5")
    parsed = yaml.safe_load(value) if value else None
    if key in Experiment.model_fields:
        data[key] = parsed
    else:
        data["base"] = {**(data.get("base") or {}), key: parsed}
