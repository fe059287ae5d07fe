"""Small points for the store contract, and the scores that a search must give them, worked out by plain loops."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.filters import filter_values
from rag.types import (
    Box,
    CaseLocator,
    FactLocator,
    Kind,
    Layout,
    PageLocator,
    Passage,
    Point,
    SparseVector,
    Storage,
    Vector,
    VectorSpec,
)

DIM = 8
WIDE = 64
"""Dimensions of the quantised channels: in very few, a code of some bits per number says little."""
STORAGES: tuple[Storage, ...] = ("f32", "f16", "int8", "turbo8", "turbo4", "binary")
TOLERANCES: Mapping[Storage, float] = {
    "f32": 0.0, "f16": 5e-4, "int8": 5e-4, "turbo8": 0.01, "turbo4": 0.12, "binary": 0.01,
}  # fmt: skip
"""How far a number of a unit row in WIDE dimensions may be from the one that was given. Of int8 and binary, those kept
for rescoring: 16 bits and 8 bits."""
SPECS: Mapping[Kind, tuple[VectorSpec, ...]] = {
    "page": (
        VectorSpec("dense", "dense", DIM),
        VectorSpec("late", "multi", DIM),
        VectorSpec("coarse", "multi", DIM, graph=True),
        VectorSpec("terms", "sparse"),
    ),
    "case": (
        VectorSpec("image", "dense", DIM, "f16"),
        *(VectorSpec(storage, "multi", WIDE, storage) for storage in STORAGES),
    ),
    "fact": (VectorSpec("dense", "dense", DIM),),
}


def number_id(number: int) -> str:
    """A passage id that sorts as the number does."""
    return str(uuid.UUID(int=number + 1))


def unit_rows(rng: np.random.Generator, rows: int = 1, dim: int = DIM) -> npt.NDArray[np.float32]:
    """Random rows of unit length, shape (rows, dim)."""
    matrix = rng.normal(size=(rows, dim))
    unit: npt.NDArray[np.float32] = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    return unit


def basis(axis: int) -> npt.NDArray[np.float32]:
    """The dense vector (1, DIM) along one axis."""
    return np.eye(DIM, dtype=np.float32)[axis : axis + 1]


def page(number: int, vectors: Mapping[str, Vector], document: str = "atlas", **meta: str) -> Point:
    """A page passage with these vectors."""
    passage = Passage(number_id(number), "page", document, f"page {number}", PageLocator(number + 1), meta=meta)
    return Point(passage, vectors)


def random_pages(rng: np.random.Generator, count: int) -> list[Point]:
    """Pages with dense, late, coarse and sparse vectors; every fifth lacks one, multivectors differ in rows."""
    points = []
    for number in range(count):
        terms = np.sort(rng.choice(60, size=rng.integers(1, 9), replace=False))
        vectors: dict[str, Vector] = {
            "dense": unit_rows(rng),
            "late": unit_rows(rng, int(rng.integers(1, 12))),
            "coarse": unit_rows(rng, int(rng.integers(1, 4))),
            "terms": SparseVector(tuple(map(int, terms)), tuple(map(float, rng.uniform(0.2, 3.0, len(terms))))),
        }
        if number % 5 == 0:
            del vectors[("dense", "late", "coarse", "terms")[number // 5 % 4]]
        book = ("anatomy", "pharmacology")[number % 2]
        points.append(page(number, vectors, book, domain=("heart", "lung", "bone")[number % 3]))
    return points


def expected_scores(points: Sequence[Point], channel: str, query: Vector) -> dict[str, float]:
    """The score of every point that can be found in a channel, by definition."""
    holders = {point.passage.id: point.vectors[channel] for point in points if channel in point.vectors}
    scores: dict[str, float] = {}
    for passage_id, vector in holders.items():
        if isinstance(query, SparseVector):
            weights = dict(zip(query.indices, query.values, strict=True))
            assert isinstance(vector, SparseVector)
            shared = [
                (term, value) for term, value in zip(vector.indices, vector.values, strict=True) if term in weights
            ]
            if shared:
                scores[passage_id] = sum(weights[term] * _idf(holders, term) * value for term, value in shared)
        else:
            assert not isinstance(vector, SparseVector)
            scores[passage_id] = float(sum(max(float(row @ term) for row in vector) for term in query))
    return scores


def _idf(holders: Mapping[str, Vector], term: int) -> float:
    frequency = sum(isinstance(vector, SparseVector) and term in vector.indices for vector in holders.values())
    return math.log(1 + (len(holders) - frequency + 0.5) / (frequency + 0.5))


def accepted_ids(points: Sequence[Point], filters: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The ids of the points that every filter accepts."""
    return {
        point.passage.id
        for point in points
        if all(filter_values(point.passage).get(field) in values for field, values in filters.items())
    }


def ranking(scores: Mapping[str, float], accepted: set[str]) -> list[str]:
    """The accepted ids, best score first, ties by id."""
    return sorted(scores.keys() & accepted, key=lambda name: (-scores[name], name))


def random_queries(rng: np.random.Generator, channel: str) -> list[Vector]:
    """Four queries for a page channel; those of late interaction differ in rows."""
    if channel == "dense":
        return [unit_rows(rng) for _ in range(4)]
    if channel == "late":
        return [unit_rows(rng, rows) for rows in (1, 3, 8, 20)]
    return [
        SparseVector(tuple(map(int, np.sort(rng.choice(70, size=size, replace=False)))), (1.0,) * size)
        for size in (1, 2, 6, 20)
    ]


def case(number: int, vector: Vector, document: str = "reports", channel: str = "image") -> Point:
    """A case passage with this vector in one channel."""
    passage = Passage(number_id(number), "case", document, f"report {number}", CaseLocator(f"r{number}"))
    return Point(passage, {channel: vector})


def sample_passages(root: Path) -> list[Passage]:
    """One passage per locator with every field set, in several scripts; images inside and outside of `root`."""
    layout = Layout.from_boxes([[1.0, 2.0, 30.5, 12.0], [31.0, 2.0, 60.2, 12.0]])
    box, section = Box(10.5, 20.25, 300.0, 400.125), ("Atmung", "Épithélium cilié")
    inside, outside = root / "pages" / "Größe 7.png", root.parent / "elsewhere" / "肺.png"
    return [
        Passage(
            number_id(1), "page", "Anatomie für Ärzte", "気管 trachée\n\x00𝛼-Fetoprotein", PageLocator(7, box, section),
            (inside, outside), {"domain": "respiratory", "license": "CC BY", "größe": "µm \"quoted\" \\ 🫁"}, layout,
        ),
        Passage(
            number_id(2), "case", "reports", "", CaseLocator("r/1", "päṫient", None, -3.5), (inside,), {"view": "PA"}
        ),
        Passage(number_id(3), "fact", "graph", "no pleural effusion", FactLocator("胸", "has", "effusion", "absent")),
    ]  # fmt: skip
