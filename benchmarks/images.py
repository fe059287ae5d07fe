"""Is an image found again from an altered copy of itself, and does a case find its own kind?

Run: python -m benchmarks.images --library DIR [-n 100]

Takes images of a library's cases or figures, alters each (cut out, shrink, change contrast), and searches with the
copy. Then searches with the unaltered image of each case whose patient (or case) has others, leaving itself out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from pipelines.library import Library
from rag.types import Kind, Passage, Query

Alter = Callable[[Image.Image, np.random.Generator], Image.Image]


def cut(share: float) -> Alter:
    """A random rectangle with `share` of both sides."""

    def alter(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        width, height = round(image.width * share), round(image.height * share)
        x, y = rng.integers(0, image.width - width + 1), rng.integers(0, image.height - height + 1)
        return image.crop((int(x), int(y), int(x) + width, int(y) + height))

    return alter


ALTERATIONS: dict[str, Alter] = {
    "cut 90 %": cut(0.9),
    "cut 80 %": cut(0.8),
    "shrink to half": lambda image, _: image.resize((max(1, image.width // 2), max(1, image.height // 2))),
    "contrast 0.7": lambda image, _: ImageEnhance.Contrast(image).enhance(0.7),
    "contrast 1.3": lambda image, _: ImageEnhance.Contrast(image).enhance(1.3),
}


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("-n", type=int, default=100, help="images of each kind")
    parser.add_argument("--only", choices=["case", "figure", "table", "same_patient"], help="measure one of them")
    args = parser.parse_args()
    with Library.open(args.library) as library:
        wanted = [args.only] if args.only else ["case", "figure", "table", "same_patient"]
        found = {
            name: neighbours(library)
            if name == "same_patient"
            else found_again(library, name, args.n, np.random.default_rng(0))
            for name in wanted
        }
        print(json.dumps({"library": str(args.library), **found}))


def images_of(library: Library, name: str) -> list[Passage]:
    """Cases, pictures of a book, or its tables: images of text look alike to an image encoder, so they count apart."""
    kind: Kind = "case" if name == "case" else "figure"
    passages = [passage for passage in library.passages(kind) if passage.images]
    return [
        passage
        for passage in passages
        if kind == "case" or passage.meta.get("label", "").startswith("Table") == (name == "table")
    ]


def found_again(library: Library, name: str, n: int, rng: np.random.Generator) -> dict[str, object]:
    """Share of images whose altered copy finds them first, by alteration."""
    passages = images_of(library, name)
    kind: Kind = "case" if name == "case" else "figure"
    chosen = [passages[i] for i in rng.choice(len(passages), min(n, len(passages)), replace=False)] if passages else []
    shares: dict[str, object] = {"n": len(chosen), "of": len(passages)}
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy.png"
        for alteration, alter in ALTERATIONS.items() if chosen else ():
            hits = 0
            for passage in chosen:
                alter(Image.open(passage.images[0]).convert("RGB"), rng).save(copy)
                best = library.search(Query(images=(copy,)), k=1, kinds=(kind,))
                hits += bool(best) and best[0].passage.id == passage.id
            shares[alteration] = round(hits / len(chosen), 3)
    return shares


def neighbours(library: Library) -> dict[str, object]:
    """Of cases whose patient has others: the share whose nearest other image is one of them, and what chance gives."""
    cases = [passage for passage in library.passages("case") if passage.images and patient(passage)]
    groups: dict[tuple[str, str], int] = {}
    for passage in cases:
        key = (passage.document, patient(passage))
        groups[key] = groups.get(key, 0) + 1
    right, chance, asked = 0, 0.0, 0
    for passage in cases:
        key = (passage.document, patient(passage))
        if groups[key] < 2:
            continue
        asked += 1
        query = Query(images=passage.images, filters={"document": (passage.document,)})
        others = [hit for hit in library.search(query, k=3, kinds=("case",)) if hit.passage.id != passage.id]
        right += bool(others) and patient(others[0].passage) == key[1]
        chance += (groups[key] - 1) / (sum(other.document == passage.document for other in cases) - 1)
    return {"n": asked, "r@1": round(right / asked, 3), "chance": round(chance / asked, 3)} if asked else {"n": 0}


def patient(passage: Passage) -> str:
    """The patient of a case, or the study when it names no patient."""
    locator = passage.locator
    return str(getattr(locator, "patient", None) or getattr(locator, "study", None) or "")


if __name__ == "__main__":
    main()
