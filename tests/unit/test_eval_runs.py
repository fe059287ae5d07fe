"""The run folder: complete, never overwritten, and kept as far as it came when interrupted."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytrec_eval
import yaml

from eval.datasets import load_queries
from eval.retrieval import RetrievalOptions
from eval.retrieval_run import RetrievalRun, run_retrieval
from eval.runs import RunFolder, default_run_folder, describe_environment, git_commit
from eval.statistics import BootstrapOptions
from rag.errors import QueryError, UsageError
from rag.types import Hit, PageLocator, Passage

FILES = {
    "config.resolved.yaml", "environment.json", "samples.jsonl", "run.trec", "qrels.trec", "metrics.json", "report.md",
    "report.html",
}  # fmt: skip
OPTIONS = RetrievalOptions(channels={"page": ("late", "dense")}, bootstrap=BootstrapOptions(resamples=200))


class Pages:
    """Finds pages 1 to 4, the right one at a rank that depends on the channel; `stop_at` interrupts it."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at

    def search(self, query, *, k, kinds, channels):
        if query.id == self.stop_at:
            raise KeyboardInterrupt
        order = [2, 1, 3, 4] if channels == ("dense",) else [1, 2, 3, 4]
        return [
            Hit(Passage(f"p{n}", "page", "a book|<b>", f"page {n}", PageLocator(n)), 1 / rank)
            for rank, n in enumerate(order, start=1)
        ]


@pytest.fixture
def dataset(tmp_path):
    gold = [{"source": "page", "book": "a book|<b>", "page": 1}]
    rows = [{"id": f"q {n}", "set": "<sets> & more", "text": "x", "gold": gold} for n in range(3)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return load_queries([path])


@pytest.fixture
def target(tmp_path):
    return tmp_path / "runs" / "first"


def test_a_run_folder_holds_everything_and_nothing_is_left_beside_it(dataset, target):
    run = RetrievalRun(target, OPTIONS, config={"preset": "embedded", "path": Path("x")}, fingerprint="abc")
    report, document = run_retrieval(Pages(), dataset, run)
    assert {file.name for file in target.iterdir()} == FILES
    assert [entry.name for entry in target.parent.iterdir()] == ["first"]
    assert json.loads((target / "metrics.json").read_text()) == document
    assert document["run"] == str(target)
    assert document["sets"]["<sets> & more"]["r@1"]["value"] == 1
    assert not report.failed


def test_samples_hold_ranks_per_channel_and_times(dataset, target):
    run_retrieval(Pages(), dataset, RetrievalRun(target, OPTIONS))
    rows = [json.loads(line) for line in (target / "samples.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["q 0", "q 1", "q 2"]
    assert rows[0]["gold"] == ["page/a book|<b>/1"]
    assert rows[0]["gold_rank"] == {"fused": 1, "late": 1, "dense": 2}
    assert rows[0]["channels"]["dense"][0] == "page/a book|<b>/2"
    assert set(rows[0]["seconds"]) == {"fused", "late", "dense"}


def test_the_trec_files_give_the_same_figures_in_trec_eval(dataset, target):
    _, document = run_retrieval(Pages(), dataset, RetrievalRun(target, OPTIONS))
    run, qrels = {}, {}
    for line in (target / "run.trec").read_text().splitlines():
        query, _, unit, _, score, _ = line.split(" ")
        run.setdefault(query, {})[unit] = float(score)
    for line in (target / "qrels.trec").read_text().splitlines():
        query, _, unit, grade = line.split(" ")
        qrels.setdefault(query, {})[unit] = int(grade)
    scores = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_5"}).evaluate(run)
    mean = sum(row["ndcg_cut_5"] for row in scores.values()) / len(scores)
    assert mean == pytest.approx(document["sets"]["<sets> & more"]["ndcg@5"]["value"], abs=1e-6)


def test_configuration_and_environment_are_recorded(dataset, target):
    run_retrieval(Pages(), dataset, RetrievalRun(target, OPTIONS, config={"preset": "embedded"}, fingerprint="abc"))
    config = yaml.safe_load((target / "config.resolved.yaml").read_text())
    assert config["config"] == {"preset": "embedded"}
    assert config["evaluation"]["bootstrap"]["resamples"] == 200
    assert list(config["queries"].values()) == list(dataset.files.values())
    environment = json.loads((target / "environment.json").read_text())
    assert environment["library"] == "abc"
    assert environment["packages"]["numpy"]
    assert environment["cpus"] >= 1


def test_the_pages_are_escaped_and_need_nothing_from_outside(dataset, target):
    run_retrieval(Pages(), dataset, RetrievalRun(target, OPTIONS))
    html = (target / "report.html").read_text()
    assert "&lt;sets&gt; &amp; more" in html
    assert "<sets>" not in html
    assert html.count("<circle") == 3
    assert not re.search(r"<script|<link|src=|url\(", html)
    assert len(html) < 30_000
    markdown = (target / "report.md").read_text()
    assert re.search(r"\| fused \| 3 \| 0 \| 1\.000 \[1\.000, 1\.000\]", markdown)
    assert re.search(r"\| dense \| 0\.369 \[0\.369, 0\.369\] \| 1\.585 ", markdown)


def test_an_existing_run_is_never_overwritten(dataset, target):
    run_retrieval(Pages(), dataset, RetrievalRun(target, OPTIONS))
    before = {file.name: file.read_bytes() for file in target.iterdir()}
    with pytest.raises(UsageError, match="first exists already"):
        run_retrieval(Pages(), dataset, RetrievalRun(target, OPTIONS))
    assert {file.name: file.read_bytes() for file in target.iterdir()} == before


def test_an_empty_folder_may_be_given_and_a_file_may_not(dataset, target):
    target.mkdir(parents=True)
    run_retrieval(Pages(), dataset, RetrievalRun(target, OPTIONS))
    assert (target / "metrics.json").exists()
    with pytest.raises(UsageError, match=r"metrics\.json exists already"):
        RunFolder(target / "metrics.json")


def test_an_interruption_keeps_the_queries_done_and_says_where(dataset, target, caplog):
    with pytest.raises(KeyboardInterrupt):
        run_retrieval(Pages(stop_at="q 2"), dataset, RetrievalRun(target, OPTIONS))
    kept = target.with_name("first.partial") / "samples.jsonl"
    assert len(kept.read_text().splitlines()) == 2
    assert not target.exists()
    assert f"2 finished queries are in {kept}" in caplog.text
    run_retrieval(Pages(), dataset, RetrievalRun(target, OPTIONS))
    assert (target / "metrics.json").exists()
    assert kept.exists()


def test_an_interruption_before_the_first_query_leaves_nothing(dataset, target):
    with pytest.raises(KeyboardInterrupt):
        run_retrieval(Pages(stop_at="q 0"), dataset, RetrievalRun(target, OPTIONS))
    assert list(target.parent.iterdir()) == []


def test_a_folder_that_came_into_being_meanwhile_is_not_touched(target):
    folder = RunFolder(target)
    folder.write_text("report.md", "ours")
    target.mkdir()
    (target / "theirs").write_text("theirs")
    with pytest.raises(UsageError, match=r"first\.partial"):
        folder.__exit__(None, None, None)
    assert [file.name for file in target.iterdir()] == ["theirs"]
    assert (target.with_name("first.partial") / "report.md").read_text() == "ours"


def test_a_folder_that_cannot_be_made_is_one_message(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be made"):
        RunFolder(tmp_path / "file" / "run")


def test_rows_that_all_lack_gold_cannot_be_measured(tmp_path, target):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "1", "text": "x"}')
    with pytest.raises(QueryError, match="nothing can be measured"):
        run_retrieval(Pages(), load_queries([path]), RetrievalRun(target, OPTIONS))
    assert not target.parent.exists()


def test_default_folders_of_one_second_differ(tmp_path):
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    first = default_run_folder("retrieval", now, tmp_path)
    first.mkdir()
    assert first.name == "20260102-030405-retrieval"
    assert default_run_folder("retrieval", now, tmp_path).name == "20260102-030405-retrieval-2"


def test_outside_a_checkout_there_is_no_commit(tmp_path):
    assert git_commit(tmp_path) is None
    assert describe_environment()["library"] is None
