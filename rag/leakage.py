"""The leakage guard: passages that a query must not be helped by. Pure rules over hits.

A question taken from the corpus itself is too easy when the library holds its very image, another image of its study,
or other studies of its patient. Such hits are withheld with their reason and counted; when all are withheld, nothing
is left, and nothing else takes their place but deeper hits that are clean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rag.errors import ConfigError
from rag.types import CaseLocator, Dropped, Hit, Passage

PHASH = "phash"
"""The `Passage.meta` key that holds the image keys of a passage, one per image, separated by spaces."""
HASH_BITS = 256

Reason = Literal["same record", "same patient", "same study", "same image", "page of the same image"]


@dataclass(frozen=True, slots=True)
class QueryOrigin:
    """Where a query comes from, as far as it is known: its patient, study and record, and the keys of its images.

    Names are those that the library uses; a corpus whose names were hashed on the way in needs the hashed ones.
    """

    patient: str | None = None
    study: str | None = None
    record: str | None = None
    images: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is anything to be recognised by."""
        return bool(self.patient or self.study or self.record or self.images)


@dataclass(frozen=True, slots=True)
class Guard:
    """What counts as a query's own: which relations are withheld, and when two images count as the same one.

    radius: most bits in which the perceptual hashes (of 256) of one image and its copies differ. cosine: least
    cosine of their vectors in `channel`; 1.01 switches vectors off. Both were measured on edited copies against other
    images of four collections, docs/cases-and-time.md: no two images of different people are 12 bits apart or less;
    0.85 is passed by none but 0.1 % of the pairs of fundus photographs. It belongs to the whitened vectors of the
    `image` channel: another encoder's cosines need a measurement of their own.
    kin: a hit with the query's own image says whose it is; that patient's and study's other passages go as well.

    Raises:
        ConfigError: a threshold that could not hold.
    """

    patient: bool = True
    study: bool = True
    image: bool = True
    kin: bool = True
    radius: int = 12
    cosine: float = 0.85
    channel: str = "image"

    def __post_init__(self) -> None:
        if not 0 <= self.radius < HASH_BITS // 2:
            raise ConfigError(f"leakage guard: radius is {self.radius}; it must be in 0..{HASH_BITS // 2 - 1} bits")
        if not 0 < self.cosine <= 1.01:
            raise ConfigError(f"leakage guard: cosine is {self.cosine}; it must be in (0, 1], or 1.01 for never")


@dataclass(frozen=True, slots=True)
class Guarded:
    """Hits that may be shown, in their order, and those withheld, each with its reason."""

    kept: tuple[Hit, ...]
    dropped: tuple[Dropped, ...] = ()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many hits were withheld for each reason."""
        return dict(sorted(Counter(one.reason for one in self.dropped).items()))


def stored_keys(passage: Passage) -> tuple[str, ...]:
    """The image keys that a passage was indexed with; none when its parser wrote none."""
    return tuple(passage.meta.get(PHASH, "").split())


@dataclass(frozen=True, slots=True)
class Likeness:
    """How images are compared: the keys of a passage's images, and cosines to the query's image by passage id."""

    keys_of: Callable[[Passage], tuple[str, ...]] = stored_keys
    cosines: Mapping[str, float] = field(default_factory=dict)


_STORED = Likeness()


def guarded(
    origin: QueryOrigin,
    hits: Sequence[Hit],
    guard: Guard | None = None,
    likeness: Likeness = _STORED,
    exempt: Container[str] = (),
) -> Guarded:
    """Withhold the query's own patient, study, record and image from ranked hits.

    `exempt` holds passage ids that are shown whatever they are (what a query row calls right). Order is kept.
    """
    rules = guard or Guard()
    own_images = [hit.passage for hit in hits if rules.image and _same_image(origin, hit.passage, rules, likeness)]
    kin = _Kin.of(own_images if rules.kin else ())
    pages = {page for passage in own_images if (page := passage.meta.get("page_id"))}
    own = {passage.id for passage in own_images}
    kept: list[Hit] = []
    dropped: list[Dropped] = []
    for hit in hits:
        passage = hit.passage
        reason = None if passage.id in exempt else _relation(origin, passage, rules, kin)
        if reason is None and passage.id not in exempt:
            if passage.id in own:
                reason = "same image"
            elif passage.id in pages:
                reason = "page of the same image"
        if reason is None:
            kept.append(hit)
        else:
            dropped.append(Dropped(hit, reason))
    return Guarded(tuple(kept), tuple(dropped))


def search_guarded(
    search: Callable[[int], Sequence[Hit]], withhold: Callable[[Sequence[Hit]], Guarded], k: int, deepest: int
) -> Guarded:
    """The first k clean hits of a ranking, looked for in deeper ranks where some were withheld.

    `search(n)` gives the n best hits. The depth is doubled, up to `deepest`, until k hits are clean or the ranking
    ends; fewer, or none, are returned rather than one that is withheld. `dropped` covers the depth that was reached.
    """
    depth = k
    while True:
        hits = search(depth)
        result = withhold(hits)
        if len(result.kept) >= k or len(hits) < depth or depth >= deepest:
            return Guarded(result.kept[:k], result.dropped)
        depth = min(2 * depth, deepest)


def single_image_cosines(hits: Sequence[Hit], channel: str) -> dict[str, float]:
    """The cosine of each hit to the query's one image, by passage id, read from a channel's own scores.

    Holds for a query with one image that its encoder makes one row of. Scores above 1 are sums over several rows and
    say nothing about one of them: then there are none.
    """
    scores = {hit.passage.id: hit.channels[channel].score for hit in hits if channel in hit.channels}
    return scores if max(scores.values(), default=0.0) <= 1.001 else {}


def same_key(one: str, other: str, radius: int) -> bool:
    """Whether two image keys mean one image: equal, or perceptual hashes at most `radius` bits apart.

    A key is the hexadecimal perceptual hash of an image; for a file that has none, any other text that identifies it.
    """
    if one == other:
        return True
    if len(one) != len(other) or len(one) != HASH_BITS // 4:
        return False
    try:
        return (int(one, 16) ^ int(other, 16)).bit_count() <= radius
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class _Kin:
    """The patients and studies that the query's image was found to belong to, each with its document."""

    patients: frozenset[tuple[str, str]]
    studies: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, passages: Sequence[Passage]) -> _Kin:
        found = [(one.document, one.locator) for one in passages if isinstance(one.locator, CaseLocator)]
        return cls(
            frozenset((document, place.patient) for document, place in found if place.patient),
            frozenset((document, place.study) for document, place in found if place.study),
        )


def _relation(origin: QueryOrigin, passage: Passage, guard: Guard, kin: _Kin) -> Reason | None:
    place = passage.locator
    if not isinstance(place, CaseLocator):
        return None
    if origin.record is not None and place.record == origin.record:
        return "same record"
    if (
        guard.patient
        and place.patient
        and (place.patient == origin.patient or (passage.document, place.patient) in kin.patients)
    ):
        return "same patient"
    if guard.study and place.study and (place.study == origin.study or (passage.document, place.study) in kin.studies):
        return "same study"
    return None


def _same_image(origin: QueryOrigin, passage: Passage, guard: Guard, likeness: Likeness) -> bool:
    # A page's picture is the whole printed page; what stands on it are its figures.
    if passage.kind not in ("case", "figure") or not passage.images:
        return False
    if likeness.cosines.get(passage.id, 0.0) >= guard.cosine:
        return True
    return bool(origin.images) and any(
        same_key(own, key, guard.radius) for key in likeness.keys_of(passage) for own in origin.images
    )
