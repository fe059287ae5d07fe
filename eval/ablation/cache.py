"""The stage cache: what a stage made is kept under a key of everything that it was made from, for all cells and runs.

A key is a digest of the stage's name, the version of its code, the keys of its inputs and the settings that it reads. A
stage's values lie in one file, each a line with its checksum, written when it is made (`eval.ablation.stage_log`): a
reader or a kill sees all of it or nothing. There is one entry per question, so an interruption loses one.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from eval.ablation.stage_log import Line, Record, StageLog
from rag.errors import ConfigError

Json = Any
"""A plain value: what a JSON document may hold."""
VERSIONS: Mapping[str, int] = {
    "library": 1, "encode": 1, "lists": 1, "rank": 1, "rerank": 1, "guard": 1, "select": 1, "generate": 1, "ground": 1,
    "draft": 1,
}  # fmt: skip
"""The stages that are kept, with the version of how they are kept; see `code_version` for the code behind them."""
DRAFT = "draft"
"""Drafts by what their writer was shown: within a plan's `generate`, cells whose evidence is equal share one."""
STAGES: tuple[str, ...] = (*(stage for stage in VERSIONS if stage != DRAFT), "score", "aggregate")
"""The stages that a plan counts."""
MODEL_STAGES = ("encode", "rerank", DRAFT)
"""What asks a model."""
_ANSWER = ("select", "generate", "ground")
AFTER: Mapping[str, tuple[str, ...]] = {
    "library": (), "encode": ("lists", "rank", "rerank", "guard", *_ANSWER),
    "lists": ("rank", "rerank", "guard", *_ANSWER),
    "rank": ("guard", *_ANSWER), "rerank": ("rank", "guard", *_ANSWER), "guard": (), "select": ("generate", "ground"),
    "generate": (DRAFT, "ground"), "ground": (), DRAFT: ("generate", "ground"),
}  # fmt: skip
"""What depends on a stage: computed anew with it."""
_CODE: Mapping[str, tuple[str, ...]] = {
    "encode": ("indexers/encoders",),
    "lists": ("indexers/stores", "rag/retrievers.py"),
    "rank": ("rag", "rag/domains", "knowledge", "pipelines/search.py", "pipelines/graph_search.py"),
    "rerank": ("rag", "indexers/encoders/cross.py"),
    "guard": ("rag/leakage.py", "eval/leakage.py", "eval/gold.py", "indexers/sources/perceptual.py"),
    "select": (
        "rag/selectors",
        "rag/agent",
        "pipelines/gathering.py",
        "pipelines/strategies.py",
        "pipelines/timeline.py",
    ),
    "generate": ("rag/generators", "rag/prompting"),
    DRAFT: ("rag/generators", "rag/prompting"),
    "ground": ("rag/grounding", "pipelines/checking.py"),
}
"""Files, and folders without those below them, whose change may change what a stage makes; inputs' keys hold theirs."""
_SUFFIX = ".log"


@dataclass(frozen=True, slots=True)
class Need:
    """A stage computation: its key, and how deep a list must be. A deeper list serves every smaller depth."""

    stage: str
    key: str
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """What the cache holds: the value, how deep it goes, and the seconds by stage that went into it."""

    value: Json
    depth: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkup:
    """What `verify` or `gc` found: entries by state, and the bytes freed.

    damaged: where each lies. outdated: of older code. leftover: replaced by a later one, or unfinished by a kill.
    """

    sound: int = 0
    damaged: tuple[str, ...] = ()
    outdated: int = 0
    leftover: int = 0
    freed: int = 0


@cache
def code_version(stage: str) -> str:
    """The version of a stage's code: the number in VERSIONS, and a digest of the files that it is made of."""
    root = Path(__file__).resolve().parents[2]
    found = hashlib.sha256()
    for name in _CODE.get(stage, ()):
        path = root / name
        files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
        for file in files:
            found.update(f"{file.name}\n".encode() + file.read_bytes())
    return f"{VERSIONS[stage]}-{found.hexdigest()[:12]}"


def key_of(stage: str, made_from: Mapping[str, Any]) -> str:
    """The key of a stage computation: 32 hex digits of the canonical JSON of all it depends on."""
    text = json.dumps(
        [stage, code_version(stage), made_from], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class StageCache:
    """A folder of stage results. This run computes `refused` stages and what depends on them anew."""

    def __init__(self, folder: Path, refused: Collection[str] = ()) -> None:
        unknown = sorted(set(refused) - set(VERSIONS))
        if unknown:
            raise ConfigError(f"there is no stage {unknown[0]!r} to compute anew; stages are: {', '.join(VERSIONS)}")
        after = {stage for name in refused for stage in AFTER[name]}
        self.folder, self._refused = folder, frozenset({*refused, *after})
        self._written: set[tuple[str, str]] = set()
        self._logs = {stage: StageLog(folder / f"{stage}{_SUFFIX}") for stage in VERSIONS}

    def has(self, need: Need) -> bool:
        """Whether an entry's head says that this is there, deep enough; the value is checked when it is read."""
        if self._is_refused(need):
            return False
        depth = self._logs[need.stage].depth(need.key)
        return depth is not None and depth >= need.depth

    def get(self, need: Need) -> Entry | None:
        """What is there; None when it is absent, damaged or not deep enough."""
        if not self.has(need):
            return None
        record = self._logs[need.stage].read(need.key)
        return Entry(record.value, record.depth, record.seconds) if record and record.depth >= need.depth else None

    def put(self, need: Need, entry: Entry) -> None:
        """Keep a value.

        Raises:
            EnvironmentProblem: it cannot be written.
        """
        version = code_version(need.stage)
        self._logs[need.stage].add(Record(need.key, entry.value, entry.depth, version, entry.seconds))
        self._written.add((need.stage, need.key))

    def verify(self) -> Checkup:
        """Read every entry and compare its checksum."""
        states: Counter[str] = Counter()
        damaged: list[str] = []
        for stage, log in self._logs.items():
            for line in log.lines():
                state = _state(line, stage)
                states[state] += 1
                damaged += [f"{log.path}, byte {line.start}"] if state == "damaged" else []
        return Checkup(states["sound"], tuple(damaged), states["outdated"], states["leftover"])

    def gc(self, days: float | None = None) -> Checkup:
        """Delete what no run can use: damaged entries, those of older code, leftovers; with `days`, older ones, too."""
        since = float("-inf") if days is None else time.time() - days * 86_400
        found, freed = self.verify(), 0
        for stage, log in self._logs.items():
            freed += log.compact(partial(_is_kept, stage, since))
        return replace(found, freed=freed)

    def _is_refused(self, need: Need) -> bool:
        return need.stage in self._refused and (need.stage, need.key) not in self._written


def _state(line: Line, stage: str) -> str:
    if line.record is None:
        return "damaged" if line.data.endswith(b"\n") else "leftover"
    if not line.last:
        return "leftover"
    return "sound" if line.record.version == code_version(stage) else "outdated"


def _is_kept(stage: str, since: float, line: Line) -> bool:
    return _state(line, stage) == "sound" and line.record is not None and line.record.written >= since
