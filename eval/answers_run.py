"""A run over questions: every question becomes a row, errors too; rows are written as they come, and taken up again.

While a run is under way its rows lie in `NAME.partial/samples.jsonl`. A run of the same configuration into the same
folder takes the rows that went well from there, so an interruption loses the question at hand.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from eval.answers_page import Page, html_page, markdown_page
from eval.answers_questions import Question, Questions
from eval.answers_rows import Row, question_row, trec_files
from eval.runs import SAMPLES, RunFolder, describe_environment
from indexers.progress import ProgressMeter, ProgressSink, silent
from rag.errors import EnvironmentProblem, QueryError, VesaliusError

logger = logging.getLogger(__name__)

CONFIG = "config.resolved.yaml"
ROW_ERRORS = (VesaliusError, ArithmeticError, LookupError, OSError, TypeError, ValueError)
"""What one question may fail with; a broken environment would fail all alike and ends the run."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What rows come to: the document of `metrics.json`, and the page for people."""

    document: dict[str, Any]
    page: Page


class Measure(Protocol):
    """What is measured, question by question."""

    @property
    def name(self) -> str:
        """What the command is called."""
        ...

    def fill(self, question: Question, row: Row) -> None:
        """Ask, and write what came back into the row. What it raises becomes the row's error."""
        ...

    def fail(self, question: Question, row: Row) -> None:
        """Write the values of a question that was asked and failed."""
        ...

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """The figures of all rows."""
        ...


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Where a run goes, the configuration it is known by, the library's fingerprint, and who hears of its progress."""

    folder: Path
    config: Mapping[str, object] = field(default_factory=dict)
    fingerprint: str | None = None
    sink: ProgressSink = silent


def run_questions(measure: Measure, asked: Questions, plan: RunPlan) -> dict[str, Any]:
    """Ask every question, write the run folder, and return the document of `metrics.json`.

    Raises:
        QueryError: there is no question at all.
        UsageError: the run folder exists already.
        EnvironmentProblem: a model, a package or the store is missing; rows so far are kept.
    """
    if not asked.questions:
        raise QueryError("there is no question to ask: " + "; ".join(asked.unreadable[:5]))
    config = _plain({"measure": measure.name, "questions": asked.as_json()["files"], **plan.config})
    earlier = list(_unfinished(plan.folder, config))
    started = time.perf_counter()
    with RunFolder(plan.folder) as folder:
        folder.write_yaml(CONFIG, config)
        known = _taken_up(folder, earlier, {question.id for question in asked.questions})
        rows = [*_rows(measure, asked.questions, known, folder, plan.sink), *_unreadable(asked, folder)]
        summary = measure.summarise(rows)
        document = {
            **summary.document,
            "questions": asked.as_json(),
            "errors": [{"id": row["id"], "error": row["error"]} for row in rows if "error" in row],
            "seconds": {"total": round(time.perf_counter() - started, 3), "taken_up": len(known)},
            "run": str(plan.folder),
        }
        folder.write_json("environment.json", describe_environment(plan.fingerprint))
        for name, text in trec_files([row for row in rows if "question" in row]).items():
            folder.write_text(name, text)
        folder.write_json("metrics.json", document)
        folder.write_text("report.md", markdown_page(summary.page))
        folder.write_text("report.html", html_page(summary.page, rows))
    return document


def _rows(
    measure: Measure, questions: Sequence[Question], known: Mapping[str, Row], folder: RunFolder, sink: ProgressSink
) -> Iterator[Row]:
    """The row of each question, in order."""
    meter, failures, fresh = ProgressMeter(sink), 0, 0
    for done, question in enumerate(questions, start=1):
        row = known.get(question.id)
        if row is None:
            row, fresh = _row(measure, question), fresh + 1
            folder.add_sample(row)
        failures += "error" in row
        meter.update(f"eval {measure.name}", done=done, fresh=fresh, total=len(questions), failures=failures)
        yield row


def _row(measure: Measure, question: Question) -> Row:
    row = question_row(question)
    if question.missing_images:
        return row | {"asked": False, "error": f"image {question.missing_images[0]} is missing"}
    row["asked"] = True
    try:
        measure.fill(question, row)
    except EnvironmentProblem:
        raise
    except ROW_ERRORS as error:
        logger.warning("question %s failed: %s", question.id, error)
        row["error"] = str(error) or type(error).__name__
        measure.fail(question, row)
    return row


def _unreadable(asked: Questions, folder: RunFolder) -> Iterator[Row]:
    """Rows of the files that are no question: written with their error, never left out."""
    for problem in asked.unreadable:
        row = {"id": problem.partition(": ")[0], "set": "unreadable", "asked": False, "error": problem}
        folder.add_sample(row)
        yield row


def _taken_up(folder: RunFolder, earlier: Sequence[Path], wanted: set[str]) -> dict[str, Row]:
    """Rows of unfinished runs of this configuration, moved into this one; their folders go away."""
    known: dict[str, Row] = {}
    for partial in earlier:
        for row in _read_rows(partial / SAMPLES):
            if row.get("id") in wanted and row["id"] not in known and "error" not in row:
                known[row["id"]] = row
                folder.add_sample(row)
        shutil.rmtree(partial)
    if known:
        logger.info("%d questions are taken from an unfinished run", len(known))
    return known


def _unfinished(target: Path, config: Mapping[str, Any]) -> Iterator[Path]:
    """The folders that interrupted runs of the same configuration left beside the run folder."""
    for partial in sorted(target.parent.glob(f"{target.name}.partial*")):
        try:
            same = yaml.safe_load((partial / CONFIG).read_text(encoding="utf-8")) == config
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if same:
            yield partial


def _read_rows(path: Path) -> Iterator[Row]:
    """The whole rows of a file; a last line that was cut off is left out."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _plain(config: Mapping[str, object]) -> dict[str, Any]:
    """As YAML gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(config, default=str))
    return plain
