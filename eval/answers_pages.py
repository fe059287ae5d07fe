"""The report of `vesalius eval answers` for people."""

from __future__ import annotations

from collections.abc import Mapping

from eval.answers_figures import AnswerFigures, PartFigures
from eval.answers_intervals import Figure
from eval.answers_page import Page, Part, Table, figure_cells, figure_table
from eval.answers_selective import COVERAGE_AT, RISK_AT, Selective, selective_charts
from eval.metrics.abstention import AbstentionScores
from eval.metrics.pairs import PairScores
from eval.metrics.scores import Score
from eval.retrieval_pages import show

LEGEND = (
    "Accuracy: share right of the questions that can be right or wrong; an abstention or a failure is wrong, an open "
    "question has no accuracy. Brackets: 95 % interval (Wilson's where every question is independent, else a bootstrap "
    "over patients, studies or images; where all are right or all wrong, Wilson's over these). Most frequent: always "
    "the answer that is most often right in the set, known only afterwards. Chance: one over the options."
)


def answers_page(found: AnswerFigures) -> Page:
    """Accuracy and baselines, metrics of every preset, confidence, abstention, guard, time."""
    parts = [Part("Accuracy", (), _accuracy_table(_named(found)))]
    for preset in found.whole.metrics:
        rows = {name: part.metrics[preset] for name, part in _named(found).items() if part.metrics[preset]}
        if rows:
            parts.append(Part(f"Metrics: {preset}", (), figure_table(rows)))
    parts += _group_parts(found)
    selective = found.whole.selective
    parts.append(Part("Confidence of the answers given", _confidence(selective), (), selective_charts(selective)))
    parts.append(Part("Abstention", (), _abstention_table(_named(found))))
    lines = guard_lines(found.guarded, found.withheld, found.guarded_questions, found.own_left)
    parts.append(Part("Leakage guard", lines))
    if found.whole.copied.n:
        told = (
            f"Same answer with another image in place of the own, from the same reports: {_score(found.whole.copied)}"
        )
        parts.append(Part("Copy-reference", (told,)))
    parts.append(Part("Seconds per question", (), latency_table(found.seconds)))
    return Page("Answers", LEGEND, tuple(parts))


def _group_parts(found: AnswerFigures) -> list[Part]:
    """Subgroups, which are exploratory, and pairs of questions."""
    groups = [
        Part(
            f"Accuracy by {field}", (), [[field, "accuracy"], *([value, *_cells(one)] for value, one in values.items())]
        )
        for field, values in found.groups.accuracy.items()
    ]
    pairs = found.groups.pairs
    if pairs is None:
        return groups
    lines = tuple(f"{name.replace('_', ' ')}: {_score(getattr(pairs, name))}" for name in PairScores.__slots__)
    return [*groups, Part("Pairs of questions", lines)]


def _cells(one: Figure) -> list[str]:
    return figure_cells({"": one}, [""])


def guard_lines(on: bool, withheld: Mapping[str, int], questions: int, left: int) -> tuple[str, ...]:
    """What the guard withheld, in words."""
    if not on:
        return ("Off: a question's own image, study and patient may have helped it.",)
    reasons = "; ".join(f"{reason}: {count}" for reason, count in withheld.items()) or "nothing"
    return (
        f"Withheld of {questions} questions: {reasons}.",
        f"Pieces of evidence of a question's own patient or study that came through: {left}.",
    )


def latency_table(seconds: Mapping[str, Mapping[str, float]]) -> Table:
    """Median and 95th percentile by stage."""
    if not seconds:
        return []
    return [
        ["stage", "p50", "p95"],
        *([name, f"{row['p50']:.3f}", f"{row['p95']:.3f}"] for name, row in seconds.items()),
    ]


def _named(found: AnswerFigures) -> dict[str, PartFigures]:
    """All, then sets and kinds of answers where there are several."""
    kinds = {f"answers: {name}": part for name, part in found.kinds.items()} if len(found.kinds) > 1 else {}
    return {"all": found.whole, **(found.sets if len(found.sets) > 1 else {}), **kinds}


def _accuracy_table(parts: Mapping[str, PartFigures]) -> Table:
    header = ["set", "n", "answered", "abstained", "failed", "judged", "accuracy", "most frequent", "chance"]
    return [header, *(_accuracy_row(name, part) for name, part in parts.items())]


def _accuracy_row(name: str, part: PartFigures) -> list[str]:
    counts = [str(number) for number in (part.n, part.answered, part.abstained, part.failed, part.accuracy.n)]
    return [name, *counts, show(part.accuracy.estimate), _score(part.most_frequent), _score(part.chance)]


def _confidence(found: Selective) -> tuple[str, ...]:
    if not found.n:
        return ("No answer that can be right or wrong was given.",)
    curve = found.curve
    return (
        f"Selective accuracy: {show(found.accuracy.estimate)} of {found.n} answers to {found.asked} questions.",
        f"AURC {_number(curve.aurc)}, above the best order of the same answers by {_number(curve.excess_aurc)}.",
        f"Risk at {RISK_AT:.0%} of the answers: {_number(curve.risk_at(RISK_AT))}; "
        f"coverage at a risk of {COVERAGE_AT:.0%}: {_number(curve.coverage_at(COVERAGE_AT))}.",
        f"Calibration error, 10 bins of equal width: {show(found.calibration)}; of equal mass: "
        f"{_number(found.equal_mass)}; Brier score {_number(found.brier)}; n {found.n}.",
    )


def _abstention_table(parts: Mapping[str, PartFigures]) -> Table:
    names = list(AbstentionScores.__slots__)
    rows = [[name, *(_score(getattr(part.abstention, one)) for one in names)] for name, part in parts.items()]
    return [["set", *(name.replace("_", " ") for name in names)], *rows]


def _score(score: Score) -> str:
    return "-" if score.value is None else f"{score.value:.3f}, n {score.n}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
