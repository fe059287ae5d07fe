"""From the rows of a run to its figures: accuracy and its baselines, confidence, abstention, what was withheld."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.answers_groups import GroupFigures, group_figures
from eval.answers_intervals import Figure, figure, figures
from eval.answers_rows import Row, withheld_counts
from eval.answers_selective import Selective, selective_figures
from eval.metrics.abstention import AbstentionScores, abstention_scores
from eval.metrics.costs import summarise as summarise_costs
from eval.metrics.scores import Score, mean_score, share


@dataclass(frozen=True, slots=True)
class AnswerReading:
    """How rows are read: the presets they were scored by, the clean rule first, and whether the guard was on."""

    presets: tuple[str, ...]
    guarded: bool = True


@dataclass(frozen=True, slots=True)
class PartFigures:
    """All questions, or those of one set.

    `n` rows of the files; `answered`, `abstained` and `failed` make them up. `accuracy` is of those with a right
    answer that can be right or wrong (not open ones): an abstention or a failure is wrong. `most_frequent` always
    gives the answer that is most often right in its set and kind, known afterwards; `chance` guesses evenly.
    """

    n: int
    answered: int
    abstained: int
    failed: int
    accuracy: Figure
    most_frequent: Score
    chance: Score
    metrics: Mapping[str, Mapping[str, Figure]]
    selective: Selective
    abstention: AbstentionScores
    copied: Score

    def as_json(self) -> dict[str, object]:
        """As `metrics.json` has it."""
        return {
            "n": self.n,
            "accuracy": self.accuracy.as_json(),
            "answered": self.answered,
            "abstained": self.abstained,
            "failed": self.failed,
            "baselines": {"most_frequent": self.most_frequent.as_json(), "chance": self.chance.as_json()},
            "presets": {
                preset: {name: one.as_json() for name, one in row.items()} for preset, row in self.metrics.items()
            },
            "selective": self.selective.as_json(),
            "abstention": {name: getattr(self.abstention, name).as_json() for name in AbstentionScores.__slots__},
            "copy_reference": self.copied.as_json(),
        }


@dataclass(frozen=True, slots=True)
class AnswerFigures:
    """A finished run. `withheld`: hits that the guard took out; `own_left`: evidence of the question's own case."""

    whole: PartFigures
    sets: Mapping[str, PartFigures]
    kinds: Mapping[str, PartFigures]
    groups: GroupFigures
    guarded: bool
    withheld: Mapping[str, int]
    guarded_questions: int
    own_left: int
    seconds: Mapping[str, Mapping[str, float]]

    def as_json(self) -> dict[str, Any]:
        """The document of `vesalius eval answers --json`."""
        return {
            **self.whole.as_json(),
            "by_set": {name: part.as_json() for name, part in self.sets.items()},
            "by_answer_type": {name: part.as_json() for name, part in self.kinds.items()},
            **self.groups.as_json(),
            "guard": guard_json(self.guarded, self.withheld, self.guarded_questions, self.own_left),
            "latency": dict(self.seconds),
        }


def read_answers(rows: Sequence[Row], reading: AnswerReading) -> AnswerFigures:
    """The figures over all rows, by set, and by kind of answer."""
    asked = [row for row in rows if "answer_type" in row]
    return AnswerFigures(
        whole=_part(rows, reading),
        sets={name: _part(part, reading) for name, part in grouped(rows, lambda row: row["set"]).items()},
        kinds={name: _part(part, reading) for name, part in grouped(asked, lambda row: row["answer_type"]).items()},
        groups=group_figures(rows),
        guarded=reading.guarded,
        withheld=withheld_counts(rows),
        guarded_questions=sum(bool(row.get("withheld")) for row in rows),
        own_left=sum(row.get("own_left", 0) for row in rows),
        seconds=latencies(rows),
    )


def guard_json(on: bool, withheld: Mapping[str, int], questions: int, left: int) -> dict[str, object]:
    """What the leakage guard did: hits withheld by reason, of how many questions; and what came through."""
    return {
        "on": on,
        "withheld": sum(withheld.values()),
        "by_reason": dict(withheld),
        "questions": questions,
        "own_evidence_left": left,
    }


def grouped(rows: Sequence[Row], by: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Rows by a name, in order of first appearance."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(by(row), []).append(row)
    return found


def latencies(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Seconds per question by stage, median and 95th percentile, of questions that did not fail."""
    timed = [row["seconds"] for row in rows if "seconds" in row and "error" not in row]
    stages = dict.fromkeys(stage for row in timed for stage in row)
    found = {stage: summarise_costs([row.get(stage) for row in timed]) for stage in stages}
    return {
        stage: {"p50": round(one.p50 or 0.0, 4), "p95": round(one.p95 or 0.0, 4)} for stage, one in found.items()
    }  # fmt: skip


def _part(rows: Sequence[Row], reading: AnswerReading) -> PartFigures:
    failed = [row for row in rows if "error" in row]
    asked = [row for row in rows if row.get("asked")]
    declined = [bool(row.get("abstained")) for row in asked if "error" not in row]
    judged = [row for row in asked if row.get("right") is not None]
    return PartFigures(
        n=len(rows),
        answered=declined.count(False),
        abstained=declined.count(True),
        failed=len(failed),
        accuracy=figure((float(row["right"]), row["cluster"]) for row in judged),
        most_frequent=_most_frequent(judged),
        chance=_chance(judged),
        metrics={preset: value_figures(asked, preset) for preset in reading.presets},
        selective=selective_figures([row for row in judged if "error" not in row]),
        abstention=_abstention(asked),
        copied=_copied(asked),
    )


def value_figures(rows: Sequence[Row], group: str) -> dict[str, Figure]:
    """The means of the values that rows have in a group, such as a preset; a row without the value does not count."""
    scored = [row for row in rows if row.get("values", {}).get(group)]
    names = dict.fromkeys(name for row in scored for name in row["values"][group])
    return figures([
        (name, [(row["values"][group][name], row["cluster"]) for row in scored if name in row["values"][group]])
        for name in names
    ])  # fmt: skip


def _most_frequent(judged: Sequence[Row]) -> Score:
    """Right when every question gets the answer most often right among those of its set and kind of answer."""
    groups = grouped(judged, lambda row: f"{row['set']}\0{row['answer_type']}")
    best = [
        Counter(" ".join(row["answers"]).strip().lower() for row in group).most_common(1) for group in groups.values()
    ]
    return share(sum(count for [(_, count)] in best), len(judged))


def _chance(judged: Sequence[Row]) -> Score:
    """The mean of one over the options. A closed answer whose alternatives are not given has no chance level."""
    maybe = {row["set"] for row in judged if "maybe" in row["answers"]}
    return mean_score(_chance_of(row, three=row["set"] in maybe) for row in judged)


def _chance_of(row: Row, *, three: bool) -> float | None:
    match row["answer_type"]:
        case "choice" | "closed" if row["options"]:
            return 1 / len(row["options"])
        case "multi" if row["options"]:
            return float(1 / (2 ** len(row["options"]) - 1))  # any set of letters but the empty one
        case "yesno":
            return 1 / 3 if three else 1 / 2
        case _:
            return None


def _abstention(asked: Sequence[Row]) -> AbstentionScores:
    """Of questions known to be right or wrong, and of those nobody can answer; a failure is an answer, and wrong."""
    known = [row for row in asked if row.get("right") is not None or not row["answerable"]]
    return abstention_scores(
        [bool(row.get("abstained")) for row in known],
        [bool(row.get("right")) for row in known],
        [bool(row["answerable"]) for row in known],
    )


def _copied(asked: Sequence[Row]) -> Score:
    """Of right answers that had reports as evidence: those that stay the same when the image is another's."""
    tried = [row["copied"] for row in asked if row.get("copied") and row.get("right") is not False]
    return share(sum(one["same"] for one in tried), len(tried))
