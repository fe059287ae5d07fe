"""The page docs/abstain.md: written from measured answers, with the curves of risk against coverage as an SVG."""

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

With 20 or more questions without an answer in `--unanswerable`, confidence itself is fitted: a logistic, with a ridge
penalty, of three signals of a question of text: the answerer's own log-odds, the best cosine of a passage, and its best
word score over the root of the question's words. It is judged, and its threshold fitted, on confidences held out in
five folds; where it orders these questions no better than the answerer's confidence, only a threshold is stored.
Questions with images or options keep their own confidence and thresholds. A row of `--unanswerable` may name
`"exclude": [pages]`, as in `gold`: they are withheld from it, so a question without its pages serves as one without an
answer; `"collection"` keeps a question to another book.

What was fitted stands in `calibration.json` and belongs to the index's fingerprint. After the index changed, a file
with thresholds is refused until `vesalius calibrate` ran again, unless `answer.abstain_below` says what to do instead;
a file without thresholds stops no answer, and is named in the log.

## Measured

{source}

Evidence is removed in two readings, of questions whose answer is a term. `removed`: the pages that answer, the pages
before and after, and every page and figure that prints the answer's words are gone, so what is left can tell it only in
other words. `removed_gold`: only the pages that answer are gone; the rest of the book may tell it again.

Fitted (`balanced`) on one half of the questions and measured on the other: mean of {splits} random halves, and in
brackets the middle 95 % of them; questions of one gold page, and all variants of one, are never in both. "Threshold"
fits a threshold of the answerer's own confidence, "signals" fits the three signals and a threshold.

Questions that the library does not treat at all:

{unrelated}

With `removed` beside them:

{told}

With `conformal` and a target of 0.9 instead, these are withheld: {conformal}.

With `removed_gold` in place of `removed`:

{loose}

Of the `removed_gold` questions {still_told} were answered with a quote that prints the answer, found on another page:
these count as errors above, and are none.

A whole book left out: signals fitted on the questions of the other, nonsense shared out evenly.

{books}

Weights of the standardised signals, fitted on all: {weights}. Chance that a question with
an answer has more confidence than one without: {separation_default:.3f} by the answerer's confidence,
{separation_modelled:.3f} by the signals, held out in five folds.

{remarks}

## Risk and coverage

Over all questions (`removed_gold` left out), most confident first. Risk is the share of given answers that are wrong;
every answer to a question without one is wrong, and so is one that cites no right page. "Signals" is held out in five
folds.

| coverage | risk, answerer's confidence | risk, signals |
|---|---|---|
{curve}

| | area under the curve | above the best order | risk at 80 % coverage | coverage at 5 % risk |
|---|---|---|---|---|
{areas}

![risk against coverage](images/abstain.svg)
"""

_FITS = ("default", "threshold", "modelled")
_CURVES = (("answerer's confidence", "default"), ("signals", "modelled"))
_NAMES = {
    "withheld": "**without an answer, in sum: withheld**",
    "false_abstention": "**with an answer: withheld (false abstention)**",
    "right_withheld": "with an answer that would have cited a right page: withheld",
    "right_of_answered": "right page cited, of the answered that have an answer",
}


def write_page(
    path: Path,
    curves: tuple[Sequence[AnswerRow], Sequence[AnswerRow]],
    found: Mapping[str, Any],
    told: Mapping[str, str],
) -> None:
    """Write the page, and the curves beside it: the same rows by the answerer's confidence and by the signals.

    `told` holds the two texts that no figure gives: source, remarks.
    """
    counts = found["n"]
    still = found["removed_gold"]["modelled"].get("still_told")
    page = TEXT.format(
        splits=found["splits"],
        unrelated=_table(found["unrelated"], counts),
        told=_table(found["removed"], counts),
        conformal=_conformal(found["conformal"]),
        loose=_table(found["removed_gold"], counts),
        still_told="-" if still is None else _percent(still["mean"]),
        books=_books(found["books"]),
        separation_default=found["separation"]["default"],
        separation_modelled=found["separation"]["modelled"],
        weights=", ".join(f"{name} {weight:.2f}" for name, weight in found["signals"].items()),
        curve="\n".join(
            f"| {row['coverage']:.2f} | {row['default']:.3f} | {row['modelled']:.3f} |" for row in found["table"]
        ),
        areas="\n".join(_area(name, found["curve"][key]) for name, key in _CURVES),
        **told,
    )
    path.write_text(page, encoding="utf-8")
    drawn = path.parent / "images" / "abstain.svg"
    drawn.parent.mkdir(exist_ok=True)
    drawn.write_text(curve_drawing(*curves), encoding="utf-8")


def _table(found: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    lines = ["| | n | at 0.5 | threshold | signals |", "|---|---|---|---|---|"]
    arms = [name for name in found["default"] if name in counts]
    for name in (*arms, *_NAMES):
        told = _NAMES.get(name, f"{name}: withheld")
        sums = {"withheld": sum(counts[arm] for arm in arms), "false_abstention": counts["answerable"]}
        n = sums.get(name, counts.get(name, ""))
        lines.append(f"| {told} | {n} | {' | '.join(_interval(found[fit][name]) for fit in _FITS)} |")
    return "\n".join(lines)


def _conformal(found: Mapping[str, Any]) -> str:
    told = []
    for name, key in (("a threshold", "threshold"), ("signals", "modelled")):
        lacking, have = _interval(found[key]["withheld"]), _interval(found[key]["false_abstention"])
        told.append(f"by {name} {lacking} of those without an answer and {have} of those with one")
    return ",\n".join(told)


def _books(found: Mapping[str, Any]) -> str:
    if not found:
        return "(Fewer than two books with enough questions.)"
    lines = ["| measured on | n | without an answer: withheld | false abstention |", "|---|---|---|---|"]
    for book, row in found.items():
        lines.append(f"| {book} | {row['n']} | {_percent(row['withheld'])} | {_percent(row['false_abstention'])} |")
    return "\n".join(lines)


def _area(name: str, row: Mapping[str, float]) -> str:
    figures = (row["aurc"], row["e_aurc"], row["risk_at_80"], row["coverage_at_5"])
    return f"| {name} | {' | '.join(f'{value:.3f}' for value in figures)} |"


def curve_drawing(rows: Sequence[AnswerRow], modelled: Sequence[AnswerRow]) -> str:
    """Risk against coverage as an SVG: by the answerer's confidence, by the signals, and the best order of the same."""
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
            _line(_curve(rows), "#0b5394", ""),
            _line(_curve(modelled), "#b45309", ""),
            f'<text x="{_LEFT + _WIDTH / 2}" y="{height - 6}" text-anchor="middle">coverage</text>',
            f'<text x="14" y="{_TOP + _HEIGHT / 2}" text-anchor="middle" '
            f'transform="rotate(-90 14 {_TOP + _HEIGHT / 2})">risk</text>',
            f'<text x="{_LEFT + 12}" y="{_TOP + 18}" fill="#0b5394">by the answerer\'s confidence</text>',
            f'<text x="{_LEFT + 12}" y="{_TOP + 34}" fill="#b45309">by the signals</text>',
            f'<text x="{_LEFT + 12}" y="{_TOP + 50}" fill="#777777">the best order of the same answers</text>',
            "</svg>\n",
        )
    )


def _curve(rows: Sequence[AnswerRow]) -> list[tuple[float, float]]:
    every = risk_coverage(rows, [i / len(rows) for i in range(1, len(rows) + 1)])
    return [(point.coverage, point.risk) for point in every]


def _line(points: Sequence[tuple[float, float]], colour: str, dash: str) -> str:
    placed = " ".join(f"{x},{y}" for x, y in (_place(*point) for point in points))
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{placed}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'


def _place(coverage: float, risk: float) -> tuple[float, float]:
    return round(_LEFT + _WIDTH * coverage, 1), round(_TOP + _HEIGHT * (1 - risk), 1)


def _interval(found: Mapping[str, float]) -> str:
    return f"{_percent(found['mean'])} [{100 * found['low']:.0f}, {100 * found['high']:.0f}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
