"""The pictures that a run keeps for its report: of the evidence that was shown, and of the questions themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.ablation.identity import image_digests
from eval.ablation.prepare import Prepared
from eval.ablation.rendering.thumbnails import Pictures, thumbnail
from rag.errors import QueryError

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows of `samples.jsonl` by cell."""
ROOM = 3_000_000
"""Bytes of pictures in all; the report is one file that can be sent."""
_PER_QUESTION, _PER_ANSWER = 2, 6


def kept_pictures(prepared: Prepared, rows: Rows, room: int = ROOM) -> Pictures:
    """A small picture of every image that was asked about or shown as evidence, each once, as long as there is room.

    The questions' own come first, then the first piece of evidence of every answer, then the second, and so on.
    """
    maker = _Maker(room)
    questions = {item.id: list(item.query.images[:_PER_QUESTION]) for item in prepared.items if item.query.images}
    of_questions = {name: [key for path in paths if (key := maker.add(path))] for name, paths in questions.items()}
    of_passages: dict[str, str] = {}
    for passage, path in _shown(prepared, rows):
        key = maker.add(path)
        if key is not None:
            of_passages[passage] = key
    return Pictures(of_passages, {name: keys for name, keys in of_questions.items() if keys}, maker.made)


class _Maker:
    def __init__(self, room: int) -> None:
        self._room = room
        self._failed: set[str] = set()
        self.made: dict[str, str] = {}

    def add(self, path: Path) -> str | None:
        """The digest of an image whose picture is made; None when it cannot be, or there is no room."""
        try:
            key = image_digests([path])[0]
        except QueryError:
            return None
        if key in self.made:
            return key
        picture = None if key in self._failed or self._room <= 0 else thumbnail(path)
        if picture is None or len(picture) > self._room:
            self._failed.add(key)
            return None
        self._room -= len(picture)
        self.made[key] = picture
        return key


def _shown(prepared: Prepared, rows: Rows) -> Iterator[tuple[str, Path]]:
    """Passages that were shown and have an image, with their first one: by rank, then cell, then question."""
    wanted: dict[str, str] = {}
    for rank in range(_PER_ANSWER):
        for cell, answers in rows.items():
            for row in answers:
                pieces = row.get("evidence", ())
                if rank < len(pieces) and pieces[rank].get("kind") != "fact":
                    wanted.setdefault(pieces[rank]["passage"], cell)
    images: dict[str, tuple[Path, ...]] = {}
    for cell in dict.fromkeys(wanted.values()):
        library = prepared.runnable[cell].system.opened.library
        own = [passage for passage, shown_in in wanted.items() if shown_in == cell]
        images |= {one.id: one.images for one in library.get(own)}
    yield from ((passage, images[passage][0]) for passage in wanted if images.get(passage))
