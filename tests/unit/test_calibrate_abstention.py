"""`vesalius calibrate --abstain` on the sample library: what it stores, prints and refuses; answers obey it."""

import argparse
import json

import pytest

from pipelines.assistant import Assistant
from pipelines.calibration import FILE, load_abstention
from pipelines.library import Library
from pipelines.scoring import CrossEncoderScorer
from rag.cli import calibrate
from rag.errors import UsageError
from rag.generators.scoring import LexicalScorer


@pytest.fixture(autouse=True)
def quick_scores(monkeypatch):
    """Word overlap instead of the cross-encoder: what is tested is the fitting."""
    plain = LexicalScorer()
    monkeypatch.setattr(
        CrossEncoderScorer, "score", lambda _self, question, rows: [8 * x - 4 for x in plain.score(question, rows)]
    )


def run(*words):
    top = argparse.ArgumentParser()
    calibrate.add(top.add_subparsers())
    args = top.parse_args(["calibrate", *map(str, words)])
    return args.run(args)


@pytest.fixture
def questions(sample, tmp_path):
    lines = (sample.queries / "pages.jsonl").read_text().splitlines(keepends=True)
    path = tmp_path / "some.jsonl"
    path.write_text("".join([line for line in lines if '"gold"' in line][:24]))
    return path


@pytest.fixture
def nonsense(tmp_path):
    path = tmp_path / "none.jsonl"
    rows = [{"id": f"n{i}", "text": f"Which blorfity of the wenkle {i} graxes?", "gold": []} for i in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_fitted_threshold_is_stored_told_and_used(sample_copy, questions, nonsense, capsys):
    given = ("--library", sample_copy, "--queries", questions, "--unanswerable", nonsense, "--abstain", "balanced")
    assert run(*given, "--json", "--quiet") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["file"] == str(sample_copy / FILE)
    assert printed["open"]["n"] == 30
    assert printed["figures"]["abstained_unanswerable"] >= 0.8
    with Library.open(sample_copy) as library:
        stored = load_abstention(sample_copy, library.manifest.fingerprint)["open"]
        assert stored.value == printed["open"]["value"]
        assert library.parts.steps().policy.min_confidence == stored.value
        answer = Assistant(library).ask("Which blorfity of the wenkle graxes?", kinds=("page",))
    assert answer.abstained
    assert run(*given, "--quiet") == 0
    assert "of the questions without an answer" in capsys.readouterr().out


def test_what_cannot_be_fitted_is_refused(sample_copy, questions, nonsense, tmp_path):
    given = ("--library", sample_copy, "--queries")
    few = tmp_path / "few.jsonl"
    few.write_text("".join(questions.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(UsageError, match="needs 20"):
        run(*given, few, "--abstain", "conformal")
    with pytest.raises(UsageError, match="--unanswerable"):
        run(*given, questions, "--abstain", "balanced")
    with pytest.raises(UsageError, match="is for --abstain"):
        run(*given, questions, "--unanswerable", nonsense)
    assert not (sample_copy / FILE).exists()
