"""Small pictures of evidence images, inside the page itself."""

from __future__ import annotations

import base64
import io
import logging
from pathlib import Path

logger = logging.getLogger(__name__)

_SIDE = 320
_LARGEST_FILE = 50_000_000


class Thumbnails:
    """Data URIs of images by path, each made once, until `room` bytes are used.

    Only files inside `folder` are read; a path that leaves it, a file that is no image, or one that is too large gives
    no picture.
    """

    def __init__(self, folder: Path | None, room: int) -> None:
        self._folder = None if folder is None else folder.resolve()
        self._room = room
        self.made: dict[str, str] = {}

    def add(self, name: object) -> str | None:
        """The key under which an image is in `made`, or None without a picture."""
        if not isinstance(name, str) or self._folder is None:
            return None
        if name in self.made:
            return name
        picture = self._picture(self._folder, name)
        if picture is None or len(picture) > self._room:
            return None
        self._room -= len(picture)
        self.made[name] = picture
        return name

    @staticmethod
    def _picture(folder: Path, name: str) -> str | None:
        from PIL import Image

        try:
            path = (folder / name).resolve()
            if not path.is_relative_to(folder) or not path.is_file() or path.stat().st_size > _LARGEST_FILE:
                return None
            with Image.open(path) as image:
                small = image.convert("RGB")
                small.thumbnail((_SIDE, _SIDE))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            logger.warning("evidence image %r is left out of the report: %s", name, error)
            return None
        target = io.BytesIO()
        small.save(target, "JPEG", quality=70)
        return "data:image/jpeg;base64," + base64.b64encode(target.getvalue()).decode("ascii")
