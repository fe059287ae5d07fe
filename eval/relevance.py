"""Queries with gold made of a report corpus alone: which reports find the same, by rules instead of human labels.

After FactMM-RAG (Sun et al., NAACL 2025, https://aclanthology.org/2025.naacl-long.28/): reports whose findings agree
belong together (`knowledge.report_relevance.is_relevant`). An image is the query, the reports of other patients that
belong to its own are right, and its own record is excluded.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowledge.report_relevance import ReportFacts, is_relevant, report_facts
from rag.errors import UsageError
from rag.types import CaseLocator, Passage


@dataclass(frozen=True, slots=True)
class JudgedReports:
    """Query rows, and what became of the corpus.

    cases: all cases. silent: those whose text states no finding. alone: those whose findings no other patient has.
    """

    rows: tuple[dict[str, Any], ...]
    cases: int
    silent: int
    alone: int

    @property
    def pairs(self) -> int:
        """Judgements: a query and a right report."""
        return sum(len(row["gold"]) for row in self.rows)


def judge_reports(cases: Iterable[Passage], folder: Path) -> JudgedReports:
    """A query row for each case with an image whose report finds what another patient's does.

    Args:
        cases: passages of kind case, of one domain that the rules read (chest reports in English).
        folder: where the rows will be written; images are named relative to it.

    Raises:
        UsageError: an image lies neither in the folder nor in its parent, where query rows may name images.
    """
    known = list(cases)
    told = [(case, facts) for case in known if (facts := report_facts(case.text)).labels]
    alike: dict[frozenset[tuple[str, str]], list[tuple[Passage, ReportFacts]]] = defaultdict(list)
    for case, facts in told:
        # Only equal labels can agree on all of them: pairs are formed within such groups alone.
        alike[frozenset(facts.labels.items())].append((case, facts))
    rows = tuple(row for group in alike.values() for row in _rows(group, folder.resolve()))
    alone = sum(not any(_right(one, group)) for group in alike.values() for one in group)
    return JudgedReports(tuple(sorted(rows, key=lambda row: str(row["id"]))), len(known), len(known) - len(told), alone)


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write query rows as JSON lines, whole or not at all."""
    partial = path.with_name(path.name + ".part")
    partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    partial.replace(path)


def _rows(group: Sequence[tuple[Passage, ReportFacts]], folder: Path) -> Iterator[dict[str, Any]]:
    for one in group:
        case, gold = one[0], sorted(_right(one, group))
        if not gold or not case.images:
            continue
        own = {"source": "report", "id": case.record}
        row: dict[str, Any] = {"id": case.record, "set": case.document, "image": _named(case.images[0], folder)}
        if patient := _patient(case):
            row["patient_id"] = patient
        yield {**row, "exclude": [own], "gold": [{"source": "report", "id": record} for record in gold]}


def _right(one: tuple[Passage, ReportFacts], group: Sequence[tuple[Passage, ReportFacts]]) -> Iterator[str]:
    case, facts = one
    for other, stated in group:
        stranger = other.id != case.id and (_patient(case) is None or _patient(other) != _patient(case))
        if stranger and other.record is not None and is_relevant(facts, stated):
            yield other.record


def _patient(case: Passage) -> str | None:
    return case.locator.patient if isinstance(case.locator, CaseLocator) else None


def _named(image: Path, folder: Path) -> str:
    for base in (folder, folder.parent):
        if image.resolve().is_relative_to(base):
            return image.resolve().relative_to(base).as_posix()
    raise UsageError(
        f"image {image} lies neither in {folder} nor in its parent, where query rows may name images; write the rows "
        "into the folder of the records, or one beside it"
    )
