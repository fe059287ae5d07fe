"""One state per finding for a whole report, as CheXpert aggregates its mentions (Irvin et al., 2019, section 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from knowledge.findings.labeller import LABELS, Finding, label_report
from rag.passages import Polarity

_HEART_FAILURE = re.compile(r"\b(?:failure|chf|decompensation)\b", re.IGNORECASE)
_STRENGTH: dict[Polarity, int] = {"absent": 0, "uncertain": 1, "present": 2}


def study_labels(findings: Iterable[Finding]) -> dict[str, Polarity]:
    """The state of each finding that is mentioned, in the order of `LABELS`; a finding not mentioned is left out.

    Present beats uncertain beats absent. Heart failure makes an unmentioned cardiomegaly uncertain, as CheXpert has it.
    `No Finding` is present when nothing but support devices is present or uncertain, and the report denies a finding or
    calls the study normal. CheXpert sets it for a text without any mention too; such a text says nothing, so we do not.
    """
    said = list(findings)
    states: dict[str, Polarity] = {}
    for finding in said:
        known = states.get(finding.label)
        if known is None or _STRENGTH[finding.polarity] > _STRENGTH[known]:
            states[finding.label] = finding.polarity
    if any(one.label == "Edema" and one.polarity != "absent" and _HEART_FAILURE.search(one.text) for one in said):
        states.setdefault("Cardiomegaly", "uncertain")
    called_normal = states.pop("No Finding", "absent") == "present"
    diseases = [state for label, state in states.items() if label != "Support Devices"]
    if all(state == "absent" for state in diseases) and (diseases or called_normal):
        states["No Finding"] = "present"
    return {label: states[label] for label in LABELS if label in states}


def label_study(text: str) -> dict[str, Polarity]:
    """`study_labels` of a report's text."""
    return study_labels(label_report(text))
