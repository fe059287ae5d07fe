"""Cross-encoder reranking: ms-marco MiniLM-L12 on onnxruntime reads the query and a passage's best window together.

Nogueira and Cho, 2019, https://arxiv.org/abs/1901.04085
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from indexers.encoders.inputs import context_of, with_context
from indexers.encoders.onnx_text import OnnxText
from indexers.encoders.windows import windows
from indexers.model_lock import ModelFiles
from rag.fingerprint import digest
from rag.types import Hit, Passage, Query

_WORD = re.compile(r"\w+")
# Below every logit the model gives (about -11.5 at least), and finite, so that it can be written as JSON.
UNREAD = -20.0


@dataclass(frozen=True, slots=True)
class CrossOptions:
    """What is read of a passage.

    A text over `window_words` words is cut into windows; the `windows` of them that share most with the query are
    scored and the best counts. `context` puts the passage's headings above each.
    """

    window_words: int = 80
    stride_words: int = 50
    windows: int = 1
    context: bool = True


_DEFAULT = CrossOptions()


class CrossEncoderReranker:
    """Scores are logits: about -11 for unrelated and +10 for a direct answer. An image-only query changes nothing."""

    def __init__(self, model: ModelFiles, options: CrossOptions = _DEFAULT) -> None:
        self._text = OnnxText(model)
        self._options = options

    @property
    def fingerprint(self) -> str:
        """Identifies the weights and every option."""
        return digest({"reranker": "cross-encoder", "weights": self._text.weights, **asdict(self._options)})

    @property
    def forward_seconds(self) -> float:
        """Time spent inside the model so far."""
        return self._text.forward_seconds

    def rerank(self, query: Query, hits: Sequence[Hit]) -> list[Hit]:
        """All hits with the logit as their score, best first, ties by id. Hits without text keep their order, last."""
        if not query.text.strip():
            return list(hits)
        readable = [hit for hit in hits if hit.passage.text.strip()]
        cut = select_windows(query.text, [hit.passage for hit in readable], self._options)
        scores = iter(self.score([(query.text, text) for texts in cut for text in texts]))
        scored = [
            replace(hit, score=max(next(scores) for _ in texts)) for hit, texts in zip(readable, cut, strict=True)
        ]
        scored.sort(key=lambda hit: (-hit.score, hit.passage.id))
        # A passage that is only an image cannot be read against the question; nothing speaks for or against it.
        unread = [replace(hit, score=UNREAD) for hit in hits if not hit.passage.text.strip()]
        return [*scored, *unread]

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The logit of each (query, text) pair; texts are cut so that a pair fits 512 tokens."""
        scores = [0.0] * len(pairs)
        for position, logits in self._text.forward(self._text.tokenize_pairs(pairs)):
            scores[position] = float(logits[0])
        return scores


def select_windows(query: str, passages: Sequence[Passage], options: CrossOptions) -> list[list[str]]:
    """For each passage the windows that share most with the query, headings above them. Pure.

    Shared words count by their inverse document frequency among all windows at hand; ties go to the earlier window.
    """
    cut = [
        [
            passage.text[span.start : span.end]
            for span in windows(passage.text, options.window_words, options.stride_words)
        ]
        for passage in passages
    ]
    weights = _weights(query, [text for texts in cut for text in texts])
    chosen = []
    for passage, texts in zip(passages, cut, strict=True):
        context = context_of(passage) if options.context else ""
        best = sorted(range(len(texts)), key=lambda i: (-_overlap(weights, texts[i]), i))[: options.windows]
        chosen.append([with_context(context, texts[i]) for i in best])
    return chosen


def _weights(query: str, texts: Sequence[str]) -> dict[str, float]:
    wanted = set(_WORD.findall(query.lower()))
    found: Counter[str] = Counter()
    for text in texts:
        found.update(wanted & set(_WORD.findall(text.lower())))
    return {word: math.log(1 + len(texts) / (1 + found[word])) for word in sorted(wanted)}


def _overlap(weights: Mapping[str, float], text: str) -> float:
    present = set(_WORD.findall(text.lower()))
    return sum(weight for word, weight in weights.items() if word in present)
