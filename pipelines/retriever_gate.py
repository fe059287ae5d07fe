"""The retriever gate of a library: recall of its own channels beside chance, from the vectors it stores.

No image is opened and no model is run. Asked are pairs that the library itself knows to belong together: images of one
patient, and a figure's caption and its page. A channel in which images meet texts ("clip", "aligned") stores the image
of a case that has both, so image against report is not to be had from stored vectors: `vesalius align eval` measures
that where a space is fitted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from indexers.manifest import write_atomic
from rag.leakage import Guard, same_key, stored_keys
from rag.protocols import Store
from rag.retriever_gate import DEPTHS, GateFigure, Trial, gate_figure
from rag.types import CaseLocator, Hit, Kind, Matrix, Passage

FILE = "gate.json"
IMAGE_CHANNELS = ("image", "clip", "aligned")
MOST_QUERIES, FEWER_QUERIES = 200, 40
SCANNED = 1_000_000
"""Vectors compared in all, about: a large library is asked fewer questions, but FEWER_QUERIES at the least."""
MOST_READ = 4000
"""Passages looked through for queries. Ids are hashes, so the first by id are a random sample."""
_AT_ONCE = 64
_RELATIVES = 64
"""Images of one patient that are known at the most."""
_COPIES = 20
"""Places kept free for copies of the query's own image, which are no find."""


def measure_gate(store: Store) -> tuple[GateFigure, ...]:
    """The figures of every channel that can be checked; none for a library without cases of patients or figures."""
    names = {kind: [spec.name for spec in specs] for kind, specs in store.specs.items()}
    found: list[GateFigure | None] = []
    for channel in IMAGE_CHANNELS:
        if channel in names.get("case", ()):
            trials = _image_trials(store, channel)
            found.append(gate_figure("image of a case: another image of its patient or study", channel, trials))
    if "dense" in names.get("figure", ()) and "dense" in names.get("page", ()):
        found.append(gate_figure("caption of a figure: its page", "dense", _caption_trials(store)))
    return tuple(figure for figure in found if figure is not None)


def save_gate(folder: Path, of: str, figures: Sequence[GateFigure]) -> None:
    """Write `gate.json` whole or not at all. `of` identifies the passages that were measured."""
    rows = [asdict(figure) | {"above_chance": figure.above_chance} for figure in figures]
    write_atomic(folder / FILE, (json.dumps({"of": of, "figures": rows}, indent=1) + "\n").encode())


def read_gate(folder: Path) -> dict[str, Any] | None:
    """What `save_gate` wrote, depths as text; None when nothing was measured or the file is damaged."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        rows = [dict(row) for row in found["figures"]]
        whole = isinstance(found["of"], str) and all(row.keys() >= _ROW and _shares(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return {"of": found["of"], "figures": rows} if whole else None


_ROW = {"check", "channel", "queries", "candidates", "recall", "low", "chance", "above_chance"}


def _shares(row: dict[str, Any]) -> bool:
    """Whether the three shares are there for every depth."""
    return all(
        isinstance(row[name][str(depth)], int | float) for name in ("recall", "low", "chance") for depth in DEPTHS
    )


def gate_warning(folder: Path) -> str | None:
    """One line about the channels of a library that find no more than chance would; None when there is none."""
    rows = [row for row in (read_gate(folder) or {"figures": []})["figures"] if row["above_chance"] is False]
    if not rows:
        return None
    said = "; ".join(f"channel {row['channel']} ({row['check']}): {gate_words(row)}" for row in rows)
    return f"retrieval is near chance in {folder}: {said}; see `vesalius index status --library {folder}`"


def gate_words(row: dict[str, Any]) -> str:
    """A figure in words."""
    shares = ", ".join(
        f"R@{depth} {row['recall'][depth]:.2f} (chance {row['chance'][depth]:.2f})" for depth in row["recall"]
    )
    return f"{shares}, {row['queries']} queries"


def queries_for(candidates: int) -> int:
    """How many questions are asked of a library with so many candidates."""
    return max(FEWER_QUERIES, min(MOST_QUERIES, SCANNED // max(1, candidates)))


def _sample(store: Store, kind: Kind) -> list[Passage]:
    ids = islice(store.ids(kind), MOST_READ)
    found: list[Passage] = []
    while some := list(islice(ids, _AT_ONCE)):
        found += store.get(some)
    return found


def _vectors(store: Store, passages: Sequence[Passage], channel: str) -> Iterator[tuple[Passage, Matrix]]:
    """Passages with their stored rows in a channel, for those that have any."""
    for start in range(0, len(passages), _AT_ONCE):
        for point in store.points([passage.id for passage in passages[start : start + _AT_ONCE]]):
            rows = point.vectors.get(channel)
            if isinstance(rows, np.ndarray):
                yield point.passage, rows


def _owner(passage: Passage) -> dict[str, tuple[str, ...]] | None:
    """The filter that finds the passages of the same patient, else of the same study; None when it names neither."""
    place = passage.locator
    if not isinstance(place, CaseLocator) or not (place.patient or place.study):
        return None
    own = {"patient": (place.patient,)} if place.patient else {"study": (place.study or "",)}
    return {"document": (passage.document,), **own}


def _image_trials(store: Store, channel: str) -> list[Trial]:
    """One image per patient, searched by its first row: that of the whole image."""
    cases = _sample(store, "case")
    with_images = [passage for passage in cases if passage.images]
    share = len(with_images) / len(cases) if cases else 0.0
    n_images = round(share * store.count("case"))
    owners = {passage.id: str(owner) for passage in with_images if (owner := _owner(passage)) is not None}
    seen = Counter(owners.values())
    asked: dict[str, Passage] = {}
    for passage in with_images:
        if passage.id in owners:
            asked.setdefault(owners[passage.id], passage)
    most = queries_for(n_images)
    # In a large library the other images of a patient may lie outside of the sample: such patients are tried last.
    chosen = sorted(asked.values(), key=lambda passage: seen[owners[passage.id]] < 2)[: 2 * most]
    trials: list[Trial] = []
    for passage, rows in _vectors(store, chosen, channel):
        trial = _image_trial(store, channel, passage, rows[:1], n_images)
        if trial is not None:
            trials.append(trial)
        if len(trials) == most:
            break
    return trials


def _image_trial(store: Store, channel: str, passage: Passage, row: Matrix, n_images: int) -> Trial | None:
    """None when the patient has no other image."""
    family = store.search("case", channel, row, _RELATIVES, _owner(passage) or {})
    relatives = {hit.passage.id for hit in family if hit.passage.images and not _copy(passage, hit.passage)}
    if not relatives:
        return None
    hits = store.search("case", channel, row, max(DEPTHS) + _COPIES, {})
    clean = [hit for hit in hits if not _copy(passage, hit.passage)]
    return Trial(_rank(clean, relatives), len(relatives), max(n_images - (len(hits) - len(clean)), len(relatives)))


def _copy(passage: Passage, other: Passage) -> bool:
    """Whether another passage is the same one or shows the same image."""
    radius = Guard().radius
    return passage.id == other.id or any(
        same_key(one, two, radius) for one in stored_keys(passage) for two in stored_keys(other)
    )


def _caption_trials(store: Store) -> list[Trial]:
    n_pages = store.count("page")
    captioned = [figure for figure in _sample(store, "figure") if figure.text.strip() and figure.meta.get("page_id")]
    trials: list[Trial] = []
    for figure, rows in _vectors(store, captioned[: queries_for(n_pages)], "dense"):
        hits = store.search("page", "dense", rows, max(DEPTHS), {})
        trials.append(Trial(_rank(hits, {figure.meta["page_id"]}), 1, n_pages))
    return trials


def _rank(hits: Sequence[Hit], right: set[str]) -> int | None:
    return next((rank for rank, hit in enumerate(hits, start=1) if hit.passage.id in right), None)
