"""From statements to a draft: which words of which passage each statement rests on.

A model cites a passage, seldom its words. The span of the cited passage that supports the statement best becomes the
quote, so that an answer can show the exact place: lines of a page, a sentence of a report, or a fact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.grounding.claims import Statement, statements
from rag.grounding.quotes import locate
from rag.protocols import Judge
from rag.sentences import content_stems, split_sentences
from rag.types import Draft, DraftClaim, Evidence, Passage

_READ = 8
"""Spans of a passage that the judge reads, the best by word overlap."""
_ENOUGH = 0.99
_WIDEST = 90
"""Words of two sentences that may be one quote together."""


@dataclass(frozen=True, slots=True)
class Span:
    """`passage.text[start:end]` supports a statement this far, in [0, 1]."""

    passage: Passage
    start: int
    end: int
    support: float

    @property
    def quote(self) -> str:
        """The exact words."""
        return self.passage.text[self.start : self.end]


def draft_of_reply(
    reply: str, evidence: Evidence, judge: Judge, names: Mapping[str, str] | None = None, *, attach: float = 0.6
) -> Draft:
    """The claims of a model's reply, each with the passage it cites and the words there that support it best.

    `names` maps the names that the model was shown ("E1") to passage ids; by default evidence is numbered from 1, with
    or without the letter E. A statement that cites nothing is attached to what the statements around it cite, then to
    any evidence, if that supports it at least `attach`; else its claim names no passage and fails the check "cited". A
    cited name that was never shown stays as it is and fails the check "shown". Confidence is the mean support of the
    claims: how much of the reply the evidence carries.
    """
    shown = {hit.passage.id: hit.passage for hit in evidence.hits}
    known = dict(numbered(evidence) if names is None else {name.upper(): place for name, place in names.items()})
    rows = statements(reply)
    claims: list[DraftClaim] = []
    support: list[float] = []
    for i, row in enumerate(rows):
        made = list(
            _claims(row, known, shown, judge) if row.cites else _attached(rows, i, (known, shown), judge, attach)
        )
        claims.extend(claim for claim, _ in made)
        support.append(max((share for _, share in made), default=0.0))
    confidence = sum(support) / len(support) if support else 0.0
    return Draft(tuple(claims), confidence=min(1.0, confidence))


def numbered(evidence: Evidence) -> dict[str, str]:
    """The passage behind each name "1", "E1", "2", "E2" ... of evidence in its order."""
    return {name: hit.passage.id for i, hit in enumerate(evidence.hits, start=1) for name in (str(i), f"E{i}")}


def best_span(statement: str, passage: Passage, judge: Judge) -> Span | None:
    """The sentence, or two in a row, that supports a statement best; the whole text of a fact. None without text.

    The shorter span wins when it supports as much: a quote should show the place, not the page.
    """
    spans = list(_spans(passage))
    if not spans:
        return None
    wanted = set(content_stems(statement))
    overlap = [len(wanted & set(content_stems(passage.text[start:end]))) for start, end in spans]
    order = sorted(range(len(spans)), key=lambda i: (-overlap[i], spans[i][1] - spans[i][0], i))[:_READ]
    best: Span | None = None
    for i in order:
        start, end = spans[i]
        support = judge.support(statement, passage.text[start:end])
        if best is None or support > best.support + 1e-9:
            best = Span(passage, start, end, support)
        if best.support >= _ENOUGH:
            break
    return best


def _spans(passage: Passage) -> Iterator[tuple[int, int]]:
    """Every sentence of a passage, and every two neighbours that are not too long; without sentences the whole text."""
    text = passage.text
    sentences = [] if passage.kind == "fact" else [row for row in split_sentences(text) if row.kind != "heading"]
    if not sentences and text.strip():
        start = len(text) - len(text.lstrip())
        yield start, len(text.rstrip())
    yield from ((row.start, row.end) for row in sentences)
    for first, second in pairwise(sentences):
        if len(text[first.start : second.end].split()) <= _WIDEST:
            yield first.start, second.end


def _claims(
    row: Statement, known: Mapping[str, str], shown: Mapping[str, Passage], judge: Judge
) -> Iterator[tuple[DraftClaim, float]]:
    """One claim per name that a statement cites; its own quote counts where it stands in the passage."""
    for name in row.cites:
        passage = shown.get(known.get(name, ""))
        if passage is None:
            yield DraftClaim(row.text, name, row.quote), 0.0
        elif row.quote and (locate(row.quote, passage.text) is not None or len(row.cites) == 1):
            yield DraftClaim(row.text, passage.id, row.quote), judge.support(row.text, row.quote)
        else:
            span = best_span(row.text, passage, judge)
            yield DraftClaim(row.text, passage.id, span.quote if span else ""), span.support if span else 0.0


def _attached(
    rows: Sequence[Statement],
    at: int,
    reading: tuple[Mapping[str, str], Mapping[str, Passage]],
    judge: Judge,
    least: float,
) -> Iterator[tuple[DraftClaim, float]]:
    """The claim of a statement that cites nothing: what the next or the last one of its paragraph cites comes first."""
    known, shown = reading
    row = rows[at]
    if row.quote:
        quoted = [passage for passage in shown.values() if locate(row.quote, passage.text) is not None]
        if quoted:
            yield DraftClaim(row.text, quoted[0].id, row.quote), judge.support(row.text, row.quote)
            return
    near = [*rows[at + 1 :], *reversed(rows[:at])]
    named = [known.get(name, "") for other in near if other.paragraph == row.paragraph for name in other.cites]
    for group in (list(dict.fromkeys(name for name in named if name in shown)), list(shown)):
        spans = [span for name in group if (span := best_span(row.text, shown[name], judge)) is not None]
        best = max(spans, key=lambda span: span.support, default=None)
        if best is not None and best.support >= least:
            yield DraftClaim(row.text, best.passage.id, best.quote), best.support
            return
    yield DraftClaim(row.text, "", ""), 0.0
