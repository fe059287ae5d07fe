"""From settings to a vision-language model on a server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pipelines.settings import VlmSettings
from rag.chat import Wanted
from rag.errors import ConfigError
from rag.generators.vllm_chat import ChatOptions, VllmChat


def chat_options(settings: VlmSettings, environment: Mapping[str, str] = os.environ) -> ChatOptions:
    """The client's options; the API key is read from the environment variable that the settings name."""
    return ChatOptions(
        model=settings.model,
        url=settings.url,
        api_key=environment.get(settings.api_key_env, ""),
        family=settings.family,
        images=settings.images,
        concurrency=settings.concurrency,
        queue=settings.queue,
        max_tokens=settings.max_tokens,
        timeout_s=settings.timeout_s,
    )


def open_chat_model(settings: VlmSettings) -> VllmChat:
    """The model that the settings name; close it. Nothing is asked yet, so the server may still be down.

    Raises:
        ConfigError: no model is named, or the address or family is wrong.
        MissingExtra: the `vlm` extra is not installed.
    """
    if not settings.model:
        raise ConfigError("vlm.model is empty: give the name under which the server serves the model")
    return VllmChat(chat_options(settings))


def wanted(settings: VlmSettings, *, schema: Mapping[str, Any] | None = None, choices: tuple[str, ...] = ()) -> Wanted:
    """What a reply must be, with the settings' length, temperature and seed."""
    return Wanted(settings.max_tokens, schema, choices, settings.temperature, settings.seed)
