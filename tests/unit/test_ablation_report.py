"""Reports of an ablation: their figures are those of SciPy, their pages do not change unnoticed."""

import csv
import io
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eval.ablation.analysis import analyse
from eval.ablation.comparison import AnalysisOptions, cell_labels, compare_cells
from eval.ablation.costs import cost_points
from eval.ablation.pairing import scores_of
from eval.ablation.rendering.csv_files import cells_csv, items_csv
from eval.ablation.rendering.latex import escaped, latex_report
from eval.ablation.rendering.markdown import markdown_report
from eval.ablation.reporting import write_reports
from eval.ablation.results import AblationResult, Cell, CellResult, ItemResult
from eval.ablation.run_differences import compare_runs, differences_markdown
from eval.statistics import BootstrapOptions
from eval.statistics_tests import RandomisationOptions
from rag.errors import UsageError

GOLDEN = Path(__file__).parents[1] / "data" / "ablation_report"
QUICK = AnalysisOptions(
    BootstrapOptions(resamples=400), RandomisationOptions(resamples=399), RandomisationOptions(resamples=399)
)
BASE = "k5-text"


def items(skill: int, *, n: int = 40, per_patient: int = 1, failed: tuple[int, ...] = ()) -> tuple[ItemResult, ...]:
    """Questions of which about `skill` in ten are right; whole numbers only, so the figures are the same everywhere."""
    rows = []
    for number in range(n):
        right = float((number * 7 + number // 10) % 10 < skill)
        score = ((number * 3) % 8 + skill) / 20
        metrics: dict[str, float | None] = {"accuracy": right, "ndcg@5": score, "confidence": score, "abstained": 0.0}
        if number % 8 == 7:
            del metrics["ndcg@5"]
        if number in failed:
            metrics["accuracy"] = None
        rows.append(
            ItemResult(
                item=f"q{number:02d}",
                metrics=metrics,
                cluster=f"patient {number // per_patient}",
                groups={"set": ("review", "visual")[number % 2]},
                ranks={"fused": number % 5 + 1},
                seconds={"search": 0.25, "answer": skill / 4},
                tokens=100 * skill,
                error="the model's reply was empty" if number in failed else None,
            )
        )
    return tuple(rows)


def example(per_patient: int = 1) -> AblationResult:
    """Two crossed factors, one cell that cannot run, and controls."""

    def cell(k: int, reader: str, skill: int, failed: tuple[int, ...] = ()) -> CellResult:
        levels = {"k": k, "reader": reader}
        return CellResult(Cell(f"k{k}-{reader}", levels), items(skill, per_patient=per_patient, failed=failed))

    def control(arm: str, skill: int) -> CellResult:
        levels = {"k": 5, "reader": "text"}
        return CellResult(Cell(arm, levels, "sanity", arm), items(skill, per_patient=per_patient))

    most = control("most frequent answer", 3)
    share = np.mean([item.metrics["accuracy"] for item in most.items])
    return AblationResult(
        name="pages & text_50 %",
        factors={"k": (5, 10), "reader": ("text", "both")},
        metrics=("accuracy", "ndcg@5", "confidence", "abstained"),
        baseline=BASE,
        cells=(
            cell(5, "text", 4),
            cell(10, "text", 5),
            cell(5, "both", 8, failed=(3, 9)),
            cell(10, "both", 9),
            CellResult(Cell("k5-video", {"k": 5, "reader": "video"}, impossible="no reader for video"), ()),
            control("oracle evidence", 10),
            control("shuffled evidence", 1),
            most,
        ),
        smaller_is_better=frozenset({"abstained"}),
        provenance={"commit": "1f2e3d", "data_digest": "sha256:0123", "most_frequent_closed_form": repr(float(share))},
    )


@cache
def analysed():
    """The example's figures; several tests look at them."""
    return analyse(example(), QUICK)


def column(result, cell, metric):
    scores = scores_of(result, metric)
    return dict(zip(scores.items, scores.values[cell], strict=True))


def paired(result, cell, metric):
    """The values of a cell and of the baseline on the questions that both have, computed here again."""
    found = {one.cell.id: {item.item: item.metrics.get(metric) for item in one.items} for one in result.cells}
    keys = [key for key, value in found[cell].items() if value is not None and found[BASE].get(key) is not None]
    return np.array([[found[cell][key], found[BASE][key]] for key in sorted(keys)]).T


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("report.md", lambda: markdown_report(analysed())),
        ("report.tex", lambda: latex_report(analysed())),
    ],
)
def test_pages_are_the_golden_ones(name, page):
    assert page() == (GOLDEN / name).read_text(encoding="utf-8")


def test_figures_equal_direct_computations():
    result = example()
    accuracy, ndcg, *_ = compare_cells(result, AnalysisOptions())
    p_values = {}
    for row in accuracy.rows:
        if row.contrast is None:
            assert row.cell.id == BASE
            continue
        ours, theirs = paired(result, row.cell.id, "accuracy")
        compared = row.contrast.comparison
        only_ours, only_theirs = int(np.sum(ours > theirs)), int(np.sum(ours < theirs))
        both = only_ours + only_theirs
        expected = stats.binomtest(only_ours, both, 0.5).pvalue if both else 1.0
        assert row.contrast.test == "McNemar"
        assert compared.p == pytest.approx(expected, abs=1e-12)
        assert compared.difference.value == pytest.approx(np.mean(ours - theirs), abs=1e-12)
        assert (compared.wins, compared.ties, compared.losses) == (only_ours, len(ours) - both, only_theirs)
        p_values.setdefault(row.contrast.family, []).append((compared.p, compared.p_holm))
    assert {family: len(rows) for family, rows in p_values.items()} == {
        "k": 1, "reader": 1, "combinations": 1, "controls": 3
    }  # fmt: skip
    plain, corrected = np.array(sorted(p_values["controls"])).T
    assert corrected == pytest.approx(np.minimum(1, np.maximum.accumulate(plain * [3, 2, 1])))
    row = ndcg.row("k10-text")
    ours, theirs = paired(result, "k10-text", "ndcg@5")
    assert row.contrast.test == "sign-flip"
    assert row.mean.value == pytest.approx(ours.mean())
    assert row.contrast.comparison.n == 35


def test_intervals_and_sign_flips_agree_with_scipy_on_clusters():
    rng = np.random.default_rng(3)
    ours, theirs = rng.normal(0.2, 1, (2, 60))
    cells = tuple(
        CellResult(
            Cell(name, {"k": k}),
            tuple(ItemResult(f"q{i:02d}", {"score": float(v)}, f"p{i // 5}") for i, v in enumerate(values)),
        )
        for name, k, values in (("base", 1, theirs), ("new", 2, ours))
    )
    result = AblationResult("clusters", {"k": (1, 2)}, ("score",), "base", cells)
    compared = compare_cells(result)[0].row("new").contrast.comparison
    sums = (ours - theirs).reshape(12, 5).mean(axis=1)
    exact = stats.permutation_test((sums,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert compared.clusters == 12
    assert compared.p == pytest.approx(exact.pvalue, abs=1e-9)
    direct = stats.bootstrap((sums,), np.mean, n_resamples=20_000, rng=np.random.default_rng(1)).confidence_interval
    assert compared.difference.low == pytest.approx(direct.low, abs=0.03)
    assert compared.difference.high == pytest.approx(direct.high, abs=0.03)


def test_failed_and_inapplicable_scores_are_counted_and_never_paired():
    accuracy, ndcg, *_ = compare_cells(example(), QUICK)
    row = accuracy.row("k5-both")
    assert (row.counts.scored, row.counts.failed, row.counts.not_applicable) == (38, 2, 0)
    assert row.contrast.comparison.n == 38
    assert (ndcg.row(BASE).counts.scored, ndcg.row(BASE).counts.not_applicable) == (35, 5)


def test_an_error_of_a_whole_question_counts_as_failed():
    result = example()
    broken = replace(result.cells[1].items[0], metrics={}, error="out of memory")
    cells = (*result.cells[:1], replace(result.cells[1], items=(broken, *result.cells[1].items[1:])), *result.cells[2:])
    assert compare_cells(replace(result, cells=cells), QUICK)[0].row("k10-text").counts.failed == 1


def test_several_questions_per_patient_are_tested_by_patient():
    contrast = compare_cells(example(per_patient=4), QUICK)[0].row("k5-both").contrast
    assert contrast.test == "sign-flip"
    assert contrast.comparison.clusters == 10


def test_what_is_not_significant_is_said_and_not_bold():
    page = markdown_report(analysed())
    line = next(line for line in page.splitlines() if line.startswith("| k=10 |"))
    assert "not significant" in line
    assert "**" not in line
    assert "**better" in next(line for line in page.splitlines() if line.startswith("| reader=both |"))
    tex = latex_report(analysed())
    assert r"^{\mathrm{n.s.}}$" in next(line for line in tex.splitlines() if line.startswith("k=10 &"))


def test_sanity_lines_pass_and_fail():
    good = analysed().sanity
    assert [check.verdict for check in good] == ["passed", "passed", "passed"]
    result = example()
    swapped = tuple(
        replace(cell, items=items(2)) if cell.cell.arm in {"oracle evidence", "most frequent answer"} else cell
        for cell in result.cells
    )
    assert [check.verdict for check in analyse(replace(result, cells=swapped), QUICK).sanity] == [
        "failed", "passed", "failed"
    ]  # fmt: skip
    bare = replace(result, cells=result.cells[:2])
    assert {check.verdict for check in analyse(bare, QUICK).sanity} == {"not run"}


def test_effects_are_those_of_the_matched_cells():
    figures = analysed().factorial[1]
    effect = next(one.effect for one in figures.main if one.effect.levels == (("reader", "both"),))
    cells = {cell: column(example(), cell, "ndcg@5") for cell in ("k5-text", "k5-both", "k10-text", "k10-both")}
    gaps = [
        np.nanmean([cells[f"k{k}-both"][item] - cells[f"k{k}-text"][item] for item in cells["k5-text"]])
        for k in (5, 10)
    ]
    assert effect.matched == 2
    assert effect.size.value == pytest.approx(np.mean(gaps))
    assert len(figures.interactions) == 1
    assert analyse(replace(example(), cells=example().cells[:3]), QUICK).factorial == ()


def test_subgroups_have_their_own_n():
    groups = {group.value: group for group in analysed().subgroups.groups}
    assert {name: group.n for name, group in groups.items()} == {"review": 20, "visual": 20}
    rows = [item.metrics["accuracy"] for item in example().cells[0].items if item.groups["set"] == "visual"]
    assert groups["visual"].cells[BASE].mean.value == pytest.approx(np.mean(rows))
    assert groups["visual"].cells["k5-both"].n == 18


def test_pareto_front():
    qualities = {"a": 0.5, "b": 0.6, "c": 0.55, "d": None}
    points = cost_points(qualities, {"a": 1.0, "b": 2.0, "c": 2.0, "d": 1.0}, smaller_is_better=False)
    assert [(point.cell, point.on_front) for point in points] == [("a", True), ("b", True), ("c", False)]


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_of_cells_and_questions_changes_no_figure(random):
    result = example(per_patient=2)
    cells = []
    for cell in result.cells:
        rows = list(cell.items)
        random.shuffle(rows)
        cells.append(replace(cell, items=tuple(rows)))
    random.shuffle(cells)
    few = AnalysisOptions(BootstrapOptions(100), RandomisationOptions(99), RandomisationOptions(99))
    one, two = analyse(result, few), analyse(replace(result, cells=tuple(cells)), few)
    assert sorted(cells_csv(one).splitlines()) == sorted(cells_csv(two).splitlines())
    assert sorted(items_csv(one.result).splitlines()) == sorted(items_csv(two.result).splitlines())
    assert (one.factorial, one.subgroups, one.costs) == (two.factorial, two.subgroups, two.costs)
    assert [check.line for check in one.sanity] == [check.line for check in two.sanity]


def test_csv_files_hold_every_cell_metric_and_question(tmp_path):
    paths = {path.name: path for path in write_reports(example(), tmp_path, QUICK)}
    assert set(paths) == {"report.md", "report.tex", "report.html", "cells.csv", "items.csv"}
    cells = list(csv.DictReader(io.StringIO(paths["cells.csv"].read_text())))
    assert len(cells) == 7 * 4
    row = next(row for row in cells if row["cell"] == "k10-both" and row["metric"] == "accuracy")
    assert (row["family"], row["factor:k"], row["factor:reader"]) == ("combinations", "10", "both")
    assert float(row["difference"]) == pytest.approx(np.subtract(*paired(example(), "k10-both", "accuracy")).mean())
    rows = list(csv.DictReader(io.StringIO(paths["items.csv"].read_text())))
    assert len(rows) == 7 * 40
    assert sum(row["error"] != "" for row in rows) == 2


def test_labels_name_what_changes_and_are_unique():
    labels = cell_labels(example())
    assert labels[BASE] == "baseline"
    assert labels["k10-both"] == "k=10, reader=both"
    double = replace(
        example(), cells=(*example().cells, CellResult(Cell("k10-text-2", {"k": 10, "reader": "text"}), ()))
    )
    assert cell_labels(double)["k10-text-2"] == "k=10 (k10-text-2)"


def test_runs_without_baseline_metric_or_with_double_cells_are_refused():
    result = example()
    with pytest.raises(UsageError, match="baseline cell 'gone'"):
        analyse(replace(result, baseline="gone"), QUICK)
    with pytest.raises(UsageError, match="no metric"):
        analyse(replace(result, metrics=()), QUICK)
    with pytest.raises(UsageError, match="twice"):
        analyse(replace(result, cells=(*result.cells, result.cells[0])), QUICK)


def test_two_runs_are_compared_cell_by_cell():
    first = example()
    assert compare_runs(first, first, QUICK).same_results
    cells = (replace(first.cells[0], items=items(9)), *first.cells[2:])
    second = replace(first, cells=cells, provenance={**first.provenance, "commit": "2"})
    found = compare_runs(first, second, QUICK)
    assert not found.same_results
    assert found.only_first == ("k10-text",)
    assert found.provenance == {"commit": ("1f2e3d", "2")}
    changes = {(change.cell, change.metric): change for change in found.changes}
    assert changes["k5-both", "accuracy"].changed == 0
    moved = changes[BASE, "accuracy"]
    before, after = (np.array([i.metrics["accuracy"] for i in items(skill)]) for skill in (4, 9))
    assert moved.changed == int(np.sum(before != after))
    assert moved.comparison.difference.value == pytest.approx(np.mean(after - before))
    assert moved.better
    assert "only in the first run: k=10" in differences_markdown(found)


def test_runs_of_other_data_are_refused():
    first = example()
    other = replace(first, provenance={**first.provenance, "data_digest": "sha256:9999"})
    with pytest.raises(UsageError, match="different data"):
        compare_runs(first, other, QUICK)
    fewer = replace(first, cells=tuple(replace(cell, items=cell.items[:30]) for cell in first.cells))
    with pytest.raises(UsageError, match="different questions: 10"):
        compare_runs(first, fewer, QUICK)


@given(st.text())
def test_latex_text_is_escaped(words):
    made = escaped(words)
    groups = made.replace(r"\{", "").replace(r"\}", "")
    assert groups.count("{") == groups.count("}")
    assert "\n" not in made
    for character in "&%#$_":
        assert made.count(character) == made.count("\\" + character)
