"""Accuracy in subgroups of the questions, by the number of their images, and of questions that come in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.answers_intervals import Figure, figure
from eval.answers_rows import Row
from eval.metrics.pairs import PairReply, PairScores, pair_scores

MOST_VALUES = 30
"""A field with more values than this (a name, a page) is no subgrouping; it is left out."""


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """Accuracy by value of each field that tells questions apart, largest first; pairs where rows name a `pair_id`."""

    accuracy: Mapping[str, Mapping[str, Figure]]
    pairs: PairScores | None

    def as_json(self) -> dict[str, object]:
        """`by_group` and, where there are any, `pairs`."""
        rows = {
            field: {value: one.as_json() for value, one in values.items()} for field, values in self.accuracy.items()
        }
        if self.pairs is None:
            return {"by_group": rows}
        names = PairScores.__slots__
        return {"by_group": rows, "pairs": {name: getattr(self.pairs, name).as_json() for name in names}}


def group_figures(rows: Sequence[Row]) -> GroupFigures:
    """From rows that are right or wrong."""
    judged = [row for row in rows if row.get("asked") and row.get("right") is not None]
    values: dict[str, dict[str, list[Row]]] = {}
    for row in judged:
        images = {"images": str(len(row["images"]))} if row["images"] else {}
        for field, value in {**row["groups"], **images}.items():
            values.setdefault(field, {}).setdefault(value, []).append(row)
    telling = {field: by for field, by in values.items() if 1 < len(by) <= MOST_VALUES}
    return GroupFigures({field: _accuracy(telling[field]) for field in sorted(telling)}, _pairs(judged))


def _accuracy(by_value: Mapping[str, Sequence[Row]]) -> dict[str, Figure]:
    order = sorted(by_value.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    return {value: figure((float(row["right"]), row["cluster"]) for row in rows) for value, rows in order}


def _pairs(judged: Sequence[Row]) -> PairScores | None:
    """Pairs of which both questions are there; one that was not answered has no valid reply."""
    members: dict[str, list[Row]] = {}
    for row in judged:
        if row.get("pair") and row["answer_type"] == "choice":
            members.setdefault(row["pair"], []).append(row)
    both = [(rows[0], rows[1]) for rows in members.values() if len(rows) == 2]
    replies = [
        PairReply((one["answers"][0], two["answers"][0]), (_chosen(one), _chosen(two))) for one, two in both
    ]  # fmt: skip
    return pair_scores(replies) if replies else None


def _chosen(row: Row) -> str | None:
    return None if row.get("abstained") else row.get("parsed")
