"""Prompts: kept as versioned files, filled with a question and its evidence, and the form that a reply must have."""

from rag.prompting.looking import look_closer
from rag.prompting.render import Rendered, RenderOptions, render
from rag.prompting.schema import reply_schema
from rag.prompting.templates import PROMPTS, PromptTemplate, load_template, template_for

__all__ = [
    "PROMPTS", "PromptTemplate", "RenderOptions", "Rendered", "load_template", "look_closer", "render", "reply_schema",
    "template_for",
]  # fmt: skip
