"""What a report says of a place, and what changed between two reports: the text side of look-ups in a history.

MAG (Mu et al., 2025, MMXU) puts a patient's earlier report, or only its sentences about the asked region, before a
model, and shows its trap: "unchanged" in an old report speaks of an older interval and drags the answer along. So
every statement says whether it compares with an earlier study.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from knowledge.findings.labeller import Finding, label_text
from knowledge.findings.lexicon import lexicon
from knowledge.findings.modifiers import Change, Laterality
from knowledge.findings.sentences import report_sentences
from knowledge.findings.study import study_labels
from knowledge.findings.tokens import tokenize
from knowledge.report_sections import ASSERTING, split_report

_PLACES = {
    "upper": "upper apex apical apices rul lul",
    "middle": "middle mid rml lingula lingular",
    "lower": "lower base bases basal basilar bibasilar bibasal rll lll costophrenic retrocardiac",
    "hilum": "hilum hilar hila perihilar",
    "heart": "heart cardiac cardiomegaly cardiothoracic",
    "mediastinum": "mediastinum mediastinal cardiomediastinal",
    "pleura": "pleura pleural costophrenic",
    "bones": "rib ribs clavicle osseous bony spine vertebral",
}
_WORDS = {place: frozenset(row.split()) for place, row in _PLACES.items()}


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of a report that asserts findings: `text` is the report's `[start:end]`.

    `places` are coarse regions it names (sides among them). `comparative` is True when it speaks of a change since some
    earlier study, "unchanged" included: as evidence it then needs its own date and interval beside it.
    """

    start: int
    end: int
    text: str
    findings: tuple[Finding, ...]
    places: frozenset[str]
    comparative: bool


def statements(text: str) -> tuple[Statement, ...]:
    """The sentences that assert, deny or doubt a finding, in order."""
    found: list[Statement] = []
    for section in split_report(text):
        if section.kind not in ASSERTING:
            continue
        for start, end in report_sentences(text, section.start, section.end):
            findings = label_text(text, start, end, section.kind)
            if findings:
                compares = any(finding.change is not None for finding in findings)
                found.append(Statement(start, end, text[start:end], findings, places_of(text[start:end]), compares))
    return tuple(found)


def places_of(text: str) -> frozenset[str]:
    """Coarse regions that a text names: left, right, upper, middle, lower, hilum, heart, mediastinum, pleura, bones."""
    named: set[str] = set()
    for item in lexicon().items(tokenize(text), whole=True):
        if item.kind == "laterality":
            named |= {"left", "right"} if item.value == "bilateral" else {item.value}
        spoken = set(item.text.split())
        named |= {place for place, words in _WORDS.items() if words & spoken}
    return frozenset(named)


def region_statements(text: str, region: str) -> tuple[Statement, ...]:
    """The statements tied to a region in words, such as "left lower lung zone"; all of them when it names none.

    A statement is tied when it names a side of the region (or no side) and, where the region has a zone, that zone.
    """
    wanted = places_of(region)
    sides, zones = wanted & {"left", "right"}, wanted - {"left", "right"}
    kept = []
    for statement in statements(text):
        its_sides = statement.places & {"left", "right"}
        fits_side = not sides or not its_sides or bool(sides & its_sides)
        if fits_side and (not zones or bool(zones & statement.places)):
            kept.append(statement)
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class LabelChange:
    """How one finding moved from a prior report to the current one.

    `observed` follows from the two reports' labels: new, resolved, or None when it stands in both or is not certain.
    `stated` is the change that the current report itself asserts, with its side.
    """

    label: str
    observed: Change | None
    stated: Change | None
    laterality: Laterality | None


def label_changes(prior: Iterable[Finding], current: Iterable[Finding]) -> tuple[LabelChange, ...]:
    """The findings that moved or of which the current report states a change, in its order of mention, then those gone.

    `observed` needs a plain statement on both sides: a finding the prior report does not mention is not called new.
    """
    now = list(current)
    before, after = study_labels(prior), study_labels(now)
    changes: dict[str, LabelChange] = {}
    for finding in now:
        label = finding.label
        moved = _observed(before.get(label), after.get(label))
        known = changes.get(label)
        if (known is None or known.stated is None) and (moved or finding.change) and label != "No Finding":
            changes[label] = LabelChange(label, moved, finding.change, finding.laterality)
    return tuple(changes.values())


def _observed(before: str | None, after: str | None) -> Change | None:
    if before == "absent" and after == "present":
        return "new"
    return "resolved" if before == "present" and after == "absent" else None
