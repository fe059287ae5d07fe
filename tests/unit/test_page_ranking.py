import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.fusion import standard_scores
from rag.page_ranking import PageOptions, rank_pages
from rag.types import Hit, PageLocator, Passage, Query
from rag.wording import is_question, visual_wording

PLAIN = Query(text="cells that line the airway")


def page(number, score, section=("Chapter", "Section", "Part")):
    return Hit(Passage(f"p{number}", "page", "book", f"page {number}", PageLocator(number, section=section)), score)


def pages(*scores, section=None):
    """Page 1, 2, ... with these scores, each in a section of its own unless one is named."""
    return [page(n, score, section or ("C", f"S{n}")) for n, score in enumerate(scores, start=1)]


def ids(hits):
    return [hit.passage.id for hit in hits]


def test_standard_scores_by_hand():
    scores = standard_scores({"a": 1.0, "b": 2.0, "c": 3.0})
    assert scores == pytest.approx({"a": -1.2247448, "b": 0.0, "c": 1.2247448})
    assert standard_scores({"a": 5.0, "b": 5.0}) == {"a": 0.0, "b": 0.0}
    assert standard_scores({}) == {}


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9), st.floats(0.1, 50), st.floats(-50, 50))
def test_ranking_ignores_scale_and_offset_of_a_channel(scores, scale, offset):
    moved = [score * scale + offset for score in scores]
    if len({round(score, 4) for score in moved}) == len(set(scores)) == len(scores):
        first = rank_pages(PLAIN, {"late": pages(*scores)}, {}, PageOptions())
        assert ids(first) == ids(rank_pages(PLAIN, {"late": pages(*moved)}, {}, PageOptions()))


def test_a_page_that_a_channel_missed_counts_as_its_last():
    lists = {"late": pages(3.0, 2.0, 1.0), "bm25": [page(2, 9.0, ("C", "S2")), page(3, 1.0, ("C", "S3"))]}
    ranked = rank_pages(PLAIN, lists, {}, PageOptions())
    assert ids(ranked)[0] == "p2"
    assert set(ids(ranked)) == {"p1", "p2", "p3"}


def test_a_definition_lifts_its_page_unless_the_query_describes_a_picture():
    text = pages(1.0, 0.9, 0.8, 0.1, 0.0)
    terms = [page(4, 9.0, ("C", "S4")), *(page(n, 1.0, ("C", f"S{n}")) for n in (1, 2, 3, 5))]
    lifted = rank_pages(PLAIN, {"late": text, "terms": terms}, {}, PageOptions(terms_weight=10))
    assert ids(lifted)[0] == "p4"
    picture = Query(text="this figure shows a labelled diagram")
    assert ids(rank_pages(picture, {"late": text, "terms": terms}, {}, PageOptions(terms_weight=10)))[0] == "p1"


def test_a_figure_lifts_its_page_only_when_the_query_describes_a_picture():
    text = pages(1.0, 0.9, 0.8, 0.1, 0.0)
    figures = [page(4, 9.0, ("C", "S4")), *(page(n, 1.0, ("C", f"S{n}")) for n in (1, 2, 3, 5))]
    lists = {"late": text, "figure": figures}
    assert ids(rank_pages(PLAIN, lists, {}, PageOptions(figure_weight=10)))[0] == "p1"
    picture = Query(text="this figure shows a labelled diagram")
    assert ids(rank_pages(picture, lists, {}, PageOptions(figure_weight=10)))[0] == "p4"


def test_an_image_query_ranks_pages_by_their_figures_alone(tmp_path):
    query = Query(images=(tmp_path / "film.png",))
    ranked = rank_pages(query, {"figure": [page(7, 0.9), page(3, 0.8), page(5, 0.1)]}, {}, PageOptions())
    assert ids(ranked) == ["p7", "p3", "p5"]


def test_a_section_lifts_its_pages_and_keeps_its_best_one_first():
    good, other = ("C", "good", "x"), ("C", "other", "y")
    text = [page(1, 10.0, good), page(2, 2.0, other), page(3, 1.9, good), page(4, 0.0, ())]
    assert ids(rank_pages(PLAIN, {"late": text}, {}, PageOptions())) == ["p1", "p3", "p2", "p4"]
    assert ids(rank_pages(PLAIN, {"late": text}, {}, PageOptions(section_weight=0))) == ["p1", "p2", "p3", "p4"]


@pytest.mark.parametrize(
    ("text", "visual"),
    [
        ("type of tissue that holds the body together", 0.0),
        ("the graph of a function", 0.5),
        ("This figure shows the layers of the skin", 1.0),
        ("Photographs; photographs; photographs", 0.5),
        ("", 0.0),
    ],
)
def test_visual_wording_counts_distinct_words(text, visual):
    assert visual_wording(text) == visual


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Which epithelium lines the trachea?", True),
        ("The ________ is the outer layer", True),
        ("Describe the pleura", True),
        ("outer layer of the skin", False),
        ("a whatever phrase", False),
    ],
)
def test_questions(text, asks):
    assert is_question(text) is asks
