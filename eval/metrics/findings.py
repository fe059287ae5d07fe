"""Reports compared by what they find: F1 over the 14 chest findings, by the rules of `knowledge.findings`.

Named `finding_f1_rules`, never CheXbert F1: the labels are CheXpert's, the labeller is ours (docs/findings.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from eval.metrics.scores import Score, f_measure, mean_score, share
from knowledge.findings import LABELS, Finding, label_report, study_labels
from rag.passages import Polarity

TOP_5 = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
"""The five of CheXpert's competition task, over which F1-5 is given (Irvin et al., 2019)."""

Uncertain = Literal["present", "absent", "own_class"]
"""How a doubted finding counts; `present` as CheXbert's report mode has it, `own_class` only equals itself."""

Labeller = Callable[[str], tuple[Finding, ...]]


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """One finding over all reports: in both, only in the generated report, only in the reference."""

    label: str
    both: int
    only_generated: int
    only_reference: int

    @property
    def f1(self) -> float | None:
        """F1; None when neither side ever has the finding."""
        total = 2 * self.both + self.only_generated + self.only_reference
        return 2 * self.both / total if total else None


@dataclass(frozen=True, slots=True)
class FindingScores:
    """Finding-level scores of generated reports against references.

    `n` of micro figures is the number of reports, of macro figures the number of findings that occur (`left_out`: those
    that never do; a tool that counts them as 0 gives `macro * n / (n + left_out)`). `negative_f1` compares denied
    findings. `hallucinated` and `omitted` are findings per report. `side_accuracy`: of the findings present in both
    whose reference names a side, those with the same side.
    """

    micro_14: Score
    macro_14: Score
    micro_5: Score
    macro_5: Score
    micro_precision: Score
    micro_recall: Score
    negative_f1: Score
    hallucinated: Score
    omitted: Score
    side_accuracy: Score
    labels: tuple[LabelCounts, ...]


def finding_scores(
    generated: Sequence[str],
    references: Sequence[str],
    uncertain: Uncertain = "present",
    labeller: Labeller = label_report,
) -> FindingScores:
    """Compare reports finding by finding.

    Raises:
        ValueError: the lengths differ.
    """
    ours = [labeller(text) for text in generated]
    golds = [labeller(text) for text in references]
    said, wanted = [study_labels(found) for found in ours], [study_labels(found) for found in golds]
    pairs = list(zip(said, wanted, strict=True))
    positive = _count(pairs, LABELS, lambda states: _present(states, uncertain))
    five = [one for one in positive if one.label in TOP_5]
    n = len(pairs)
    sides = [hit for a, b in zip(ours, golds, strict=True) for hit in _sides(a, b)]
    return FindingScores(
        micro_14=_micro(positive, n),
        macro_14=mean_score(one.f1 for one in positive),
        micro_5=_micro(five, n),
        macro_5=mean_score(one.f1 for one in five),
        micro_precision=share(*_part_whole(positive, "only_generated")),
        micro_recall=share(*_part_whole(positive, "only_reference")),
        negative_f1=_micro(_count(pairs, LABELS, lambda states: _with(states, "absent")), n),
        hallucinated=share(sum(one.only_generated for one in positive), n),
        omitted=share(sum(one.only_reference for one in positive), n),
        side_accuracy=share(sum(sides), len(sides)),
        labels=tuple(positive),
    )


def finding_f1(generated: str, reference: str, uncertain: Uncertain = "present") -> float | None:
    """F1 of one report's findings, for paired tests; None when neither report has any."""
    pairs = [(study_labels(label_report(generated)), study_labels(label_report(reference)))]
    counts = _count(pairs, LABELS, lambda states: _present(states, uncertain))
    return _micro(counts, 1).value


Keys = frozenset[str]
States = Mapping[str, Polarity]


def _present(states: States, uncertain: Uncertain) -> Keys:
    """The findings that count; an uncertain one of its own class is marked so that it only meets its like."""
    found = _with(states, "present")
    doubted = _with(states, "uncertain")
    if uncertain == "present":
        return found | doubted
    return found if uncertain == "absent" else found | {f"{label} uncertain" for label in doubted}


def _with(states: States, polarity: Polarity) -> Keys:
    return frozenset(label for label, state in states.items() if state == polarity)


def _count(
    pairs: Sequence[tuple[States, States]], labels: Sequence[str], counted: Callable[[States], Keys]
) -> list[LabelCounts]:
    sets = [(counted(said), counted(wanted)) for said, wanted in pairs]
    found = []
    for label in labels:
        keys = (label, f"{label} uncertain")
        both = sum(key in a and key in b for a, b in sets for key in keys)
        extra = sum(key in a and key not in b for a, b in sets for key in keys)
        missing = sum(key in b and key not in a for a, b in sets for key in keys)
        found.append(LabelCounts(label, both, extra, missing))
    return found


def _micro(counts: Sequence[LabelCounts], n: int) -> Score:
    both = sum(one.both for one in counts)
    extra, missing = sum(one.only_generated for one in counts), sum(one.only_reference for one in counts)
    if not both + extra + missing:
        return Score(None, n)
    return Score(f_measure(both / (both + extra or 1), both / (both + missing or 1)), n)


def _part_whole(counts: Sequence[LabelCounts], other: Literal["only_generated", "only_reference"]) -> tuple[int, int]:
    both = sum(one.both for one in counts)
    return both, both + sum(getattr(one, other) for one in counts)


def _sides(ours: Sequence[Finding], golds: Sequence[Finding]) -> list[bool]:
    """For each finding present in both with a side in the reference: is the side the same?"""
    said, wanted = _present_sides(ours), _present_sides(golds)
    return [said[label] == sides for label, sides in wanted.items() if sides and label in said]


def _present_sides(found: Sequence[Finding]) -> dict[str, frozenset[str]]:
    sides: dict[str, set[str]] = {}
    for one in found:
        if one.polarity == "present":
            kept = sides.setdefault(one.label, set())
            kept |= {one.laterality} if one.laterality else set()
    return {label: frozenset(("left", "right") if "bilateral" in kept else kept) for label, kept in sides.items()}
