"""The page docs/abstain.md: written from measured answers, with the curve of risk against coverage as an SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rag.grounding.abstention import AnswerRow, risk_coverage

_LEFT, _TOP, _WIDTH, _HEIGHT = 60, 20, 420, 240

TEXT = """# When an answer abstains

    vesalius calibrate --library mine --queries questions.jsonl --abstain conformal
    vesalius calibrate --library mine --queries questions.jsonl --unanswerable others.jsonl --abstain balanced

An answer is withheld when its confidence is below a threshold: 0.5, or what `calibrate --abstain` fitted for this
library, or `answer.abstain_below`. It is also withheld when no claim passes the checks. An abstention says why, and
which value was needed.

- `conformal`: a further answerable question is answered with probability `--target` (split conformal,
  https://arxiv.org/abs/2107.07511). Few false abstentions; no word about wrong answers.
- `precision`: a share `--target` of the answers given is right, with error `--delta` (selective guaranteed risk,
  https://arxiv.org/abs/1705.08500). Few wrong answers; it may answer little.
- `balanced`: the larger of two errors, to withhold an answer and to answer without one, is least. Guarantees nothing,
  and needs `--unanswerable`.

The thresholds stand in `calibration.json` and belong to the index's fingerprint.

## Measured

{source}

| | n | abstained at 0.5 | abstained, fitted |
|---|---|---|---|
{arms}
| **without an answer, in sum** | {n_lacking} | {default_lacking} | {fitted_lacking} |
| **with an answer (false abstention)** | {n_known} | {default_known} | {fitted_known} |
| right page cited, of answered questions that have an answer | | {default_right} | {fitted_right} |

Fitted: `balanced`, on the other four of five folds; variants of one question stay in one fold. Thresholds {thresholds}.

{remarks}

## Risk and coverage

Over all questions, most confident first. Risk is the share of given answers that are wrong; every answer to a question
without one is wrong, and so is one that cites no right page.

| coverage | threshold | risk |
|---|---|---|
{curve}

Area under the curve {aurc:.3f}, above that of the best order of the same answers {e_aurc:.3f}; risk at 80 % coverage
{risk_at_80:.3f}; coverage at 5 % risk {coverage_at_5:.3f}.

![risk against coverage](images/abstain.svg)
"""


def write_page(path: Path, rows: Sequence[AnswerRow], found: Mapping[str, Any], told: Mapping[str, str]) -> None:
    """Write the page, and the curve beside it. `told` holds the two texts that no figure gives: source, remarks."""
    default, fitted = found["default"], found["fitted"]
    arms = "\n".join(
        f"| {name} | {row['n']} | {_percent(row['abstained'])} | {_percent(fitted['arms'][name]['abstained'])} |"
        for name, row in default["arms"].items()
    )
    curve = "\n".join(
        f"| {row['coverage']:.2f} | {row['threshold']:.3f} | {row['risk']:.3f} |" for row in found["table"]
    )
    page = TEXT.format(
        arms=arms, curve=curve, n_lacking=sum(not row.answerable for row in rows),
        n_known=sum(row.answerable for row in rows), default_lacking=_percent(default["abstained_unanswerable"]),
        fitted_lacking=_percent(fitted["abstained_unanswerable"]), default_known=_percent(default["false_abstention"]),
        fitted_known=_percent(fitted["false_abstention"]), default_right=_percent(default["right_of_answered"]),
        fitted_right=_percent(fitted["right_of_answered"]),
        thresholds=", ".join(f"{value:.3f}" for value in fitted["thresholds"]), **found["curve"], **told,
    )  # fmt: skip
    path.write_text(page, encoding="utf-8")
    drawn = path.parent / "images" / "abstain.svg"
    drawn.parent.mkdir(exist_ok=True)
    drawn.write_text(curve_drawing(rows), encoding="utf-8")


def curve_drawing(rows: Sequence[AnswerRow]) -> str:
    """Risk against coverage as an SVG: the answers as they are ranked, and the best order of the same answers."""
    every = risk_coverage(rows, [i / len(rows) for i in range(1, len(rows) + 1)])
    n_right = sum(row.right for row in rows)
    best = [(i / len(rows), max(0, i - n_right) / i) for i in range(1, len(rows) + 1)]
    axes = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _place(tick, tick)
        axes.append(f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{_TOP + _HEIGHT}" stroke="#ddd"/>')
        axes.append(f'<line x1="{_LEFT}" y1="{y}" x2="{_LEFT + _WIDTH}" y2="{y}" stroke="#ddd"/>')
        axes.append(f'<text x="{x}" y="{_TOP + _HEIGHT + 16}" text-anchor="middle" fill="#555">{tick:g}</text>')
        axes.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end" fill="#555">{tick:g}</text>')
    width, height = _LEFT + _WIDTH + 20, _TOP + _HEIGHT + 40
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
            'font-family="sans-serif" font-size="12"><title>Risk against coverage</title>',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *axes,
            _line(best, "#999999", "4 3"),
            _line([(point.coverage, point.risk) for point in every], "#0b5394", ""),
            f'<text x="{_LEFT + _WIDTH / 2}" y="{height - 6}" text-anchor="middle">coverage</text>',
            f'<text x="14" y="{_TOP + _HEIGHT / 2}" text-anchor="middle" '
            f'transform="rotate(-90 14 {_TOP + _HEIGHT / 2})">risk</text>',
            f'<text x="{_LEFT + 12}" y="{_TOP + 18}" fill="#0b5394">as ranked by confidence</text>',
            f'<text x="{_LEFT + 12}" y="{_TOP + 34}" fill="#777777">the best order of the same answers</text>',
            "</svg>\n",
        )
    )


def _line(points: Sequence[tuple[float, float]], colour: str, dash: str) -> str:
    placed = " ".join(f"{x},{y}" for x, y in (_place(*point) for point in points))
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{placed}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'


def _place(coverage: float, risk: float) -> tuple[float, float]:
    return round(_LEFT + _WIDTH * coverage, 1), round(_TOP + _HEIGHT * (1 - risk), 1)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
