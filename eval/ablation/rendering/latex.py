r"""The report of an ablation as LaTeX tables with booktabs: paste a table into a paper, or \input the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from eval.ablation.analysis import Analysis
from eval.ablation.comparison import CellFigures, Contrast, MetricFigures
from eval.ablation.factorial import AdjustedEffect, FactorialFigures
from eval.ablation.rendering.wording import number, shown_metrics, stars
from eval.ablation.results import level_text
from eval.statistics import Estimate

METRICS_PER_TABLE = 3

_GROUPS = (
    ("retrieval", r"ndcg|recall@|precision@|hit@|success|\br@|mrr|\bmap\b|rank"),
    ("citations", r"citation|faithful|ground|hallucinat|claim|support"),
    ("reports", r"bleu|rouge|meteor|radgraph|chexbert|finding|cider"),
    ("confidence", r"confidence|abstain|aurc|ece|brier|calibration"),
    ("cost", r"second|latency|token|cost|price"),
)
"""Groups of metrics by words in their names; what has none of them is about answers."""

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip


def latex_report(analysis: Analysis) -> str:
    """One table per group of metrics, then the effects of factors."""
    shown = shown_metrics(analysis)
    groups: dict[str, list[MetricFigures]] = {}
    for table in analysis.tables:
        if table.metric in shown:
            groups.setdefault(metric_group(table.metric), []).append(table)
    parts = [r"% Needs \usepackage{booktabs} and \usepackage[T1]{fontenc}."]
    for group, tables in groups.items():
        for start in range(0, len(tables), METRICS_PER_TABLE):
            label = group if start == 0 else f"{group}-{start // METRICS_PER_TABLE + 1}"
            parts.append(_metric_table(analysis, label, tables[start : start + METRICS_PER_TABLE]))
    parts += [_effect_table(analysis, figures) for figures in analysis.factorial]
    return "\n\n".join(parts) + "\n"


def metric_group(metric: str) -> str:
    """The table that a metric belongs to, by its name."""
    return next((group for group, words in _GROUPS if re.search(words, metric.lower())), "answers")


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is, on one line; control characters are left out."""
    flat = " ".join(text.split())
    return "".join(_ESCAPES.get(character, character) for character in flat if character.isprintable())


def _metric_table(analysis: Analysis, label: str, tables: Sequence[MetricFigures]) -> str:
    head = " & ".join(rf"\multicolumn{{2}}{{c}}{{{_metric_head(table)}}}" for table in tables)
    rules = " ".join(rf"\cmidrule(lr){{{2 * place + 2}-{2 * place + 3}}}" for place in range(len(tables)))
    units = " & ".join(r"mean & $\Delta$" for _ in tables)
    body, kind = [], ""
    for place, row in enumerate(analysis.main.rows):
        if kind and row.cell.kind != kind:
            body.append(r"\midrule")
        kind = row.cell.kind
        figures = " & ".join(_figures(analysis, table.rows[place]) for table in tables)
        body.append(rf"{escaped(analysis.labels[row.cell.id])} & {figures} \\")
    lines = [f"Setting & {head} \\\\", rules, f" & {units} \\\\", r"\midrule", *body]
    caption = f"{analysis.result.name}: {label.replace('-', ', part ')}."
    return _float(caption, f"tab:ablation-{label}", "l" + "ll" * len(tables), lines, _note(analysis, tables))


def _metric_head(table: MetricFigures) -> str:
    return escaped(table.metric) + (r" $\downarrow$" if table.smaller_is_better else r" $\uparrow$")


def _figures(analysis: Analysis, row: CellFigures) -> str:
    if row.mean.value is None:
        return "-- & --"
    letters = rf"^{{\mathrm{{{row.letters}}}}}" if row.letters else ""
    mean = f"${number(row.mean.value)}{letters}$ {_interval(row.mean)}"
    return f"{mean} & {_difference(row.contrast, analysis.options.level)}"


def _difference(contrast: Contrast | None, level: float) -> str:
    if contrast is None or contrast.comparison.difference.value is None:
        return "--"
    compared = contrast.comparison
    return _marked(compared.difference, compared.p_holm, level, signed=contrast.significant)


def _marked(figure: Estimate, p: float | None, level: float, *, signed: bool) -> str:
    """Bold with marks when significant, otherwise marked as not significant."""
    value = number(figure.value, sign="+")
    text = rf"$\mathbf{{{value}}}^{{{stars(p, level)}}}$" if signed else rf"${value}^{{\mathrm{{n.s.}}}}$"
    return f"{text} {_interval(figure, sign='+')}"


def _interval(figure: Estimate, sign: str = "") -> str:
    return rf"{{\scriptsize $[{number(figure.low, sign=sign)}, {number(figure.high, sign=sign)}]$}}"


def _note(analysis: Analysis, tables: Sequence[MetricFigures]) -> str:
    options = analysis.options
    tests = {row.contrast.test for table in tables for row in table.rows if row.contrast is not None}
    named = {"McNemar": "exact McNemar test", "sign-flip": "paired sign-flip randomisation test"}
    missing = [
        f"{table.metric}: {sum(row.counts.failed for row in table.rows)} scores failed, "
        f"{sum(row.counts.not_applicable for row in table.rows)} not applicable"
        for table in tables
        if any(row.counts.failed or row.counts.not_applicable for row in table.rows)
    ]
    method = escaped(" and ".join(named[test] for test in sorted(tests)) or "no test")
    level = f"{options.interval.level:.0%}".replace("%", r"\%")
    return (
        rf"$n = {analysis.questions}$ questions in {analysis.clusters} clusters, {level} cluster bootstrap "
        rf"intervals in brackets. $\Delta$: paired difference to the baseline ({escaped(_levels(analysis))}); "
        rf"{method}. "
        rf"{_marks(options.level)} Means that share a letter cannot be told apart."
        + (f" {escaped('; '.join(missing))}." if missing else "")
    )


def _marks(level: float) -> str:
    return (
        rf"$^{{*}}p<{level:g}$, $^{{**}}p<0.01$, $^{{***}}p<0.001$ after Holm's correction within each factor; "
        r"$^{\mathrm{n.s.}}$ not significant."
    )


def _levels(analysis: Analysis) -> str:
    levels = analysis.baseline.levels
    return ", ".join(f"{factor} = {level_text(level)}" for factor, level in levels.items()) or analysis.baseline.name


def _effect_table(analysis: Analysis, figures: FactorialFigures) -> str:
    lines = [r"Effect & size & matched cells \\"]
    for effects in (figures.main, figures.interactions):
        if effects:
            lines += [r"\midrule", *(_effect(effect, analysis.options.level) for effect in effects)]
    note = (
        f"Mean over matched cells; {figures.n} questions that all {figures.cells} cells have. "
        f"{_marks(analysis.options.level)} Interactions are corrected together."
    )
    caption = f"{analysis.result.name}: main effects and interactions, {figures.metric}."
    slug = re.sub(r"[^a-z0-9]+", "-", figures.metric.lower()).strip("-")
    return _float(caption, f"tab:ablation-effects-{slug}", "lll", lines, note)


def _effect(adjusted: AdjustedEffect, level: float) -> str:
    size = _marked(adjusted.effect.size, adjusted.p_holm, level, signed=adjusted.significant)
    return rf"{escaped(adjusted.name)} & {size} & {adjusted.effect.matched} \\"


def _float(caption: str, label: str, columns: str, lines: Iterable[str], note: str) -> str:
    return "\n".join([
        r"\begin{table}[t]", r"\centering", r"\small", r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escaped(caption)}}}", rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}",
        rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {note}}}", r"\end{table}",
    ])  # fmt: skip
