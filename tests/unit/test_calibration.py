"""Fitting selectors on labelled queries, the file that keeps them, and selectors made from it."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from pipelines.calibration import FILE, CalibrationMismatch, load_calibration, save_calibration
from rag.errors import ConfigError, IndexMismatch, StoreError
from rag.selection import FixedK
from rag.selectors import Calibration, FitOptions, JudgedList, SelectionOptions, fit_calibration, make_selector
from rag.selectors.calibration import critical_value, folds_of
from rag.types import CaseLocator, ChannelScore, Hit, PageLocator, Passage, Query

QUERY = Query(text="anything")
OPTIONS = FitOptions(("dense",))


def page(i, score, rank):
    passage = Passage(f"p{i}", "page", "book", f"page text {i}", PageLocator(i + 1))
    return Hit(passage, 1 / rank, {"dense": ChannelScore(rank, score)})


def case(i, score, rank, domain):
    passage = Passage(f"c{i}", "case", "cases", f"case text {i}", CaseLocator(str(i)), meta={"domain": domain})
    return Hit(passage, 1 / rank, {"dense": ChannelScore(rank, score)})


def page_list(n, right_at, scores, cluster=None):
    hits = tuple(page(100 * n + i, score, i + 1) for i, score in enumerate(scores))
    right = tuple(f"page/{i}" if i == right_at else None for i in range(len(hits)))
    return JudgedList(f"q{n}", "pages", cluster or f"q{n}", "page", hits, right, 1)


def pages(n=200, seed=0, found=1.0):
    """Lists of ten scores; the right page stands at a random place."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        scores = np.sort(rng.random(10))[::-1].tolist()
        place = min(9, int(rng.geometric(0.6)) - 1) if rng.random() < found else None
        made.append(page_list(i, place, scores))
    return made


def fit(lists, options=OPTIONS):
    return fit_calibration(lists, options, fingerprint="abc", encoders={"page.dense": "e1"}, depth=10)


def entry(calibration, selector, domain="page"):
    return next(row for row in calibration.entries if (row.selector, row.domain) == (selector, domain))


def covered(selector, lists):
    def keeps(row):
        hits = {hit.passage.id for hit in selector.select(QUERY, row.hits).hits}
        return any(unit is not None and hit.passage.id in hits for hit, unit in zip(row.hits, row.right, strict=True))

    return sum(keeps(row) for row in lists) / len(lists)


def test_the_critical_value_is_that_of_the_best_scored_right_hit():
    row = page_list(0, 2, [0.9, 0.6, 0.3, 0.1])
    assert critical_value(row, "page", "conformal", "dense") == -0.3
    assert critical_value(row, "page", "top-ratio", "dense") == pytest.approx(3.0)
    assert critical_value(row, "page", "log-ratio", "dense") == pytest.approx(math.log(2))
    assert critical_value(row, "page", "fixed", "rank") == 3
    assert critical_value(row, "page", "conformal", "bm25") == math.inf
    assert critical_value(page_list(0, None, [0.9]), "page", "fixed", "rank") == math.inf


@pytest.mark.parametrize("name", ["conformal", "log-ratio", "top-ratio", "risk"])
def test_a_fitted_selector_keeps_the_answer_of_new_queries_at_the_target(name):
    calibration = fit(pages())
    options = SelectionOptions("dense", least=0, most=10)
    share = covered(make_selector(name, options, calibration), pages(2000, seed=1))
    assert share >= 0.9 - 3 * (0.1 * 0.9 / 200) ** 0.5  # the parameter comes from 200 queries
    row = entry(calibration, name)
    assert (row.n, row.found, row.encoder) == (200, 1.0, "" if name == "risk" else "e1")
    assert row.covered == pytest.approx(share, abs=0.08)
    assert 0 < row.kept <= 10


def test_a_higher_target_keeps_no_less():
    low, high = (fit(pages(), FitOptions(("dense",), target)) for target in (0.7, 0.95))
    assert entry(high, "conformal").value <= entry(low, "conformal").value
    assert entry(high, "fixed").value >= entry(low, "fixed").value
    assert entry(high, "risk").value >= entry(low, "risk").value


def test_certified_k_is_at_least_the_conformal_one():
    calibration = fit(pages())
    assert entry(calibration, "risk").value >= entry(calibration, "fixed").value


def test_an_answer_that_is_found_too_seldom_leaves_the_list_uncut():
    calibration = fit(pages(found=0.6))
    row = entry(calibration, "conformal")
    assert row.value is None
    assert row.covered == pytest.approx(row.found)
    selector = make_selector("conformal", SelectionOptions("dense", most=10), calibration)
    assert len(selector.select(QUERY, pages(1)[0].hits).hits) == 10


def test_a_part_with_few_queries_has_no_parameters_of_its_own():
    assert fit(pages(29)).entries == ()
    assert fit([]).entries == ()


def test_queries_that_a_channel_cannot_read_are_left_out_there():
    unread = [replace(row, hits=tuple(replace(hit, channels={}) for hit in row.hits)) for row in pages(50, seed=2)]
    calibration = fit([*pages(200), *(replace(row, id=f"u{row.id}", cluster=f"u{row.id}") for row in unread)])
    assert entry(calibration, "conformal").n == 200
    assert entry(calibration, "conformal").value == pytest.approx(entry(fit(pages(200)), "conformal").value)
    assert entry(calibration, "risk").n == 250


def test_domains_of_a_kind_are_fitted_apart():
    def case_list(n, domain, scores):
        hits = tuple(case(100 * n + i, score, i + 1, domain) for i, score in enumerate(scores))
        return JudgedList(f"{domain}{n}", "cases", f"{n}", f"case/{domain}", hits, ("x", None, None), 1)

    high = [case_list(n, "radiology", [0.9 - n / 1000, 0.5, 0.4]) for n in range(40)]
    low = [case_list(n, "pathology", [0.3 - n / 1000, 0.2, 0.1]) for n in range(40)]
    calibration = fit([*high, *low])
    assert {row.domain for row in calibration.entries} == {"case", "case/radiology", "case/pathology"}
    selector = make_selector("conformal", SelectionOptions("dense", least=0), calibration)
    assert len(selector.select(QUERY, high[0].hits).hits) == 1
    assert len(selector.select(QUERY, low[0].hits).hits) == 1
    assert entry(calibration, "conformal", "case").value < 0.3


def test_a_cluster_is_never_split():
    lists = [page_list(n, 0, [1.0], cluster=f"patient {n % 7}") for n in range(40)]
    folds = folds_of(lists, 5)
    assert all(folds[n] == folds[n % 7] for n in range(40))
    assert set(folds) == {0, 1, 2, 3, 4}


def test_the_file_gives_back_what_was_stored(tmp_path):
    calibration = fit(pages())
    path = save_calibration(tmp_path, calibration)
    assert path == tmp_path / FILE
    assert load_calibration(tmp_path, "abc") == calibration


def test_without_a_file_there_is_no_calibration(tmp_path):
    assert load_calibration(tmp_path, "abc") is None


def test_the_calibration_of_another_index_is_refused_with_both_fingerprints(tmp_path):
    save_calibration(tmp_path, fit(pages(50)))
    with pytest.raises(
        CalibrationMismatch, match=r"fingerprint abc, but this one has def; run `vesalius cal"
    ) as caught:
        load_calibration(tmp_path, "def")
    assert isinstance(caught.value, IndexMismatch)
    assert (caught.value.stored, caught.value.wanted, caught.value.exit_code) == ("abc", "def", 2)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"entries": 3}', '{"entries": [{"x": 1}]}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StoreError, match=FILE):
        load_calibration(tmp_path, "abc")


def test_the_file_is_readable_json(tmp_path):
    data = json.loads(save_calibration(tmp_path, fit(pages(50))).read_text())
    assert data["fingerprint"] == "abc"
    assert {row["selector"] for row in data["entries"]} == {"fixed", "risk", "conformal", "log-ratio", "top-ratio"}


def test_a_selector_without_its_parameter_says_what_to_do():
    with pytest.raises(ConfigError, match="vesalius calibrate"):
        make_selector("conformal", SelectionOptions())
    with pytest.raises(ConfigError, match="it was calibrated for dense"):
        make_selector("log-ratio", SelectionOptions("late"), fit(pages(50)))
    with pytest.raises(ConfigError, match="there is no selector 'best'"):
        make_selector("best", SelectionOptions())
    with pytest.raises(ConfigError, match="least 9 and most 8"):
        SelectionOptions(least=9)


def test_a_kind_that_was_not_calibrated_is_only_bounded():
    hits = [case(i, 0.01, i + 1, "radiology") for i in range(12)]
    selector = make_selector("conformal", SelectionOptions("dense", most=5), fit(pages()))
    assert len(selector.select(QUERY, hits).hits) == 5


def test_a_fixed_k_without_extras_is_plain():
    assert make_selector("fixed", SelectionOptions(most=3, budget_words=70)) == FixedK(3, 70)


def test_a_value_of_the_settings_wins_over_the_calibration():
    selector = make_selector("risk", SelectionOptions(value=2.0), Calibration("abc", 0.9, 0.1, 10))
    assert len(selector.select(QUERY, pages(1)[0].hits).hits) == 2


@pytest.mark.parametrize("wrong", [{"target": 1.0}, {"delta": 0.0}, {"folds": 1}, {"least": 0}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigError, match="calibration"):
        FitOptions(("dense",), **wrong)
