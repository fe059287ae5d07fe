"""What every reranker promises."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rag.protocols import Reranker
from rag.types import CaseLocator, ChannelScore, Hit, PageLocator, Passage, Query

_CHANNELS = {"dense": ChannelScore(1, 0.5)}
_TEXTS = (
    "The committee met in spring to discuss the new roof of the library.",
    "Goblet cells are found in the lining of the trachea, where they secrete mucus that traps dust.",
    "Die Größe beträgt 12 µm — naïve T-cells, 心臓.",
    "Weather is often rainy in autumn. " * 60,
)
HITS = tuple(
    Hit(Passage(f"page-{i}", "page", "handbook", text, PageLocator(i + 1)), 1.0 / (i + 1), _CHANNELS)
    for i, text in enumerate(_TEXTS)
)
BLANK = Hit(Passage("case-9", "case", "clinic", " ", CaseLocator("r9"), images=("x.png",)), 0.1)  # type: ignore[arg-type]
QUESTION = Query("What do goblet cells in the trachea secrete?")


class RerankerContract:
    """Inherit, and give the fixture `reranker`."""

    @pytest.fixture
    def reranker(self) -> Reranker:
        raise NotImplementedError

    def test_plays_the_role(self, reranker: Reranker) -> None:
        assert isinstance(reranker, Reranker)

    def test_no_hits(self, reranker: Reranker) -> None:
        assert reranker.rerank(QUESTION, []) == []

    def test_the_set_of_hits_is_kept_with_what_the_channels_said(self, reranker: Reranker) -> None:
        found = reranker.rerank(QUESTION, [*HITS, BLANK])
        assert sorted(hit.passage.id for hit in found) == sorted(hit.passage.id for hit in (*HITS, BLANK))
        assert {hit.passage.id: hit.channels for hit in found} == {
            hit.passage.id: hit.channels for hit in (*HITS, BLANK)
        }

    def test_best_first_ties_by_id(self, reranker: Reranker) -> None:
        twin = Hit(Passage("page-0-twin", "page", "other", _TEXTS[0], PageLocator(9)), 0.0)
        found = reranker.rerank(QUESTION, [twin, *HITS])
        keys = [(-hit.score, hit.passage.id) for hit in found]
        assert keys == sorted(keys)

    def test_the_answer_comes_first(self, reranker: Reranker) -> None:
        assert reranker.rerank(QUESTION, HITS)[0].passage.id == "page-1"

    def test_the_order_of_hits_does_not_matter(self, reranker: Reranker) -> None:
        assert ids(reranker.rerank(QUESTION, HITS)) == ids(reranker.rerank(QUESTION, HITS[::-1]))

    def test_a_query_without_text_keeps_every_hit(self, reranker: Reranker) -> None:
        query = Query(images=("absent.png",))  # type: ignore[arg-type]
        assert sorted(ids(reranker.rerank(query, HITS))) == sorted(ids(HITS))


def ids(hits: Sequence[Hit]) -> list[str]:
    """The passage ids of hits, in order."""
    return [hit.passage.id for hit in hits]
