"""A transformer over text on onnxruntime: tokenizer and session of one model, run in batches by length."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from indexers.encoders.batches import plan_batches
from indexers.encoders.onnx_session import Array, OnnxSession
from indexers.model_lock import ModelFiles
from rag.errors import EnvironmentProblem

MAX_TOKENS = 512


class OnnxText:
    """A BERT-type model with the inputs `input_ids`, `attention_mask` and `token_type_ids`.

    Texts over 512 tokens are cut at their end; of a pair, the second text is cut.
    """

    def __init__(self, model: ModelFiles, *, threads: int | None = None) -> None:
        self._model = model
        self._session = OnnxSession(model, threads=threads)
        self._lock = threading.Lock()
        self._tokenizer: Tokenizer | None = None

    @property
    def weights(self) -> str:
        """The hash that identifies the weights."""
        return self._model.weights

    @property
    def forward_seconds(self) -> float:
        """Time spent inside the model so far."""
        return self._session.forward_seconds

    @property
    def forwards(self) -> int:
        """Number of batches run so far."""
        return self._session.forwards

    def tokenize(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokens with their character offsets, [CLS] and [SEP] added. Lone surrogates are read as `?`."""
        # One by one: the tokenizer's own thread pool warns after a fork, and the time is small beside the model's.
        tokenizer = self._loaded()
        return [tokenizer.encode(_encodable(text)) for text in texts]

    def tokenize_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Encoding]:
        """Tokens of text pairs, [CLS] first [SEP] second [SEP]."""
        tokenizer = self._loaded()
        return [tokenizer.encode(_encodable(first), _encodable(second)) for first, second in pairs]

    def tokens_per_word(self, text: str, words: Sequence[tuple[int, int]]) -> list[int]:
        """How many tokens each word has, given the words' character ranges in order. Nothing is cut here."""
        counts = [0] * len(words)
        word = 0
        for start, _ in _untruncated(self._loaded(), _encodable(text)):
            while word < len(words) - 1 and start >= words[word][1]:
                word += 1
            counts[word] += 1
        return counts

    def forward(self, encodings: Sequence[Encoding]) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """The model's output for each input with its position, in the order of the batches.

        A per-token output (n_tokens, dim) comes without the rows of padding; a per-text output as (dim,).
        """
        lengths = [len(encoding.ids) for encoding in encodings]
        plan = plan_batches(lengths)
        outputs = self._session.run([_padded([encodings[position] for position in batch]) for batch in plan])
        for batch, output in zip(plan, outputs, strict=True):
            for row, position in zip(output, batch, strict=True):
                yield position, row[: lengths[position]] if output.ndim == 3 else row

    def _loaded(self) -> Tokenizer:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = self._load()
            return self._tokenizer

    def _load(self) -> Tokenizer:
        path = self._model.folder / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise EnvironmentProblem(
                f"model {self._model.name}: {path} cannot be loaded: {error}; run `vesalius models verify`"
            ) from error
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS, strategy="longest_first")
        return tokenizer


def _encodable(text: str) -> str:
    # One character for one, so that offsets still point into the original.
    return text.encode("utf-8", "replace").decode("utf-8")


def _untruncated(tokenizer: Tokenizer, text: str) -> Iterator[tuple[int, int]]:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    yield from encoding.offsets
    for overflow in encoding.overflowing:
        yield from overflow.offsets


def _padded(encodings: Sequence[Encoding]) -> dict[str, Array]:
    shape = (len(encodings), max(len(encoding.ids) for encoding in encodings))
    feeds = {name: np.zeros(shape, np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    for row, encoding in enumerate(encodings):
        feeds["input_ids"][row, : len(encoding.ids)] = encoding.ids
        feeds["attention_mask"][row, : len(encoding.ids)] = 1
        feeds["token_type_ids"][row, : len(encoding.ids)] = encoding.type_ids
    return feeds
