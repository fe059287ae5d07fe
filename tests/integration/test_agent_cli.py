"""`vesalius ask --strategy`, its trace, and `vesalius trace show`, on the sample library."""

import json

import pytest

from pipelines.agent_tools import LibraryTools
from pipelines.gathering import Gatherer
from pipelines.library import Library
from pipelines.strategies import NAMES
from rag.agent.trace import evidence_bytes, replay
from rag.cli.app import main
from rag.types import Query

pytestmark = pytest.mark.usefixtures("forwards_once")

QUESTION = "What is an effusion? Which cells line the trachea, and what is a zanthorp?"


def ask(folder, tmp_path, *flags):
    trace = tmp_path / "trace.jsonl"
    assert main(["ask", QUESTION, "--library", str(folder), "--trace", str(trace), "--json", *flags]) == 0
    return trace, [json.loads(line) for line in trace.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_answers_from_the_command_line(sample_folder, tmp_path, capsys, name):
    _, events = ask(sample_folder, tmp_path, "--strategy", name)
    assert json.loads(capsys.readouterr().out)["claims"] is not None
    assert ("agent.stop" in {event["step"] for event in events}) == (name != "single")
    assert events[-1]["step"] == "stop"


def test_single_pass_overrides_the_settings(sample_folder, tmp_path):
    _, events = ask(sample_folder, tmp_path, "--single-pass", "--set", "agent.strategy=agent")
    assert not any(event["step"].startswith("agent.") for event in events)


def test_a_trace_is_shown_as_a_tree_without_the_words(sample_folder, tmp_path, capsys):
    trace, _ = ask(sample_folder, tmp_path, "--strategy", "agent")
    capsys.readouterr()
    assert main(["trace", "show", str(trace)]) == 0
    shown = capsys.readouterr().out
    assert "├─ single pass" in shown
    assert "├─ round 1" in shown
    assert "loop stopped:" in shown
    assert "zanthorp" not in trace.read_text("utf-8") + shown
    assert main(["trace", "show", str(trace), "--id", "no-such"]) == 2


def test_a_file_that_is_no_trace_is_refused(tmp_path, capsys):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n', "utf-8")
    assert main(["trace", "show", str(tmp_path / "x.jsonl")]) == 2
    assert "no trace" in capsys.readouterr().err


def test_a_trace_is_replayed_to_the_same_bytes(sample_folder, tmp_path):
    _, events = ask(sample_folder, tmp_path, "--strategy", "agent", "--trace-content")
    kept = [event["passage_id"] for event in events if event["step"] == "keep"]
    with Library.open(sample_folder) as library:
        steps = library.parts.steps()
        tools = LibraryTools(Gatherer(library, steps.selector, steps.gather), library)
        again = replay(events, tools, Query(text=QUESTION))
    assert again.differences == ()
    assert again.evidence == evidence_bytes(kept)
