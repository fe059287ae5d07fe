"""Work that is done once: a stage's result is looked up under its key, and computed and kept when it is not there."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from eval.ablation.cache import Entry, Json, Need, StageCache

_RECENT = 512
"""Entries that are kept in memory: the stages of one question read one ranking several times."""


@dataclass(slots=True)
class Tally:
    """What a run computed: computations and their own seconds by stage, the keys, and what could not be kept."""

    computed: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    keys: set[tuple[str, str]] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class _Frame:
    """A computation under way: seconds by stage of all that went into it, and those spent in stages within it."""

    seconds: dict[str, float] = field(default_factory=dict)
    within: float = 0.0


class Work:
    """Computes what is not there, once, and adds up what it took."""

    def __init__(self, cache: StageCache) -> None:
        self.cache, self.tally = cache, Tally()
        self._frames: list[_Frame] = [_Frame()]
        self._recent: OrderedDict[tuple[str, str], Entry] = OrderedDict()

    def once(self, need: Need, compute: Callable[[], Json]) -> Json:
        """The value of a stage computation, from the cache or computed now. It is shared: nobody may change it."""
        started = time.perf_counter()
        found = self._known(need)
        if found is None:
            found = self._computed(need, compute)
        # The stage around this one has not spent this time itself, nor has it kept or looked up what is kept.
        self._frames[-1].within += time.perf_counter() - started
        _add(self._frames[-1].seconds, found.seconds)
        return found.value

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds what is done inside to the seconds of a stage that is not kept, such as `score`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            _add(self.tally.seconds, {stage: time.perf_counter() - started})

    @contextmanager
    def question(self) -> Iterator[dict[str, float]]:
        """Collects the seconds by stage that went into one question, whenever they were spent."""
        told: dict[str, float] = {}
        with self._frame() as frame:
            yield told
        told.update(frame.seconds)

    @contextmanager
    def _frame(self) -> Iterator[_Frame]:
        frame = _Frame()
        depth = len(self._frames)
        self._frames.append(frame)
        try:
            yield frame
        finally:
            del self._frames[depth:]

    def _known(self, need: Need) -> Entry | None:
        recent = self._recent.get((need.stage, need.key))
        if recent is not None and recent.depth >= need.depth:
            return recent
        found = self.cache.get(need)
        return None if found is None else self._keep(need, found)

    def _keep(self, need: Need, entry: Entry) -> Entry:
        self._recent[need.stage, need.key] = entry
        self._recent.move_to_end((need.stage, need.key))
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return entry

    def _computed(self, need: Need, compute: Callable[[], Json]) -> Entry:
        started = time.perf_counter()
        with self._frame() as frame:
            value = compute()
        own = max(0.0, time.perf_counter() - started - frame.within)
        _add(frame.seconds, {need.stage: own})
        entry = Entry(value, need.depth, {stage: round(taken, 6) for stage, taken in frame.seconds.items()})
        self.cache.put(need, entry)
        self.tally.computed[need.stage] += 1
        _add(self.tally.seconds, {need.stage: own})
        self.tally.keys.add((need.stage, need.key))
        return self._keep(need, entry)


def _add(total: dict[str, float], more: Mapping[str, float]) -> None:
    for name, seconds in more.items():
        total[name] = total.get(name, 0.0) + seconds
