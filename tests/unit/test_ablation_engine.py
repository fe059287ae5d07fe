"""The ablation engine on a toy system: every stage once, nothing twice, exactly the descendants of a change, kills."""

import json
import random
import shutil

import pytest

from eval.ablation.cache import STAGES, StageCache
from eval.ablation.experiment import parse_experiment
from eval.ablation.folder import read_result, untimed_differences
from eval.ablation.plan import check_budget, make_plan
from eval.ablation.prepare import prepare
from eval.ablation.run import RunOptions, run_prepared
from eval.ablation.toy import Calls, ToyLibraries, toy_documents, write_toy_questions
from rag.errors import ConfigError, QueryError, UsageError
from rag.types import KINDS

KEPT = tuple(stage for stage in STAGES if stage not in ("library", "score", "aggregate"))


@pytest.fixture
def grid(tmp_path):
    """24 cells over 4 questions, and the five controls that apply."""
    questions = write_toy_questions(tmp_path / "questions.jsonl", 4)
    return {
        "name": "grid",
        "library": "toy",
        "questions": [str(questions)],
        "metrics": ["accuracy", "ndcg@5", "evidence-recall", "cites-gold"],
        "factors": {
            "channels": ["all", "dense", "late"],
            "k": [2, 4],
            "router": [True, False],
            "rerank": [False, True],
        },
        "design": "full",
    }


class Lab:
    """Runs an experiment over the toy library with one cache."""

    def __init__(self, folder):
        self.folder, self.documents, self.calls, self.runs = folder, toy_documents(), Calls(), 0

    def prepared(self, data, no_cache=()):
        experiment = parse_experiment(data)
        libraries = ToyLibraries(experiment, self.folder, self.documents, self.calls)
        return prepare(experiment, libraries, StageCache(self.folder / "stages", no_cache))

    def run(self, data, no_cache=()):
        self.runs += 1
        target = self.folder / f"run{self.runs}"
        return run_prepared(self.prepared(data, no_cache), target, RunOptions(self.folder / "stages")), target


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def test_each_stage_is_computed_once_per_distinct_key_and_never_again(lab, grid):
    plan = make_plan(lab.prepared(grid), {})
    first, target = lab.run(grid)
    assert {name: first["stages"][name]["computed"] for name in KEPT} == {
        name: plan.stages[name].planned for name in KEPT
    }
    assert (first["cells"], first["failed"]) == (29, 0)
    asked = lab.calls.encoded, lab.calls.reranked, lab.calls.drafted
    # Two encoders read a question and its three options; rerankers read each fused head once.
    assert asked[0] == plan.stages["encode"].planned == 4 * 4 * 2
    assert asked[1] == plan.stages["rerank"].planned > 0
    assert 0 < asked[2] < plan.stages["generate"].planned  # equal evidence shares a draft
    again, second = lab.run(grid)
    assert (lab.calls.encoded, lab.calls.reranked, lab.calls.drafted) == asked
    assert again["model_calls"] == 0
    assert all(again["stages"][name]["computed"] == 0 for name in KEPT)
    assert untimed_differences(target, second) == []


def test_one_changed_document_computes_its_descendants_only(lab, grid):
    lab.run(grid)
    name = next(iter(lab.documents))
    lab.documents[name] += "!"
    changed, _ = lab.run(grid)
    plan = {stage: counts["planned"] for stage, counts in changed["stages"].items()}
    computed = {stage: counts["computed"] for stage, counts in changed["stages"].items()}
    assert computed["encode"] == 0
    # Lists of pages are made anew, those of facts are not: half of the channels are of facts.
    assert computed["lists"] == plan["lists"] / 2
    for stage in ("rank", "rerank", "guard"):
        assert computed[stage] == plan[stage]
    # Without evidence there is nothing that a document could change: two controls of four questions.
    assert (computed["select"], computed["ground"]) == (plan["select"] - 2, plan["ground"] - 8)


def test_cells_that_do_not_search_pages_do_not_mind_a_changed_page(lab, grid):
    facts = {**grid, "base": {"kinds": "facts"}, "metrics": ["accuracy"], "sanity": False}
    lab.run(facts)
    lab.documents[next(iter(lab.documents))] += "!"
    changed, _ = lab.run(facts)
    assert all(changed["stages"][name]["computed"] == 0 for name in KEPT)


def test_killed_at_any_point_the_end_is_the_same_to_the_byte(lab, grid, monkeypatch):
    small = {**grid, "factors": {"channels": ["all", "dense"], "rerank": [False, True]}, "repeats": 2}
    _, whole = lab.run(small)
    entries = sum(path.read_bytes().count(b"\n") for path in (lab.folder / "stages").glob("*.log"))
    shutil.rmtree(lab.folder / "stages")
    rng, put = random.Random(0), StageCache.put
    for _ in range(20):
        left = rng.randrange(1, max(2, entries // 12))

        def killed(cache, need, entry):
            nonlocal left
            left -= 1
            if left == 0:
                # Killed while it writes: a line without its end is what that may leave.
                with (cache.folder / f"{need.stage}.log").open("ab") as log:
                    log.write(f"{'0' * 64} {need.key} 9 1-0 0 {{}}\t[1, 2".encode())
                raise KeyboardInterrupt
            put(cache, need, entry)

        monkeypatch.setattr(StageCache, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            lab.run(small)
    monkeypatch.setattr(StageCache, "put", put)
    _, resumed = lab.run(small)
    assert untimed_differences(whole, resumed) == []
    found = StageCache(lab.folder / "stages").verify()
    assert (found.damaged, found.leftover) == ((), 0)


def test_a_refused_stage_is_computed_anew_once(lab, grid):
    small = {**grid, "factors": {"k": [2, 4]}, "sanity": False}
    first, _ = lab.run(small)
    anew, _ = lab.run(small, no_cache=("select",))
    assert anew["stages"]["select"]["computed"] == first["stages"]["select"]["planned"]
    assert anew["stages"]["encode"]["computed"] == 0
    with pytest.raises(ConfigError, match="no stage 'selct'"):
        lab.prepared(small, ("selct",))


def test_a_shallow_list_does_not_serve_a_deep_one_and_a_deep_one_serves_both(lab, grid):
    shallow = {**grid, "factors": {}, "base": {"depth": 10}, "sanity": False}
    first, _ = lab.run(shallow)
    deep, _ = lab.run({**shallow, "base": {"depth": 50}})
    # Late interaction reads candidates of the lists before it, so its own lists have other keys at another depth.
    assert deep["stages"]["lists"]["computed"] == first["stages"]["lists"]["planned"]
    again, _ = lab.run(shallow)
    assert again["stages"]["lists"]["computed"] == 0


def test_controls_order_as_they_must(lab, grid):
    _, target = lab.run(grid)
    result = read_result(target)
    means = {
        cell.cell.name: sum(item.metrics["accuracy"] or 0 for item in cell.items) / len(cell.items)
        for cell in result.cells
        if cell.cell.impossible is None
    }
    full = means[result.cells[0].cell.name]
    assert means["oracle evidence"] == 1.0
    assert means["oracle evidence"] >= full > means["no retrieval"] == means["question only"] == 0.0
    assert means["most frequent answer"] == float(result.provenance["most_frequent_closed_form"])
    nothing = next(cell for cell in result.cells if cell.cell.arm == "no retrieval")
    assert all(item.metrics["answered"] == 0 for item in nothing.items)
    assert next(cell for cell in result.cells if cell.cell.arm == "shuffled image").cell.impossible


def test_a_question_that_fails_is_a_row_with_its_error(lab, grid, monkeypatch):
    from rag.fusion import merged

    def failing(lists):
        if any(hit.passage.document.startswith("heart") for hits in lists.values() for hit in list(hits)[:1]):
            raise QueryError("a made-up fault")
        return merged(lists)

    monkeypatch.setattr("rag.fusion.merged", failing)
    document, target = lab.run({**grid, "factors": {}, "sanity": False})
    rows = [json.loads(line) for line in (target / "samples.jsonl").read_text().splitlines()]
    failed = [row for row in rows if row["error"]]
    assert len(rows) == 4
    assert 0 < len(failed) == document["failed"] < 4
    assert all(row["metrics"]["accuracy"] is None and "made-up fault" in row["error"] for row in failed)


def test_an_edited_run_is_not_believed(lab, grid):
    _, target = lab.run({**grid, "factors": {}})
    path = target / "samples.jsonl"
    path.write_text(path.read_text().replace('"accuracy": 1.0', '"accuracy": 0.0', 1))
    with pytest.raises(UsageError, match=r"samples\.jsonl of the run .* changed"):
        read_result(target)


def test_a_run_folder_is_never_overwritten(lab, grid):
    _, target = lab.run({**grid, "factors": {}})
    with pytest.raises(UsageError, match="never overwritten"):
        run_prepared(lab.prepared({**grid, "factors": {}}), target, RunOptions(lab.folder / "stages"))


def test_cells_that_cannot_run_are_planned_out_with_the_reason(lab, grid):
    data = {
        **grid,
        "factors": {"answerer": ["extractive", "vlm"], "channels": ["all", "image"]},
        "design": "one-factor",
    }
    plan = make_plan(lab.prepared(data), {})
    reasons = {cell.name: cell.impossible for cell in plan.impossible}
    assert "vlm.model names no model" in reasons["answerer=vlm, channels=all"]
    assert "has no channel 'image'" in reasons["answerer=extractive, channels=image"]
    document, _ = lab.run(data)
    assert (document["impossible"], document["failed"]) == (3, 0)


def test_a_budget_refuses_a_run_before_it_starts(lab, grid):
    data = {**grid, "budget": {"model_calls": 10}}
    prepared = lab.prepared(data)
    with pytest.raises(ConfigError, match=r"model calls, and budget\.model_calls is 10"):
        check_budget(prepared.experiment, make_plan(prepared, {}))
    assert lab.calls.encoded == 0


def test_what_is_remembered_is_what_the_search_finds(lab, grid):
    prepared = lab.prepared(grid)
    for runnable in list(prepared.runnable.values())[:24:5]:
        system, stages = runnable.system, prepared.stages
        plain = system.engine.over(system.opened.library.store, system.channels, system.engine.reranker)
        for item in runnable.items:
            needs = stages.keys.search(system, item.query, KINDS, 20)
            expected = plain.search(item.query, k=20, kinds=KINDS)
            for _ in range(2):  # computed, then read
                found = stages.ranking(system, item.query, needs, KINDS)
                assert found.hits == expected.hits
                assert (found.route, found.dropped) == (expected.route, expected.dropped)
