"""Settings: YAML presets and files, checked by pydantic. An unknown key is an error that names the nearest one.

Sources of a value, later ones win: the preset, what the library was built with, the user's file (`--config`), and
`--set a.b=c`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipelines.settings import DEFAULT_PRESET, Settings
from rag.errors import ConfigError

__all__ = ["DEFAULT_PRESET", "Origins", "Settings", "flat_settings", "load_settings", "presets"]


class Origins(BaseModel):
    """Resolved settings, and for each dotted key where its value came from."""

    settings: Settings
    origin: dict[str, str]


def presets() -> list[str]:
    """Names of the presets that ship with Vesalius."""
    folder = files("pipelines") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_settings(
    preset: str | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    library: Mapping[str, Any] | None = None,
) -> Origins:
    """Settings from a preset, a library's own, a YAML file and `a.b=c` overrides. Raises ConfigError."""
    own = _read_yaml(file) if file else {}
    name = preset or str(own.get("preset", DEFAULT_PRESET))
    layers = [(f"preset {name}", _preset(name)), ("library", dict(library or {})), (str(file), {**own, "preset": name})]
    layers += [("--set", _override(text)) for text in overrides]
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for label, layer in layers:
        merged = _merge(merged, layer)
        origin |= {key: label for key, _ in _flatten(layer)}
    return Origins(settings=_validate(merged), origin=origin | {"preset": "--preset" if preset else origin["preset"]})


def _preset(name: str) -> dict[str, Any]:
    if name not in presets():
        raise ConfigError(f"there is no preset {name!r}; presets are: {', '.join(presets())}")
    text = (files("pipelines") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text) or {}
    return loaded


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"the configuration {path} is not a mapping of keys to values")
    return loaded


def _override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: expected key=value, for example --set rerank.enabled=false")
    nested: Any = yaml.safe_load(value) if value else None
    for part in reversed(_split_key(key.strip())):
        nested = {part: nested}
    return dict(nested)


def _split_key(key: str) -> list[str]:
    # Weights are named "page.late": what follows fusion.weights is one key, dots and all.
    for prefix in ("fusion.weights.", "models.local."):
        if key.startswith(prefix):
            return [*prefix.rstrip(".").split("."), key[len(prefix) :]]
    return key.split(".")


def _merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _flatten(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def flat_settings(settings: Settings) -> dict[str, Any]:
    """Every setting under its dotted key, as JSON values."""
    return dict(_flatten(settings.model_dump(mode="json")))


def _validate(merged: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        errors = error.errors()
        first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] != "extra_forbidden":
            raise ConfigError(f"setting {key} = {first.get('input')!r}: {first['msg']}") from error
        named = str(first["loc"][1]) if len(first["loc"]) > 2 else "NAME"
        known = [name for name in _known_keys(Settings, named=named) if name != key]
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
        raise ConfigError(f"unknown setting {key!r}; did you mean {near[0]!r}?") from error


def _known_keys(model: type[BaseModel], prefix: str = "", named: str = "NAME") -> Iterator[str]:
    """Every key; of sections under a name of the user's own, those of the section `named`."""
    for name, info in model.model_fields.items():
        yield f"{prefix}{name}"
        for section in get_args(info.annotation):
            if isinstance(section, type) and issubclass(section, BaseModel):
                yield from _known_keys(section, f"{prefix}{name}.{named}.")
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _known_keys(info.annotation, f"{prefix}{name}.")
