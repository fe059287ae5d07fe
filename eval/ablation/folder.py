"""The run folder of an experiment: written once, read back, and never believed when a file was changed since.

config.resolved.yaml  the experiment, and every cell's settings     samples.jsonl  a row per question and cell
environment.json      versions, commit, digests                     timings.jsonl  the same rows' seconds by stage
metrics.json          means per cell and metric, no timings         run.trec       the baseline's rankings
summary.json          what was planned, computed and cached         digests.json   SHA-256 of every other file
pictures.json         small pictures of evidence and questions          report.*, cells.csv, items.csv
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from eval.ablation.pictures import kept_pictures
from eval.ablation.prepare import Prepared
from eval.ablation.rendering.thumbnails import PICTURES
from eval.ablation.reporting import write_reports
from eval.ablation.results import AblationResult, Cell, CellResult, ItemResult
from eval.ablation.running import Outcome, anonymous
from eval.runs import SAMPLES, RunFolder, describe_environment
from pipelines.config import flat_settings
from rag.errors import UsageError
from rag.fingerprint import sha256_file

CONFIG, METRICS, TIMINGS, DIGESTS, SUMMARY = (
    "config.resolved.yaml", "metrics.json", "timings.jsonl", "digests.json", "summary.json",
)  # fmt: skip


def write_run(target: Path, prepared: Prepared, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """Write the run folder; returns the document that `ablate run --json` prints.

    Raises:
        UsageError: the folder exists already.
    """
    result = anonymous(outcome.result)
    document = {
        "run": str(target),
        "cells": sum(cell.cell.impossible is None for cell in result.cells),
        "impossible": sum(cell.cell.impossible is not None for cell in result.cells),
        "failed": outcome.failed,
        "stages": {stage: dict(counts) for stage, counts in outcome.stages.items()},
        "model_calls": outcome.model_calls,
        "seconds": round(seconds, 3),
    }
    with RunFolder(target) as folder:
        for rows in outcome.rows.values():
            for row in rows:
                folder.add_sample(row)
        folder.write_yaml(CONFIG, _config(prepared))
        folder.write_json("environment.json", describe_environment(result.provenance.get("library")))
        folder.write_text(TIMINGS, _timings(result))
        folder.write_json(METRICS, metrics_document(result))
        folder.write_json(SUMMARY, {**document, "run": target.name, "stage_seconds": dict(outcome.stage_seconds)})
        folder.write_text("run.trec", _trec(outcome.rows[result.baseline], "ranked"))
        folder.write_json(PICTURES, kept_pictures(prepared, outcome.rows).as_json())
        write_reports(result, folder.partial)
        folder.write_json(DIGESTS, _digests(folder.partial))
    return document


def metrics_document(result: AblationResult) -> dict[str, Any]:
    """Means with their denominators, per cell and metric; everything of the result that no clock says."""
    return {
        "name": result.name,
        "metrics": list(result.metrics),
        "smaller_is_better": sorted(result.smaller_is_better),
        "baseline": result.baseline,
        "factors": {factor: list(levels) for factor, levels in result.factors.items()},
        "provenance": dict(result.provenance),
        "cells": [_cell_document(cell, result.metrics) for cell in result.cells],
    }


def read_result(folder: Path) -> AblationResult:
    """The result in a run folder.

    Raises:
        UsageError: the folder is no finished run of an experiment, or a file was changed since.
    """
    changed = changed_files(folder)
    if changed:
        raise UsageError(
            f"{', '.join(changed)} of the run {folder} changed since it was written (digests.json differs); its "
            "figures are no longer those of a run. Run the experiment again"
        )
    try:
        data = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        seconds = {(row["cell"], row["item"]): row["seconds"] for row in _lines(folder / TIMINGS)}
        items: dict[str, list[ItemResult]] = {}
        for row in _lines(folder / SAMPLES):
            items.setdefault(row["cell"], []).append(_item(row, seconds.get((row["cell"], row["item"]), {})))
        cells = tuple(
            CellResult(
                Cell(one["id"], one["levels"], one["kind"], one["arm"], one["impossible"]),
                tuple(items.get(one["id"], ())),
            )
            for one in data["cells"]
        )
        return AblationResult(
            data["name"],
            {factor: tuple(levels) for factor, levels in data["factors"].items()},
            tuple(data["metrics"]),
            data["baseline"],
            cells,
            frozenset(data["smaller_is_better"]),
            data["provenance"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} holds no run of an experiment that can be read ({error})") from error


def changed_files(folder: Path) -> list[str]:
    """The files of a run that are not as they were written. Raises UsageError when it is no run of an experiment."""
    try:
        known: Mapping[str, str] = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} is no finished run of an experiment (its {DIGESTS} cannot be read)") from error
    return [name for name, value in known.items() if not _same(folder / name, value)]


def untimed_differences(one: Path, other: Path) -> list[str]:
    """The files without timings in which two run folders differ: none between two runs of one experiment.

    Report files are left out: they show latencies.
    """
    names = (SAMPLES, METRICS, "run.trec", CONFIG)
    return [name for name in names if (one / name).read_bytes() != (other / name).read_bytes()]


def read_config(folder: Path) -> Mapping[str, Any]:
    """The resolved configuration of a run."""
    try:
        loaded = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        return dict(loaded)
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise UsageError(f"the configuration of the run {folder} cannot be read: {error}") from error


def _config(prepared: Prepared) -> dict[str, Any]:
    base = flat_settings(prepared.settings[prepared.cells[0].id])
    if base.get("store.api_key"):
        base["store.api_key"] = "(set)"
    cells = {}
    for cell in (cell for cell in prepared.cells if cell.id in prepared.settings):
        own = flat_settings(prepared.settings[cell.id])
        other = {key: value for key, value in own.items() if value != base.get(key) and key != "store.api_key"}
        cells[cell.id] = {"name": cell.name, "levels": dict(cell.levels), "other settings": other}
    return {
        "experiment": prepared.experiment.model_dump(mode="json", by_alias=True),
        "questions": {Path(name).name: value for name, value in prepared.dataset.files.items()},
        "settings": base,
        "cells": cells,
    }


def _cell_document(result: CellResult, metrics: Sequence[str]) -> dict[str, Any]:
    cell = result.cell
    means = {}
    for name in metrics:
        values = [item.metrics[name] for item in result.items if item.metrics.get(name) is not None]
        numbers = [value for value in values if value is not None]
        means[name] = {"value": sum(numbers) / len(numbers) if numbers else None, "n": len(numbers)}
    return {
        "id": cell.id,
        "name": cell.name,
        "kind": cell.kind,
        "arm": cell.arm,
        "levels": dict(cell.levels),
        "impossible": cell.impossible,
        "n": len(result.items),
        "n_error": sum(item.error is not None for item in result.items),
        "means": means,
    }


def _item(row: Mapping[str, Any], seconds: Mapping[str, float]) -> ItemResult:
    usage = row["usage"]
    return ItemResult(
        item=row["item"],
        metrics=row["metrics"],
        cluster=row["cluster"],
        groups=row["groups"],
        ranks=row["ranks"],
        seconds=seconds,
        tokens=usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0),
        error=row["error"],
    )


def _timings(result: AblationResult) -> str:
    return "".join(
        json.dumps({"cell": cell.cell.id, "item": item.item, "seconds": dict(item.seconds)}, ensure_ascii=False) + "\n"
        for cell in result.cells
        for item in cell.items
    )


def _trec(rows: Sequence[Mapping[str, Any]], field: str) -> str:
    """The baseline's rankings as a TREC run: `query Q0 unit rank score tag`, the score being 1 / rank."""
    return "".join(
        f"{_word(row['item'])} Q0 {_word(unit)} {rank} {1 / rank:.9g} baseline\n"
        for row in rows
        for rank, unit in enumerate(row[field], start=1)
    )


def _word(text: str) -> str:
    return "".join(f"%{ord(letter):02X}" if letter.isspace() or letter == "%" else letter for letter in text)


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.is_file()}


def _same(path: Path, value: str) -> bool:
    return path.is_file() and sha256_file(path) == value


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)
