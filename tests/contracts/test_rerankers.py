"""The rerankers that read stored rows pass the contract; no model is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from indexers.encoders.hashing import HashEncoder
from indexers.encoders.unit_rows import unit_rows
from indexers.stores.memory import MemoryStore
from rag.errors import QueryError, SourceError
from rag.late_reranking import UNREAD, TokenFusionReranker
from rag.testing.reranker import BLANK, HITS, QUESTION, RerankerContract, ids
from rag.token_fusion import TokenFusionOptions, fusion_score
from rag.types import Hit, PageLocator, Passage, Point, Query, VectorSpec


class SeeingEncoder(HashEncoder):
    """Reads an image as rows too: seeded by the file's name; a file that is not there is a broken source."""

    def encode_passages(self, passages):
        return [self._seen(passage) if passage.images else found for passage, found in self._texts(passages)]

    def _texts(self, passages):
        return zip(passages, super().encode_passages(passages), strict=True)

    def _seen(self, passage):
        if passage.images[0].name == "absent.png":
            raise SourceError("no such image")
        seed = sum(passage.images[0].name.encode())
        return unit_rows(np.random.default_rng(seed).standard_normal((9, self.spec.dim)))


def store_of(encoder, hits):
    store = MemoryStore({"page": (VectorSpec("late", "multi", encoder.spec.dim),)})
    passages = [hit.passage for hit in hits]
    rows = encoder.encode_passages(passages)
    store.upsert([Point(passage, {"late": matrix}) for passage, matrix in zip(passages, rows, strict=True)])
    return store


@pytest.fixture
def encoder():
    return SeeingEncoder("late", 64, "multi")


class TestTokenFusionReranker(RerankerContract):
    """Patho-AgenticRAG's score over stored rows."""

    @pytest.fixture(params=[TokenFusionOptions(), TokenFusionOptions("excess", "outside")])
    def reranker(self, encoder, request):
        twin = Hit(Passage("page-0-twin", "page", "other", HITS[0].passage.text, PageLocator(9)), 0.0)
        return TokenFusionReranker(store_of(encoder, [*HITS, twin]), "late", encoder, request.param)

    def test_a_hit_without_rows_comes_last(self, reranker):
        found = reranker.rerank(QUESTION, [BLANK, *HITS])
        assert found[-1].passage.id == BLANK.passage.id
        assert found[-1].score == UNREAD

    def test_scores_are_the_formulas(self, reranker, encoder):
        [words] = encoder.encode_queries([QUESTION])
        rows = dict(zip(ids(HITS), encoder.encode_passages([hit.passage for hit in HITS]), strict=True))
        for found in reranker.rerank(QUESTION, HITS):
            expected = fusion_score(words @ rows[found.passage.id].T, None, reranker._options)
            assert found.score == pytest.approx(expected, abs=1e-4)

    def test_the_image_of_a_query_counts(self, reranker):
        seen = Query(QUESTION.text, images=(Path("slide.png"), Path("film.png")))
        alone = [hit.score for hit in reranker.rerank(QUESTION, HITS)]
        assert [hit.score for hit in reranker.rerank(seen, HITS)] != alone

    def test_a_broken_image_is_the_querys_fault(self, reranker):
        with pytest.raises(QueryError, match="image of the query"):
            reranker.rerank(Query(QUESTION.text, images=(Path("absent.png"),)), HITS)


def test_an_encoder_without_images_reads_the_words_alone():
    encoder = HashEncoder("late", 64, "multi")
    reranker = TokenFusionReranker(store_of(encoder, HITS), "late", encoder)
    seen = Query(QUESTION.text, images=(Path("slide.png"),))
    assert reranker.rerank(seen, HITS) == reranker.rerank(QUESTION, HITS)


def test_every_option_changes_the_fingerprint(encoder):
    store = store_of(encoder, HITS)
    options = [TokenFusionOptions(k, s) for k in ("population", "excess") for s in ("inside", "outside")]
    assert len({TokenFusionReranker(store, "late", encoder, option).fingerprint for option in options}) == 4
