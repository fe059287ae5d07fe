import pytest

from rag.errors import ConfigError
from rag.selection import FixedK
from rag.testing.selector import make_hit
from rag.types import Query

QUERY = Query(text="anything")


def test_the_first_k_are_kept() -> None:
    evidence = FixedK(k=2).select(QUERY, [make_hit(i, f"text {i}") for i in range(4)])
    assert [hit.passage.id for hit in evidence.hits] == ["p000", "p001"]
    assert [row.reason for row in evidence.dropped] == ["after the first 2"] * 2


def test_a_long_hit_is_passed_over_and_a_short_one_after_it_still_fits() -> None:
    hits = [make_hit(0, "a b c"), make_hit(1, "d " * 10), make_hit(2, "e f")]
    evidence = FixedK(k=5, budget_words=5).select(QUERY, hits)
    assert [hit.passage.id for hit in evidence.hits] == ["p000", "p002"]
    assert evidence.dropped[0].reason == "10 words do not fit into the 2 left of the budget"


def test_a_repeated_text_is_dropped_and_names_the_first() -> None:
    evidence = FixedK().select(QUERY, [make_hit(0, "The Knee"), make_hit(1, " the\nknee ")])
    assert [row.reason for row in evidence.dropped] == ["same text as p000"]


def test_a_document_has_its_share() -> None:
    hits = [make_hit(i, f"text {i}", "one" if i < 3 else "two") for i in range(4)]
    evidence = FixedK(per_document=1).select(QUERY, hits)
    assert [hit.passage.document for hit in evidence.hits] == ["one", "two"]
    assert evidence.dropped[0].reason == "one already has 1 passages"


@pytest.mark.parametrize("field", ["k", "budget_words", "per_document"])
def test_a_limit_below_one_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} is 0"):
        FixedK(**{field: 0})
