"""Key terms as a channel: a textbook sets a term bold where it explains it, and that sentence answers "what is ...".

One dense row per sentence that introduces terms, so a page scores as its best definition. Measured on textbook
glossaries this is the strongest single channel for definitions; see docs/retrieval.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indexers.encoders.dense import DenseTextEncoder
from rag.fingerprint import digest
from rag.sentences import Sentence, split_sentences
from rag.types import Passage, Query, Vector, VectorSpec

TERMS = "terms"
"""Field of `Passage.meta` that lists a page's bold terms, separated by semicolons, in reading order."""
_VERSION = 1


class TermsEncoder:
    """Dense rows of the sentences in which a page introduces its key terms. Passages without such terms have none."""

    def __init__(self, dense: DenseTextEncoder, channel: str = "terms") -> None:
        self._dense = dense
        self._spec = VectorSpec(channel, "multi", dense.spec.dim)

    @property
    def spec(self) -> VectorSpec:
        return self._spec

    @property
    def fingerprint(self) -> str:
        return digest({"encoder": "terms", "version": _VERSION, "dense": self._dense.fingerprint})

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        texts = [definitions(passage) for passage in passages]
        rows = iter(self._dense.rows([text for found in texts for text in found]))
        return [np.stack([next(rows) for _ in found]) if found else None for found in texts]

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        return self._dense.encode_queries(queries)


def definitions(passage: Passage) -> list[str]:
    """One text per sentence that introduces terms: "term; term: sentence and the next one", in reading order.

    A term belongs to the first prose sentence that contains it; a definition often goes on in the next sentence.
    """
    terms = [term for part in passage.meta.get(TERMS, "").split(";") if (term := part.strip())]
    if not terms:
        return []
    sentences = [sentence for sentence in split_sentences(passage.text) if sentence.kind != "heading"]
    plain = [" ".join(sentence.text.split()) for sentence in sentences]
    introduced: dict[int, list[str]] = {}
    for term in terms:
        place = _first_with(term, sentences, plain)
        if place is not None:
            introduced.setdefault(place, []).append(term)
    return [f"{'; '.join(found)}: {' '.join(plain[place : place + 2])}" for place, found in sorted(introduced.items())]


def _first_with(term: str, sentences: Sequence[Sentence], plain: Sequence[str]) -> int | None:
    having = [i for i, text in enumerate(plain) if term in text]
    prose = [i for i in having if sentences[i].kind == "prose"]
    return next(iter(prose or having), None)
