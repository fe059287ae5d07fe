"""Are the drafted reports like those that were written? Every case with images and a reference report is drafted once.

Wording overlap rewards a draft that denies what it should assert, so findings stand beside it; and every figure stands
beside two baselines on the same cases: the report of the most similar other case copied whole, and the drafts held
against another case's reference, which is what the corpus' common phrases alone are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from eval.answers_questions import Question, Questions
from eval.answers_rows import Row, answer_row
from eval.answers_run import Summary
from eval.metrics.findings import finding_f1, finding_scores
from eval.metrics.overlap import Synonyms, meteor, report_words, rouge_l, sentence_bleu, wordnet_synonyms
from eval.metrics.radeval import RadEvalMetric
from eval.reports_figures import ReportReading, report_document, report_page
from rag.errors import MissingExtra, QueryError
from rag.types import Answer

if TYPE_CHECKING:
    from pipelines.report import ReportRequest

Draft = Callable[["ReportRequest"], Answer]
"""Drafts a report on the images of a study."""

NOT_OF_THIS_STUDY = frozenset({"prior", "expert"})
"""Sections that repeat an earlier report or another model: no words of the draft on these images."""


@dataclass(frozen=True, slots=True)
class ReportMeasure:
    """What `vesalius eval reports` measures.

    writer: who words the drafts ("composed" of other cases' sentences, or a model's name). guarded: whether a case's
    own image, study and patient are withheld. radeval: metrics of the radeval package, computed over all drafts.
    """

    draft: Draft
    writer: str = "composed"
    guarded: bool = True
    radeval: tuple[RadEvalMetric, ...] = ()

    @property
    def name(self) -> str:
        """What the command is called."""
        return "reports"

    def fill(self, question: Question, row: Row) -> None:
        """Draft, and compare with the reference; a row without one, or without an image, is left out and counted."""
        reference = reference_of(question)
        if not reference or not question.item.images:
            row |= {"asked": False, "skipped": "no image" if reference else "no reference report"}
            return
        answer = self.draft(_request(question))
        row.update(answer_row(question, answer))
        row |= {"reference": reference, "draft": draft_text(answer), "nearest": _nearest(answer)}
        self._score(row)

    def fail(self, question: Question, row: Row) -> None:
        """A case that failed is an empty draft."""
        reference = reference_of(question)
        if reference and question.item.images:
            row |= {"reference": reference, "draft": "", "nearest": ""}
            self._score(row)

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """Figures of drafts and baselines, over all cases and by set."""
        drafted = [row for row in rows if row.get("values")]
        for metric in self.radeval if drafted else ():
            found = metric.score([row["draft"] for row in drafted], [row["reference"] for row in drafted])
            for name, values in found.items():
                for row, value in zip(drafted, values, strict=True):
                    row["values"]["draft"][name] = value
        reading = ReportReading(self.writer, self.guarded, overlap_values)
        return Summary(report_document(rows, reading), report_page(rows, reading))

    def _score(self, row: Row) -> None:
        draft, reference = row["draft"], row["reference"]
        row["values"] = {
            "draft": overlap_values(draft, reference),
            "nearest": overlap_values(row["nearest"], reference),
        }
        row["findings"] = finding_counts(draft, reference)
        row["nearest_findings"] = finding_counts(row["nearest"], reference)


def reference_of(question: Question) -> str:
    """The reference report: the row's findings and impression, its report or caption, else its open answer."""
    item = question.item
    answer = item.answers[0] if item.answers and item.answer_type in {"open", "report"} else ""
    return question.reference or item.report or answer


def check_references(asked: Questions) -> None:
    """Raise QueryError when no row can be measured at all."""
    if not any(reference_of(one) and one.item.images for one in asked.questions):
        raise QueryError(
            f"none of the {len(asked.questions)} rows has an image and a reference report; a row needs "
            '"image" and "report" (or "caption", "findings" and "impression", or an open "answer")'
        )


def draft_text(answer: Answer) -> str:
    """What the draft says of these images, in sentences without citations; nothing when it abstained."""
    if answer.abstained:
        return ""
    sections: Mapping[str, Sequence[int]] = {}
    for event in answer.trace:
        sections = event["of"] if event.get("step") == "sections" else sections
    others = {place for name in NOT_OF_THIS_STUDY for place in sections.get(name, ())}
    return " ".join(claim.text for place, claim in enumerate(answer.claims) if place not in others)


def overlap_values(draft: str, reference: str) -> dict[str, float | None]:
    """Wording and findings of one report against its reference, each in [0, 1]; finding F1 None when neither has any.

    BLEU is NLTK's smoothed sentence BLEU: the corpus BLEU of papers stands beside the means.
    """
    said, wanted = report_words(draft), report_words(reference)
    name, synonyms = _synonyms()
    return {
        "bleu1_sentence": sentence_bleu(said, [wanted], 1),
        "bleu4_sentence": sentence_bleu(said, [wanted], 4),
        "rouge_l": rouge_l(said, [wanted]),
        name: meteor(said, [wanted], synonyms),
        "finding_f1_rules": finding_f1(draft, reference),
    }


def finding_counts(draft: str, reference: str) -> dict[str, int]:
    """Findings in both, only drafted, only in the reference: the parts of a pooled F1."""
    labels = finding_scores([draft], [reference]).labels
    return {
        "both": sum(one.both for one in labels),
        "extra": sum(one.only_generated for one in labels),
        "omitted": sum(one.only_reference for one in labels),
    }


@cache
def _synonyms() -> tuple[str, Synonyms | None]:
    try:
        return "meteor_wordnet", wordnet_synonyms()
    except MissingExtra:
        return "meteor_exact_stem", None


def _request(question: Question) -> ReportRequest:
    from pipelines.report import ReportRequest

    query, item = question.query(), question.item
    return ReportRequest(
        images=query.images, indication=query.text, prior_images=query.prior_images,
        prior_report=item.prior_report or "", patient=item.patient, before_day=query.before_day, domain=query.domain,
        id=item.id,
    )  # fmt: skip


def _nearest(answer: Answer) -> str:
    """The report of the most similar case that may be shown; nothing when none has words."""
    cases: list[Any] = [hit.passage for hit in answer.evidence.hits if hit.passage.kind == "case"]
    return next((" ".join(passage.text.split()) for passage in cases if passage.text.strip()), "")
