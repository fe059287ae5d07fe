"""How answers are checked: the judge, the gates and the thresholds of the settings and of a library's calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.finding_judge import FindingJudge, findings_agree
from rag.grounding.checks import GATES, Gate
from rag.grounding.ground import GroundingPolicy
from rag.grounding.judge import CombinedJudge, LexicalJudge
from rag.grounding.model_judges import ChatJudge
from rag.grounding.revision import Revise, Reviser
from rag.protocols import Generator, Judge

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.settings import Settings
    from rag.chat import ChatModel

ANSWER_GATES: Mapping[str, Gate] = {**GATES, "findings": findings_agree}
DEFAULT_CONFIDENCE = 0.5
"""Below this an answer abstains, unless `vesalius calibrate` fitted another threshold or the settings name one."""


def answer_judge(model: ChatModel | None = None) -> Judge:
    """Word overlap or equal findings, whichever supports more, under every gate; with a chat model its verdict too."""
    rules = CombinedJudge((LexicalJudge(ANSWER_GATES), FindingJudge()), ANSWER_GATES)
    return rules if model is None else CombinedJudge((rules, ChatJudge(model, rules)), ANSWER_GATES)


def judge_for(settings: Settings) -> Judge:
    """The judge that the settings name.

    Raises:
        ConfigError: grounding.judge is vlm and the settings name no model.
    """
    if settings.grounding.judge == "rules":
        return answer_judge()
    from pipelines.answering import opened

    return answer_judge(opened(settings.vlm))


def policy_for(settings: Settings, folder: Path | None = None, fingerprint: str = "") -> GroundingPolicy:
    """The thresholds: those of the settings, else those fitted for the library, else the default.

    Raises:
        CalibrationMismatch: thresholds were fitted on another index, and the settings name none.
    """
    from pipelines.calibration import load_abstention

    given = settings.answer.abstain_below
    fitted = {} if folder is None or not fingerprint else load_abstention(folder, fingerprint, needed=given is None)
    policy = GroundingPolicy(
        min_confidence=DEFAULT_CONFIDENCE if given is None else given,
        min_support=settings.grounding.min_support,
        unverified=settings.grounding.unverified,
        gates=ANSWER_GATES,
    )
    if "choice" in fitted:
        policy = replace(policy, min_choice_confidence=fitted["choice"].value)
    if "open" not in fitted or given is not None:
        return policy
    opened = fitted["open"]
    if opened.model is None:
        return replace(policy, min_confidence=opened.value)
    if settings.answer.generator != "extractive":
        # Its first signal is the extractive answerer's confidence, which no other answerer's is like.
        return policy
    return replace(policy, evidence_model=opened.model, min_modelled_confidence=opened.value)


def reviser_of(generator: Generator) -> Revise | None:
    """How a generator writes failed claims anew, if it can."""
    return generator.revise if isinstance(generator, Reviser) else None
