"""The channel "aligned" of a library: its head, the frozen encoders behind it, and the library's own copy of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from indexers.encoders.aligned.encoder import AlignedImageTextEncoder, open_aligned
from indexers.encoders.aligned.storage import ARRAYS, CARD
from indexers.models import ModelStore
from rag.errors import ConfigError
from rag.protocols import Encoder

HEAD_FOLDER = "aligned"
"""Where a library keeps its head. It is part of the library: exported, imported and rebuilt with it."""
HEAD_FILES = (f"{HEAD_FOLDER}/{ARRAYS}", f"{HEAD_FOLDER}/{CARD}")
"""Its files, under the library's folder; the card comes last, so a folder with a card is whole."""


@dataclass(frozen=True, slots=True)
class FrozenEncoders:
    """The encoders a space is fitted on. The image encoder gives as many rows per image as it reads views of it."""

    image: Encoder
    text: Encoder

    @property
    def fingerprints(self) -> dict[str, str]:
        """What a head is bound to, by side."""
        return {"image": self.image.fingerprint, "text": self.text.fingerprint}


def embedded_encoders(models: ModelStore, image: str, text: str) -> FrozenEncoders:
    """The embedded image encoder, with the image's appearance beside it, and the embedded text encoder.

    `image` and `text` name models of the cache.

    Raises:
        MissingModel: a model is not in the cache.
    """
    from indexers.encoders.aligned.appearance import AppearanceEncoder
    from indexers.encoders.dense import DenseOptions, DenseTextEncoder
    from indexers.encoders.image import ImageEncoder, ImageOptions

    seen = AppearanceEncoder(ImageEncoder(models.files(image), options=ImageOptions(view="class_mean")))
    # Captions are matched with images, not searched by questions: both sides are read without the query's instruction.
    read = DenseTextEncoder(models.files(text), options=DenseOptions(form="dense", query_prefix=""))
    return FrozenEncoders(seen, read)


def find_head(chosen: Path | None, library: Path | None) -> Path:
    """The folder of the head: the one that the settings name, else the library's own copy.

    A library is whole without the folder that its head was copied from.

    Raises:
        ConfigError: the settings name none and the library has none.
    """
    own = library / HEAD_FOLDER if library is not None and (library / HEAD_FOLDER / CARD).is_file() else None
    if chosen is not None and (own is None or chosen.exists()):
        return chosen.expanduser()
    if own is None:
        raise ConfigError(
            "the channel aligned needs a head: fit one with `vesalius align fit --cases PATH --out DIR` and name it "
            "with --set aligned.head=DIR, or take aligned out of the channels"
        )
    return own


def open_channel(folder: Path, encoders: FrozenEncoders) -> AlignedImageTextEncoder:
    """The encoder of the head in a folder, for a library's channel "aligned". Raises as `open_aligned` does."""
    return open_aligned(folder, encoders.image, encoders.text)


def keep_head(chosen: Path | None, library: Path) -> None:
    """Copy the head into a library that begins, so that it is searched with this head wherever it is moved.

    Raises as `find_head` does.
    """
    source = find_head(chosen, library)
    for name in HEAD_FILES:
        target = library / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.resolve() != (source / target.name).resolve():
            shutil.copyfile(source / target.name, target)
