"""Does a model server do what Vesalius needs of it: text, images, JSON of a schema, and how probable choices are?"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.settings import VlmSettings
from pipelines.vlm import chat_options
from rag.chat import ChatError, Deadline, ImagePart, Prompt, Reply, Wanted
from rag.errors import EnvironmentProblem, VesaliusError
from rag.generators.vllm_chat import VllmChat

_SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["grey", "red", "blue"]}, "round": {"type": "boolean"}},
    "required": ["colour", "round"],
    "additionalProperties": False,
}
_CHOICES = ("A", "B")


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One thing that was tried."""

    check: str
    ok: bool
    detail: str
    seconds: float


def check_server(settings: VlmSettings, timeout_s: float) -> Iterator[CheckRow]:
    """Try everything, each with a deadline of its own; without a model's name the first that is served is tried.

    Raises:
        ChatError: the server is down.
        ConfigError: its address is wrong.
        MissingExtra: the `vlm` extra is not installed.
    """
    settings = settings.model_copy(update={"timeout_s": timeout_s})
    with VllmChat(chat_options(settings)) as named:
        began = time.monotonic()
        served = named.models(Deadline.after(timeout_s))
    model = settings.model or next(iter(served), "")
    found = model in served
    yield CheckRow("server", found, f"serves {', '.join(served) or 'nothing'}", time.monotonic() - began)
    if not found:
        return
    with (
        VllmChat(chat_options(settings.model_copy(update={"model": model}))) as chat,
        tempfile.TemporaryDirectory() as folder,
    ):
        for name, attempt in _attempts(chat, _picture(Path(folder)), timeout_s).items():
            yield _tried(name, attempt)


def _attempts(chat: VllmChat, picture: ImagePart, timeout_s: float) -> dict[str, Callable[[], str]]:
    def ask(prompt: Prompt, wanted: Wanted) -> Reply:
        return chat.reply(prompt, wanted, Deadline.after(timeout_s))

    def text() -> str:
        return f"said {_short(ask(Prompt('', ('Say hello.',)), Wanted(max_tokens=16)).text)}"

    def image() -> str:
        counts = [
            ask(Prompt("", (*parts, "What is shown?")), Wanted(max_tokens=16)).usage.get("prompt_tokens", 0)
            for parts in ((), (picture,))
        ]
        if 0 < counts[1] <= counts[0]:
            raise EnvironmentProblem("the server ignored the image: the prompt is no longer with it than without")
        return f"family {chat.family.name}, {counts[1] - counts[0]} tokens for a small image"

    def schema() -> str:
        reply = ask(Prompt("", (picture, "Colour and shape?")), Wanted(max_tokens=64, schema=_SCHEMA))
        value = _parsed(reply)
        if value.keys() != {"colour", "round"} or value["colour"] not in {"grey", "red", "blue"}:
            raise EnvironmentProblem(f"the reply does not follow the schema: {_short(reply.text)}")
        return f"replied {reply.text}"

    def logprobs() -> str:
        reply = ask(Prompt("", (picture, "A: round. B: square.")), Wanted(max_tokens=8, choices=_CHOICES))
        if not reply.probabilities:
            raise EnvironmentProblem("the choice came without probabilities; is the server vLLM 0.12 or later?")
        return ", ".join(f"{name} {value:.2f}" for name, value in reply.probabilities.items())

    return {"text": text, "image": image, "schema": schema, "logprobs": logprobs}


def _tried(name: str, attempt: Callable[[], str]) -> CheckRow:
    began = time.monotonic()
    try:
        ok, detail = True, attempt()
    except VesaliusError as error:
        if isinstance(error, ChatError) and error.kind in {"down", "open"}:
            raise
        ok, detail = False, str(error)
    return CheckRow(name, ok, detail, time.monotonic() - began)


def _parsed(reply: Reply) -> dict[str, object]:
    try:
        value = json.loads(reply.text)
    except ValueError as error:
        cut = "" if reply.finished else " (it was cut off)"
        raise EnvironmentProblem(f"the reply is no JSON{cut}: {_short(reply.text)}") from error
    return value if isinstance(value, dict) else {}


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def _picture(folder: Path) -> ImagePart:
    """A grey disc, drawn here."""
    from PIL import Image

    path = folder / "disc.png"
    Image.radial_gradient("L").save(path)
    return ImagePart(path)
