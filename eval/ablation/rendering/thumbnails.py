"""Small pictures of evidence and questions, inside the page itself."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

PICTURES = "pictures.json"
"""The pictures that a run keeps: digests by passage and by question, and a data URI by digest."""

_SIDE = 320
_LARGEST_FILE = 50_000_000


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures by digest, and which passage and which question show which."""

    passages: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, list[str]] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "passages": dict(self.passages),
            "questions": dict(self.questions),
            "pictures": dict(self.pictures),
        }


class Thumbnails:
    """Data URIs of images by name, each once, until `room` bytes are used.

    They are those that the run kept in `pictures.json`, and image files that its rows name. Only files inside `folder`
    are read; a path that leaves it, a file that is no image, or one that is too large gives no picture.
    """

    def __init__(self, folder: Path | None, room: int) -> None:
        self._folder = None if folder is None else folder.resolve()
        self._room = room
        self._kept = _read_pictures(folder)
        self.made: dict[str, str] = {}

    def add(self, name: object) -> str | None:
        """The key under which an image file of the run folder is in `made`, or None without a picture."""
        if not isinstance(name, str) or self._folder is None:
            return None
        if name in self.made:
            return name
        return self._taken(name, self._picture(self._folder, name))

    def of_passage(self, passage: object) -> str | None:
        """The key of a passage's picture."""
        return self._known(self._kept.passages.get(passage)) if isinstance(passage, str) else None

    def of_question(self, question: object) -> list[str]:
        """The keys of a question's own pictures."""
        names = self._kept.questions.get(question, []) if isinstance(question, str) else []
        return [key for key in map(self._known, names) if key is not None]

    def _known(self, name: str | None) -> str | None:
        if name is None or name in self.made:
            return name
        return self._taken(name, self._kept.pictures.get(name))

    def _taken(self, name: str, picture: str | None) -> str | None:
        if picture is None or len(picture) > self._room:
            return None
        self._room -= len(picture)
        self.made[name] = picture
        return name

    @staticmethod
    def _picture(folder: Path, name: str) -> str | None:
        try:
            path = (folder / name).resolve()
            inside = path.is_relative_to(folder) and path.is_file()
        except (OSError, ValueError):
            return None
        return thumbnail(path) if inside else None


def thumbnail(path: Path, side: int = _SIDE) -> str | None:
    """An image file as a JPEG of at most `side` pixels in a data URI, without metadata; None, logged, if it is none."""
    from PIL import Image

    try:
        if path.stat().st_size > _LARGEST_FILE:
            return None
        with Image.open(path) as image:
            image.draft("RGB", (side, side))
            small = _eight_bit(image)
            small.thumbnail((side, side))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        logger.warning("the image %r is left out of the report: %s", path.name, error)
        return None
    target = io.BytesIO()
    small.save(target, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(target.getvalue()).decode("ascii")


def _eight_bit(image: Image) -> Image:
    """RGB; a radiograph of 16 bits is stretched between its extremes, where eight bits would show white."""
    from PIL import Image as Images

    if not image.mode.startswith(("I", "F")):
        return image.convert("RGB")
    values = np.asarray(image, dtype=np.float64)
    low, extent = float(values.min()), float(np.ptp(values))
    return Images.fromarray(((values - low) * (255 / extent if extent else 0)).astype(np.uint8)).convert("RGB")


def _read_pictures(folder: Path | None) -> Pictures:
    """What a run kept; nothing for an older run, or one whose file cannot be read."""
    if folder is None or not (folder / PICTURES).is_file():
        return Pictures()
    try:
        data = json.loads((folder / PICTURES).read_text(encoding="utf-8"))
        return Pictures(dict(data["passages"]), dict(data["questions"]), dict(data["pictures"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s cannot be read (%s): the report has no pictures", folder / PICTURES, error)
        return Pictures()
