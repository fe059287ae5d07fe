"""One cell's system: its settings and switches over an open library, with what its stages read of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from functools import cached_property
from typing import Any

from eval.ablation.factors import Setup, Switches
from eval.ablation.identity import LibraryState
from eval.ablation.libraries import Libraries, OpenLibrary
from pipelines import compose
from pipelines.answering import generator_for
from pipelines.assistant import Steps
from pipelines.config import Settings
from pipelines.gathering import DEEPER
from pipelines.scoring import CrossEncoderScorer
from pipelines.search import SearchEngine
from rag.errors import ConfigError
from rag.generators.extractive import ExtractiveGenerator, ExtractiveOptions
from rag.leakage import Guard
from rag.protocols import Generator
from rag.retrievers import Channel
from rag.types import KINDS, Kind

JUDGED_DEPTH = 30
"""Hits of a ranking that are judged, as `vesalius eval retrieval` asks for them."""


class System:
    """What a cell runs. Made once per cell; models and library are shared between cells."""

    def __init__(self, opened: OpenLibrary, parts: compose.Parts, switches: Switches) -> None:
        self.opened, self.parts, self.switches = opened, parts, switches
        self.channels = _chosen(parts.channels(), switches)

    @property
    def settings(self) -> Settings:
        """The cell's settings."""
        return self.parts.settings

    @property
    def state(self) -> LibraryState:
        """What the library holds."""
        return self.opened.state

    @cached_property
    def engine(self) -> SearchEngine:
        """The search of these settings."""
        return self.parts.engine(self.opened.library.store, rerank=self.settings.rerank.enabled)

    @cached_property
    def steps(self) -> Steps:
        """The steps of an answer, with the guard and the prompt that are switched on."""
        steps = self.parts.steps()
        gather = replace(steps.gather, guard=Guard() if self.switches.guard else None)
        return replace(steps, gather=gather, generator=self._generator(steps.generator))

    @property
    def searched_depth(self) -> int:
        """Hits of a ranking that a question may need at most."""
        return DEEPER * JUDGED_DEPTH

    @cached_property
    def gathered_depth(self) -> int:
        """Hits that gathering may look through when the guard withholds some."""
        gather = self.steps.gather
        return DEEPER * max(gather.candidates, gather.k)

    @property
    def dynamic(self) -> frozenset[str]:
        """Channels that are asked only for some domains: which, the route decides, so no plan can know."""
        return frozenset(f"clip-{name}" for name in self.settings.clips)

    @property
    def asks_model(self) -> bool:
        """Whether a chat model writes the answers."""
        return self.settings.answer.generator == "vlm"

    @property
    def stochastic(self) -> bool:
        """Whether asking the model again may give another answer."""
        return self.asks_model and self.settings.vlm.temperature > 0

    def kinds(self, wanted: Sequence[Kind]) -> tuple[Kind, ...]:
        """Kinds to search: those of the switch, else those wanted."""
        return self.switches.kinds or tuple(wanted) or KINDS

    @cached_property
    def channel_parts(self) -> dict[tuple[Kind, str], dict[str, Any]]:
        """What each channel is: its encoder and how its rows are stored."""
        return {
            (one.kind, one.name): {
                "encoder": one.encoder.fingerprint,
                "spec": asdict(one.spec),
                "prefetch": None if one.prefetch is None else asdict(one.prefetch),
            }
            for one in self.channels
        }

    @cached_property
    def rank_part(self) -> dict[str, Any]:
        """The settings that fusion, routing, walking and merging read."""
        settings = self.settings
        graph = settings.graph.model_dump(mode="json") if settings.graph.enabled and self.state.graph else None
        return {
            "fusion": settings.fusion.model_dump(mode="json"),
            "routing": settings.routing.model_dump(mode="json"),
            "domains": self.state.domains,
            "graph": graph,
            "walked": self.state.graph if graph else None,
            "rerank": settings.rerank.model_dump(mode="json") if settings.rerank.enabled else None,
            "clips": {name: list(clip.domains) for name, clip in sorted(settings.clips.items())},
        }

    @cached_property
    def rerank_part(self) -> dict[str, Any] | None:
        """The settings that a reranker reads; None when there is none."""
        rerank = self.settings.rerank
        if not rerank.enabled:
            return None
        name = self.parts.reranker.fingerprint if rerank.kind == "cross-encoder" else rerank.kind
        return {"reader": name, "head": rerank.head}

    @cached_property
    def select_part(self) -> dict[str, Any]:
        """The settings that gathering and selecting read."""
        settings, steps = self.settings, self.steps
        strategy = steps.strategy
        looping = strategy.name != "single"
        return {
            "select": settings.select.model_dump(mode="json"),
            "k": settings.answer.k,
            "budget_words": settings.answer.budget_words,
            "per_option": settings.answer.per_option,
            "depth": steps.gather.depth,
            "calibration": self.state.calibration,
            "strategy": strategy.name,
            "agent": repr(strategy.agent) if looping else None,
            "planner": self._model_part() if looping and strategy.model is not None else None,
            "guard": None if steps.gather.guard is None else asdict(steps.gather.guard),
        }

    @cached_property
    def generate_part(self) -> dict[str, Any]:
        """The settings that whoever words the answer reads."""
        # Everything of the section but what other stages read: a setting that is added later counts at once.
        elsewhere = {"k", "budget_words", "per_option", "abstain_below"}
        return {
            "answer": self.settings.answer.model_dump(mode="json", exclude=elsewhere),
            "sentences": self.parts.reranker.fingerprint,
            "model": self._model_part() if self.asks_model else None,
            "prompt": self.switches.prompt if self.asks_model else None,
            "evidence": self.switches.evidence if self.asks_model else None,
        }

    @cached_property
    def ground_part(self) -> dict[str, Any]:
        """What checking an answer reads."""
        policy = self.steps.policy
        rules = {one.name: getattr(policy, one.name) for one in fields(policy) if one.name != "gates"}
        return {
            "judge": type(self.steps.judge).__name__,
            "model": self._model_part() if self.settings.grounding.judge == "vlm" else None,
            "rules": {name: repr(value) for name, value in rules.items()},
            "gates": sorted(policy.gates),
        }

    def _model_part(self) -> dict[str, Any]:
        """Which model, and how it is sampled; where it runs and how long it may take change no answer."""
        return self.settings.vlm.model_dump(
            mode="json", include={"model", "family", "images", "max_tokens", "temperature", "seed"}
        )

    def _generator(self, plain: Generator) -> Generator:
        if not self.switches.prompt or not self.asks_model:
            return plain
        options = ExtractiveOptions(max_claims=self.settings.answer.max_claims)
        fallback = ExtractiveGenerator(CrossEncoderScorer(self.parts.reranker), options)
        return generator_for(self.settings, fallback, prompt=self.switches.prompt)


def open_system(libraries: Libraries, settings: Settings, setup: Setup) -> System:
    """The system of a cell.

    Raises:
        ConfigError: it cannot be run, and why; IndexMismatch when the library has other encoders.
    """
    opened = libraries.open(settings)
    return System(opened, libraries.parts(settings), setup.switches)


def why_impossible(system: System, setup: Setup, *, answers: bool) -> str | None:
    """Why a cell's system cannot run, in words; None when it can. Makes the steps, asks no model."""
    switches, settings = system.switches, system.settings
    if not system.channels:
        return "no channel is left to search"
    if setup.overrides.get("graph.enabled") and system.state.graph is None:
        return "the library has no concept graph"
    if not answers:
        return None
    if system.asks_model and not settings.vlm.model:
        return "answer.generator is vlm and vlm.model names no model"
    if not system.asks_model and (switches.prompt or switches.evidence != "text"):
        return "prompt and evidence form are a model's: they need answerer vlm"
    system.steps  # noqa: B018 - made here so that what cannot be made is known before anything runs
    return None


def _chosen(channels: Sequence[Channel], switches: Switches) -> tuple[Channel, ...]:
    names = {one.name for one in channels}
    unknown = [name for name in (*switches.channels, *switches.without) if name not in names]
    if unknown:
        raise ConfigError(f"the library has no channel {unknown[0]!r}; its channels are {', '.join(sorted(names))}")
    wanted = set(switches.channels) or names
    return tuple(one for one in channels if one.name in wanted - set(switches.without))
