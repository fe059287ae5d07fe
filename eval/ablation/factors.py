"""Factors: what an experiment can switch. A factor is a key of the settings, a short name for one, or a switch.

Switches are what the settings do not hold: which channels and kinds are searched, the prompt, what of the
evidence a model sees, the guard, and whether anything is retrieved at all.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eval.ablation.experiment import Experiment, LevelSpec, NamedLevel, level_name, nearest
from eval.ablation.results import Cell
from eval.datasets import parse_kinds
from pipelines.config import Settings, flat_settings, load_settings, presets
from rag.errors import ConfigError
from rag.types import KINDS, Kind

SHORT: Mapping[str, str] = {
    "k": "answer.k", "answerer": "answer.generator", "budget_words": "answer.budget_words",
    "per_option": "answer.per_option", "selector": "select.kind", "router": "routing.enabled",
    "graph": "graph.enabled", "rerank": "rerank.enabled", "reranker": "rerank.kind", "union": "fusion.union",
    "depth": "fusion.depth", "constant": "fusion.constant", "encoder": "clip.model", "page_encoder": "visual.model",
    "model": "vlm.model", "temperature": "vlm.temperature", "strategy": "agent.strategy", "planner": "agent.planner",
    "judge": "grounding.judge", "unverified": "grounding.unverified",
}  # fmt: skip
"""Short names of settings that are often varied. `k` bounds what any selector keeps, not only the fixed one."""
_FREE = ("fusion.weights.", "models.local.", "clips.")
"""Sections whose keys are names of the user's own."""
_ALL = "all"
EVIDENCE_FORMS = ("text", "image", "both")
QUERY_FORMS = ("both", "text", "image")


@dataclass(frozen=True, slots=True)
class Switches:
    """What a cell does beside its settings.

    channels: names that are searched, empty for every one. without: names left out. kinds: passage kinds searched,
    empty for where the gold lies (retrieval) or all (answers). prompt: empty for the one that each question needs.
    evidence: what of a passage a model sees. query: what of a question is used. retrieval: False gives no evidence.
    """

    channels: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    prompt: str = ""
    evidence: str = "text"
    query: str = "both"
    retrieval: bool = True
    guard: bool = True


SWITCHES = ("channels", "kinds", "sources", "prompt", "evidence", "query", "retrieval", "guard")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a cell is made with: settings on top of the library's own, by dotted key, and switches."""

    overrides: Mapping[str, Any]
    switches: Switches

    @property
    def lines(self) -> tuple[str, ...]:
        """The overrides as `key=value`, as `--set` takes them; JSON is YAML."""
        return tuple(f"{key}={json.dumps(value)}" for key, value in self.overrides.items())


def known_factors() -> list[str]:
    """Every name that a factor may have, short names first."""
    return [*SHORT, *SWITCHES, *flat_settings(Settings())]


def setup_of(experiment: Experiment, cell: Cell) -> Setup:
    """What a cell is made with: `base`, then its levels. Raises ConfigError for an unknown factor or level."""
    made = Setup({}, Switches())
    for name, value in flattened(experiment.base).items():
        made = _applied(made, name, value)
    for factor, level in cell.levels.items():
        made = _level_applied(made, factor, _spec(experiment, factor, level))
    return made


def check_factors(experiment: Experiment) -> None:
    """Try every level of every factor, and `base`, by itself: whatever is unknown is an error here.

    Raises:
        ConfigError: an unknown factor or value; the message names the nearest.
    """
    base = setup_of(experiment, Cell("base", {}))
    load_checked(experiment, base)
    for factor, levels in experiment.factors.items():
        if not levels:
            raise ConfigError(f"factor {factor} has no level")
        names = [str(level_name(level)) for level in levels]
        if len(set(names)) != len(names):
            raise ConfigError(f"factor {factor} names a level twice: {', '.join(names)}")
        for level in levels:
            load_checked(experiment, _level_applied(base, factor, level))


def load_checked(experiment: Experiment, setup: Setup, library: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a setup. Raises ConfigError; for a wrong value, with the nearest one that is allowed."""
    if experiment.preset is not None and experiment.preset not in presets():
        raise ConfigError(f"there is no preset {experiment.preset!r}{nearest(experiment.preset, presets())}")
    try:
        return load_settings(experiment.preset, None, setup.lines, library=library).settings
    except ConfigError as error:
        raise ConfigError(f"{error}{_meant(str(error))}") from error


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted keys; a section of names of the user's own stays one value."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value and f"{prefix}{key}." not in _FREE:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _spec(experiment: Experiment, factor: str, level: object) -> LevelSpec:
    levels = experiment.factors.get(factor)
    if levels is None:
        raise ConfigError(f"there is no factor {factor!r} in the experiment{nearest(factor, list(experiment.factors))}")
    for spec in levels:
        name = level_name(spec)
        if name == level and isinstance(name, bool) == isinstance(level, bool):
            return spec
    names = [str(level_name(spec)) for spec in levels]
    raise ConfigError(f"factor {factor} has no level {level!r}{nearest(str(level), names)}")


def _level_applied(made: Setup, factor: str, level: LevelSpec) -> Setup:
    if not isinstance(level, NamedLevel):
        return _applied(made, factor, level)
    for name, value in flattened(level.set).items():
        made = _applied(made, name, value)
    return made


def _applied(made: Setup, name: str, value: object) -> Setup:
    if name in SWITCHES:
        return replace(made, switches=_switched(made.switches, name, value))
    key = SHORT.get(name, name)
    if key == "preset":
        raise ConfigError("a preset is named at the top of the experiment (`preset: NAME`), for all cells alike")
    if key not in flat_settings(Settings()) and not key.startswith(_FREE):
        raise ConfigError(f"unknown factor or setting {name!r}{nearest(name, known_factors())}")
    overrides = {**made.overrides, key: value}
    return replace(made, overrides={**overrides, **_bounds(value, overrides)} if name == "k" else overrides)


def _bounds(k: object, known: Mapping[str, Any]) -> dict[str, Any]:
    """What makes k the most passages of every selector: `answer.k` is the fixed one's only, the others read these."""
    if not isinstance(k, int) or k < 1:
        return {}
    least = known.get("select.least", Settings().select.least)
    return {"select.most": k} | ({"select.least": k} if isinstance(least, int) and least > k else {})


def _switched(switches: Switches, name: str, value: object) -> Switches:
    if name == "channels":
        return _channels(switches, value)
    if name in ("kinds", "sources"):
        return replace(switches, kinds=_kinds(name, value))
    if name in ("retrieval", "guard"):
        if not isinstance(value, bool):
            raise ConfigError(f"{name} = {value!r}: use on or off")
        return replace(switches, retrieval=value) if name == "retrieval" else replace(switches, guard=value)
    choices = {"evidence": EVIDENCE_FORMS, "query": QUERY_FORMS}.get(name)
    if choices is not None and value not in choices:
        raise ConfigError(f"{name} = {value!r}{nearest(str(value), list(choices))}")
    return _worded(switches, name, str(value))


def _worded(switches: Switches, name: str, value: str) -> Switches:
    match name:
        case "evidence":
            return replace(switches, evidence=value)
        case "query":
            return replace(switches, query=value)
        case _:
            return replace(switches, prompt=value)


def _channels(switches: Switches, value: object) -> Switches:
    """`all`, `dense+bm25`, a list, or `all-late+bm25`: every channel but these."""
    text = "+".join(str(part) for part in value) if isinstance(value, list) else str(value)
    if text == _ALL:
        return replace(switches, channels=(), without=())
    names = tuple(dict.fromkeys(text.removeprefix(f"{_ALL}-").split("+")))
    if text.startswith(f"{_ALL}-"):
        return replace(switches, channels=(), without=names)
    return replace(switches, channels=names, without=())


def _kinds(name: str, value: object) -> tuple[Kind, ...]:
    if value == "auto":
        return ()
    if value == _ALL:
        return KINDS
    try:
        return parse_kinds(value if isinstance(value, list) else str(value).replace("+", ","))
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error


def _meant(message: str) -> str:
    """The allowed value nearest to a wrong one, read from pydantic's own message."""
    wrong = re.search(r"= '([^']*)': Input should be (.+)$", message)
    allowed: Sequence[str] = re.findall(r"'([^']+)'", wrong[2]) if wrong else ()
    close = difflib.get_close_matches(wrong[1], allowed, n=1, cutoff=0.0) if wrong and allowed else []
    return f"; did you mean {close[0]!r}?" if close else ""
