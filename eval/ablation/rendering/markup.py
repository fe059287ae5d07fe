"""Text and data made safe for HTML, SVG and the scripts inside a page."""

from __future__ import annotations

import json
import re
from html import escape

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
"""What XML forbids, and the marks that turn the direction of the text behind them."""


def text(value: object) -> str:
    """A value as the text of an element or attribute; characters that XML forbids become U+FFFD."""
    return escape(_FORBIDDEN.sub("�", str(value)), quote=True)


def data(document: object) -> str:
    """JSON for a script element of type application/json: no character of it can end the element or begin another."""
    plain = json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def shortened(value: str, length: int) -> str:
    """A text of at most so many characters; what is cut off is shown by an ellipsis."""
    flat = " ".join(value.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"
