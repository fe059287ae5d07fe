"""`vesalius calibrate --abstain` on the sample library: what it stores, prints and refuses; answers obey it."""

import argparse
import json

import pytest

from eval.datasets import load_queries
from eval.gold import unit_of
from pipelines.assistant import Assistant
from pipelines.calibration import FILE, CalibrationMismatch, load_abstention, save_abstention
from pipelines.library import Library
from pipelines.scoring import CrossEncoderScorer
from pipelines.trial_answers import TrialAssistant
from rag.cli import calibrate
from rag.errors import UsageError
from rag.generators.scoring import LexicalScorer
from rag.grounding.abstention import Abstention


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


def lacking_their_pages(questions, path):
    """The same questions with their gold withheld: rows of the form that --unanswerable takes."""
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    made = [{"id": f"{row['id']}/gone", "text": row["text"], "exclude": row["gold"]} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


def test_signals_are_weighed_when_there_are_enough_questions_without_an_answer(
    sample_copy, questions, tmp_path, capsys, monkeypatch
):
    # Signals are kept only where they order held-out questions better: here the answerer's own confidence says nothing.
    monkeypatch.setattr(CrossEncoderScorer, "score", lambda _self, _question, rows: [0.0] * len(rows))
    lacking = lacking_their_pages(questions, tmp_path / "gone.jsonl")
    given = ("--library", sample_copy, "--queries", questions, "--unanswerable", lacking, "--abstain", "balanced")
    assert run(*given, "--quiet") == 0
    assert "confidence weighed from answer, bm25, dense" in capsys.readouterr().out
    with Library.open(sample_copy) as library:
        stored = load_abstention(sample_copy, library.manifest.fingerprint)["open"]
        policy = library.parts.steps().policy
        assert (policy.evidence_model, policy.min_modelled_confidence) == (stored.model, stored.value)
        assert Assistant(library).ask("Which blorfity of the wenkle graxes?", kinds=("page",)).abstained


def test_what_a_row_excludes_is_not_cited(sample_copy, questions):
    items = list(load_queries([questions]).items)[:6]
    with Library.open(sample_copy) as library:
        assistant = TrialAssistant(library)
        for item in items:
            gone = [page.id for page in library.passages("page") if unit_of(page) in item.gold]
            kept, lacking = assistant.ask(item.query, ("page",)), assistant.ask(item.query, ("page",), gone)
            assert not {hit.passage.id for hit in lacking.answer.evidence.hits} & set(gone)
            assert not kept.answer.abstained
            assert kept.signals["dense"] > 0


def test_a_stale_threshold_can_be_fitted_again(sample_copy, questions, capsys):
    save_abstention(sample_copy, "another index", {"open": Abstention(0.9, "conformal", 0.9, 0.1, 30, 0.5, 0.1)})
    with Library.open(sample_copy) as library, pytest.raises(CalibrationMismatch, match="another index"):
        Assistant(library)
    assert run("--library", sample_copy, "--queries", questions, "--abstain", "conformal", "--quiet") == 0
    with Library.open(sample_copy) as library:
        assert Assistant(library).ask("Which blorfity of the wenkle graxes?", kinds=("page",)).text
