"""Selectors compared on the same lists, and what `vesalius calibrate` prints."""

import argparse
import json

import numpy as np
import pytest

from eval.datasets import load_queries
from eval.selectors import (
    CompareOptions,
    compare_selectors,
    conformal_coverage,
    coverages,
    judge_lists,
    other_records,
)
from eval.selectors_report import calibration_table, comparison_document, comparison_tables
from eval.statistics import BootstrapOptions
from rag.cli import calibrate
from rag.errors import QueryError
from rag.selectors import FitOptions, JudgedList, fit_calibration
from rag.types import CaseLocator, ChannelScore, Hit, PageLocator, Passage

FIT = FitOptions(("dense",))
OPTIONS = CompareOptions(FIT, fixed=(1, 2, 4), most=8, bootstrap=BootstrapOptions(resamples=100))


def judged(n=120, seed=0):
    """Lists whose first hits are right and stand apart by score; how many is random, so no fixed k fits all."""
    rng = np.random.default_rng(seed)
    lists = []
    for i in range(n):
        many = int(rng.integers(1, 6))
        scores = [*np.sort(rng.uniform(0.8, 0.9, many))[::-1], *np.sort(rng.uniform(0.1, 0.2, 10 - many))[::-1]]
        hits = tuple(
            Hit(
                Passage(f"{i}-{place}", "page", "book", f"two {i}-{place}", PageLocator(place + 1)),
                1 / (place + 20),
                {"dense": ChannelScore(place + 1, float(score))},
            )
            for place, score in enumerate(scores)
        )
        right = tuple(f"page/{place}" if place < many else None for place in range(10))
        lists.append(JudgedList(f"q{i}", "pages", f"q{i}", "page", hits, right, many))
    return lists


@pytest.fixture(scope="module")
def compared():
    return compare_selectors(judged(), OPTIONS)["pages"]


def test_the_gap_finds_what_no_fixed_k_can(compared):
    gap = compared.selectors["gap of dense"]
    assert (gap.measures["recall"].value, gap.measures["precision"].value) == (1.0, 1.0)
    assert gap.gain["recall"].low > 0  # at the same mean size a fixed k keeps less of what is right


def test_a_fixed_k_gains_nothing_against_itself(compared):
    for k in (1, 2, 4):
        row = compared.selectors[f"fixed k = {k}"]
        assert row.measures["kept"].value == k
        assert row.measures["words"].value == 2 * k
        assert row.gain["hit"].value == pytest.approx(0.0)
        assert row.gain["recall"].value == pytest.approx(0.0)


def test_every_selector_is_in_the_tables(compared):
    labels = {"fixed k = 1", "risk", "conformal of dense", "log-ratio of dense", "top-ratio of dense",
              "gap of dense", "mixture of dense"}  # fmt: skip
    assert labels <= compared.selectors.keys()
    assert (compared.n, compared.found) == (120, 1.0)
    tables = comparison_tables({"pages": compared}, coverages(judged(), FIT))
    assert all(f"| {label} |" in tables for label in labels)
    assert "120 queries, 1.000 with a right answer" in tables
    document = comparison_document({"pages": compared}, coverages(judged(), FIT))
    assert json.loads(json.dumps(document))["sets"]["pages"]["selectors"]["risk"]["hit"]["value"] == 1.0


def test_conformal_coverage_meets_its_target_over_a_thousand_splits():
    values = np.random.default_rng(3).normal(size=150).tolist()
    found = conformal_coverage(values, 0.9)
    assert found.holds
    assert found.unreached == 0.0
    assert (found.n, found.rest, found.splits) == (69, 81, 1000)
    assert conformal_coverage(values[:10], 0.9) is None


def test_coverage_below_the_target_is_seen():
    # Four of ten answers are never found: no threshold keeps nine of ten.
    values = [*np.random.default_rng(4).normal(size=60), *[np.inf] * 40]
    found = conformal_coverage(values, 0.9)
    assert (found.holds, found.unreached) == (False, 1.0)


class Searcher:
    """Finds the same three cases for every query; notes how it was asked."""

    def __init__(self):
        self.asked = []

    def search(self, query, *, k, kinds, channels):
        self.asked.append((query.id, k, kinds, channels))
        passages = [
            Passage(f"c{i}", "case", "films", f"film {i}", CaseLocator(str(i)), meta={"domain": "radiology"})
            for i in (1, 2, 3)
        ]
        return [Hit(passage, 1 / rank) for rank, passage in enumerate(passages, start=1)]


def rows(tmp_path, *found):
    path = tmp_path / "films.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return load_queries([path]).items


def record(number):
    return {"source": "report", "id": str(number)}


def test_lists_are_judged_by_gold(tmp_path):
    searcher = Searcher()
    items = rows(tmp_path, {"id": "a", "text": "x", "gold": [record(2), record(9)]}, {"id": "b", "text": "unlabelled"})
    (row,) = judge_lists(searcher, items, depth=7)
    assert searcher.asked == [("a", 7, ("case",), None)]
    assert (row.right, row.gold, row.domain) == ((None, "case//2", None), 2, "case/radiology")


def test_other_records_leave_the_own_one_out(tmp_path):
    items = rows(
        tmp_path,
        {"id": "a", "text": "x", "gold": [record(1)], "gold_relaxed": [record(1), record(3)]},
        {"id": "b", "text": "y", "gold": [record(2)]},
    )
    (row,) = judge_lists(Searcher(), other_records(items), depth=7)
    assert [hit.passage.id for hit in row.hits] == ["c2", "c3"]
    assert row.right == (None, "case//3")


def test_without_gold_nothing_can_be_fitted(tmp_path):
    with pytest.raises(QueryError, match="has gold"):
        judge_lists(Searcher(), rows(tmp_path, {"id": "a", "text": "x"}), depth=7)


def test_the_calibration_is_shown_as_a_table():
    table = calibration_table(fit_calibration(judged(), FIT, fingerprint="", encoders={}, depth=10))
    assert "| page | conformal | dense |" in table
    assert "| page | risk | rank |" in table


def test_the_command_is_declared():
    top = argparse.ArgumentParser()
    calibrate.add(top.add_subparsers())
    args = top.parse_args(["calibrate", "--library", "lib", "--queries", "a.jsonl", "--queries", "b.jsonl"])
    assert (args.target, args.delta, args.compare) == (0.9, 0.1, False)
    assert [path.name for path in args.queries] == ["a.jsonl", "b.jsonl"]
