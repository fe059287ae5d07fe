"""What every encoder promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from rag.protocols import Encoder
from rag.types import CaseLocator, FactLocator, PageLocator, Passage, Query, SparseVector, Vector

_LONG = " ".join(
    f"Section {i}. The respiratory mucosa of the trachea warms, moistens and cleans the air that passes it, and sign "
    f"{i} of its failure is a dry cough."
    for i in range(40)
)
PASSAGES = (
    Passage(
        "page-1", "page", "handbook",
        "The trachea is lined by pseudostratified ciliated columnar epithelium. Goblet cells secrete mucus.",
        PageLocator(1, section=("Airways", "Trachea")),
    ),
    Passage("page-2", "page", "handbook", _LONG, PageLocator(2, section=("Airways",))),
    Passage(
        "case-1", "case", "clinic",
        "Größe 12 µm, naïve T-cells; β-blocker stopped. 心臓 not enlarged.",
        CaseLocator("r1"),
    ),
    Passage("fact-1", "fact", "graph", "tendon joins muscle to bone", FactLocator("tendon", "joins", "muscle")),
)  # fmt: skip
QUERIES = (
    Query("Which ciliated epithelium has goblet cells?", id="q1"),
    Query("What does a tendon join to a bone?", id="q2"),
    Query("Größe? µm — 心臓\u200b", id="q3"),
)
UNREAD = Passage("image-1", "case", "clinic", " \n\t", CaseLocator("r2"), images=("absent.png",))  # type: ignore[arg-type]
UNREAD_QUERY = Query(" ", images=("absent.png",), id="image")  # type: ignore[arg-type]

LEAST_BATCH_COSINE = 0.97
"""Quantised models scale activations over a batch, so batch mates move a vector this far at most."""


class EncoderContract:
    """Inherit, and give the fixtures `encoder` and `changed`, which differs from it in one option.

    Encoders of something else than text also give `passages`, `queries`, `unread` and `unread_query`: two items or
    more that they read, of which the first query belongs to the first passage, and one with nothing for them to read.
    """

    @pytest.fixture
    def encoder(self) -> Encoder:
        raise NotImplementedError

    @pytest.fixture
    def changed(self) -> Encoder:
        raise NotImplementedError

    @pytest.fixture
    def passages(self) -> tuple[Passage, ...]:
        return PASSAGES

    @pytest.fixture
    def queries(self) -> tuple[Query, ...]:
        return QUERIES

    @pytest.fixture
    def unread(self) -> Passage:
        return UNREAD

    @pytest.fixture
    def unread_query(self) -> Query:
        return UNREAD_QUERY

    def test_plays_the_role(self, encoder: Encoder) -> None:
        assert isinstance(encoder, Encoder)

    def test_nothing_in_nothing_out(self, encoder: Encoder) -> None:
        assert encoder.encode_passages([]) == []
        assert encoder.encode_queries([]) == []

    def test_every_vector_has_the_form_of_the_spec(
        self, encoder: Encoder, passages: Sequence[Passage], queries: Sequence[Query]
    ) -> None:
        for vector in [*encoder.encode_passages(passages), *encoder.encode_queries(queries)]:
            assert vector is not None
            check_form(encoder, vector)

    def test_an_item_it_cannot_read_is_none_and_keeps_its_place(
        self,
        encoder: Encoder,
        passages: Sequence[Passage],
        queries: Sequence[Query],
        unread: Passage,
        unread_query: Query,
    ) -> None:
        found = encoder.encode_passages([passages[0], unread, passages[1]])
        assert [vector is None for vector in found] == [False, True, False]
        asked = encoder.encode_queries([unread_query, queries[0]])
        assert [vector is None for vector in asked] == [True, False]

    def test_order_is_kept_and_batch_mates_hardly_matter(self, encoder: Encoder, passages: Sequence[Passage]) -> None:
        together = encoder.encode_passages(list(reversed(passages)))[::-1]
        for passage, vector in zip(passages, together, strict=True):
            [alone] = encoder.encode_passages([passage])
            assert least_cosine(alone, vector) >= LEAST_BATCH_COSINE

    def test_a_query_does_not_depend_on_the_queries_asked_with_it(
        self, encoder: Encoder, queries: Sequence[Query]
    ) -> None:
        for query, vector in zip(queries, encoder.encode_queries(queries), strict=True):
            [alone] = encoder.encode_queries([query])
            assert same(alone, vector)

    def test_the_same_call_gives_the_same_bits(self, encoder: Encoder, passages: Sequence[Passage]) -> None:
        first, second = encoder.encode_passages(passages), encoder.encode_passages(passages)
        assert all(same(a, b) for a, b in zip(first, second, strict=True))

    def test_a_query_is_nearest_to_its_passage(
        self, encoder: Encoder, passages: Sequence[Passage], queries: Sequence[Query]
    ) -> None:
        [query] = encoder.encode_queries(queries[:1])
        scores = [similarity(query, vector) for vector in encoder.encode_passages(passages)]
        assert int(np.argmax(scores)) == 0

    def test_the_fingerprint_is_stable_and_knows_the_options(self, encoder: Encoder, changed: Encoder) -> None:
        assert encoder.fingerprint
        assert encoder.fingerprint == encoder.fingerprint
        assert encoder.fingerprint != changed.fingerprint


def check_form(encoder: Encoder, vector: Vector) -> None:
    """Assert that a vector is what the encoder's spec says: shape, type, finite, unit rows, ordered terms."""
    spec = encoder.spec
    if isinstance(vector, SparseVector):
        assert spec.form == "sparse"
        assert list(vector.indices) == sorted(set(vector.indices))
        assert all(0 <= index < 2**32 for index in vector.indices)
        assert len(vector.values) == len(vector.indices) > 0
        assert all(value > 0 for value in vector.values)
        return
    assert spec.form in ("dense", "multi")
    assert vector.dtype == np.float32
    assert vector.ndim == 2
    assert vector.shape[1] == spec.dim
    assert len(vector) >= 1
    assert spec.form == "multi" or len(vector) == 1
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 1, atol=1e-5)


def same(first: Vector | None, second: Vector | None) -> bool:
    """Whether two vectors are equal to the last bit."""
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    return type(first) is type(second) and first == second


def least_cosine(first: Vector | None, second: Vector | None) -> float:
    """Smallest cosine between rows of equal place; for term weights 1 if they are equal, else 0."""
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return float((first * second).sum(axis=1).min())
    return float(same(first, second))


def similarity(query: Vector | None, passage: Vector | None) -> float:
    """MaxSim of rows, or the dot product of term weights."""
    if isinstance(query, np.ndarray) and isinstance(passage, np.ndarray):
        return float((query @ passage.T).max(axis=1).sum())
    assert isinstance(query, SparseVector)
    assert isinstance(passage, SparseVector)
    weights: Mapping[int, float] = dict(zip(passage.indices, passage.values, strict=True))
    return sum(value * weights.get(index, 0.0) for index, value in zip(query.indices, query.values, strict=True))
