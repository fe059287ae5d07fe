"""The settings of how answers are checked."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class GroundingSettings(BaseModel):
    """What a claim must reach to be shown (docs/abstain.md, docs/ask.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    judge: Literal["rules", "vlm"] = Field(
        "rules", description="who says how far a quote supports a claim; vlm: the model of `vlm` beside the rules"
    )
    min_support: float = Field(0.6, ge=0, le=1)
    unverified: Literal["drop", "mark", "regenerate"] = Field(
        "drop", description="what becomes of a claim that fails a check; regenerate: written anew once, else dropped"
    )
