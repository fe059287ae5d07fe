"""Families of vision-language models: how many images they take, of which size, and how their prompts are laid out.

A family is told by the model's name, or named outright where the name says nothing (`vlm.family`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.errors import ConfigError

_THINK = ("<think>", "</think>")
_GEMMA_THOUGHT = ("<unused94>", "<unused95>")
_MERGED_QWEN25, _MERGED_QWEN3 = 28 * 28, 32 * 32
_QWEN_TOKENS = 1280


@dataclass(frozen=True, slots=True)
class Family:
    """A family's limits and habits.

    names: patterns of model names, lower case. images: most images of one prompt; 0 for a model that reads text only.
    pixels: an image with more is scaled down to so many before it is sent. system_turn: whether instructions have a
    turn of their own; they open the user's turn otherwise. context: tokens of prompt and reply that a server is started
    with; 0 for what the model's own configuration says. thinking: marks around thoughts before the answer proper.
    """

    name: str
    names: tuple[str, ...]
    images: int
    pixels: int
    system_turn: bool = True
    context: int = 0
    thinking: tuple[tuple[str, str], ...] = (_THINK,)


FAMILIES: tuple[Family, ...] = (
    # One token per 28 x 28 pixels (14-pixel patches, merged by two); the model card advises at most 1,280 of them:
    # https://huggingface.co/Qwen/Qwen2.5-VL-7B-Instruct. Patches of 16 pixels since Qwen3-VL.
    Family("qwen3-vl", (r"qwen-?3[._-]?vl", r"qwen-?3\.5"), 8, _QWEN_TOKENS * _MERGED_QWEN3, context=32768),
    # At most 12 tiles of 448 pixels a side (https://arxiv.org/abs/2412.05271). Lingshu-I is one of them, while Lingshu
    # without the letter is Qwen2.5-VL: https://huggingface.co/lingshu-medical-mllm
    Family("internvl", (r"intern-?vl", r"lingshu-i-"), 8, 12 * 448 * 448, context=32768),
    Family("qwen2.5-vl", (r"qwen-?2([._]5)?[._-]?vl", r"lingshu"), 8, _QWEN_TOKENS * _MERGED_QWEN25, context=32768),
    # Every image becomes 896 x 896 pixels and 256 tokens, whatever its shape. Twice as many pixels are sent, so that
    # the shorter side of an oblong one still has them. Its turns know user and model only.
    # https://arxiv.org/abs/2503.19786
    Family(
        "gemma3",
        (r"gemma-?3", r"medgemma"),
        8,
        2 * 896 * 896,
        system_turn=False,
        context=32768,
        thinking=(_THINK, _GEMMA_THOUGHT),
    ),
    # Trained with one image per prompt, of 336 pixels a side or a few such tiles. The first ones have 4,096 tokens.
    Family("llava", (r"llava", r"huatuogpt-vision"), 1, 8 * 336 * 336, system_turn=False, context=4096),
    Family("text", (), 0, 0),
    Family("generic", (), 4, 1024 * 1024),
)


def family_names() -> tuple[str, ...]:
    """What `vlm.family` may be, besides "auto"."""
    return tuple(family.name for family in FAMILIES)


def family_of(model: str, named: str = "auto") -> Family:
    """The family of a model: the named one, or with "auto" what its name says; "generic" when it says nothing.

    Raises:
        ConfigError: no family has this name.
    """
    if named != "auto":
        found = next((family for family in FAMILIES if family.name == named), None)
        if found is None:
            raise ConfigError(f"vlm.family = {named}: families are auto, {', '.join(family_names())}")
        return found
    # The last part alone: folders above it may be called anything.
    name = model.rstrip("/").rpartition("/")[2].lower()
    for family in FAMILIES:
        if any(re.search(pattern, name) for pattern in family.names):
            return family
    return FAMILIES[-1]
