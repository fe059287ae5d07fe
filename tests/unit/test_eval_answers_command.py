"""`vesalius eval answers|citations|reports|convert` on the sample library, as a user calls them."""

import json
from pathlib import Path

import pytest

from eval.items import LoadOptions, load_items
from rag.cli.app import main

pytestmark = pytest.mark.usefixtures("forwards_once")


@pytest.fixture(autouse=True)
def quick_environment(monkeypatch):
    """Listing the installed packages takes longer than everything else here; test_eval_runs.py does it."""
    monkeypatch.setattr("eval.answers_run.describe_environment", lambda library: {"library": library})


def first(path, tmp_path, n, name):
    target = tmp_path / name
    target.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:n]))
    return target


def run(*words, code=0):
    assert main(["eval", *map(str, words)]) == code


def test_answers_of_the_sample_library(sample_folder, sample, tmp_path, capsys):
    rows = first(sample.queries / "choice.jsonl", tmp_path, 2, "some.jsonl")
    with rows.open("a") as stream:
        stream.write("not json\n")
    out = tmp_path / "run"
    run("answers", "--library", sample_folder, "--questions", rows, "--out", out, "--json",
        "--preset-metric", "mirage", code=1)  # fmt: skip
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["n"], document["failed"]) == (3, 1)
    assert document["answered"] + document["abstained"] == 2
    assert document["accuracy"]["n"] == 2
    assert document["baselines"]["chance"]["value"] == 0.25
    assert "1 rows cannot be read" in printed.err
    assert '"stage": "eval answers", "done": 2, "total": 2' in printed.err
    config = (out / "config.resolved.yaml").read_text()
    assert "guard: true" in config
    assert "some.jsonl" in config
    run("answers", "--library", sample_folder, "--questions", rows, "--out", out, code=2)
    run(
        "answers",
        "--library",
        sample_folder,
        "--questions",
        rows,
        "--bad-rows",
        "stop",
        "--out",
        tmp_path / "x",
        code=2,
    )
    run("answers", "--library", sample_folder, "--questions", rows, "--preset-metric", "strickt", code=2)
    run("answers", "--library", sample_folder, "--questions", tmp_path / "none.jsonl", code=2)
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_citations_of_the_sample_library(sample_folder, sample, tmp_path, capsys):
    rows = first(sample.queries / "pages.jsonl", tmp_path, 2, "some.jsonl")
    run("citations", "--library", sample_folder, "--questions", rows, "--out", tmp_path / "run", "--json", "--quiet")
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["n"] == 2
    assert document["quote_verbatim_rate"]["value"] == 1.0
    assert document["invalid_citation_rate"]["value"] == 0.0
    assert document["judge"]["name"] == "rules"
    assert printed.err == ""
    run("citations", "--library", sample_folder, "--questions", rows, "--threshold", "2", code=2)


def test_reports_of_the_sample_library(sample_folder, sample, tmp_path, capsys):
    records = sample.cases if sample.cases.is_file() else next(sample.cases.glob("*.jsonl"))
    rows = first(records, tmp_path, 3, "records.jsonl")
    run("reports", "--library", sample_folder, "--questions", rows, "--images", records.parent, "--limit", 2,
        "--out", tmp_path / "run")  # fmt: skip
    shown = capsys.readouterr().out
    assert "Written by: composed, no model." in shown
    document = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (document["n"], document["compared"]) == (2, 2)
    assert document["guard"]["withheld"] >= 2  # the case itself, at the least
    assert document["guard"]["own_evidence_left"] == 0
    run("reports", "--library", sample_folder, "--questions", sample.queries / "choice.jsonl", code=2)


def test_a_benchmark_becomes_an_own_file_that_reads_back(tmp_path, capsys):
    folder = tmp_path / "rad"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "one.jpg").write_bytes(b"\xff\xd8 not read here")
    rows = [
        {"qid": number, "phrase_type": "test_freeform", "image_name": name, "question": "Is it?", "answer": "yes",
         "answer_type": "CLOSED"}
        for number, name in enumerate(("one.jpg", "two.jpg"))
    ]  # fmt: skip
    (folder / "rad.json").write_text(json.dumps(rows))
    out = tmp_path / "other" / "deep" / "own.jsonl"
    run("convert", "vqa_rad", folder, "--out", out, "--json")
    document = json.loads(capsys.readouterr().out)
    assert (document["written"], document["read_back"]) == (2, 2)
    assert document["source"]["by_split"] == {"test": 2}
    assert len(document["missing_images"]) == 1
    assert document["hints"]
    base = document["hints"][0].rpartition("--images ")[2]
    found = load_items(out, LoadOptions(images=Path(base)))
    assert [item.complete for item in found.items] == [True, False]
    run("convert", "vqa_rad", folder, "--out", out, code=2)
    run("convert", "auto", folder, "--missing", "skip", "--out", tmp_path / "whole.jsonl")
    assert "1 of 2 items of the form vqa_rad" in capsys.readouterr().out
    run("convert", "auto", folder, "--split", "train", "--out", tmp_path / "none.jsonl", code=2)
    run("convert", "auto", folder, "--missing", "stop", "--out", tmp_path / "none.jsonl", code=2)
    assert not (tmp_path / "none.jsonl").exists()
