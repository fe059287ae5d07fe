"""Findings in report text: the 14 labels of CheXpert by rules, with evidence offsets. See docs/findings.md."""

from knowledge.findings.labeller import LABELS, Finding, label_report, label_text
from knowledge.findings.statements import Statement, label_changes, region_statements, statements
from knowledge.findings.study import label_study, study_labels

__all__ = [
    "LABELS", "Finding", "Statement", "label_changes", "label_report", "label_study", "label_text", "region_statements",
    "statements", "study_labels",
]  # fmt: skip
