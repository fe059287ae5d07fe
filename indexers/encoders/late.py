"""Late interaction over text: one vector per token, each tied to the characters it was read from.

The model is the backbone of answerai-colbert-small-v1 without its projection, so rows have 384 dimensions, or fewer
through a projection fitted at build time. Khattab and Zaharia, 2020, https://arxiv.org/abs/2004.12832
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding

from indexers.encoders.onnx_text import OnnxText
from indexers.encoders.projection import fit_projection, project, projection_hash
from indexers.encoders.unit_rows import unit_rows
from indexers.encoders.window_texts import WindowOptions, WindowText, window_texts
from indexers.encoders.windows import word_spans
from indexers.model_lock import ModelFiles
from rag.fingerprint import digest
from rag.similarity import word_boxes
from rag.types import Matrix, Passage, Query, Storage, Vector, VectorSpec

STATE_DIM = 384

MOST_QUERY_ROWS = 64
"""Words of a query that are compared, the first ones; the time of a search grows with them. ColBERT itself reads 32."""

Spans = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LateOptions:
    """Which tokens become rows.

    Windows overlap so that every token is read with its surroundings. With `once`, each token is stored from the one
    window in which it stands further from the edge; otherwise from every window it is in, window after window.
    """

    windows: WindowOptions = field(default_factory=WindowOptions)
    once: bool = True
    keep_punctuation: bool = False
    storage: Storage = "f16"


_DEFAULT = LateOptions()


class LateTextEncoder:
    """Token states of a BERT-type encoder as rows of unit length.

    `projection` has shape (385, dim), as `fit` returns it; None keeps all 384 dimensions.
    """

    def __init__(
        self,
        model: ModelFiles,
        channel: str = "late",
        options: LateOptions = _DEFAULT,
        projection: Matrix | None = None,
    ) -> None:
        self._text = OnnxText(model)
        self._options = options
        self._projection = projection
        dim = STATE_DIM if projection is None else projection.shape[1]
        self._spec = VectorSpec(channel, "multi", dim, options.storage)

    @property
    def spec(self) -> VectorSpec:
        return self._spec

    @property
    def fingerprint(self) -> str:
        fitted = None if self._projection is None else projection_hash(self._projection)
        return digest(
            {"encoder": "late-text", "weights": self._text.weights, "projection": fitted, **asdict(self._options)}
        )

    @property
    def forward_seconds(self) -> float:
        """Time spent inside the model so far."""
        return self._text.forward_seconds

    def fit(self, passages: Sequence[Passage], dim: int, *, centred: bool = True) -> Matrix:
        """A projection to `dim` dimensions from the token states of some passages. Raises ConfigError if too few."""
        states = [rows for rows in self._states(passages) if rows is not None]
        return fit_projection(np.concatenate(states or [np.empty((0, STATE_DIM), np.float32)]), dim, centred=centred)

    def spans(self, passage: Passage) -> Spans:
        """For each row of the passage's vector the characters of `passage.text` it stands for, shape (n, 2)."""
        parts = list(self._window_spans(passage))
        return np.concatenate(parts) if parts else np.empty((0, 2), np.int64)

    def row_boxes(self, passage: Passage) -> Matrix:
        """The box of the word that each row's token stands in, as `rag.protocols.Localizer` says.

        NaN for every row of a passage that is no page, or has no word boxes or no size.
        """
        spans = self.spans(passage)
        boxes = np.full((len(spans), 4), np.nan, np.float32)
        words = word_boxes(passage)
        if len(words):
            starts = [start for start, _ in word_spans(passage.text)]
            word = np.searchsorted(starts, spans[:, 0], side="right") - 1
            boxed = word < len(words)
            boxes[boxed] = words[word[boxed]]
        return boxes

    def query_tokens(self, query: Query) -> list[str]:
        """For each row of a query's vector the word of the question that its token stands in, without punctuation."""
        [encoding] = self._text.tokenize([query.text])
        spans = [span for span in encoding.offsets if self._keeps(query.text, span)][:MOST_QUERY_ROWS]
        words = word_spans(query.text)
        starts = [start for start, _ in words]
        names = [_bare(query.text[start:end]) for start, end in words]
        return [names[bisect_right(starts, start) - 1] for start, _ in spans]

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        return [None if states is None else self._rows(states) for states in self._states(passages)]

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        return [self._query(query.text) for query in queries]

    def _query(self, text: str) -> Matrix | None:
        # One at a time, so that a query's vectors never depend on the queries asked with it.
        [encoding] = self._text.tokenize([text])
        kept = [i for i, span in enumerate(encoding.offsets) if self._keeps(text, span)]
        if not kept:
            return None
        [(_, states)] = self._text.forward([encoding])
        return self._rows(states[kept[:MOST_QUERY_ROWS]])

    def _states(self, passages: Sequence[Passage]) -> list[Matrix | None]:
        cut = [self._windows(passage) for passage in passages]
        encodings = self._text.tokenize([window.text for windows in cut for window, _, _ in windows])
        states: list[Matrix] = [np.empty((0, STATE_DIM), np.float32)] * len(encodings)
        owners = [(passage, *window) for passage, windows in zip(passages, cut, strict=True) for window in windows]
        for position, output in self._text.forward(encodings):
            passage, window, start, end = owners[position]
            kept, _ = self._kept(passage.text, encodings[position], window, (start, end))
            states[position] = output[kept]
        remaining = iter(states)
        joined = [np.concatenate([next(remaining) for _ in windows]) if windows else None for windows in cut]
        return [rows if rows is not None and len(rows) else None for rows in joined]

    def _window_spans(self, passage: Passage) -> Iterator[Spans]:
        for window, start, end in self._windows(passage):
            [encoding] = self._text.tokenize([window.text])
            yield self._kept(passage.text, encoding, window, (start, end))[1]

    def _windows(self, passage: Passage) -> list[tuple[WindowText, int, int]]:
        """The passage's windows, each with the range of characters whose tokens it contributes."""
        found = window_texts(passage, self._text, self._options.windows)
        if not self._options.once:
            return [(window, window.span.start, window.span.end) for window in found]
        # Two neighbours share their overlap half and half: each token comes from where it has more context.
        middles = [(left.span.end + right.span.start) // 2 for left, right in pairwise(found)]
        return list(zip(found, [0, *middles], [*middles, len(passage.text)], strict=True)) if found else []

    def _kept(
        self, text: str, encoding: Encoding, window: WindowText, owned: tuple[int, int]
    ) -> tuple[list[int], Spans]:
        """Token positions of a window that become rows, and their characters in the passage's text."""
        shift = window.span.start - window.offset
        kept, spans = [], []
        for position, (start, end) in enumerate(encoding.offsets):
            span = (start + shift, end + shift)
            if start >= window.offset and owned[0] <= span[0] < owned[1] and self._keeps(text, span):
                kept.append(position)
                spans.append(span)
        return kept, np.asarray(spans, np.int64).reshape(-1, 2)

    def _keeps(self, text: str, span: tuple[int, int]) -> bool:
        # Special tokens have an empty span.
        piece = text[span[0] : span[1]]
        return bool(piece) and (self._options.keep_punctuation or any(character.isalnum() for character in piece))

    def _rows(self, states: Matrix) -> Matrix:
        return unit_rows(states) if self._projection is None else project(states, self._projection)


def _bare(word: str) -> str:
    """A word without the marks around it; a word of marks alone stays as it is."""
    return re.sub(r"^\W+|\W+$", "", word) or word
