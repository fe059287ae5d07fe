"""How a query is worded: like the description of a picture, or like a question. Generic words, no medical terms.

Both were read off development queries and are used as weights, never as filters; see docs/retrieval.md.
"""

from __future__ import annotations

import re

_VISUAL = re.compile(
    r"\b(figures?|images?|pictures?|photo(?:graph)?s?|micrographs?|diagrams?|illustrat\w+|drawings?|(?:flow ?)?charts?"
    r"|graphs?|tables?|maps?|panels?|shows?|shown|showing|depict\w*|x-?rays?|labell?ed|arrows?)\b",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"\?\s*$|_{2,}|^(what|which|who|when|where|why|how|describe|explain|compare|discuss|name|list|identify)\b",
    re.IGNORECASE,
)
_ENOUGH = 2
"""Distinct visual words that make a description certain: one may fall in any text ("the graph", "the table")."""


def visual_wording(text: str) -> float:
    """How far a text describes a picture, in [0, 1]."""
    return min(1.0, len({match[0].lower() for match in _VISUAL.finditer(text)}) / _ENOUGH)


def is_question(text: str) -> bool:
    """Whether a text asks: a question mark, a blank to fill, or a question word at its start."""
    return bool(_QUESTION.search(text.strip()))
