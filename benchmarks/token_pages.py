"""As many distinct pages of late-interaction rows as a measurement needs, made from the token rows of real pages.

Real rows: the text of a book's pages (the sample handbook, or PDFs of your own) through the late-interaction text
encoder, its 384 dimensions brought to `dim` by principal components fitted on the same rows. Queries are sentences of
those pages, encoded as queries are.

Pages are made in one of two ways. A replicated page n is real page n modulo their number, filled up with rows of the
pages after it, with noise on each row; a collection holds every page several times over, in copies that differ by
noise alone.

A spliced page joins spans of consecutive rows of neighbouring real pages, shifts them all by one vector of its own and
adds noise to each row. The shift is drawn with the covariance that the means of real pages have, so that made pages
differ from each other as real ones do; the noise has 3 % of the variance that rows have within a real page. A
collection much larger than its source therefore holds every sentence many times over, in copies that are almost equally
good answers: a harder case for a first stage than a library of as many real pages. Every page follows from its number
alone, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from indexers.encoders.pooling import consecutive_means
from rag.types import Matrix

SPANS = 8
NEIGHBOURS = 12
NOISE = 0.03
ROUNDS = 4
"""Rounds of clustering; more change next to nothing."""
BATCH = 16
Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RealRows:
    """Rows of real pages, each (n, dim), and of queries, each (q, dim); all of unit length."""

    pages: tuple[Rows, ...]
    queries: tuple[Rows, ...]


class MadePages:
    """Page number n of the collection, for any n. Two pages never share their noise."""

    def __init__(self, real: RealRows, rows: int, *, spliced: bool = True, seed: int = 0) -> None:
        self._real, self._rows, self._spliced, self._seed = real, rows, spliced, seed
        means = np.stack([page.mean(axis=0) for page in real.pages])
        self._shift_root = _root(np.cov(means, rowvar=False))
        within = np.concatenate([page - page.mean(axis=0) for page in real.pages])
        self._noise = np.sqrt(NOISE * within.var(axis=0)).astype(np.float32)

    def __getitem__(self, number: int) -> Rows:
        """Unit rows, shape (rows, dim)."""
        rng = np.random.default_rng((self._seed, number))
        rows = self._splice(rng) if self._spliced else self._replica(number)
        noise = rng.standard_normal(rows.shape, dtype=np.float32) * self._noise
        return _unit(rows + noise)

    def _replica(self, number: int) -> Rows:
        pages = self._real.pages
        parts: list[Rows] = []
        while sum(map(len, parts)) < self._rows:
            parts.append(pages[(number + len(parts)) % len(pages)])
        return np.concatenate(parts)[: self._rows]

    def _splice(self, rng: np.random.Generator) -> Rows:
        pages = self._real.pages
        centre = int(rng.integers(len(pages)))
        length = -(-self._rows // SPANS)
        parts = [
            self._span(rng, pages[(centre + int(rng.integers(NEIGHBOURS))) % len(pages)], length) for _ in range(SPANS)
        ]
        spliced = np.concatenate(parts)[: self._rows]
        shift = (self._shift_root @ rng.standard_normal(len(self._shift_root))).astype(np.float32)
        return spliced + shift

    @staticmethod
    def _span(rng: np.random.Generator, page: Rows, length: int) -> Rows:
        """So many consecutive rows of a page, from its start again where it ends."""
        start = int(rng.integers(len(page)))
        return page[np.arange(start, start + length) % len(page)]


def clustered(rows: Rows, count: int) -> Rows:
    """Unit means of `count` groups of rows of like direction, shape (count, dim).

    Spherical k-means from `consecutive_means`: Dhillon and Modha, 2001, https://doi.org/10.1023/A:1007612920971
    """
    centres = consecutive_means(rows, count)
    for _ in range(ROUNDS):
        member = np.zeros((len(rows), len(centres)), np.float32)
        member[np.arange(len(rows)), (rows @ centres.T).argmax(axis=1)] = 1.0
        sums = member.T @ rows
        centres = _unit(np.where(member.any(axis=0)[:, None], sums, centres))
    return centres


POOLING = {"runs": consecutive_means, "clusters": clustered}
"""Ways to a few rows per page: means of consecutive rows, or of rows that point the same way."""


def coarse_rows(rows: Rows, name: str) -> Rows:
    """The pooled rows that a name such as "clusters-32" stands for."""
    way, _, count = name.partition("-")
    return POOLING[way](rows, int(count))


def real_rows(books: Sequence[Path], dim: int, *, most_pages: int = 150, queries: int = 60) -> RealRows:
    """Rows of the books' pages and of some of their sentences; kept in the temporary folder for the next run."""
    paths = [path.resolve() for path in books]
    key = hashlib.sha256(repr((paths, dim, most_pages, queries, 1)).encode()).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / f"vesalius-token-rows-{key}.npz"
    if not kept.is_file():
        real = _encoded(paths, dim, most_pages, queries)
        partial = kept.with_suffix(".partial.npz")
        np.savez(
            partial,
            **{f"page{n}": rows for n, rows in enumerate(real.pages)},
            **{f"query{n}": rows for n, rows in enumerate(real.queries)},
        )  # type: ignore[arg-type]
        partial.replace(kept)
    with np.load(kept) as data:
        return RealRows(
            *(tuple(data[name] for name in data.files if name.startswith(part)) for part in ("page", "query"))
        )


def _encoded(books: Sequence[Path], dim: int, most_pages: int, queries: int) -> RealRows:
    from indexers.encoders.late import LateTextEncoder
    from indexers.encoders.projection import project
    from indexers.models import ModelStore, default_cache
    from indexers.sources.pdf import PdfParser
    from pipelines.compose import LATE
    from rag.types import Passage, Query

    with tempfile.TemporaryDirectory() as scratch:
        parser, pages = PdfParser(Path(scratch)), list[Passage]()
        for book in books or [_handbook(Path(scratch))]:
            for unit in parser.parse(parser.open(book), ()):
                pages += [item for item in unit.passages if item.kind == "page" and len(item.text.split()) > 100]
                if len(pages) >= most_pages:
                    break
    files = ModelStore(default_cache()).files(LATE)
    whole = LateTextEncoder(files)
    states = [
        rows for start in range(0, len(pages), BATCH) for rows in whole.encode_passages(pages[start : start + BATCH])
    ]
    projection = _fit([np.asarray(rows) for rows in states], dim)
    asked = [Query(text) for text in _sentences([page.text for page in pages], queries)]
    return RealRows(
        tuple(project(np.asarray(rows), projection) for rows in states),
        tuple(np.asarray(rows) for rows in LateTextEncoder(files, projection=projection).encode_queries(asked)),
    )


def _fit(states: Sequence[Matrix], dim: int) -> Matrix:
    from indexers.encoders.projection import fit_projection

    return fit_projection(np.concatenate(states), dim)


def _handbook(folder: Path) -> Path:
    from pipelines.sample.build import write_sample

    return write_sample(folder / "sample").handbook


def _sentences(texts: Sequence[str], count: int) -> list[str]:
    """Sentences of 8 to 25 words from all over the pages, the same ones each time."""
    from rag.sentences import split_sentences

    found = [sentence.text for text in texts for sentence in split_sentences(text) if sentence.kind == "prose"]
    fitting = [sentence for sentence in found if 8 <= len(sentence.split()) <= 25]
    order = np.random.default_rng(1).permutation(len(fitting))[:count]
    return [" ".join(fitting[index].split()) for index in order]


def _root(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A matrix whose product with standard normal numbers has this covariance."""
    values, vectors = np.linalg.eigh(covariance)
    root: npt.NDArray[np.float64] = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _unit(rows: Rows) -> Rows:
    unit: Rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit.astype(np.float32)
