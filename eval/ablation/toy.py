"""A toy system in memory: words as vectors, no model, no file. For the tests of the engine and for its benchmark.

Only its encoders, its passages and its generator are toys; store, search, gathering, checks and everything of
`eval.ablation` are the real ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eval.ablation.experiment import Experiment
from eval.ablation.identity import library_state
from eval.ablation.libraries import Libraries, OpenLibrary
from indexers.manifest import Manifest
from indexers.stores.memory import MemoryStore
from pipelines import compose
from pipelines.assistant import Steps
from pipelines.config import Settings
from pipelines.gathering import GatherOptions
from pipelines.library import Library
from rag.fingerprint import passage_id, sha256_bytes
from rag.grounding.ground import GroundingPolicy
from rag.grounding.judge import LexicalJudge
from rag.retrievers import Channel
from rag.types import (
    Draft,
    DraftClaim,
    Evidence,
    FactLocator,
    Hit,
    Kind,
    PageLocator,
    Passage,
    Point,
    Query,
    Vector,
    VectorSpec,
)

ORGANS = ("lung", "heart", "liver", "kidney", "colon", "retina", "skin", "bone")
SIGNS = ("nodule", "effusion", "cyst", "scar")
DIM = 64


class Calls:
    """How often the toy's models were asked."""

    def __init__(self) -> None:
        self.encoded, self.drafted, self.reranked = 0, 0, 0


class WordsEncoder:
    """A unit vector of hashed words. `blurred` words count half as much: two channels that differ."""

    def __init__(self, name: str, calls: Calls, blurred: bool = False) -> None:
        self.spec, self._calls, self._blurred = VectorSpec(name, "dense", DIM), calls, blurred

    @property
    def fingerprint(self) -> str:
        """The channel's name: there are no weights."""
        return f"words-{self.spec.name}-{self._blurred}"

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        return [self._encode(passage.text) for passage in passages]

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        self._calls.encoded += len(queries)
        return [self._encode(query.text) for query in queries]

    def _encode(self, text: str) -> Vector | None:
        if not text.strip():
            return None
        row = np.zeros(DIM, dtype=np.float32)
        for place, word in enumerate(text.lower().split()):
            number = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
            row[number % DIM] += 0.5 if self._blurred and place % 2 else 1.0
        return np.asarray(row / np.linalg.norm(row), dtype=np.float32)[None, :]


class FirstSentence:
    """Quotes the first sentence of the best passage, and picks the option with most words in the evidence."""

    def __init__(self, calls: Calls, most: int) -> None:
        self._calls, self._most = calls, most

    def generate(self, query: Query, evidence: Evidence) -> Draft:
        self._calls.drafted += 1
        claims = [DraftClaim(sentence, hit.passage.id, sentence) for hit, sentence in _first(evidence)][: self._most]
        if not claims:
            return Draft(())
        words = " ".join(hit.passage.text.lower() for hit in evidence.hits).split()
        counts = [sum(words.count(word) for word in option.lower().split()) for option in query.options]
        choice = counts.index(max(counts)) if counts else None
        return Draft(tuple(claims), choice, 0.9)


class WordOverlap:
    """A reranker by shared words."""

    fingerprint = "word-overlap"

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def rerank(self, query: Query, hits: Sequence[Hit]) -> list[Hit]:
        self._calls.reranked += 1
        asked = set(query.text.lower().split())
        scored = [
            Hit(hit.passage, float(len(asked & set(hit.passage.text.lower().split()))), hit.channels) for hit in hits
        ]
        return sorted(scored, key=lambda hit: (-hit.score, hit.passage.id))


class ToyParts(compose.Parts):
    """The composition with toys in place of models."""

    def __init__(self, settings: Settings, folder: Path, calls: Calls) -> None:
        super().__init__(settings, folder)
        self._calls = calls

    def channels(self) -> tuple[Channel, ...]:
        kinds: tuple[Kind, ...] = ("page", "fact")
        plain, blurred = WordsEncoder("dense", self._calls), WordsEncoder("late", self._calls, blurred=True)
        return tuple(Channel(kind, encoder.spec, encoder) for kind in kinds for encoder in (plain, blurred))

    @cached_property
    def reranker(self) -> Any:  # noqa: ANN401 - the real one is a class of a model
        return WordOverlap(self._calls)

    def steps(self) -> Steps:
        answer = self.settings.answer
        return Steps(
            selector=self._selector(None),
            generator=FirstSentence(self._calls, answer.max_claims),
            judge=LexicalJudge(),
            policy=GroundingPolicy(),
            gather=GatherOptions(answer.k, answer.per_option, selector=self.settings.select.kind),
        )


class ToyLibraries(Libraries):
    """One toy library in memory. `documents` are its pages by name."""

    def __init__(self, experiment: Experiment, cache: Path, documents: Mapping[str, str], calls: Calls) -> None:
        super().__init__(experiment, cache)
        self._documents, self._calls = documents, calls
        self._made: OpenLibrary | None = None

    def settings_of(self) -> Mapping[str, Any]:
        return {}

    def preset(self) -> str | None:
        return None

    def folder(self, settings: Settings) -> Path:  # noqa: ARG002 - one for all
        return self._cache / "toy"

    def is_ready(self, settings: Settings) -> bool:  # noqa: ARG002
        return True

    def open(self, settings: Settings) -> OpenLibrary:
        if self._made is None:
            folder = self.folder(settings)
            folder.mkdir(parents=True, exist_ok=True)
            parts = ToyParts(settings, folder, self._calls)
            store = toy_store(parts.channels(), self._documents)
            library = Library(folder, settings, Manifest("embedded", (), "toy"), store)
            self._made = OpenLibrary(folder, library, library_state(library), parts)
        return self._made

    def parts(self, settings: Settings) -> compose.Parts:
        return ToyParts(settings, self.folder(settings), self._calls)

    def question_file(self, name: str) -> Path:
        return Path(name)


def toy_documents() -> dict[str, str]:
    """A page for each organ and sign; the organ's stem tells its side."""
    return {
        f"{organ}-{sign}": f"A {sign} of the {organ} is seen on the {'left' if (i + j) % 2 else 'right'} side. "
        f"Page {i * len(SIGNS) + j} says more of {organ} and of {SIGNS[(j + 1) % len(SIGNS)]} in general."
        for i, organ in enumerate(ORGANS)
        for j, sign in enumerate(SIGNS)
    }


def toy_store(channels: Sequence[Channel], documents: Mapping[str, str]) -> MemoryStore:
    """The pages, and a fact for each organ."""
    specs: dict[Kind, tuple[VectorSpec, ...]] = {}
    for channel in channels:
        specs[channel.kind] = (*specs.get(channel.kind, ()), channel.spec)
    passages = [
        Passage(passage_id(sha256_bytes(text.encode()), "page", "p1"), "page", name, text, PageLocator(1))
        for name, text in documents.items()
    ]
    passages += [
        Passage(
            passage_id(organ, "fact", organ),
            "fact",
            "facts",
            f"{organ} may have {sign}",
            FactLocator(organ, "has", sign),
        )
        for organ, sign in zip(ORGANS, (*SIGNS, *SIGNS), strict=False)
    ]
    store = MemoryStore(specs)
    for passage in passages:
        own = [channel for channel in channels if channel.kind == passage.kind]
        vectors = {channel.name: channel.encoder.encode_passages([passage])[0] for channel in own}
        store.upsert([Point(passage, {name: vector for name, vector in vectors.items() if vector is not None})])
    return store


def write_toy_questions(path: Path, n: int) -> Path:
    """A file of n multiple-choice questions, each with its page as gold."""
    rows = []
    for number in range(n):
        organ, sign = ORGANS[number % len(ORGANS)], SIGNS[(number // len(ORGANS)) % len(SIGNS)]
        right = "left" if (number + number // len(ORGANS)) % 2 else "right"
        rows.append(
            {
                "id": f"q{number:03}",
                "question": f"On which side is the {sign} of the {organ} seen?",
                "options": ["left", "right", "both"],
                "answer": "A" if right == "left" else "B",
                "gold": [{"source": "page", "book": f"{organ}-{sign}", "page": 1}],
            }
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _first(evidence: Evidence) -> list[tuple[Hit, str]]:
    return [(hit, hit.passage.text.split(". ")[0].rstrip(".")) for hit in evidence.hits if hit.passage.text]
