"""Chat models: a prompt in, text out. The only door through which a language or vision-language model speaks.

A model has no powers here: no tools, no network, no files. It returns text, or JSON of a schema, which is checked
before anything is done with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rag.errors import EnvironmentProblem, UsageError

Clock = Callable[[], float]
"""Seconds of a clock that never goes back."""


class ChatError(EnvironmentProblem):
    """The model could not answer: the server is down, refused, broke off, or took too long.

    `retryable`: the same call may succeed later. `kind` is one of down, timeout, busy, refused, broken, open
    (the circuit breaker let nothing through).
    """

    def __init__(self, message: str, *, kind: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.kind, self.retryable = kind, retryable


class PromptTooLong(UsageError):
    """The prompt does not fit into the model's context; less evidence may."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment until which a whole question may take; every call gets what is left of it."""

    at: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The deadline so many seconds from now."""
        return cls(clock() + seconds, clock)

    def left(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - self.clock())

    @property
    def passed(self) -> bool:
        """Whether nothing is left."""
        return self.left() <= 0.0


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image of a prompt: a file on this machine; it is decoded and encoded anew before it is sent.

    `crop` is a box in fractions of width and height (x0, y0, x1, y1), in [0, 1]; None for the whole image.
    """

    path: Path
    crop: tuple[float, float, float, float] | None = None


Part = str | ImagePart


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is shown: instructions, then texts and images in order. `name` is the prompt file and its version.

    What stays the same between questions comes first, the question last, so that a server can reuse its prefix.
    """

    system: str
    parts: tuple[Part, ...]
    name: str = ""

    @property
    def images(self) -> tuple[ImagePart, ...]:
        """The images in order."""
        return tuple(part for part in self.parts if isinstance(part, ImagePart))

    @property
    def text(self) -> str:
        """The texts, joined by blank lines."""
        return "\n\n".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the reply must be.

    schema: a JSON schema that the reply follows, None for free text. choices: the reply is one of these words, and
    `Reply.probabilities` says how probable each was, where the server can tell. At most `max_tokens` are generated.
    """

    max_tokens: int = 1024
    schema: Mapping[str, Any] | None = None
    choices: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said. `finished` is False when it was cut off at `max_tokens`."""

    text: str
    finished: bool = True
    usage: Mapping[str, int] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)
    model: str = ""


@runtime_checkable
class ChatModel(Protocol):
    """Answers prompts. Thread-safe.

    Raises:
        ChatError: no answer came, before or at the deadline.
        PromptTooLong: the prompt does not fit.
        QueryError: an image cannot be used, or the model takes none.
    """

    def reply(self, prompt: Prompt, wanted: Wanted, deadline: Deadline) -> Reply: ...


class ScriptedModel:
    """Says what it is told, by turns: texts, replies, exceptions to raise, or functions of the prompt. For tests."""

    def __init__(self, script: Sequence[str | Reply | Exception | Callable[[Prompt, Wanted], str]]) -> None:
        self._script = tuple(script)
        self.prompts: list[Prompt] = []
        self.wanted: list[Wanted] = []

    def reply(self, prompt: Prompt, wanted: Wanted, deadline: Deadline) -> Reply:
        if deadline.passed:
            raise ChatError("the deadline had passed before the model was asked", kind="timeout")
        turn = self._script[len(self.prompts) % len(self._script)]
        self.prompts.append(prompt)
        self.wanted.append(wanted)
        if isinstance(turn, Exception):
            raise turn
        if isinstance(turn, Reply):
            return turn
        return Reply(turn if isinstance(turn, str) else turn(prompt, wanted), usage={"calls": 1})
