"""The keys of every stage of a question in a cell, known before anything is computed: what `ablate plan` counts.

    encode -> lists -> rank (-> rerank) -> guard                     what is judged as a ranking
                              rank -> select -> generate -> ground   what is judged as an answer

A key holds the keys of its inputs, so it changes when anything before it does, and only then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

from eval.ablation.cache import DRAFT, Need, key_of
from eval.ablation.identity import asked, encoded, image_digests, judged, searched
from eval.ablation.system import System
from eval.datasets import QueryItem
from rag.fingerprint import digest
from rag.leakage import Guard
from rag.retrievers import LATE, Channel
from rag.types import Evidence, Kind, Query

ChannelKey = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class SearchNeeds:
    """What one search needs: a vector per channel name, a list per kind and channel, the reranker's order, the rank.

    `used` holds the first channel of each name: its encoder is the one that is asked.
    """

    used: Mapping[str, Channel]
    encode: Mapping[str, Need]
    lists: Mapping[ChannelKey, Need]
    rerank: Need | None
    rank: Need

    def every(self) -> Iterator[Need]:
        """All of them."""
        yield from self.encode.values()
        yield from self.lists.values()
        if self.rerank is not None:
            yield self.rerank
        yield self.rank


Part = dict[str, Any]
Asked = TypeVar("Asked")
_READ: Mapping[str, Callable[[System], Part]] = {
    "select": lambda system: system.select_part,
    "generate": lambda system: system.generate_part,
    "ground": lambda system: system.ground_part,
}
"""The settings that each stage of an answer reads."""


class _Remembered(Generic[Asked]):
    """What a function makes of a query or row, made once per object: the same few are asked for in every cell."""

    def __init__(self, make: Callable[[Asked], Part]) -> None:
        self._make = make
        self._known: dict[int, tuple[Asked, Part, str]] = {}

    def __call__(self, asked_for: Asked) -> tuple[Part, str]:
        """The part and its digest."""
        found = self._known.get(id(asked_for))
        # An id names another object once the first is gone; kept here, it is not gone.
        if found is None or found[0] is not asked_for:
            part = self._make(asked_for)
            found = self._known[id(asked_for)] = (asked_for, part, digest(part))
        return found[1], found[2]


class Keys:
    """Makes keys, and remembers those that cells share. `encoded` and lists depend on few settings."""

    def __init__(self) -> None:
        self._encode: dict[tuple[str, str, int], Need] = {}
        self._search: dict[tuple[str, ...], SearchNeeds] = {}
        self._parts: dict[tuple[int, str], str] = {}
        self._searched, self._asked = _Remembered(searched), _Remembered(asked)
        self._judged = _Remembered(_judged)
        self._others: dict[int, tuple[Query, tuple[Query, ...]]] = {}

    def search(
        self, system: System, query: Query, kinds: Sequence[Kind], depth: int, shown: Mapping[str, Any] | None = None
    ) -> SearchNeeds:
        """The needs of one search of these kinds, `depth` hits deep.

        `shown` says what a walk of the graph may see of cases: the guard's rules and the question's origin.
        """
        about = self._searched(query)[1]
        name = (self._part(system, "search"), about, ",".join(kinds), str(depth), digest(shown) if shown else "")
        if name not in self._search:
            self._search[name] = self._search_needs(system, query, tuple(kinds), depth, shown)
        return self._search[name]

    def _search_needs(
        self, system: System, query: Query, kinds: tuple[Kind, ...], depth: int, shown: Mapping[str, Any] | None
    ) -> SearchNeeds:
        used = searched_channels(system, kinds)
        first = {one.name: one for one in reversed(used)}
        encode = {name: self._encode_need(system, one, query) for name, one in sorted(first.items())}
        lists = self._lists(system, query, used, encode)
        walks = system.rank_part["graph"] is not None and "fact" in kinds
        made_from = {
            "lists": {".".join(key): [need.key, need.depth] for key, need in lists.items()},
            "query": self._searched(query)[1],
            "kinds": list(kinds),
            "settings": system.rank_part,
            "shown": shown if walks and query.images else None,
        }
        rerank = None
        if system.rerank_part is not None:
            fused = {**made_from, "settings": {**system.rank_part, "rerank": None}}
            rerank = Need("rerank", key_of("rerank", {"fused": fused, **system.rerank_part}))
        return SearchNeeds(first, encode, lists, rerank, Need("rank", key_of("rank", made_from), depth))

    def _encode_need(self, system: System, channel: Channel, query: Query) -> Need:
        encoder = system.channel_parts[channel.kind, channel.name]["encoder"]
        return Need("encode", key_of("encode", {"encoder": encoder, "query": encoded(query)}))

    def _lists(
        self, system: System, query: Query, used: Sequence[Channel], encode: Mapping[str, Need]
    ) -> dict[ChannelKey, Need]:
        """A list per channel; late interaction also depends on the lists whose first hits it reads."""
        depth, candidates = system.settings.fusion.depth, system.settings.fusion.candidates
        found: dict[ChannelKey, Need] = {}
        for one in sorted(used, key=lambda channel: (channel.kind, channel.name == LATE)):
            part = system.channel_parts[one.kind, one.name]
            made_from = {
                "passages": system.state.kinds[one.kind],
                "channel": [one.name, part],
                "vector": encode[one.name].key,
                "filters": self._searched(query)[0]["filters"],
                # An approximate first stage finds other passages for another depth; an exact search does not.
                "depth": depth if one.prefetch is not None else None,
            }
            if one.name == LATE:
                others = sorted(need.key for (kind, _), need in found.items() if kind == one.kind)
                made_from["candidates"] = [min(candidates, depth), others]
            found[one.kind, one.name] = Need("lists", key_of("lists", made_from), depth)
        return found

    def guard(self, system: System, item: QueryItem, kinds: Sequence[Kind], depth: int) -> Need:
        """The need of a ranking without what the guard withholds."""
        rank = self.search(system, item.query, kinds, system.searched_depth).rank
        rules = asdict(Guard()) if system.switches.guard else None
        made_from = {"rank": rank.key, "row": self._judged(item)[1], "rules": rules, "depth": depth}
        return Need("guard", key_of("guard", made_from))

    def gathering(self, system: System, query: Query, kinds: Sequence[Kind]) -> list[SearchNeeds]:
        """The searches of a single pass: the question, and the question with each of its options."""
        shown = shown_to_walk(system, query)
        others = self._with_options(query) if system.settings.answer.per_option else ()
        return [self.search(system, one, kinds, system.gathered_depth, shown) for one in (query, *others)]

    def _with_options(self, query: Query) -> tuple[Query, ...]:
        found = self._others.get(id(query))
        if found is None or found[0] is not query:
            texts = [f"{query.text} {option}".strip() for option in query.options]
            found = self._others[id(query)] = (query, tuple(replace(query, text=text, options=()) for text in texts))
        return found[1]

    def select(self, system: System, query: Query, kinds: Sequence[Kind]) -> Need:
        """The need of a question's evidence."""
        ranks = [needs.rank.key for needs in self.gathering(system, query, kinds)]
        # A patient's records are looked up among all cases; a loop may search whatever it likes.
        looping = system.steps.strategy.name != "single"
        whole = system.state.of(kinds) if looping or query.patient else None
        made_from = {"ranks": ranks, "query": self._asked(query)[1], "kinds": list(kinds), "library": whole}
        return Need("select", key_of("select", {**made_from, "settings": self._settings(system, "select")}))

    def arm(self, name: str, made_from: Mapping[str, Any]) -> Need:
        """The need of evidence that a control puts in place of what is found."""
        return Need("select", key_of("select", {"arm": name, **made_from}))

    def generate(self, system: System, query: Query, select: Need, repeat: int = 0) -> Need:
        """The need of a draft; only a model that is sampled gives another one in another repeat."""
        settings = self._settings(system, "generate")
        made_from = {"evidence": select.key, "query": self._asked(query)[1], "settings": settings}
        return Need("generate", key_of("generate", {**made_from, "repeat": repeat if system.stochastic else 0}))

    def draft(self, system: System, query: Query, shown: Evidence, repeat: int = 0) -> Need:
        """The need of a draft by what its writer is shown: passages, whose ids are made of their content, in order."""
        made_from = {
            "shown": [[hit.passage.id, shown.notes.get(hit.passage.id, "")] for hit in shown.hits],
            "query": self._asked(query)[1],
            "settings": self._settings(system, "generate"),
            "repeat": repeat if system.stochastic else 0,
        }
        return Need(DRAFT, key_of(DRAFT, made_from))

    def ground(self, system: System, generate: Need) -> Need:
        """The need of a checked answer."""
        return Need("ground", key_of("ground", {"draft": generate.key, "settings": self._settings(system, "ground")}))

    def _settings(self, system: System, stage: str) -> str:
        """The digest of what a stage reads of the settings, made once per system."""
        known = (id(system), stage)
        if known not in self._parts:
            self._parts[known] = digest(_READ[stage](system))
        return self._parts[known]

    def _part(self, system: System, name: str) -> str:
        known = (id(system), name)
        if known not in self._parts:
            channels = {".".join(key): part for key, part in system.channel_parts.items()}
            self._parts[known] = digest(
                {
                    "channels": channels,
                    "rank": system.rank_part,
                    "rerank": system.rerank_part,
                    "holds": dict(system.state.kinds),
                }
            )
        return self._parts[known]


def _judged(item: QueryItem) -> Part:
    return {**judged(item), "images": image_digests(item.query.images)}


def searched_channels(system: System, kinds: Sequence[Kind]) -> list[Channel]:
    """The channels that a search of these kinds asks: figures, too, as they lift their pages."""
    wanted = {*kinds, "figure"} if "page" in kinds else set(kinds)
    return [one for one in system.channels if one.kind in wanted and one.name not in system.dynamic]


def shown_to_walk(system: System, query: Query) -> dict[str, Any] | None:
    """What decides which cases a walk of the graph may begin at: only an image has cases like it."""
    if not query.images:
        return None
    guard = system.steps.gather.guard
    return {
        "guard": None if guard is None else asdict(guard),
        "patient": query.patient,
        "images": image_digests(query.images),
    }
