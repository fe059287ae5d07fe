"""From case files to the pairs that an image-text space is fitted on and judged by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from indexers.encoders.aligned.encoder import AlignedImageTextEncoder, mean_row
from indexers.encoders.aligned.features import Indices, PairFeatures, nearly_equal, numbered
from indexers.encoders.aligned.groups import group_pairs
from indexers.encoders.aligned.terms import term_counts
from indexers.encoders.inputs import text_of
from indexers.encoders.unit_rows import unit_rows
from indexers.sources.cases import CaseParser
from indexers.sources.discovery import discover
from pipelines.aligned_channel import FrozenEncoders, embedded_encoders, open_channel
from pipelines.channels import DENSE, IMAGE, Encoders
from pipelines.config import Settings
from rag.errors import SourceError, UsageError
from rag.fingerprint import sha256_bytes, sha256_file
from rag.protocols import Encoder
from rag.types import CaseLocator, Matrix, Passage, Skipped, Vector

_TOGETHER = 16
FEWEST_PAIRS = 30
FEWEST_TEXTS = 10
"""Different texts. With fewer, the right one is among the first ten whatever the order."""


def frozen_encoders(settings: Settings) -> FrozenEncoders:
    """What heads are fitted on: the embedded encoders.

    Raises:
        MissingModel: a model is not in the cache.
    """
    return embedded_encoders(Encoders(settings).models, IMAGE, DENSE)


def aligned_encoder(folder: Path, settings: Settings) -> AlignedImageTextEncoder:
    """The encoder of the head in a folder, as a library's channel "aligned" has it. Raises as `open_aligned` does."""
    return open_channel(folder, frozen_encoders(settings))


@dataclass(frozen=True, slots=True)
class CasePairs:
    """The pairs of some case files, before any model is run.

    passages: records with image and text, duplicates left out. keys: a hash of each pair's content. images_only:
    records of a named patient or case that have an image and no text; they show whether images of one case stay
    together. left_out: how many records are not used, by reason. skipped: records that could not be read.
    """

    passages: tuple[Passage, ...]
    keys: tuple[str, ...]
    images_only: tuple[Passage, ...]
    left_out: Mapping[str, int]
    skipped: tuple[Skipped, ...]


def read_pairs(paths: Sequence[Path]) -> CasePairs:
    """Read case files and folders and keep what can be paired.

    Raises:
        UsageError: a path does not exist.
    """
    found = discover(paths, "cases")
    skipped = list(found.skipped)
    pairs: dict[str, Passage] = {}
    images_only: list[Passage] = []
    left_out = {"without_text": 0, "without_image": 0, "duplicates": 0}
    for passage in _passages(found.files, skipped):
        if not passage.images:
            left_out["without_image"] += 1
        elif not text_of(passage).strip():
            left_out["without_text"] += 1
            images_only.append(passage)
        elif (key := _content(passage)) in pairs:
            left_out["duplicates"] += 1
        else:
            pairs[key] = passage
    known = tuple(passage for passage in images_only if owner_of(passage) is not None)
    return CasePairs(tuple(pairs.values()), tuple(pairs), known, left_out, tuple(skipped))


def of_domain(cases: CasePairs, domain: str) -> CasePairs:
    """The pairs of one medical domain, as their records name it.

    Raises:
        UsageError: no record names this domain; the message lists those that are named.
    """
    named = [domain_of(passage) for passage in cases.passages]
    if domain not in named:
        known = ", ".join(sorted(set(named))) or "none"
        raise UsageError(f"no pair is of the domain {domain!r}; domains of these cases are: {known}")
    kept = [place for place, name in enumerate(named) if name == domain]
    others = len(named) - len(kept)
    return replace(
        cases,
        passages=tuple(cases.passages[place] for place in kept),
        keys=tuple(cases.keys[place] for place in kept),
        images_only=tuple(passage for passage in cases.images_only if domain_of(passage) == domain),
        left_out={**cases.left_out, "other_domains": others},
    )


def domain_of(passage: Passage) -> str:
    """The domain that a record names, else its document."""
    return passage.meta.get("domain", passage.document)


def _passages(files: Sequence[Path], skipped: list[Skipped]) -> Iterator[Passage]:
    parser = CaseParser()
    for path in files:
        try:
            for unit in parser.parse(parser.open(path), ()):
                skipped += unit.skipped
                yield from unit.passages
        except SourceError as error:
            skipped.append(Skipped(str(path), error.locator, error.stage, error.reason))


def _content(passage: Passage) -> str:
    images = ":".join(sha256_file(image) for image in passage.images)
    return sha256_bytes(f"{images}\n{' '.join(text_of(passage).split())}".encode())[:16]


def owner_of(passage: Passage) -> str | None:
    """The patient of a case record, else its case; None when it names neither."""
    locator = passage.locator
    if not isinstance(locator, CaseLocator) or not (locator.patient or locator.study):
        return None
    # Two corpora may both have a patient 7.
    kind, name = ("patient", locator.patient) if locator.patient else ("case", locator.study)
    return f"{passage.document}/{kind}/{name}"


def check_pairs(cases: CasePairs) -> None:
    """Refuse what no space can be fitted on or judged by.

    Raises:
        UsageError: fewer than 30 pairs, or fewer than 10 different texts.
    """
    n = len(cases.passages)
    if n < FEWEST_PAIRS:
        reasons = [f"{count} {reason.replace('_', ' ')}" for reason, count in cases.left_out.items() if count]
        reasons += [f"{len(cases.skipped)} unreadable: {cases.skipped[0].reason}"] if cases.skipped else []
        detail = f" (left out: {', '.join(reasons)})" if reasons else ""
        raise UsageError(f"{n} pairs of image and text{detail}; a shared space needs at least {FEWEST_PAIRS}")
    alike = nearly_equal(term_counts([text_of(passage) for passage in cases.passages]))
    different = int((alike.argmax(axis=1) == np.arange(n)).sum())
    if different < FEWEST_TEXTS:
        raise UsageError(
            f"only {different} different texts among {n} pairs: there is one class, or too few, and nothing to tell "
            f"apart; give reports or captions with at least {FEWEST_TEXTS} different texts"
        )


@dataclass(frozen=True, slots=True, eq=False)
class EncodedCases:
    """Pairs as the frozen encoders see them, and all images of named patients and cases.

    keys: a hash of each pair's content. corpora: its document. owned: vectors of images whose record names a patient or
    case, pairs first, (n_owned, d). owners: their patient or case, numbered, (n_owned,). owned_pairs: the pair that
    each of them belongs to, -1 for an image without text, (n_owned,). skipped: what could not be read.
    """

    pairs: PairFeatures
    keys: tuple[str, ...]
    corpora: tuple[str, ...]
    owned: Matrix
    owners: Indices
    owned_pairs: Indices
    skipped: tuple[Skipped, ...] = ()


class Notify(Protocol):
    """Hears how many items of how many are encoded."""

    def __call__(self, done: int, total: int) -> None: ...


def encode_pairs(cases: CasePairs, encoders: FrozenEncoders, notify: Notify | None = None) -> EncodedCases:
    """Run the frozen encoders over all pairs, and over the images of named cases that have no text.

    An item that an encoder cannot read is left out and added to `skipped`.

    Raises:
        UsageError: fewer than 30 pairs are left.
    """
    run = _Run(2 * len(cases.passages) + len(cases.images_only), notify)
    views = run.rows(encoders.image, cases.passages)
    texts = run.rows(encoders.text, [_text_only(passage) for passage in cases.passages])
    alone = run.rows(encoders.image, cases.images_only)
    read = [place for place in range(len(views)) if views[place] is not None and texts[place] is not None]
    if len(read) < FEWEST_PAIRS:
        raise UsageError(
            f"only {len(read)} of {len(views)} pairs could be encoded; a shared space needs at least {FEWEST_PAIRS}"
        )
    kept = tuple(cases.passages[place] for place in read)
    images_only = tuple(one for one, rows in zip(cases.images_only, alone, strict=True) if rows is not None)
    wholes = [mean_row(rows) for rows in alone if rows is not None]
    stacked = [_by_view(views[place], len(cases.passages[place].images)) for place in read]
    pairs = _features(kept, np.stack(stacked), np.concatenate([mean_row(_present(texts[place])) for place in read]))
    owned, owners, owned_pairs = _owned(kept, images_only, pairs.images, wholes)
    return EncodedCases(
        pairs=pairs,
        keys=tuple(cases.keys[place] for place in read),
        corpora=tuple(passage.document for passage in kept),
        owned=owned,
        owners=owners,
        owned_pairs=owned_pairs,
        skipped=(*cases.skipped, *run.skipped),
    )


class _Run:
    """Encoding with progress, one failing item at a time left out."""

    def __init__(self, total: int, notify: Notify | None) -> None:
        self.skipped: list[Skipped] = []
        self._done, self._total, self._notify = 0, total, notify

    def rows(self, encoder: Encoder, passages: Sequence[Passage]) -> list[Vector | None]:
        found: list[Vector | None] = []
        for start in range(0, len(passages), _TOGETHER):
            batch = passages[start : start + _TOGETHER]
            try:
                found += encoder.encode_passages(batch)
            except SourceError:
                found += [self._alone(encoder, passage) for passage in batch]
            self._done += len(batch)
            if self._notify is not None:
                self._notify(self._done, self._total)
        return found

    def _alone(self, encoder: Encoder, passage: Passage) -> Vector | None:
        try:
            return encoder.encode_passages([passage])[0]
        except SourceError as error:
            self.skipped.append(Skipped(passage.document, str(passage.record), error.stage, error.reason))
            return None


def _text_only(passage: Passage) -> Passage:
    return replace(passage, images=())


def _present(rows: Vector | None) -> Vector:
    if rows is None:
        raise ValueError("an item without rows was kept")
    return rows


def _by_view(rows: Vector | None, n_images: int) -> Matrix:
    """One row per view, shape (n_views, d): the mean over the images of a record, which come one after the other."""
    matrix = np.asarray(_present(rows))
    return unit_rows(matrix.reshape(n_images, -1, matrix.shape[1]).mean(axis=0))


def _features(passages: Sequence[Passage], views: npt.NDArray[np.float32], texts: Matrix) -> PairFeatures:
    terms = term_counts([text_of(passage) for passage in passages])
    groups = group_pairs([owner_of(passage) for passage in passages], views[:, 0], terms)
    domains = tuple(domain_of(passage) for passage in passages)
    return PairFeatures(views, texts, terms, groups, domains)


def _owned(
    passages: Sequence[Passage], images_only: Sequence[Passage], images: Matrix, wholes: Sequence[Matrix]
) -> tuple[Matrix, Indices, Indices]:
    """All images of named patients and cases: vectors, owners' numbers, and the pair of each or -1."""
    places = [place for place, passage in enumerate(passages) if owner_of(passage) is not None]
    names = [str(owner_of(passage)) for passage in (*(passages[place] for place in places), *images_only)]
    pairs = np.array(places + [-1] * len(images_only), dtype=np.intp)
    return np.concatenate([images[places], *wholes]), numbered(names), pairs
