"""Vesalius: medical questions answered from pages, cases and facts, with checked citations.

The names in `__all__` are the documented API. Importing this package loads no model library: the heavier names
resolve on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rag.errors import VesaliusError
from rag.types import Answer, Citation, Claim, Evidence, Hit, Passage, Query

if TYPE_CHECKING:
    from pipelines.assistant import Assistant
    from pipelines.library import Library

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "Assistant",
    "Citation",
    "Claim",
    "Evidence",
    "Hit",
    "Library",
    "Passage",
    "Query",
    "VesaliusError",
]

_LAZY = {"Assistant": "pipelines.assistant", "Library": "pipelines.library"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the module protocol (PEP 562) has no narrower type
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'rag' has no attribute {name!r}")
