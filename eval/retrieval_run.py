"""`vesalius eval retrieval`: query files in, a run folder and one JSON document out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from eval.baselines import Bm25Baseline
from eval.datasets import Dataset
from eval.retrieval import RetrievalOptions, Searcher, evaluate_retrieval
from eval.retrieval_pages import html_page, markdown_page, trec_judgements, trec_run
from eval.retrieval_report import RetrievalReport
from eval.runs import RunFolder, describe_environment
from eval.samples import Sample
from rag.errors import QueryError


@dataclass(frozen=True, slots=True)
class RetrievalRun:
    """What a run is made of besides the searcher and the queries.

    `config` is the resolved configuration that the searcher was built with, kept beside the figures; `fingerprint` is
    the library's. `on_sample` hears of each finished query.
    """

    folder: Path
    options: RetrievalOptions = field(default_factory=RetrievalOptions)
    baseline: Bm25Baseline | None = None
    config: Mapping[str, object] = field(default_factory=dict)
    fingerprint: str | None = None
    on_sample: Callable[[Sample], None] | None = None


def run_retrieval(searcher: Searcher, dataset: Dataset, run: RetrievalRun) -> tuple[RetrievalReport, dict[str, object]]:
    """Evaluate and write the run folder; the second value is the document of `metrics.json`, to be printed.

    Raises:
        QueryError: no row has gold, so nothing can be measured.
        UsageError: the run folder exists already.
        EnvironmentProblem: a model, a package or the store is missing.
    """
    if dataset.unjudged == len(dataset.items):
        raise QueryError(
            f"none of the {len(dataset.items)} rows of {', '.join(dataset.files)} has gold, so nothing can be "
            'measured; add "gold" to the rows'
        )
    with RunFolder(run.folder) as folder:

        def keep(sample: Sample) -> None:
            folder.add_sample(sample.as_json())
            if run.on_sample is not None:
                run.on_sample(sample)

        report = evaluate_retrieval(searcher, dataset.items, run.options, baseline=run.baseline, on_sample=keep)
        document = report.as_json() | {"run": str(run.folder)}
        _write(folder, report, document, _resolved(dataset, run), run.fingerprint)
    return report, document


def _resolved(dataset: Dataset, run: RetrievalRun) -> dict[str, object]:
    """Everything that was chosen for this run."""
    return {
        "queries": dict(dataset.files),
        "evaluation": asdict(run.options) | {"baseline": run.baseline.name if run.baseline else None},
        "config": dict(run.config),
    }


def _write(
    folder: RunFolder,
    report: RetrievalReport,
    document: Mapping[str, object],
    resolved: Mapping[str, object],
    fingerprint: str | None,
) -> None:
    folder.write_yaml("config.resolved.yaml", resolved)
    folder.write_json("environment.json", describe_environment(fingerprint))
    folder.write_text("run.trec", trec_run(report.samples))
    folder.write_text("qrels.trec", trec_judgements(report.samples))
    folder.write_json("metrics.json", document)
    folder.write_text("report.md", markdown_page(report))
    folder.write_text("report.html", html_page(report))
