"""Are the citations right? Every question is asked once; its statements are held against what they cite.

The passages that a judge reads are whole (as in ALCE) or the quoted words alone (as the system shows them): the second
is the harder question, for a page says much. A figure is worth what its judge is worth, so the judge is named with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.answers import Ask
from eval.answers_questions import Question
from eval.answers_rows import Row, answer_row, gold_units
from eval.answers_run import Summary
from eval.citations_figures import citation_document, citation_page
from eval.gold import canonical, unit_of
from eval.metrics.citations import CitedSentence, Entails, citation_scores, entails_by
from eval.metrics.claims import claim_scores, entailments
from eval.metrics.scores import Score
from rag.grounding.quotes import locate
from rag.protocols import Judge
from rag.sentences import split_sentences
from rag.types import KINDS, Answer, Kind


@dataclass(frozen=True, slots=True)
class CitationMeasure:
    """What `vesalius eval citations` measures.

    judge: says how far a text supports a statement; from `threshold` on it does. judge_name: what the figures are named
    with. kinds: searched for rows that name none. guarded: whether a question's own case is withheld.
    """

    ask: Ask
    judge: Judge
    judge_name: str = "rules"
    threshold: float = 0.5
    kinds: tuple[Kind, ...] = KINDS
    guarded: bool = True

    @property
    def name(self) -> str:
        """What the command is called."""
        return "citations"

    def fill(self, question: Question, row: Row) -> None:
        """Ask, and judge every statement and citation."""
        answer = self.ask(question.query(), question.kinds or self.kinds)
        row.update(answer_row(question, answer))
        entails = entails_by(self.judge, self.threshold)
        row["counts"] = _counts(answer)
        row["values"] = {} if answer.abstained else {
            "citations": {**_cited(answer, entails), **_on_gold(question, answer)},
            "claims": _claims(question, answer, entails),
        }  # fmt: skip

    def fail(self, question: Question, row: Row) -> None:
        """A failed question has no statement to be judged; it is counted as failed."""
        del question
        row["values"] = {}

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """The means over answers, pooled rates, and which checks dropped what."""
        judge = {"name": self.judge_name, "threshold": self.threshold}
        return Summary(
            citation_document(rows, judge, guarded=self.guarded), citation_page(rows, judge, guarded=self.guarded)
        )


_OF_TERMS = ("recall", "claim_recall", "context_precision", "context_utilisation", "faithfulness")
"""What a gold answer of single terms can say. That a term supports no sentence makes no sentence wrong."""


def gold_statements(question: Question) -> tuple[str, ...]:
    """The statements of the gold answer: sentences of a reference text, else the answers, options by their text.

    None of a yes or no: no passage states it.
    """
    item = question.item
    reference = question.reference or item.report
    if reference:
        return tuple(sentence.text for sentence in split_sentences(reference))
    return () if item.answer_type == "yesno" else tuple(item.options.get(answer, answer) for answer in item.answers)


def _counts(answer: Answer) -> dict[str, Any]:
    """Citations, those of no passage, quotes that stand in their passage; claims dropped, by failed check."""
    known = {citation.n for citation in answer.citations}
    used = [number for claim in answer.claims for number in claim.citations]
    dropped = [event for event in answer.trace if event.get("step") == "ground" and not event.get("kept")]
    return {
        "statements": len(answer.claims),
        "citations": len(used),
        "invalid": sum(number not in known for number in used),
        "quotes": len(answer.citations),
        "verbatim": sum(locate(one.quote, one.passage.text) is not None for one in answer.citations),
        "dropped": len(dropped),
        "dropped_by": dict(Counter(name for event in dropped for name in event.get("failed", ()))),
    }


def _cited(answer: Answer, entails: Entails) -> dict[str, float | None]:
    """ALCE's figures, a statement of the answer being its unit; `quote_` where the quoted words are the premise."""
    sentences = [CitedSentence(claim.text, claim.citations) for claim in answer.claims]
    whole = citation_scores(sentences, {one.n: one.passage.text for one in answer.citations}, entails)
    quoted = citation_scores(sentences, {one.n: one.quote for one in answer.citations}, entails)
    return {
        "recall": whole.recall.value,
        "precision": whole.precision.value or 0.0,
        "quote_recall": quoted.recall.value,
        "quote_precision": quoted.precision.value or 0.0,
        "uncited": whole.uncited.value,
    }


def _on_gold(question: Question, answer: Answer) -> dict[str, float | None]:
    """Whether any citation, and what share of them, is of a passage that the row calls right; nothing without gold."""
    gold = gold_units(question)
    if not gold:
        return {}
    hits = [canonical(unit_of(one.passage), gold) in gold for one in answer.citations]
    return {"cites_gold": float(any(hits)), "gold_share": sum(hits) / len(hits) if hits else None}


def _claims(question: Question, answer: Answer, entails: Entails) -> Mapping[str, float | None]:
    """RAGChecker's figures against the gold answer and the evidence; without a gold answer faithfulness alone."""
    gold = gold_statements(question)
    passages = [hit.passage.text for hit in answer.evidence.hits]
    found = claim_scores(entailments([claim.text for claim in answer.claims], gold, passages, entails))
    of_terms = _OF_TERMS if gold else ("faithfulness",)
    names = type(found).__slots__ if question.reference or question.item.report else of_terms
    scores: dict[str, Score] = {name: getattr(found, name) for name in names}
    return {name: score.value for name, score in scores.items()}
