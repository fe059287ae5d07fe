"""Which generator writes: composed from quotes, or a vision-language model with the other as its way down."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rag.chat import ChatModel
from rag.generators.vllm_models import family_of
from rag.generators.vlm import VlmGenerator, VlmOptions
from rag.generators.vlm_request import SectionWriter
from rag.prompting import RenderOptions
from rag.protocols import Generator
from rag.types import Answer

if TYPE_CHECKING:
    from pipelines.settings import Settings, VlmSettings


@runtime_checkable
class Writer(Generator, SectionWriter, Protocol):
    """A generator whose drafts have sections."""


def writer_for(
    settings: Settings, fallback: Writer, *, prompt: str | None = None, model: ChatModel | None = None
) -> Writer:
    """The fallback itself, or a generator that asks the model of the settings (or `model`) first.

    Raises:
        ConfigError: answer.generator is vlm and the settings name no model.
        MissingExtra: the `vlm` extra is not installed.
    """
    made = generator_for(settings, fallback, prompt=prompt, model=model)
    return made if isinstance(made, Writer) else fallback


def generator_for(
    settings: Settings, fallback: Generator, *, prompt: str | None = None, model: ChatModel | None = None
) -> Generator:
    """As `writer_for`, for generators without sections."""
    if model is None and settings.answer.generator == "extractive":
        return fallback
    return VlmGenerator(model or opened(settings.vlm), fallback, vlm_options(settings), prompt=prompt)


def vlm_options(settings: Settings) -> VlmOptions:
    """How the model of the settings is asked: a draft may take as long as three calls."""
    vlm, answer = settings.vlm, settings.answer
    images = vlm.images or family_of(vlm.model, vlm.family).images
    render = RenderOptions(answer.prompt_tokens, images, answer.evidence_images, answer.statements)
    return VlmOptions(3 * vlm.timeout_s, vlm.max_tokens, temperature=vlm.temperature, seed=vlm.seed, render=render)


@lru_cache(maxsize=4)
def opened(settings: VlmSettings) -> ChatModel:
    """The model of some settings, one for the whole process: its limits on calls at once hold for all who ask."""
    from pipelines.vlm import open_chat_model

    return open_chat_model(settings)


def is_degraded(answer: Answer) -> bool:
    """Whether a model should have answered and did not, so that quotes stand in its place."""
    return bool(answer.usage.get("degraded"))
