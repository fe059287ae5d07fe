"""The words and numbers of a report, alike in every format."""

from __future__ import annotations

from eval.ablation.analysis import Analysis
from eval.ablation.comparison import COMBINATIONS, CONTROLS, CellFigures, Contrast
from eval.ablation.confidence import ABSTAINED, CONFIDENCE
from eval.ablation.results import level_text
from eval.statistics import Estimate

NONE = "-"
ABOUT = "about"
"""The provenance entry with the question that the experiment asks."""
NOT_SIGNIFICANT = "not significant"


def number(value: float | None, digits: int = 3, sign: str = "") -> str:
    """A number with so many digits, `-` for none; what is zero when rounded has no sign."""
    if value is None:
        return NONE
    rounded = round(value, digits)
    return f"{rounded:{sign}.{digits}f}" if rounded else f"{0:.{digits}f}"


def estimate(figure: Estimate, digits: int = 3, sign: str = "") -> str:
    """A value with its interval in brackets."""
    if figure.value is None:
        return NONE
    return f"{number(figure.value, digits, sign)} {interval(figure, digits, sign)}"


def interval(figure: Estimate, digits: int = 3, sign: str = "") -> str:
    """The interval alone."""
    return f"[{number(figure.low, digits, sign)}, {number(figure.high, digits, sign)}]"


def p_value(p: float | None) -> str:
    """A p-value with three digits; below 0.001 it says so."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def stars(p: float | None, level: float = 0.05) -> str:
    """One mark below the level, two below 0.01, three below 0.001; none when it is not significant."""
    if p is None or p >= level:
        return ""
    return "***" if p < 0.001 else "**" if p < 0.01 else "*"


def verdict(contrast: Contrast | None) -> str:
    """Better, worse, or not significant."""
    if contrast is None:
        return "baseline"
    if not contrast.comparison.n:
        return "no shared question"
    if not contrast.significant:
        return NOT_SIGNIFICANT
    return "better" if contrast.better else "worse"


def wins(contrast: Contrast | None) -> str:
    """On how many questions the cell is better / equal / worse."""
    if contrast is None or not contrast.comparison.n:
        return NONE
    compared = contrast.comparison
    return f"{compared.wins}/{compared.ties}/{compared.losses}"


def denominator(row: CellFigures) -> str:
    """Questions scored, and what is missing of the rest."""
    counts = row.counts
    parts = [f"{counts.failed} failed"] if counts.failed else []
    parts += [f"{counts.not_applicable} n/a"] if counts.not_applicable else []
    return f"{counts.scored} ({', '.join(parts)})" if parts else str(counts.scored)


def summary(analysis: Analysis) -> tuple[str, ...]:
    """What was run, in sentences."""
    result = analysis.result
    arms = sum(row.cell.kind == "sanity" for row in analysis.main.rows)
    levels = ", ".join(f"{factor} = {level_text(level)}" for factor, level in analysis.baseline.levels.items())
    unit = "each its own cluster" if analysis.clusters == analysis.questions else f"in {analysis.clusters} clusters"
    about = result.provenance.get(ABOUT, "")
    lines = [
        *([about] if about else []),
        f"{_counted(analysis.questions, 'question')}, {unit}; "
        f"{_counted(len(analysis.main.rows) - arms, 'setting')} and {_counted(arms, 'control')}.",
        f"Baseline: {levels or analysis.baseline.name}. Main metric: {result.metrics[0]}.",
    ]
    failed = sum(row.counts.failed for row in analysis.main.rows)
    if failed:
        lines.append(f"{failed} scores of {result.metrics[0]} are missing because of errors; they are in no mean.")
    if analysis.impossible or analysis.unfinished:
        without = len(analysis.impossible) + len(analysis.unfinished)
        lines.append(f"{without} {'cell has' if without == 1 else 'cells have'} no results: see Not run.")
    return tuple(lines)


def findings(analysis: Analysis) -> tuple[str, ...]:
    """What the main metric says, most important first; what is not significant is counted and called so."""
    rows = [row for row in analysis.main.rows if row.cell.kind == "factorial" and row.contrast is not None]
    significant = [row for row in rows if row.contrast is not None and row.contrast.significant]
    lines = []
    for better in (True, False):
        chosen = [row for row in significant if row.contrast is not None and row.contrast.better is better]
        chosen.sort(key=lambda row: (-_gap(row), row.cell.id))
        lines += [_finding(analysis, row) for row in chosen[:3]]
        if len(chosen) > 3:
            lines.append(f"{len(chosen) - 3} more settings are significantly {'better' if better else 'worse'}.")
    quiet = len(rows) - len(significant)
    if quiet:
        lines.append(
            f"{quiet} of {len(rows)} settings do not differ significantly from the baseline: {NOT_SIGNIFICANT} is not "
            "the same as equal; the intervals say what difference is still possible."
        )
    return tuple(lines)


def notes(analysis: Analysis) -> tuple[str, ...]:
    """How the figures were made."""
    options = analysis.options
    level = f"{options.interval.level:.0%}"
    return (
        f"Means with {level} intervals: {options.interval.method} bootstrap of whole clusters, "
        f"{options.interval.resamples} resamples, seed {options.interval.seed}; Wilson's interval for right-or-wrong "
        "scores that are all equal.",
        "n counts the questions scored. Questions that failed, and those a metric does not apply to (n/a), are in no "
        "mean. Differences use the questions that both cells have; their number is under pairs.",
        "p: exact McNemar test for right-or-wrong scores of independent questions, otherwise sign-flip randomisation "
        f"of whole clusters ({options.test.resamples} patterns). Holm p: corrected within the family, which is the "
        f"comparisons of one factor, of all cells that differ in several ({COMBINATIONS}), or of all {CONTROLS}.",
        f"A difference is significant when Holm p < {options.level:g}. Marks: * below {options.level:g}, ** below "
        "0.01, *** below 0.001.",
        "d: mean difference over the standard deviation of the differences. W/T/L: questions on which the cell is "
        "better / equal / worse. Group: settings that share a letter cannot be told apart when all pairs are tested at "
        "once (joint permutation), which is stricter than the planned comparison of one setting with the baseline.",
    )


def not_run(analysis: Analysis) -> tuple[str, ...]:
    """The cells without results, with the reason."""
    reasons = [f"{analysis.labels[cell.id]}: {cell.impossible}" for cell in analysis.impossible]
    return (*reasons, *(f"{analysis.labels[cell.id]}: not finished" for cell in analysis.unfinished))


def shown_metrics(analysis: Analysis) -> tuple[str, ...]:
    """The metrics with at least one score, in the order of the run.

    Confidence and abstention have a table of their own: more of either is neither better nor worse.
    """
    hidden = {CONFIDENCE, ABSTAINED} - {analysis.main.metric}
    return tuple(
        table.metric
        for table in analysis.tables
        if table.metric not in hidden and any(row.counts.scored for row in table.rows)
    )


def _counted(number_of: int, noun: str) -> str:
    return f"{number_of} {noun}{'' if number_of == 1 else 's'}"


def _gap(row: CellFigures) -> float:
    return abs(row.contrast.comparison.difference.value or 0.0) if row.contrast is not None else 0.0


def _finding(analysis: Analysis, row: CellFigures) -> str:
    assert row.contrast is not None
    compared = row.contrast.comparison
    return (
        f"{analysis.labels[row.cell.id]} is significantly {verdict(row.contrast)} than the baseline: "
        f"{analysis.main.metric} {estimate(compared.difference, sign='+')}, Holm p {_relation(compared.p_holm)}, "
        f"{compared.n} pairs."
    )


def _relation(p: float | None) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
