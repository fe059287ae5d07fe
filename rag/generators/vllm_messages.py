"""A prompt as the body of a chat request: turns in the layout of the model's family, and what the reply must be."""

from __future__ import annotations

import re
from typing import Any

from rag.chat import ChatError, Deadline, ImagePart, Part, Prompt, Wanted
from rag.errors import QueryError
from rag.generators.vllm_models import Family

MOST_ALTERNATIVES = 20
"""Alternatives asked for at each token of a choice: vLLM's own limit unless it is started with another."""

_NAMES = (
    "s|bos|eos|pad|unk|mask|image|img|video|think|box|ref|quad|IMG_CONTEXT|start_of_turn|end_of_turn|start_of_image|"
    r"end_of_image|image_soft_token|unused\d{1,3}"
)
_CONTROL = re.compile(
    # Qwen, InternVL | DeepSeek | Gemma, Llama, LLaVA | Mistral
    rf"<(?=\|[^<>\s]{{1,60}}\|>|｜[^<>\s]{{1,60}}｜>|/?(?:{_NAMES})>)|\[(?=/?(?:INST|IMG)\])",
    re.IGNORECASE,
)


def request_body(model: str, family: Family, prompt: Prompt, wanted: Wanted, deadline: Deadline) -> dict[str, Any]:
    """The JSON body of a request to /chat/completions. It never has tools: the model has no powers here.

    Raises:
        QueryError: an image cannot be used, or there are more than the model takes.
        ChatError: the deadline passed while images were read.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": messages(family, prompt, deadline),
        "max_tokens": wanted.max_tokens,
        "temperature": wanted.temperature,
        "seed": wanted.seed,
    }
    if wanted.choices:
        alternatives = {"logprobs": True, "top_logprobs": MOST_ALTERNATIVES}
        return {**body, "structured_outputs": {"choice": list(wanted.choices)}, **alternatives}
    if wanted.schema is not None:
        named = {"name": "reply", "schema": dict(wanted.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


def messages(family: Family, prompt: Prompt, deadline: Deadline) -> list[dict[str, Any]]:
    """The turns of a prompt. Raises as `request_body`."""
    _check_images(family, len(prompt.images))
    content = [_content(part, family, deadline) for part in prompt.parts]
    system = plain(prompt.system)
    if not system.strip():
        return [{"role": "user", "content": content}]
    if family.system_turn:
        return [{"role": "system", "content": system}, {"role": "user", "content": content}]
    return [{"role": "user", "content": [{"type": "text", "text": system}, *content]}]


def plain(text: str) -> str:
    """The text with a blank inside whatever a tokenizer could read as a control token, such as the end of a turn.

    Evidence is data: a page on which "<|im_end|>" is printed must not end the user's turn.
    """
    return _CONTROL.sub(lambda found: f"{found.group()} ", text)


def without_thoughts(text: str, family: Family) -> str:
    """The answer proper: what follows the marks of thinking. Empty while the thought has not ended."""
    for opening, closing in family.thinking:
        # Some templates open the thought in the prompt, and then only its end is seen.
        before, found, after = text.partition(closing)
        if found:
            return after.strip()
        if before.lstrip().startswith(opening):
            return ""
    return text


def _check_images(family: Family, n: int) -> None:
    if n and not family.images:
        raise QueryError("the model reads text only, but the prompt has images; serve a vision-language model")
    if n > family.images:
        raise QueryError(f"the prompt has {n} images; the model takes {family.images} at the most: give fewer")


def _content(part: Part, family: Family, deadline: Deadline) -> dict[str, Any]:
    if not isinstance(part, ImagePart):
        return {"type": "text", "text": plain(part)}
    if deadline.passed:
        raise ChatError("the deadline passed while the images were read", kind="timeout")
    from rag.generators.vllm_images import data_uri

    return {"type": "image_url", "image_url": {"url": data_uri(part, family.pixels)}}
