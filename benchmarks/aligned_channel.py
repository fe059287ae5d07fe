"""What channel "aligned" adds to a search among cases: four questions, with the channel, without it, and it alone.

Run: python -m benchmarks.aligned_channel --cases PATH...

Heads are fitted in five folds; every query is a case whose group the head has not seen. Two questions look for the
other records of the query's patient or case among all cases; two look for the query's own record, which the library
knows by its other half alone. Images are indexed as one view.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from indexers.encoders.aligned.contrastive import fit_contrastive
from indexers.encoders.aligned.encoder import AlignedImageTextEncoder
from indexers.encoders.aligned.groups import assign_folds
from indexers.encoders.aligned.ridge import fit_ridge
from indexers.encoders.aligned.storage import HeadCard, StoredHead
from indexers.stores.memory import MemoryStore
from pipelines.alignment import EncodedCases, check_pairs, encode_pairs, frozen_encoders, owner_of, read_pairs
from pipelines.channels import Encoders
from pipelines.config import Settings, load_settings
from rag.protocols import Encoder
from rag.retrievers import Channel, FusionOptions, KindRetriever
from rag.types import Hit, Matrix, Passage, Point, Query, Vector, VectorSpec

FOLDS, DEPTH, K = 5, 200, 10
SYSTEMS = ("without", "with", "aligned alone")
OTHERS = "other records of its case"


@dataclass(frozen=True, slots=True)
class Looked:
    """An encoder whose vectors are already made, by passage id; queries are encoded as ever."""

    encoder: Encoder
    known: dict[str, Vector | None]

    @property
    def spec(self) -> VectorSpec:
        return self.encoder.spec

    @property
    def fingerprint(self) -> str:
        return self.encoder.fingerprint

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        return [self.known[passage.id] for passage in passages]

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        return self.encoder.encode_queries(queries)


class Given:
    """A frozen encoder of a head that looks its rows up: by file for images, by text for texts."""

    def __init__(self, name: str, rows: dict[str, Matrix]) -> None:
        self.spec, self.fingerprint, self._rows = VectorSpec(name, "multi", 0), name, rows

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        return [self._rows.get(str(one.images[0]) if self.spec.name == "image" else one.text) for one in passages]

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        return [self._rows.get(str(one.images[0]) if one.images else one.text) for one in queries]


@dataclass(frozen=True, slots=True)
class Material:
    """All cases, their vectors in the ordinary channels, and what heads are fitted on."""

    passages: tuple[Passage, ...]
    encoded: EncodedCases
    plain: tuple[Looked, ...]
    image_rows: Given
    text_rows: Given


def material(paths: Sequence[Path], settings: Settings) -> Material:
    """Read and encode everything once."""
    cases = read_pairs(paths)
    check_pairs(cases)
    encoded = encode_pairs(cases, frozen_encoders(settings))
    kept = dict(zip(cases.keys, cases.passages, strict=True))
    passages = tuple(kept[key] for key in encoded.keys)
    encoders = {channel.name: channel.encoder for channel in Encoders(settings).channels if channel.kind == "case"}
    plain = []
    for encoder in encoders.values():
        known: dict[str, Vector | None] = {}
        for passage in passages:
            known[passage.id] = encoder.encode_passages([passage])[0]
        plain.append(Looked(encoder, known))
    images, texts = encoded.pairs.images, encoded.pairs.texts
    files = {str(passage.images[0]): images[place : place + 1] for place, passage in enumerate(passages)}
    words = {passage.text: texts[place : place + 1] for place, passage in enumerate(passages)}
    return Material(passages, encoded, tuple(plain), Given("image", files), Given("text", words))


@dataclass(frozen=True, slots=True)
class Fold:
    """One head and the passages it has not seen."""

    held: tuple[Passage, ...]
    seen: tuple[Passage, ...]
    aligned: AlignedImageTextEncoder


def folds(given: Material) -> list[Fold]:
    """A head for each fifth of the groups."""
    pairs = given.encoded.pairs
    number = assign_folds(pairs.groups, pairs.strata(), FOLDS, 0)
    made = []
    for fold in range(FOLDS):
        training = pairs.take(np.flatnonzero(number != fold))
        card = HeadCard({}, 0, "", (), {}, {}, active=True)
        stored = StoredHead(fit_contrastive(training), fit_ridge(training), card, str(fold))
        held = tuple(one for one, place in zip(given.passages, number, strict=True) if place == fold)
        seen = tuple(one for one, place in zip(given.passages, number, strict=True) if place != fold)
        made.append(Fold(held, seen, AlignedImageTextEncoder(stored, given.image_rows, given.text_rows)))
    return made


def search(given: Material, fold: Fold, library: Sequence[Passage]) -> Callable[[Query], dict[str, list[Hit]]]:
    """What each system finds in a library of these passages."""
    encoders: list[Encoder] = [*given.plain, fold.aligned]
    channels = [Channel("case", encoder.spec, encoder) for encoder in encoders]
    store = MemoryStore({"case": tuple(channel.spec for channel in channels)})
    store.upsert([Point(passage, _vectors(passage, encoders)) for passage in library])
    systems = dict(zip(SYSTEMS, (channels[:-1], channels, channels[-1:]), strict=True))
    retrievers = {name: KindRetriever(store, used, FusionOptions(depth=DEPTH)) for name, used in systems.items()}
    return lambda query: {name: one.retrieve(query, len(library)) for name, one in retrievers.items()}


def _vectors(passage: Passage, encoders: Sequence[Encoder]) -> dict[str, Vector]:
    found: dict[str, Vector] = {}
    for encoder in encoders:
        # A vector that is looked up knows the whole record; what this library lacks of it must not be found.
        half = {"image": not passage.images, "aligned": False}.get(encoder.spec.name, not passage.text.strip())
        vector = None if half else encoder.encode_passages([passage])[0]
        if vector is not None:
            found[encoder.spec.name] = vector
    return found


def others_found(hits: Sequence[Hit], asked: Passage, owners: Mapping[str | None, int]) -> float:
    """Share of the other records of the query's patient or case that are among the first ten others."""
    others = [hit.passage for hit in hits if hit.passage.id != asked.id][:K]
    return sum(owner_of(one) == owner_of(asked) for one in others) / min(K, owners[owner_of(asked)] - 1)


def own_found(hits: Sequence[Hit], asked: Passage) -> float:
    """Whether the query's own record is among the first ten."""
    return float(any(hit.passage.id == asked.id for hit in hits[:K]))


def measure(given: Material) -> dict[str, dict[str, list[float]]]:
    """Figures of every query by question and system."""
    found: dict[str, dict[str, list[float]]] = {}
    owners = Counter(owner_of(passage) for passage in given.passages)
    for fold in folds(given):
        several = [one for one in fold.held if owner_of(one) is not None and owners[owner_of(one)] > 1]
        silent = [*fold.seen, *(replace(passage, text=" ") for passage in fold.held)]
        unseen = [*fold.seen, *(replace(passage, images=()) for passage in fold.held)]
        for name, asked, library in (
            (OTHERS, several, given.passages),
            ("its own {0}, indexed without its {1}", fold.held, None),
        ):
            for by_image in (False, True):
                run = search(given, fold, library or (unseen if by_image else silent))
                halves = ("text", "image") if by_image else ("image", "text")
                question = f"{halves[1]} to {name.format(*halves)}"
                rows = found.setdefault(question, {system: [] for system in SYSTEMS})
                for passage in asked:
                    query = Query(images=passage.images[:1]) if by_image else Query(passage.text)
                    for system, hits in run(query).items():
                        value = others_found(hits, passage, owners) if name == OTHERS else own_found(hits, passage)
                        rows[system].append(value)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, nargs="+", required=True)
    settings = load_settings(overrides=["channels.image_views=1"]).settings
    found = measure(material(parser.parse_args().cases, settings))
    print(f"{'R@10':54} {'queries':>8} " + " ".join(f"{name:>14}" for name in SYSTEMS))
    for question, rows in found.items():
        figures = " ".join(f"{np.mean(rows[name]) if rows[name] else float('nan'):14.3f}" for name in SYSTEMS)
        print(f"{question:54} {len(rows['without']):8} {figures}")


if __name__ == "__main__":
    main()
