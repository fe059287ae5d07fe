"""One question and its answer as a row of `samples.jsonl`: what was asked, found, said, checked, and how long it took.

Figures are computed from rows alone, so a run that is taken up again needs nothing but its rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from eval.ablation.codec import answer_to_json
from eval.answers_questions import Question
from eval.datasets import QueryItem
from eval.gold import RankedUnit, Unit, canonical, unit_of
from eval.retrieval_pages import trec_judgements, trec_run
from eval.samples import FUSED, Outcome, Sample
from rag.types import Answer, CaseLocator, Hit, Query

Row = dict[str, Any]


def question_row(question: Question) -> Row:
    """What was asked, and what is right."""
    item = question.item
    return {
        "id": item.id,
        "set": question.set_name,
        "answer_type": item.answer_type,
        "cluster": item.cluster,
        "groups": {name: value for name, value in item.groups.items() if name != "set"},
        "question": item.question,
        "options": dict(item.options),
        "images": [image.name for image in item.every_image],
        "answers": list(item.answers),
        "pair": item.pair,
        "answerable": item.answerable,
        "gold": [list(unit) for unit in gold_units(question)],
    }


def gold_units(question: Question) -> tuple[Unit, ...]:
    """The units that the row calls right evidence."""
    return tuple(one.unit for one in question.item.gold)


def answer_row(question: Question, answer: Answer) -> Row:
    """What the system found and said. `ranks`: of the first right unit, in the evidence and in each channel."""
    shown = dict(answer_to_json(answer))
    gold = gold_units(question)
    return {
        "reply": shown.pop("text"),
        **shown,
        "ranks": _ranks(gold, answer.evidence.hits) if gold else {},
        "withheld": dict(_withheld(answer.trace)),
        "own_left": _own_left(question, answer.evidence.hits),
        "seconds": {stage: round(value, 4) for stage, value in answer.seconds.items()},
    }


def trec_files(rows: Sequence[Row]) -> dict[str, str]:
    """The evidence of every question as a TREC run, and what rows call right as its judgements."""
    samples = [_sample(row) for row in rows]
    return {"run.trec": trec_run(samples), "qrels.trec": trec_judgements(samples)}


def withheld_counts(rows: Iterable[Row]) -> dict[str, int]:
    """Hits that the leakage guard withheld, by reason."""
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row.get("withheld", {}))
    return dict(sorted(total.items()))


def _sample(row: Row) -> Sample:
    gold = frozenset(tuple(unit) for unit in row["gold"])
    units: dict[Unit, float] = {}
    for piece in row.get("evidence", ()):
        units.setdefault(canonical(tuple(piece["unit"]), gold), piece["score"])
    ranked = tuple(RankedUnit(unit, score) for unit, score in units.items())
    item = QueryItem(Query(text=row["question"] or "image", id=row["id"]), row["set"], gold)
    return Sample(item, (), {FUSED: Outcome(ranked, 0.0)})


def _ranks(gold: Collection[Unit], hits: Sequence[Hit]) -> dict[str, int | None]:
    found: dict[str, int | None] = {"evidence": None}
    for place, hit in enumerate(hits, start=1):
        if canonical(unit_of(hit.passage), gold) in gold:
            found["evidence"] = found["evidence"] or place
            for name, score in hit.channels.items():
                found[name] = min(found.get(name) or score.rank, score.rank)
    return found


def _withheld(trace: Iterable[Mapping[str, Any]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for event in trace:
        if event.get("step") == "guard":
            total.update(event.get("withheld", {}))
    return total


def _own_left(question: Question, hits: Iterable[Hit]) -> int:
    """Pieces of evidence of the question's own patient or study that came through: 0 where the guard could know them.

    Earlier records of the patient, which a row asks for by naming its day, are meant to be there.
    """
    item = question.item
    places = [hit.passage.locator for hit in hits if isinstance(hit.passage.locator, CaseLocator)]
    own_study = [place for place in places if item.study and place.study == item.study]
    if question.before_day is not None:
        return len(own_study)
    return sum((item.patient is not None and place.patient == item.patient) or place in own_study for place in places)
