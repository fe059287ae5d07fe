"""What must not pass for a result: other data, edited files, a metric that failed. And the pictures of a run."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from eval.ablation import running
from eval.ablation.cache import StageCache
from eval.ablation.experiment import parse_experiment
from eval.ablation.folder import read_result
from eval.ablation.pictures import kept_pictures
from eval.ablation.prepare import prepare, read_questions
from eval.ablation.rendering.thumbnails import PICTURES, Thumbnails, thumbnail
from eval.ablation.run import RunOptions, run_prepared
from eval.ablation.run_differences import compare_runs
from eval.ablation.scoring import right_choice
from eval.ablation.toy import Calls, ToyLibraries, toy_documents, write_toy_questions
from rag.cli.app import main
from rag.errors import UsageError
from rag.passages import Passage
from rag.types import CaseLocator


def prepared(folder, questions="questions.jsonl", **changes):
    path = folder / questions
    if not path.exists():
        write_toy_questions(path, 4)
    data = {
        "name": "small",
        "library": "toy",
        "questions": [str(path)],
        "metrics": ["accuracy", "ndcg@5"],
        "factors": {"k": [2, 4]},
        **changes,
    }
    experiment = parse_experiment(data)
    libraries = ToyLibraries(experiment, folder, toy_documents(), Calls())
    return prepare(experiment, libraries, StageCache(folder / "stages"))


def run(folder, name, **changes):
    target = folder / name
    run_prepared(prepared(folder, **changes), target, RunOptions(folder / "stages"))
    return target


def test_runs_of_other_questions_or_changed_ones_are_not_compared(tmp_path, capsys):
    first = run(tmp_path, "first", sanity=False)
    write_toy_questions(tmp_path / "other.jsonl", 4)
    text = (tmp_path / "other.jsonl").read_text()
    (tmp_path / "other.jsonl").write_text(text.replace("On which side", "At what side"))
    second = run(tmp_path, "second", questions="other.jsonl", sanity=False)
    with pytest.raises(UsageError, match="different data"):
        compare_runs(read_result(first), read_result(second))
    assert main(["ablate", "compare", str(first), str(second)]) == 2
    assert "different data" in capsys.readouterr().err
    fewer = run(tmp_path, "fewer", limit=2, sanity=False)
    assert main(["ablate", "compare", str(first), str(fewer)]) == 2
    again = run(tmp_path, "again", sanity=False)
    assert main(["ablate", "compare", str(first), str(again)]) == 0


def test_a_run_with_any_file_edited_or_gone_is_refused_by_name(tmp_path, capsys):
    target = run(tmp_path, "run", sanity=False)
    files = sorted(path for path in target.iterdir() if path.name != "digests.json")
    assert {"samples.jsonl", "metrics.json", "report.html", "cells.csv", PICTURES} <= {path.name for path in files}
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole + b" ")
        with pytest.raises(UsageError, match=path.name):
            read_result(target)
        path.unlink()
        with pytest.raises(UsageError, match=path.name):
            read_result(target)
        path.write_bytes(whole)
    read_result(target)
    (target / "metrics.json").write_text("{}")
    for command in (["report", str(target)], ["compare", str(target), str(target)], ["replay", str(target)]):
        assert main(["ablate", *command]) == 2
        assert "metrics.json" in capsys.readouterr().err


def test_a_metric_that_fails_on_one_question_is_a_row_with_its_error(tmp_path, monkeypatch):
    scores = running.answer_scores

    def failing(item, answer, names):
        if item.id == "q001":
            raise ZeroDivisionError("a made-up fault of a metric")
        return scores(item, answer, names)

    monkeypatch.setattr(running, "answer_scores", failing)
    target = run(tmp_path, "run", sanity=False)
    rows = [json.loads(line) for line in (target / "samples.jsonl").read_text().splitlines()]
    failed = [row for row in rows if row["error"]]
    assert [row["item"] for row in failed] == ["q001", "q001"]
    for row in failed:
        assert row["error"] == "ZeroDivisionError: a made-up fault of a metric"
        assert row["metrics"]["accuracy"] is None
        assert row["metrics"]["ndcg@5"] is not None
        assert row["answer"]
    cell = json.loads((target / "metrics.json").read_text())["cells"][0]
    assert (cell["n"], cell["n_error"], cell["means"]["accuracy"]["n"]) == (4, 1, 3)
    assert (cell["means"]["ndcg@5"]["n"], "made-up fault" in (target / "report.html").read_text()) == (4, True)


def pictured(folder, monkeypatch):
    """A prepared run whose passages come as cases that show one of two images, and whose first question asks of one."""
    for name, colour in (("page.png", "red"), ("scan.png", "green"), ("asked.png", "blue")):
        Image.new("RGB", (900, 700), colour).save(folder / name)
    made = prepared(folder, sanity=False)
    library = next(iter(made.runnable.values())).system.opened.library
    known = library.get

    def get(ids):
        found = known(ids)
        return [
            Passage(one.id, "case", "cases", one.text, CaseLocator("r"), images=(folder / name,))
            for one, name in zip(found, ("page.png", "scan.png") * len(found), strict=False)
        ]

    monkeypatch.setattr(type(library), "get", lambda _, ids: get(ids))
    first = made.items[0]
    asked = replace(first, query=replace(first.query, images=(folder / "asked.png", folder / "page.png")))
    made.items = (asked, *made.items[1:])
    return made


@pytest.mark.parametrize("mode", ["RGB", "I;16", "L"])
def test_a_thumbnail_is_a_small_jpeg_without_metadata(tmp_path, mode):
    Image.new(mode, (900, 700)).save(tmp_path / "x.png")
    assert (thumbnail(tmp_path / "x.png") or "").startswith("data:image/jpeg;base64,")
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert thumbnail(tmp_path / "broken.png") is None
    assert thumbnail(tmp_path / "nowhere.png") is None


def test_each_shown_image_is_kept_once_and_no_more_than_there_is_room_for(tmp_path, monkeypatch):
    made = pictured(tmp_path, monkeypatch)
    rows = {
        cell.id: [{"evidence": [{"passage": key, "kind": "case"} for key in _ids(made)]}]
        for cell in made.cells
        if cell.impossible is None
    }
    kept = kept_pictures(made, rows)
    assert len(kept.pictures) == 3
    assert len(kept.passages) == 4
    asked = kept.questions[made.items[0].id]
    assert set(kept.passages.values()) | set(asked) == set(kept.pictures)
    assert len(set(kept.passages.values()) & set(asked)) == 1
    one = max(map(len, kept.pictures.values()))
    few = kept_pictures(made, rows, room=one)
    assert (len(few.pictures), few.questions, few.passages) == (1, {made.items[0].id: asked[:1]}, {})
    assert kept_pictures(made, rows, room=10).as_json() == {"passages": {}, "questions": {}, "pictures": {}}


def _ids(made):
    library = next(iter(made.runnable.values())).system.opened.library
    return list(library.store.ids("page"))[:4]


def test_a_report_shows_the_kept_pictures_of_evidence_and_question(tmp_path):
    picture = "data:image/jpeg;base64,AAAA"
    document = {"passages": {"p1": "a"}, "questions": {"q1": ["b", "gone"]}, "pictures": {"a": picture, "b": picture}}
    (tmp_path / PICTURES).write_text(json.dumps(document))
    shown = Thumbnails(tmp_path, 1000)
    assert shown.of_passage("p1") == "a"
    assert shown.of_passage("p2") is None
    assert shown.of_question("q1") == ["b"]
    assert shown.made == {"a": picture, "b": picture}
    assert Thumbnails(tmp_path, 10).of_passage("p1") is None
    (tmp_path / PICTURES).write_text("[]")
    assert Thumbnails(tmp_path, 1000).of_passage("p1") is None


def test_yes_or_no_questions_are_asked_with_their_verdicts_as_options(tmp_path):
    rows = [
        {"id": "y", "question": "Is the nodule in the lung?", "answer": "Yes"},
        {"id": "n", "question": "Is the cyst in the bone?", "answer": "no."},
        {"id": "open", "question": "Where is the nodule?", "answer": "lung"},
        {"id": "choice", "question": "Where is it?", "answer": "A", "options": ["yes", "elsewhere"]},
    ]

    def options(name, *more):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *more]))
        experiment = parse_experiment(
            {"name": "x", "library": "toy", "questions": [str(path)], "metrics": ["accuracy"]}
        )
        _, items = read_questions(experiment, ToyLibraries(experiment, tmp_path, toy_documents(), Calls()))
        return {item.id: item.query.options for item in items}, [right_choice(item) for item in items]

    assert options("two.jsonl") == (
        {"y": ("yes", "no"), "n": ("yes", "no"), "open": (), "choice": ("yes", "elsewhere")}, ["A", "B", None, "A"],
    )  # fmt: skip
    three, right = options("three.jsonl", {"id": "m", "question": "Is it benign?", "answer": "maybe"})
    assert three["y"] == ("yes", "no", "maybe")
    assert right == ["A", "B", None, "A", "C"]
