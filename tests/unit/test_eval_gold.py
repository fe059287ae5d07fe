"""Which hits count as which gold, and the ranking of units."""

import pytest

from eval.gold import canonical, kinds_of, parse_gold, rank_units, unit_of
from rag.types import Box, CaseLocator, FactLocator, Hit, PageLocator, Passage


def page(number, book="anatomy", kind="page", score=1.0):
    box = Box(0, 0, 1, 1) if kind == "figure" else None
    return Hit(Passage(f"{book}-{number}-{kind}", kind, book, "text", PageLocator(number, box)), score)


def case(record, document="fundus", score=1.0):
    return Hit(Passage(f"{document}-{record}", "case", document, "text", CaseLocator(record)), score)


def names(hits, named=()):
    return [entry.name for entry in rank_units(hits, named)]


def test_a_page_and_its_figures_are_one_unit_at_the_first_position():
    hits = [page(4, kind="figure", score=9), page(7, score=8), page(4, score=7), page(4, kind="figure", score=6)]
    assert names(hits) == ["page/anatomy/4", "page/anatomy/7"]
    assert rank_units(hits, ())[0].score == 9


def test_gold_matches_page_case_and_fact():
    fact = Passage("f", "fact", "graph", "text", FactLocator("COVID-19", "has_sign", "cough"))
    assert unit_of(page(3).passage) == parse_gold({"source": "page", "book": "anatomy", "page": 3})
    assert unit_of(case("r1").passage) == parse_gold({"source": "report", "collection": "fundus", "id": "r1"})
    assert unit_of(fact) == parse_gold({"source": "fact", "fact": ["COVID-19", "has_sign", "cough"]})


def test_a_report_without_collection_matches_in_any_and_counts_once():
    gold = {parse_gold({"source": "report", "id": "r1"})}
    assert names([case("r1", "fundus", 3), case("r1", "chest", 2), case("r2", score=1)], gold) == [
        "case//r1",
        "case/fundus/r2",
    ]
    elsewhere = {parse_gold({"source": "report", "collection": "chest", "id": "r1"})}
    assert canonical(("case", "fundus", "r1"), elsewhere) not in elsewhere


def test_equal_scores_rank_by_unit_name_descending():
    assert names([page(1), page(3), page(2)]) == ["page/anatomy/3", "page/anatomy/2", "page/anatomy/1"]


def test_a_reranked_head_stays_before_a_tail_on_another_scale():
    assert names([page(1, score=-2.0), page(2, score=-5.0), page(3, score=0.03)]) == [
        "page/anatomy/1", "page/anatomy/2", "page/anatomy/3",
    ]  # fmt: skip


def test_kinds_in_which_units_lie():
    assert kinds_of({("page", "b", "1"), ("fact", "h", "r", "t")}) == ("page", "figure", "fact")
    assert kinds_of(()) == ()


@pytest.mark.parametrize(
    "entry",
    [
        "page 3", {}, {"source": "page", "book": "b"}, {"source": "page", "book": "b", "page": "3"},
        {"source": "page", "book": "b", "page": True}, {"source": "page", "book": "", "page": 1},
        {"source": "report", "collection": 5, "id": "r"}, {"source": "fact", "fact": ["h", "r"]},
        {"source": "moon", "id": "r"},
    ],
)  # fmt: skip
def test_gold_of_another_form_is_refused_with_the_known_forms(entry):
    with pytest.raises(ValueError, match="known forms"):
        parse_gold(entry)
