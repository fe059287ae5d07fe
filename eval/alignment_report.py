"""The figures of an aligned space as one JSON document and as tables for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.alignment_figures import AlignmentReport, DirectionReport, PartReport
from indexers.encoders.aligned.ranking import RankFigures

DIRECTIONS = ("image_to_text", "text_to_image")
_COLUMNS = "R@1    R@5    R@10   median rank"


def as_json(report: AlignmentReport) -> dict[str, Any]:
    """The document that `vesalius align eval --json` prints.

    `chance` and `floor` hold the figures of each direction, and those of image to text at their top.
    """
    verdict = report.verdict()
    document: dict[str, Any] = {"n": report.n, "candidates": report.n_candidates, "groups": report.n_groups}
    document |= {"protocol": report.how, "active": verdict.active, "reason": verdict.reason}
    document |= {name: _direction(report.head[name]) for name in DIRECTIONS}
    chance = report.chance.as_json()
    document["chance"] = chance | dict.fromkeys(DIRECTIONS, chance)
    floor = {name: _direction(report.floor[name]) for name in DIRECTIONS}
    document["floor"] = report.floor[DIRECTIONS[0]].figures.as_json() | floor
    document["floor"]["name"] = report.floor_name
    document["against"] = {
        "r10_minus_floor": {name: margin.as_json() for name, margin in report.margins.items()},
        "r10_over_floor": report.gain.as_json(),
        "r10_over_chance": _ratio(report.head[DIRECTIONS[0]].figures.r10, report.chance.r10),
        "median_rank_over_floor": _ratio(
            report.head[DIRECTIONS[0]].figures.median_rank, report.floor[DIRECTIONS[0]].figures.median_rank
        ),
    }
    document["by_domain"] = {name: _part(part) for name, part in report.domains.items()}
    document["by_corpus"] = {name: _part(part) for name, part in report.corpora.items()}
    document["same_case"] = None
    if report.same_case is not None:
        aligned, unaligned, n = report.same_case
        document["same_case"] = {"n": n, "aligned": aligned.as_json(), "unaligned": unaligned.as_json()}
    return document


def _direction(report: DirectionReport) -> dict[str, Any]:
    intervals = {name: estimate.as_json() for name, estimate in report.intervals.items()}
    return report.figures.as_json() | {"intervals": intervals, "equal_text": report.equal.as_json()}


def _part(part: PartReport) -> dict[str, Any]:
    return {
        "n": part.n,
        **part.head.as_json(),
        "r10_interval": part.r10.as_json(),
        "chance": part.chance.as_json(),
        "floor": part.floor.as_json(),
        "works": part.works,
    }


def _ratio(value: float, other: float) -> float | None:
    return round(value / other, 3) if other > 0 else None


def as_text(report: AlignmentReport) -> str:
    """Tables: both directions beside chance and floor, then each domain and corpus among its own texts."""
    lines = [f"{report.n} pairs in {report.n_groups} groups, {report.n_candidates} candidates; {report.how}", ""]
    for name in DIRECTIONS:
        head, floor = report.head[name], report.floor[name]
        lines.append(f"{name.replace('_', ' '):34} {_COLUMNS}")
        rows = {"aligned": head.figures, f"floor ({report.floor_name})": floor.figures, "chance": report.chance}
        rows["aligned, nearly equal text counts"] = head.equal
        lines += [f"  {label:32} {_row(figures)}" for label, figures in rows.items()]
        low, high = head.intervals["r10"].low, head.intervals["r10"].high
        lines += [f"  R@10 of aligned, 95 % interval: {_number(low)} to {_number(high)}", ""]
    gain = report.gain
    if gain.value is not None:
        lines.append(f"R@10 over the floor's: {gain.value:.2f} ({_number(gain.low)} to {_number(gain.high)})")
    both = report.margins["both"]
    if both.value is not None:
        interval = f"({_number(both.low)} to {_number(both.high)})"
        lines.append(f"R@10 minus the floor's, both directions: {both.value:+.3f} {interval}")
    lines += _parts("by domain, among its own texts", report.domains)
    lines += _parts("by corpus, among its own texts", report.corpora)
    if report.same_case is not None:
        aligned, unaligned, n = report.same_case
        lines += ["", f"{f'image to image of the same case ({n})':34} {_COLUMNS}"]
        lines += [f"  {'aligned':32} {_row(aligned)}", f"  {'unaligned':32} {_row(unaligned)}"]
    verdict = report.verdict()
    lines += ["", "beats chance and the floor" if verdict.active else f"not active: {verdict.reason}"]
    return "\n".join(lines)


def _parts(title: str, parts: Mapping[str, PartReport]) -> list[str]:
    if not parts:
        return []
    lines = ["", f"{title:34} {'pairs':6} {'R@10':6} {'floor':6} {'chance':6} median rank"]
    for name, part in parts.items():
        figures = f"{part.n:<6} {part.head.r10:<6.3f} {part.floor.r10:<6.3f} {part.chance.r10:<6.3f}"
        remark = "" if part.works else "   not above chance"
        lines.append(f"  {name[:32]:32} {figures} {part.head.median_rank:g}{remark}")
    return lines


def _row(figures: RankFigures) -> str:
    return f"{figures.r1:<6.3f} {figures.r5:<6.3f} {figures.r10:<6.3f} {figures.median_rank:g}"


def _number(value: float | None) -> str:
    return "unlimited" if value is None else f"{value:.3f}"
