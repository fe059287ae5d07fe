"""The evaluation loop: systems, kinds, errors, leaks, readings of the gold, and the figures that come out."""

import time
from typing import ClassVar

import numpy as np
import pytest

from eval.baselines import Bm25Baseline
from eval.datasets import QueryItem
from eval.metrics.retrieval import HEADLINE_METRICS, METRICS
from eval.retrieval import RetrievalOptions, evaluate_retrieval
from eval.statistics import BootstrapOptions
from rag.errors import ConfigError, MissingModel, QueryError
from rag.leakage import Guarded
from rag.types import CaseLocator, Hit, PageLocator, Passage, Query

QUICK = BootstrapOptions(resamples=200)


def page(number):
    return Passage(f"p{number}", "page", "book", f"page {number} text", PageLocator(number))


def case(record, patient=None):
    return Passage(f"c-{record}", "case", "cxr", f"report {record}", CaseLocator(record, patient))


def hits(*passages):
    return [Hit(passage, 1 / rank) for rank, passage in enumerate(passages, start=1)]


def ask(name, *pages, set_name="review", **fields):
    gold = frozenset(("page", "book", str(number)) for number in pages)
    return QueryItem(Query(text=f"question {name}", id=name), set_name, gold, **fields)


class Scripted:
    """Answers by query id and channel; an exception in the script is raised."""

    def __init__(self, script):
        self.script, self.calls = script, []

    def search(self, query, *, k, kinds, channels):
        self.calls.append((query.id, k, kinds, channels))
        found = self.script.get((query.id, channels[0] if channels else None), [])
        if isinstance(found, Exception):
            raise found
        return found


def options(**fields):
    return RetrievalOptions(bootstrap=QUICK, **fields)


def test_the_document_has_the_shape_of_the_interface():
    searcher = Scripted({("a", None): hits(page(1), page(2)), ("b", None): hits(page(3), page(4))})
    document = evaluate_retrieval(searcher, [ask("a", 1), ask("b", 4)], options()).as_json()
    review = document["sets"]["review"]
    assert (review["n"], review["missing"]) == (2, 0)
    for metric in HEADLINE_METRICS:
        assert set(review[metric]) == {"value", "low", "high"}
    assert review["r@1"]["value"] == 0.5
    assert review["mrr@10"]["value"] == 0.75
    assert review["ndcg@5"]["value"] == pytest.approx((1 + 1 / np.log2(3)) / 2, abs=1e-6)
    assert review["ndcg@5"]["low"] <= review["ndcg@5"]["value"] <= review["ndcg@5"]["high"]
    assert document["seconds"]["per_query"]["fused"]["p50"] >= 0


def test_sets_are_reported_apart():
    searcher = Scripted({("a", None): hits(page(1))})
    report = evaluate_retrieval(searcher, [ask("a", 1), ask("b", 2, set_name="glossary")], options())
    assert {name: figures.fused.metrics["r@1"].value for name, figures in report.sets.items()} == {
        "review": 1,
        "glossary": 0,
    }


def test_each_channel_is_run_alone_and_compared_with_the_fusion():
    searcher = Scripted({
        ("a", None): hits(page(1)), ("b", None): hits(page(2)),
        ("a", "bm25"): hits(page(1)), ("b", "bm25"): hits(page(9)),
    })  # fmt: skip
    report = evaluate_retrieval(searcher, [ask("a", 1), ask("b", 2)], options(channels={"page": ("bm25", "late")}))
    review = report.sets["review"]
    assert {name: row.metrics["r@1"].value for name, row in review.systems.items()} == {"fused": 1, "bm25": 0.5}
    assert review.left_out == {"late": "found nothing for any query"}
    against = review.against["bm25"]["r@1"]
    assert (against.difference.value, against.ratio.value) == (0.5, 2.0)
    assert (against.wins, against.ties, against.losses) == (1, 1, 0)
    assert ("a", 30, ("page",), ("bm25",)) in searcher.calls


def test_a_channel_is_searched_only_in_the_kinds_that_have_it():
    searcher = Scripted({})
    channels = {"page": ("late", "dense"), "figure": ("dense",), "case": ("image",)}
    evaluate_retrieval(searcher, [ask("a", 1)], options(channels=channels))
    assert [(kinds, names) for _, _, kinds, names in searcher.calls] == [
        (("page", "figure"), None), (("page",), ("late",)), (("page", "figure"), ("dense",)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("own", "chosen", "searched"),
    [((), (), ("page", "figure")), ((), ("page", "fact"), ("page", "fact")), (("case",), ("page",), ("case",))],
)
def test_kinds_come_from_the_row_then_the_options_then_the_sets_gold(own, chosen, searched):
    searcher = Scripted({})
    evaluate_retrieval(searcher, [ask("a", 1, kinds=own)], options(kinds=chosen))
    assert searcher.calls[0][2] == searched


def test_a_query_without_result_is_missing_and_scores_zero():
    report = evaluate_retrieval(Scripted({("a", None): hits(page(1))}), [ask("a", 1), ask("b", 1)], options())
    fused = report.sets["review"].fused
    assert (fused.n, fused.missing, fused.metrics["r@10"].value) == (2, 1, 0.5)


def test_a_failing_query_is_a_row_with_its_error_never_left_out():
    searcher = Scripted({("a", None): hits(page(1)), ("b", None): QueryError("image b.png is broken")})
    rows = []
    report = evaluate_retrieval(
        searcher, [ask("a", 1), ask("b", 1)], options(), on_sample=lambda sample: rows.append(sample.as_json())
    )
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[1]["error"] == "fused: image b.png is broken"
    assert report.failed == {"b": "fused: image b.png is broken"}
    assert report.as_json()["failed"] == [{"id": "b", "error": "fused: image b.png is broken"}]
    assert (report.sets["review"].errors, report.sets["review"].fused.n, report.sets["review"].fused.missing) == (
        1,
        2,
        1,
    )


def test_a_broken_environment_ends_the_run_with_the_samples_handed_on():
    searcher = Scripted({("a", None): hits(page(1)), ("b", None): MissingModel("bge-small")})
    done = []
    with pytest.raises(MissingModel):
        evaluate_retrieval(searcher, [ask("a", 1), ask("b", 1)], options(), on_sample=done.append)
    assert [sample.item.id for sample in done] == ["a"]


def test_rows_without_gold_are_searched_and_counted_but_not_judged():
    searcher = Scripted({("a", None): hits(page(1)), ("u", None): hits(page(5))})
    report = evaluate_retrieval(searcher, [ask("a", 1), ask("u")], options(channels={"page": ("late",)}))
    assert (report.sets["review"].fused.n, report.sets["review"].unjudged) == (1, 1)
    assert [call[3] for call in searcher.calls if call[0] == "u"] == [None]
    assert report.samples[1].as_json()["ranked"] == ["page/book/5"]


def test_a_set_without_any_gold_has_no_figures():
    report = evaluate_retrieval(Scripted({}), [ask("u")], options())
    assert report.as_json()["sets"]["review"]["ndcg@5"] == {"value": None, "low": None, "high": None}
    assert report.sets["review"].fused.n == 0


def test_strict_and_relaxed_gold_are_read_beside_the_plain_one():
    searcher = Scripted({("a", None): hits(page(2), page(1)), ("b", None): hits(page(7))})
    items = [
        ask("a", 1, 2, gold_strict=frozenset({("page", "book", "1")})),
        ask("b", 3, gold_relaxed=frozenset({("page", "book", "7")})),
    ]
    review = evaluate_retrieval(searcher, items, options()).sets["review"]
    assert review.fused.metrics["r@1"].value == 0.5
    assert (review.strict.n, review.strict.metrics["r@1"].value, review.strict.metrics["mrr@10"].value) == (1, 0, 0.5)
    assert (review.relaxed.n, review.relaxed.metrics["r@1"].value) == (2, 1)


@pytest.mark.parametrize(("exclude_leaks", "rank"), [(True, 1), (False, 3)])
def test_other_studies_of_the_querys_patient_are_withheld_by_default(exclude_leaks, rank):
    found = hits(case("old", "p1"), case("older", "p1"), case("right", "p2"))
    item = QueryItem(Query(text="x", id="a", patient="p1"), "cases", frozenset({("case", "cxr", "right")}))
    report = evaluate_retrieval(Scripted({("a", None): found}), [item], options(exclude_leaks=exclude_leaks))
    assert report.samples[0].fused.rank_of(item.gold) == rank
    assert report.sets["cases"].withheld == ({"same patient": 2} if exclude_leaks else {})


def test_deeper_hits_take_the_places_of_those_withheld():
    found = hits(*[case(f"own{n}", "p1") for n in range(30)], *[case(f"r{n}", "p2") for n in range(30)])

    class Deep:
        asked: ClassVar[list[int]] = []

        def search(self, query, *, k, kinds, channels):
            self.asked.append(k)
            return found[:k]

    item = QueryItem(Query(text="x", id="a", patient="p1"), "cases", frozenset({("case", "cxr", "r0")}))
    report = evaluate_retrieval(Deep(), [item], options())
    assert report.samples[0].fused.rank_of(item.gold) == 1
    assert Deep.asked == [30, 60]
    assert report.sets["cases"].as_json()["withheld_by_reason"] == {"same patient": 30}


def test_a_guard_of_ones_own_replaces_the_default():
    report = evaluate_retrieval(
        Scripted({("a", None): hits(page(1), page(2))}), [ask("a", 2)], options(),
        guard=lambda item, hits: Guarded(tuple(hit for hit in hits if hit.passage.page != 1)),
    )  # fmt: skip
    assert report.sets["review"].fused.metrics["r@1"].value == 1


def test_the_baseline_runs_in_the_same_run_on_sets_it_can_search():
    pages = [
        Passage(f"b{n}", "page", "book", text, PageLocator(n)) for n, text in enumerate(["heart", "lung"], start=1)
    ]
    items = [
        QueryItem(Query(text="heart?", id="a"), "review", frozenset({("page", "book", "1")})),
        QueryItem(Query(text="lung", id="b"), "cases", frozenset({("case", "cxr", "r")})),
    ]
    report = evaluate_retrieval(Scripted({}), items, options(), baseline=Bm25Baseline(pages)).as_json()
    assert report["sets"]["review"]["baselines"]["bm25s"]["r@1"]["value"] == 1
    assert report["sets"]["review"]["against"]["bm25s"]["r@1"]["difference"]["value"] == -1
    assert report["sets"]["review"]["by_channel"] == report["sets"]["cases"]["baselines"] == {}


def test_a_baseline_put_to_some_queries_only_is_named_not_compared(tmp_path):
    items = [
        ask("a", 1),
        QueryItem(Query(images=(tmp_path / "x.png",), id="b"), "review", frozenset({("page", "book", "1")})),
    ]
    baseline = Bm25Baseline([Passage("q", "page", "book", "a question", PageLocator(1))])
    review = evaluate_retrieval(Scripted({}), items, options(), baseline=baseline).sets["review"]
    assert review.left_out == {"bm25s": "put to 1 of 2 queries"}
    assert list(review.systems) == ["fused"]


def test_two_runs_agree_in_every_figure():
    searcher = Scripted({("a", None): hits(page(1)), ("b", None): hits(page(3), page(2))})
    documents = [evaluate_retrieval(searcher, [ask("a", 1), ask("b", 2)], options()).as_json() for _ in range(2)]
    assert documents[0]["sets"] == documents[1]["sets"]


def test_a_depth_that_hides_measured_ranks_is_refused():
    with pytest.raises(ConfigError, match="at least 10"):
        RetrievalOptions(depth=5)


def test_intervals_of_three_sets_and_ten_channels_take_seconds():
    rng = np.random.default_rng(0)
    pool = [page(number) for number in range(1, 60)]
    names = tuple(f"channel{number}" for number in range(10))
    items = [ask(f"{name}-{n}", int(rng.integers(1, 60)), set_name=name) for name in ("x", "y", "z") for n in range(90)]
    script = {
        (item.id, name): hits(*(pool[place] for place in rng.permutation(59)[:12]))
        for item in items for name in (None, *names)
    }  # fmt: skip
    started = time.process_time()
    report = evaluate_retrieval(Scripted(script), items, RetrievalOptions(channels={"page": names}))
    assert time.process_time() - started < 10
    assert all(len(figures.systems) == 11 for figures in report.sets.values())
    assert set(report.sets["x"].systems["channel3"].metrics) == set(METRICS)
