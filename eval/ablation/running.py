"""Running an experiment: every question in every cell, errors as rows, each stage computed once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from string import ascii_uppercase
from typing import Any

from eval.ablation.arms import closed_form, most_frequent
from eval.ablation.cache import MODEL_STAGES, STAGES
from eval.ablation.designs import MOST_FREQUENT, ORACLE, factor_levels
from eval.ablation.plan import Plan
from eval.ablation.prepare import Prepared, Runnable, data_digest, needs_ranking
from eval.ablation.results import AblationResult, Cell, CellResult, ItemResult
from eval.ablation.scoring import (
    ALWAYS,
    SMALLER_IS_BETTER,
    answer_scores,
    first_rank,
    ranking_scores,
    right_choice,
)
from eval.datasets import QueryItem
from indexers.progress import ProgressMeter, ProgressSink, silent
from rag.errors import EnvironmentProblem, VesaliusError
from rag.fingerprint import digest

logger = logging.getLogger(__name__)

_ROW_ERRORS = (VesaliusError, ArithmeticError, LookupError, OSError, TypeError, ValueError)
_ROWS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Sampled:
    """One question in one cell: its result, and its row of `samples.jsonl`, which holds nothing that a clock says."""

    result: ItemResult
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave: the result, the rows of every cell, and what was computed of what was planned."""

    result: AblationResult
    rows: Mapping[str, tuple[Mapping[str, Any], ...]]
    stages: Mapping[str, Mapping[str, int]]
    stage_seconds: Mapping[str, float]
    computed: Mapping[str, int]

    @property
    def model_calls(self) -> int:
        """Computations of this run that asked a model."""
        return sum(self.computed.get(stage, 0) for stage in MODEL_STAGES)

    @property
    def failed(self) -> int:
        """Questions that ended in an error, over all cells."""
        return sum(item.error is not None for cell in self.result.cells for item in cell.items)


def run_cells(prepared: Prepared, plan: Plan, sink: ProgressSink = silent) -> Outcome:
    """Every question in every cell that can run.

    Raises:
        EnvironmentProblem: a model, a package or the store is missing; what was computed is kept.
    """
    meter, done, failed = ProgressMeter(sink), 0, 0
    results: list[CellResult] = []
    rows: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for cell in prepared.cells:
        sampled: list[Sampled] = []
        if cell.impossible is None:
            for one in _samples(prepared, cell):
                sampled.append(one)
                done, failed = done + 1, failed + (one.result.error is not None)
                meter.update("ablate", done=done, fresh=done, total=prepared.samples, failures=failed)
        results.append(CellResult(cell, tuple(one.result for one in sampled)))
        rows[cell.id] = tuple(one.row for one in sampled)
    stages = _stage_counts(prepared, plan, done)
    tally = prepared.stages.work.tally
    return Outcome(_result(prepared, results), rows, stages, dict(tally.seconds), dict(tally.computed))


def _samples(prepared: Prepared, cell: Cell) -> Iterator[Sampled]:
    for repeat in range(prepared.experiment.repeats):
        for place in range(len(prepared.items)):
            yield _sample(prepared, cell, place, repeat)


def _sample(prepared: Prepared, cell: Cell, place: int, repeat: int) -> Sampled:
    runnable = prepared.runnable[cell.id]
    item = runnable.items[place]
    found = _Found()
    try:
        _fill(prepared, runnable, (place, repeat), found)
    except EnvironmentProblem:
        raise
    except _ROW_ERRORS as error:
        logger.warning("question %s failed in cell %s: %s", item.id, cell.name or "baseline", error)
        found.error = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        found.metrics |= {name: None for name in prepared.experiment.metrics if name not in found.metrics}
    name = item.id if repeat == 0 else f"{item.id}#{repeat + 1}"
    usage = found.answer.get("usage", {})
    result = ItemResult(
        item=name,
        metrics=found.metrics,
        cluster=item.cluster,
        groups=_groups(item),
        ranks=found.ranks,
        seconds=found.seconds,
        tokens=usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0),
        error=found.error,
    )
    return Sampled(result, _row(cell, item, repeat, found, name))


@dataclass(slots=True)
class _Found:
    metrics: dict[str, float | None] = field(default_factory=dict)
    ranks: dict[str, int | None] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    judged: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


def _fill(prepared: Prepared, runnable: Runnable, at: tuple[int, int], found: _Found) -> None:
    place, repeat = at
    cell, item, stages, names = runnable.cell, runnable.items[place], prepared.stages, prepared.experiment.metrics
    kinds = runnable.system.kinds(prepared.kinds_for(item))
    if cell.arm == MOST_FREQUENT:
        right = right_choice(item)
        found.metrics |= {} if right is None else {"accuracy": float(most_frequent(prepared.items)[0] == right)}
        return
    if cell.arm == ORACLE and not item.gold:
        return
    if not cell.arm and item.gold and needs_ranking(prepared.experiment):
        with stages.work.question() as seconds:
            found.judged = stages.judged(runnable.system, item, kinds)
        found.seconds = {stage: spent for stage, spent in seconds.items() if stage != "guard"}
        with stages.work.timed("score"):
            found.ranks["ranking"] = first_rank(item, [unit for unit, _ in found.judged["ranked"]])
            found.metrics |= ranking_scores(item, found.judged, names)
    if prepared.answers:
        with stages.work.question() as seconds:
            posed = runnable.arms.posed(cell.arm, runnable.system, place, kinds)
            found.answer = stages.answered(runnable.system, posed.query, posed.evidence, repeat)
        found.seconds = seconds
        with stages.work.timed("score"):
            if item.gold:
                found.ranks["evidence"] = first_rank(item, [row["unit"] for row in found.answer["evidence"]])
            found.metrics |= answer_scores(item, found.answer, names)


def _row(cell: Cell, item: QueryItem, repeat: int, found: _Found, name: str) -> dict[str, Any]:
    """A row that says all that is known of a question in a cell; no path of this machine."""
    query, answer = item.query, found.answer
    right = right_choice(item)
    return {
        "cell": cell.id,
        "cell_name": cell.name,
        "item": name,
        "id": item.id,
        "repeat": repeat,
        "set": item.set_name,
        "groups": _groups(item),
        "cluster": digest({"cluster": item.cluster}),
        "question": query.text,
        "options": dict(zip(ascii_uppercase, query.options, strict=False)),
        "images": [path.name for path in query.images],
        "gold": right or item.answer or ", ".join(sorted("/".join(unit) for unit in item.gold)),
        "metrics": found.metrics,
        "ranks": found.ranks,
        "ranked": ["/".join(unit) for unit, _ in found.judged.get("ranked", [])[:_ROWS_SHOWN]],
        "withheld": dict(answer.get("withheld", {})) or dict(found.judged.get("withheld", {})),
        "choice": answer.get("choice"),
        "answer": answer.get("text"),
        "abstained": answer.get("abstained"),
        "reason": answer.get("reason"),
        "confidence": answer.get("confidence"),
        "claims": answer.get("claims", []),
        "citations": answer.get("citations", []),
        "checks": _checks(answer),
        "evidence": answer.get("evidence", []),
        "usage": answer.get("usage", {}),
        "error": found.error,
    }


def _checks(answer: Mapping[str, Any]) -> dict[str, bool]:
    """Each check: whether every claim that is shown passed it, and no dropped claim failed it."""
    found: dict[str, bool] = {}
    for claim in answer.get("claims", ()):
        for name, passed in claim["checks"].items():
            found[name] = found.get(name, True) and passed
    for failed in answer.get("failed_checks", ()):
        found |= dict.fromkeys(failed, False)
    return found


def _groups(item: QueryItem) -> dict[str, str]:
    words, images = bool(item.query.text.strip()), bool(item.query.images)
    return {"set": item.set_name, "asked with": "image and text" if words and images else "image" if images else "text"}


def _stage_counts(prepared: Prepared, plan: Plan, scored: int) -> dict[str, dict[str, int]]:
    """Planned, computed and cached by stage. What was planned and not computed was there, or not needed again."""
    computed = Counter(prepared.stages.work.tally.computed)
    computed["library"] = len(prepared.libraries.built)
    computed["score"], computed["aggregate"] = scored, 1
    return {
        stage: {
            "planned": plan.stages[stage].planned,
            "computed": computed[stage],
            "cached": max(0, plan.stages[stage].planned - computed[stage]),
        }
        for stage in STAGES
    }


def _result(prepared: Prepared, cells: list[CellResult]) -> AblationResult:
    experiment = prepared.experiment
    scored = {name for cell in cells for item in cell.items for name in item.metrics}
    extra = [name for name in ALWAYS if name in scored and name not in experiment.metrics]
    state = next(iter(prepared.runnable.values())).system.state
    return AblationResult(
        name=experiment.name,
        factors=factor_levels(experiment),
        metrics=(*dict.fromkeys(experiment.metrics), *extra),
        baseline=prepared.cells[0].id,
        cells=tuple(cells),
        smaller_is_better=SMALLER_IS_BETTER & {*experiment.metrics, *extra},
        provenance={
            "about": experiment.question,
            "data": data_digest(prepared),
            "questions": str(len(prepared.items)),
            "library": digest({"fingerprint": state.fingerprint, "holds": dict(state.kinds)}),
            "seed": str(experiment.seed),
            **closed_form(prepared.items),
        },
    )


def anonymous(result: AblationResult) -> AblationResult:
    """The result with clusters by digest: a cluster's own name may be a path or a patient's number."""
    cells = tuple(
        replace(
            cell,
            items=tuple(replace(item, cluster=digest({"cluster": item.cluster})) for item in cell.items),
        )
        for cell in result.cells
    )
    return replace(result, cells=cells)
