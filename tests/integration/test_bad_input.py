"""Bad calls and bad files: one readable line, the right exit code, and the rest of the work goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rag.cli.app import main


def run(*arguments, capsys=None):
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr() if capsys else None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", "x", "--library", "nowhere"], 3, "no library in nowhere"),
        (["ask", "x", "--library", "nowhere"], 3, "no library in nowhere"),
        (["index", "status", "--library", "nowhere"], 3, "no library in nowhere"),
        (["index", "add", "--library", "nowhere", "--pages", "book.pdf"], 3, "no library in nowhere"),
        (["index", "build", "--library", "new", "--pages", "absent.pdf"], 2, "absent.pdf: no such file"),
        (["index", "build", "--library", "new"], 2, "nothing to index"),
        (["index", "build", "--library", "new", "--limit", "0", "--pages", "x"], 2, "--limit 0"),
        (["config", "show", "--preset", "grand"], 2, "embedded"),
        (["config", "show", "--set", "rerank.heed=3"], 2, "did you mean 'rerank.head'"),
        (["config", "show", "--set", "rerank.head=none"], 2, "rerank.head"),
        (["config", "show", "--config", "absent.yaml"], 2, "absent.yaml"),
    ],
)
def test_bad_calls_get_one_line_and_the_right_code(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found, output = run(*arguments, capsys=capsys)
    assert found == code
    assert message in output.err
    assert len(output.err.strip().splitlines()) == 1
    assert "Traceback" not in output.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", ""], "the question is empty"),
        (["ask", "   "], "the question is empty"),
        (["search"], "nothing to search for"),
        (["search", "x", "-k", "0"], "-k 0"),
        (["search", "x", "--in", "pages,dreams"], "kinds are pages, figures, cases and facts"),
        (["search", "x", "--filter", "colour=red"], "--filter colour=red"),
        (["search", "x", "--image", "absent.png"], "there is no image absent.png"),
        (["search", "--queries", "absent.jsonl", "--out", "o"], "absent.jsonl"),
        (["search", "--queries", "absent.jsonl"], "--out"),
        (["index", "remove", "atlas"], "no document atlas"),
        (["search", "x", "--set", "channels.late_dim=3"], "unknown setting"),
    ],
)
def test_bad_questions_to_a_good_library(arguments, message, sample_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, output = run(*arguments, "--library", sample_folder, capsys=capsys)
    assert code == 2
    assert message in output.err


def test_a_query_image_that_is_none_is_named(sample_folder, tmp_path, capsys):
    fake = tmp_path / "film.png"
    fake.write_text("no image at all")
    code, output = run("search", "x", "--library", sample_folder, "--image", fake, capsys=capsys)
    assert code == 2
    assert "film.png" in output.err


def test_other_encoders_are_refused_and_both_values_named(sample_folder, capsys):
    code, output = run("search", "x", "--library", sample_folder, "--set", "channels.cases=[dense,bm25]", capsys=capsys)
    assert code == 2
    assert "case." in output.err
    assert "absent" in output.err


def test_a_missing_model_says_how_to_get_it(sample, tmp_path):
    environment = {**os.environ, "VESALIUS_CACHE": str(tmp_path / "empty")}
    command = [sys.executable, "-m", "rag.cli.app", "index", "build", "--library", str(tmp_path / "new")]
    done = subprocess.run(
        [*command, "--pages", str(sample.handbook)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 3
    assert "vesalius models pull" in done.stderr
    assert "Traceback" not in done.stderr


def write_mess(folder: Path) -> None:
    folder.mkdir()
    (folder / "empty.pdf").write_bytes(b"")
    (folder / "text.pdf").write_text("no pdf at all")
    (folder / "zero.pdf").write_bytes(
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj "
        b"trailer<</Root 1 0 R>>"
    )
    rows = [
        {"id": "a", "report": "Οίδημα: text only."},
        {"id": "b", "image": "../../etc/passwd", "caption": "x"},
        {"id": "c", "image": "missing.png", "caption": "y"},
        {"id": "d"},
    ]
    (folder / "records.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    (folder / "facts.tsv").write_text("head\trelation\ttail\na\tis_a\tb\nbroken row\nc\tis_a\t\n", "utf-8")


def test_bad_files_are_named_and_the_good_ones_indexed(models, tmp_path, capsys):
    mess = tmp_path / "mess"
    write_mess(mess)
    library = tmp_path / "library"
    arguments = ["--pages", mess, "--cases", mess / "records.jsonl", "--facts", mess / "facts.tsv", "--json", "--quiet"]
    code, output = run("index", "build", "--library", library, *arguments, capsys=capsys)
    report = json.loads(output.out)
    named = " ".join(json.dumps(item) for item in report["skipped"])
    assert code == 1
    assert report["counts"] == {"page": 0, "figure": 0, "case": 1, "fact": 1}
    for item in ("empty.pdf", "text.pdf", "zero.pdf", "(b)", "(c)", "(d)", "line 3", "line 4"):
        assert item in named
    assert all(item["reason"] and item["stage"] for item in report["skipped"])
    again, output = run("index", "build", "--library", library, *arguments, capsys=capsys)
    assert again == 1
    assert json.loads(output.out)["skipped"] == report["skipped"]
    code, output = run("search", "οίδημα", "--library", library, "-k", "50", "--json", capsys=capsys)
    assert code == 0
    assert json.loads(output.out)["hits"][0]["record"] == "a"


def test_a_second_build_at_the_same_time_is_refused(sample_copy, sample, capsys):
    from pipelines.ingest import build_lock

    with build_lock(sample_copy):
        code, output = run("index", "build", "--library", sample_copy, "--pages", sample.handbook, capsys=capsys)
    assert code == 3
    assert f"process {os.getpid()}" in output.err
