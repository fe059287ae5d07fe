"""The comparison of selectors, and a calibration, as tables for a person and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from eval.selectors import MEASURES, Coverage, SetComparison
from eval.statistics import Estimate
from rag.selectors import Calibration


def calibration_table(calibration: Calibration) -> str:
    """One line per fitted parameter."""
    lines = [
        "| part | selector | reads | parameter | queries | found | kept answer | hits kept |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.domain} | {row.selector} | {row.channel} | {_parameter(row.value)} | {row.n} | {row.found:.3f} "
        f"| {row.covered:.3f} | {row.kept:.1f} |"
        for row in calibration.entries
    ]
    return "\n".join(lines)


def comparison_tables(sets: Mapping[str, SetComparison], coverages: Sequence[Coverage]) -> str:
    """One table per query set, and one of conformal coverage."""
    parts = []
    for name, compared in sets.items():
        lines = [
            f"{name}: {compared.n} queries, {compared.found:.3f} with a right answer in the list",
            "",
            "| selector | hits kept | words | answer kept | recall | precision | answer kept, against fixed k |",
            "|---|---|---|---|---|---|---|",
        ]
        for label, row in compared.selectors.items():
            kept, words, hit, recall, precision = (row.measures[measure] for measure in MEASURES)
            lines.append(
                f"| {label} | {_show(kept, 1)} | {words.value or 0:.0f} | {_show(hit)} | {_show(recall)} "
                f"| {_show(precision)} | {_show(row.gain['hit'], sign='+')} |"
            )
        parts.append("\n".join(lines))
    if coverages:
        lines = [
            "| part | reads | target | coverage | standard error | spread | fitted on | out of reach | within 3 |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.domain} | {row.channel} | {row.target} | {row.mean:.4f} | {row.error:.4f} | {row.spread:.3f} "
            f"| {row.n} of {row.n + row.rest} | {row.unreached:.3f} | {'yes' if row.holds else 'no'} |"
            for row in coverages
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def comparison_document(sets: Mapping[str, SetComparison], coverages: Sequence[Coverage]) -> dict[str, Any]:
    """Everything in the tables, and the differences in recall."""
    return {
        "sets": {
            name: {
                "n": compared.n,
                "found": round(compared.found, 4),
                "selectors": {
                    label: {
                        **{measure: figure.as_json() for measure, figure in row.measures.items()},
                        "against_fixed": {measure: figure.as_json() for measure, figure in row.gain.items()},
                    }
                    for label, row in compared.selectors.items()
                },
            }
            for name, compared in sets.items()
        },
        "coverage": [asdict(row) | {"holds": row.holds} for row in coverages],
    }


def _parameter(value: float | None) -> str:
    return "out of reach" if value is None else f"{value:.4g}"


def _show(figure: Estimate, digits: int = 3, sign: str = "") -> str:
    value, low, high = (
        number if number is not None else float("nan") for number in (figure.value, figure.low, figure.high)
    )
    return f"{value:{sign}.{digits}f} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"
