"""What a refusal of the server means: an error that says what to do. Wordings are those of vLLM 0.32."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from rag.chat import ChatError, PromptTooLong
from rag.errors import QueryError, VesaliusError

_TOO_LONG = re.compile(
    r"maximum (context|model) length|context length|max_model_len|longer than the maximum|too (long|many tokens)", re.I
)
_TOO_MUCH = re.compile(r"max_tokens.{0,20} cannot be greater", re.I)
_NO_IMAGES = re.compile(
    r"not a multimodal model|does not support (image|multimodal)|no multimodal|image input is not", re.I
)
_MANY_IMAGES = re.compile(r"at most (\d+) image", re.I)
_ECHO = re.compile(r"['\"]?input(?:_value)?['\"]?\s*[:=]")
_MOST_LETTERS = 300


_WRONG_PLACE = "the server has no chat completions here; does vlm.url end in /v1?"
_ADVICE = {
    401: "the model server wants its API key; put it into the variable that vlm.api_key_env names",
    403: "the model server does not accept the API key in the variable that vlm.api_key_env names",
    404: _WRONG_PLACE,
    405: _WRONG_PLACE,
    **dict.fromkeys(range(300, 400), "the server sends elsewhere, which is not followed; correct vlm.url"),
}


class Overloaded(ChatError):
    """The server is there and has no room. `after_s`: it asks to be left alone for so long."""

    def __init__(self, message: str, *, status: int, after_s: float) -> None:
        super().__init__(message, kind="busy", retryable=True)
        self.status, self.after_s = status, after_s


class NoSuchModel(ChatError):
    """The server serves other models."""


def refusal(status: int, headers: Mapping[str, str], body: str, model: str) -> VesaliusError:
    """The error that an HTTP status of 300 or more stands for."""
    said = _message(body)
    if status in {429, 503}:
        after = retry_after(headers.get("retry-after", ""))
        return Overloaded(f"the model server is too busy (status {status}): {said}", status=status, after_s=after)
    if status >= 500:
        text = f"the model server failed (status {status}): {said}; look at its log"
        return ChatError(text, kind="broken", retryable=True)
    if status == 404 and "model" in said.lower():
        return NoSuchModel(f"the server has no model {model!r}", kind="refused")
    if status in _ADVICE:
        return _refused(f"{_ADVICE[status]} (status {status})")
    return _bad_request(said, status)


def _bad_request(said: str, status: int) -> VesaliusError:
    if _TOO_MUCH.search(said):
        return _refused(f"more tokens are wanted than the model's context has; lower vlm.max_tokens: {said}")
    if _TOO_LONG.search(said):
        return PromptTooLong(f"the prompt does not fit into the model's context: {said}")
    if _NO_IMAGES.search(said) or "At most 0 image" in said:
        return QueryError(f"the model takes no images; serve a vision-language model: {said}")
    if (many := _MANY_IMAGES.search(said)) and many[1] != "0":
        return QueryError(
            f"the server takes {many[1]} images per prompt (--limit-mm-per-prompt); give fewer, or raise it"
        )
    return _refused(f"the model server refused the request (status {status}): {said}")


def retry_after(value: str) -> float:
    """Seconds from a Retry-After header: a number, or a date (RFC 9110, 10.2.3); 0 when it says nothing."""
    try:
        return max(0.0, float(value)) if value.strip().replace(".", "", 1).isdigit() else _until(value)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _until(value: str) -> float:
    return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())


def _refused(message: str) -> ChatError:
    return ChatError(message, kind="refused")


def _message(body: str) -> str:
    """What the server says in words: OpenAI's error object, or the beginning of the body."""
    try:
        data = json.loads(body)
        error = data.get("error", data)
        text = error.get("message", "") if isinstance(error, dict) else error
    except (ValueError, AttributeError, RecursionError):
        text = body
    # Validation errors repeat what was sent; a prompt has no place in messages and logs.
    return " ".join(_ECHO.split(str(text))[0].split())[:_MOST_LETTERS] or "no reason given"
