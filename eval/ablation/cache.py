"""The stage cache: what a stage made is kept under a key of everything that it was made from, for all cells and runs.

A key is a digest of the stage's name, the version of its code, the keys of its inputs and the settings that it reads. A
value is one JSON file with a checksum, written beside its place and renamed: a reader or a kill sees all of it or
nothing. There is one entry per question, so an interruption loses one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

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
_SUFFIX, _PARTIAL = ".json", ".partial"


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
    """What `verify` or `gc` found: entries by state (sound, damaged, outdated, leftover) and bytes freed."""

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
        self._root = str(folder)

    def has(self, need: Need) -> bool:
        """Whether a sound header says that this is there, deep enough; the value is checked when it is read."""
        if self._is_refused(need):
            return False
        try:
            with open(self._path(need), "rb") as stream:  # noqa: PTH123 - see _path
                header = json.loads(stream.readline())
            return bool(header["depth"] >= need.depth)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def get(self, need: Need) -> Entry | None:
        """What is there; None when it is absent, damaged or not deep enough."""
        if self._is_refused(need):
            return None
        try:
            with open(self._path(need), "rb", buffering=0) as stream:  # noqa: PTH123 - see _path
                data = stream.read()
        except OSError:
            return None
        return _entry(data, need.depth)

    def put(self, need: Need, entry: Entry) -> None:
        """Keep a value."""
        body = json.dumps(entry.value, ensure_ascii=False, separators=(",", ":")).encode()
        head = {
            "sha256": hashlib.sha256(body).hexdigest(),
            "depth": entry.depth,
            "version": code_version(need.stage),
            "seconds": dict(entry.seconds),
        }
        path = self._path(need)
        partial = f"{path}.{os.getpid()}{_PARTIAL}"
        data = json.dumps(head).encode() + b"\n" + body
        try:
            _write(partial, data)
        except FileNotFoundError:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            _write(partial, data)
        os.replace(partial, path)  # noqa: PTH105 - see _path
        self._written.add((need.stage, need.key))

    def verify(self) -> Checkup:
        """Read every entry and compare its checksum."""
        sound, damaged, outdated = 0, [], 0
        for path in self._files():
            state = _state(path, self._stage_of(path))
            sound += state == "sound"
            outdated += state == "outdated"
            damaged += [str(path)] if state == "damaged" else []
        return Checkup(sound, tuple(damaged), outdated, sum(1 for _ in self._leftovers()))

    def gc(self, days: float | None = None) -> Checkup:
        """Delete what no run can use: damaged entries, those of older code, leftovers; with `days`, older ones, too."""
        before = time.time() - days * 86_400 if days is not None else float("-inf")
        counts = {"sound": 0, "damaged": 0, "outdated": 0}
        damaged: list[str] = []
        freed = 0
        for path in self._files():
            state = _state(path, self._stage_of(path))
            counts[state] += 1
            damaged += [str(path)] if state == "damaged" else []
            if state != "sound" or path.stat().st_mtime < before:
                freed += path.stat().st_size
                path.unlink(missing_ok=True)
        leftovers = list(self._leftovers())
        for path in leftovers:
            freed += path.stat().st_size
            path.unlink(missing_ok=True)
        return Checkup(counts["sound"], tuple(damaged), counts["outdated"], len(leftovers), freed)

    def _is_refused(self, need: Need) -> bool:
        return need.stage in self._refused and (need.stage, need.key) not in self._written

    def _path(self, need: Need) -> str:
        """Where an entry lies. A string: this runs several times for every sample, and pathlib would be half of it."""
        return f"{self._root}/{need.stage}/{need.key[:2]}/{need.key}{_SUFFIX}"

    def _stage_of(self, path: Path) -> str:
        return path.parent.parent.name

    def _files(self) -> Iterator[Path]:
        for stage in VERSIONS:
            yield from (self.folder / stage).glob(f"*/*{_SUFFIX}")

    def _leftovers(self) -> Iterator[Path]:
        for stage in VERSIONS:
            yield from (self.folder / stage).glob(f"*/*{_PARTIAL}")


def _write(path: str, data: bytes) -> None:
    with open(path, "wb", buffering=0) as stream:  # noqa: PTH123 - see StageCache._path
        stream.write(data)


def _entry(data: bytes, depth: int = 0) -> Entry | None:
    head, _, body = data.partition(b"\n")
    try:
        header = json.loads(head)
        if header["depth"] < depth or header["sha256"] != hashlib.sha256(body).hexdigest():
            return None
        return Entry(json.loads(body), header["depth"], header["seconds"])
    except (ValueError, KeyError, TypeError):
        return None


def _state(path: Path, stage: str) -> str:
    data = path.read_bytes()
    if _entry(data) is None:
        return "damaged"
    return "sound" if json.loads(data.partition(b"\n")[0])["version"] == code_version(stage) else "outdated"
