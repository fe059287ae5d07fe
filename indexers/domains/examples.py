"""Labelled images to fit domains on: the cases of a library that say what they are, with the vectors it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.domains.names import Domain
from rag.domains.records import domain_of
from rag.protocols import Store
from rag.types import CaseLocator, Matrix, Passage, Point

MOST_READ = 20_000
"""Cases read at the most. Ids are hashes, so the first by id are a random sample."""
MOST_OF_LABEL = 400
"""Images of one label at the most: more change nothing but the time."""
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """n images. vectors: one row each, (n, dim). domains: what they are. labels: finer, as their records name it.

    groups: images of one group (patient, else study) are never split between fitting and judging.
    """

    vectors: Matrix
    domains: tuple[Domain, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.domains)

    def take(self, rows: npt.NDArray[np.intp]) -> Examples:
        """Some of them, in the order asked for."""
        chosen = rows.tolist()
        columns = (self.domains, self.labels, self.groups)
        domains, labels, groups = (tuple(column[row] for row in chosen) for column in columns)
        return Examples(self.vectors[rows], domains, labels, groups)


def case_examples(store: Store, channel: str = "image") -> Examples:
    """The cases of a store that tell their domain and have an image vector; possibly none.

    Of several rows (views) the first, of the whole image, is used.
    """
    rows: list[Matrix] = []
    kept: list[tuple[Domain, str, str]] = []
    seen: Counter[str] = Counter()
    for point in _points(store):
        vector, domain = point.vectors.get(channel), domain_of(point.passage)
        if domain is None or not isinstance(vector, np.ndarray):
            continue
        label = label_of(point.passage, domain)
        seen[label] += 1
        if seen[label] <= MOST_OF_LABEL:
            rows.append(vector[:1])
            kept.append((domain, label, group_of(point.passage)))
    if not kept:
        return Examples(np.empty((0, 0), np.float32), (), (), ())
    domains, labels, groups = zip(*kept, strict=True)
    return Examples(np.concatenate(rows), domains, labels, groups)


def label_of(passage: Passage, domain: Domain) -> str:
    """The domain with the record's own word for it: "pathology: histology" is drawn beside, not into, other slides."""
    return f"{domain}: {' '.join(passage.meta.get('domain', '').casefold().split())}"


def group_of(passage: Passage) -> str:
    """The patient of a case, else its study, else itself, within its document."""
    locator = passage.locator
    own = (locator.patient or locator.study or locator.record) if isinstance(locator, CaseLocator) else passage.id
    return f"{passage.document}/{own}"


def _points(store: Store) -> Iterator[Point]:
    batch: list[str] = []
    for number, passage_id in enumerate(store.ids("case")):
        if number >= MOST_READ:
            break
        batch.append(passage_id)
        if len(batch) == _AT_ONCE:
            yield from store.points(batch)
            batch = []
    yield from store.points(batch)


def assign_folds(groups: Sequence[str], strata: Sequence[str], n_folds: int, seed: int = 0) -> npt.NDArray[np.intp]:
    """The fold of each image, shape (n,): whole groups, each stratum spread as evenly as its groups allow."""
    rng = np.random.default_rng(seed)
    fold_of: dict[str, int] = {}
    filled = {stratum: np.zeros(n_folds) for stratum in strata}
    sizes = Counter(groups)
    first = dict(zip(reversed(groups), reversed(strata), strict=True))
    names = sorted(first)
    order = [names[place] for place in rng.permutation(len(names))]
    # Large groups first: the small ones that follow even the folds out.
    for group in sorted(order, key=lambda name: -sizes[name]):
        count = filled[first[group]]
        fold = int(np.argmin(count))
        count[fold] += sizes[group]
        fold_of[group] = fold
    return np.array([fold_of[group] for group in groups], dtype=np.intp)
