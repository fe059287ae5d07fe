"""Finds CheXpert's 14 chest findings in report text, each with polarity, side, degree, change and evidence offsets.

The labels are those of Irvin et al., 2019 (CheXpert, AAAI); lexicon and rules are our own, see docs/findings.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from knowledge.findings.lexicon import lexicon
from knowledge.findings.modifiers import Change, Laterality, Severity, resolve_modifiers
from knowledge.findings.phrases import repair
from knowledge.findings.scope import resolve_scope
from knowledge.findings.sentences import report_sentences
from knowledge.findings.states import resolve_states
from knowledge.findings.tokens import Item, Span, tokenize
from knowledge.report_sections import ASSERTING, SectionKind, split_report
from rag.passages import Polarity

LABELS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One mention of a finding. `text` is the report's `[start:end]`; `cue` is where the deciding words stand.

    `cue` is None for a finding that is simply named (present). A resolved finding is absent. An absent finding has no
    severity. `section` is where in the report it stands.
    """

    label: str
    polarity: Polarity
    start: int
    end: int
    text: str
    laterality: Laterality | None = None
    severity: Severity | None = None
    change: Change | None = None
    cue: Span | None = None
    section: SectionKind = "other"


def label_report(text: str) -> tuple[Finding, ...]:
    """The findings that a report asserts, denies or doubts, in order. Never raises; text without findings gives none.

    Indication, history, comparison, technique and recommendations are not read: what is asked for or was seen before is
    not a finding of this study.
    """
    found: list[Finding] = []
    for section in split_report(text):
        if section.kind in ASSERTING:
            found.extend(label_text(text, section.start, section.end, section.kind))
    return tuple(found)


def label_text(
    text: str, start: int = 0, end: int | None = None, section: SectionKind = "other"
) -> tuple[Finding, ...]:
    """The findings of `text[start:end]`, read as sentences without headings. Offsets count from the text's start."""
    found: list[Finding] = []
    for first, last in report_sentences(text, start, end):
        found.extend(_label_sentence(text, (first, last), section))
    return tuple(found)


def _label_sentence(text: str, span: Span, section: SectionKind) -> list[Finding]:
    words = lexicon()
    items = words.items(tokenize(text, *span))
    kinds = {item.kind for item in items}
    if kinds.isdisjoint(("finding", "subject")):
        return []
    items = resolve_states(repair(items, kinds), words)
    verdicts = resolve_scope(items)
    modifiers = resolve_modifiers(items, verdicts)
    return [
        Finding(
            label=label,
            polarity=polarity,
            start=items[place].start,
            end=items[place].end,
            text=text[items[place].start : items[place].end],
            laterality=modifiers[place].laterality,
            severity=modifiers[place].severity,
            change=modifiers[place].change,
            cue=verdict.cue,
            section=section,
        )
        for place, verdict in sorted(verdicts.items())
        if verdict.kept
        for label, polarity in _labelled(items[place], verdict.polarity)
    ]


def _labelled(item: Item, polarity: Polarity) -> list[tuple[str, Polarity]]:
    """The labels of an item; a denied abnormality calls the study normal, an asserted one names no finding."""
    if item.labels == ("Abnormality",):
        return [("No Finding", "present")] if polarity == "absent" else []
    return [(label, polarity) for label in item.labels]
