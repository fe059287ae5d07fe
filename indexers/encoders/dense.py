"""Dense text vectors: bge-small on onnxruntime, one row per text or one per window of a long text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np

from indexers.encoders.inputs import context_of, text_of, with_context
from indexers.encoders.onnx_text import MAX_TOKENS, OnnxText
from indexers.encoders.unit_rows import unit_rows
from indexers.encoders.window_texts import WindowOptions, window_texts
from indexers.encoders.windows import Span
from indexers.model_lock import ModelFiles
from rag.fingerprint import digest
from rag.types import Matrix, Passage, Query, Vector, VectorSpec

# The instruction that bge-small-en-v1.5 was trained with for queries: https://huggingface.co/BAAI/bge-small-en-v1.5
QUERY_PREFIX = "Represent this sentence for searching relevant passages: "
DIM = 384


@dataclass(frozen=True, slots=True)
class DenseOptions:
    """How texts become rows.

    form: "multi" cuts a text into windows, one row each, so a page scores as its best window; "dense" is one row, and
    a text over 512 tokens is cut at its end.
    """

    form: Literal["dense", "multi"] = "multi"
    windows: WindowOptions = field(default_factory=lambda: WindowOptions(words=100, stride=70))
    whole: WindowOptions = field(default_factory=lambda: WindowOptions(words=300, stride=300))
    query_prefix: str = QUERY_PREFIX

    def of(self, passage: Passage) -> WindowOptions:
        """How a passage is cut: a page into small windows, a caption, report or fact as whole as the model can read."""
        return self.windows if passage.kind == "page" else self.whole


_DEFAULT = DenseOptions()


class DenseTextEncoder:
    """Class vector of a BERT-type encoder, unit length, dim 384."""

    def __init__(self, model: ModelFiles, channel: str = "dense", options: DenseOptions = _DEFAULT) -> None:
        self._text = OnnxText(model)
        self._options = options
        self._spec = VectorSpec(channel, options.form, DIM)
        self._latest: tuple[str, Matrix | None] = ("", None)

    @property
    def spec(self) -> VectorSpec:
        return self._spec

    @property
    def fingerprint(self) -> str:
        return digest({"encoder": "dense-text", "weights": self._text.weights, **asdict(self._options)})

    @property
    def forward_seconds(self) -> float:
        """Time spent inside the model so far."""
        return self._text.forward_seconds

    def windows(self, passage: Passage) -> list[Span]:
        """The windows of a passage's text, one per row of its vector in the form "multi"."""
        return [window.span for window in window_texts(passage, self._text, self._options.of(passage))]

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        texts = [self._texts(passage) for passage in passages]
        rows = iter(self.rows([text for cut in texts for text in cut]))
        return [np.stack([next(rows) for _ in cut]) if cut else None for cut in texts]

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        # One at a time, so that a query's vector never depends on the queries asked with it.
        return [self._query(query.text.strip()) if query.text.strip() else None for query in queries]

    def _query(self, text: str) -> Matrix:
        # Several channels ask this encoder for the same query, one after the other.
        known, rows = self._latest
        if known != text or rows is None:
            rows = self.rows([self._options.query_prefix + text])
            self._latest = (text, rows)
        return rows

    def _texts(self, passage: Passage) -> list[str]:
        if self._options.form == "multi":
            read = replace(passage, text=text_of(passage))
            if _is_one_window(read, self._options.of(passage)):
                return [read.text.strip()]
            return [window.text for window in window_texts(read, self._text, self._options.of(passage))]
        context = context_of(passage) if self._options.windows.context else ""
        text = text_of(passage)
        return [with_context(context, text)] if text.strip() else []

    def rows(self, texts: Sequence[str]) -> Matrix:
        """One unit row per text, as it stands: no window, no prefix. Shape (n, 384)."""
        rows = np.zeros((len(texts), DIM), np.float32)
        for position, states in self._text.forward(self._text.tokenize(texts)):
            rows[position] = states[0]
        return unit_rows(rows)


def _is_one_window(passage: Passage, options: WindowOptions) -> bool:
    """Whether a passage fits the model whole, told without its tokens: none is shorter than a byte.

    Counting the tokens of a fact, only to learn that it is short, takes as long as making them for the model.
    """
    text = passage.text.strip()
    is_short = len(text.encode("utf-8", "replace")) <= MAX_TOKENS - 2 and len(text.split()) <= options.words
    return bool(text) and is_short and not (options.context and context_of(passage))
