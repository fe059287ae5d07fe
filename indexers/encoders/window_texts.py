"""The windows of a passage as a model reads them: words cut to size, never truncated, headings on top."""

from __future__ import annotations

from dataclasses import dataclass

from indexers.encoders.inputs import context_of, with_context
from indexers.encoders.onnx_text import MAX_TOKENS, OnnxText
from indexers.encoders.windows import Span, windows, word_spans
from rag.types import Passage

# Headings may take this many tokens at most; deeper ones are left out from the outermost on.
_MOST_CONTEXT_TOKENS = 96


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """Size of a window and distance between two, in words; `context` puts the passage's headings above each."""

    words: int = 180
    stride: int = 120
    context: bool = True


@dataclass(frozen=True, slots=True)
class WindowText:
    """A window and what the model reads for it: `text[offset:]` is the window itself."""

    span: Span
    text: str
    offset: int


def window_texts(passage: Passage, model: OnnxText, options: WindowOptions) -> list[WindowText]:
    """All windows of a passage's text; each fits the model, except a single word of more than 400 tokens."""
    context = _short_context(passage, model) if options.context else ""
    words = word_spans(passage.text)
    costs = model.tokens_per_word(passage.text, words)
    room = MAX_TOKENS - 2 - _count(context, model)
    found = []
    for span in windows(passage.text, options.words, options.stride, costs=costs, max_cost=room):
        window = passage.text[span.start : span.end]
        text = with_context(context, window)
        found.append(WindowText(span, text, len(text) - len(window)))
    return found


def _short_context(passage: Passage, model: OnnxText) -> str:
    context = context_of(passage)
    while context and _count(context, model) > _MOST_CONTEXT_TOKENS:
        _, _, context = context.partition(" > ")
    return context


def _count(text: str, model: OnnxText) -> int:
    return sum(model.tokens_per_word(text, [(0, len(text))])) if text else 0
