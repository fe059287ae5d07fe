"""Checks that a run must pass before its comparisons mean anything.

Evidence that is certainly right must help, evidence of another question must hurt, and the control that always gives
the most frequent answer must score exactly what the answers' frequencies say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eval.ablation.comparison import CellFigures, MetricFigures
from eval.ablation.confidence import ACCURACY
from eval.ablation.results import AblationResult, Cell

Verdict = Literal["passed", "failed", "not run"]

CLOSED_FORM = "most_frequent_closed_form"
"""The provenance entry with the share of the most frequent answer among the right answers, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class SanityCheck:
    """One expectation, whether it held, and the figures behind it."""

    expectation: str
    verdict: Verdict
    detail: str

    @property
    def line(self) -> str:
        """The check in one line."""
        return f"{self.verdict}: {self.expectation} ({self.detail})"


def sanity_checks(result: AblationResult, figures: Sequence[MetricFigures]) -> tuple[SanityCheck, ...]:
    """Oracle above the baseline, the baseline above shuffled evidence, and the most frequent answer's closed form."""
    return (
        _order(figures, "oracle evidence", above=True),
        _order(figures, "shuffled evidence", above=False),
        _closed_form(result, figures),
    )


def is_arm(cell: Cell, arm: str) -> bool:
    """Whether a cell is a control by this name: `oracle_evidence`, `Oracle` and `oracle evidence` are the same."""
    if cell.kind != "sanity":
        return False
    words, wanted = (re.sub(r"[^a-z]+", " ", name.lower()).strip() for name in (cell.arm, arm))
    return words == wanted or words == wanted.removesuffix(" evidence").removesuffix(" answer")


def _order(figures: Sequence[MetricFigures], arm: str, *, above: bool) -> SanityCheck:
    expectation = f"{arm} > full system" if above else f"full system > {arm}"
    for table in figures:
        row = next((row for row in table.rows if is_arm(row.cell, arm)), None)
        if row is not None and row.contrast is not None and row.contrast.comparison.n:
            return SanityCheck(expectation, *_order_verdict(table, row, above=above))
    return SanityCheck(expectation, "not run", f"no cell {arm!r} has a score on the same questions as the baseline")


def _order_verdict(table: MetricFigures, row: CellFigures, *, above: bool) -> tuple[Verdict, str]:
    assert row.contrast is not None
    compared = row.contrast.comparison
    arm, full = compared.means
    gap = (compared.difference.value or 0.0) * (-1 if table.smaller_is_better else 1) * (1 if above else -1)
    significance = "significant" if row.contrast.significant else "not significant"
    detail = f"{table.metric}: {row.cell.arm} {arm:.3f}, baseline {full:.3f} on {compared.n} questions, {significance}"
    return ("passed" if gap > 0 else "failed"), detail


def _closed_form(result: AblationResult, figures: Sequence[MetricFigures]) -> SanityCheck:
    expectation = "most frequent answer = its closed form"
    written = result.provenance.get(CLOSED_FORM)
    rows = [
        (table, row)
        for table in sorted(figures, key=lambda table: table.metric != ACCURACY)
        for row in table.rows
        if is_arm(row.cell, "most frequent answer") and row.mean.value is not None and table.binary
    ]
    if not rows:
        return SanityCheck(expectation, "not run", "no cell 'most frequent answer' has a right-or-wrong score")
    expected = _share(written)
    if expected is None:
        return SanityCheck(expectation, "not run", f"the run does not say the frequency of the answers ({CLOSED_FORM})")
    table, row = rows[0]
    value = row.mean.value or 0.0
    same = math.isclose(value, expected, abs_tol=1e-9)
    detail = f"{table.metric}: {value:.6f}, closed form {expected:.6f}, {row.counts.scored} questions"
    return SanityCheck(expectation, "passed" if same else "failed", detail)


def _share(text: str | None) -> float | None:
    try:
        share = float(text or "")
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None
