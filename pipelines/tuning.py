"""From pairs of image and text to a fine-tuned open_clip checkpoint that channel "clip" opens, and its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexers.encoders.aligned.features import Flags
from indexers.encoders.aligned.groups import assign_folds
from indexers.encoders.inputs import text_of
from indexers.encoders.tuning.options import TuningOptions
from indexers.manifest import write_atomic
from pipelines.aligned_channel import FrozenEncoders
from pipelines.alignment import CasePairs, EncodedCases
from rag.errors import ConfigError, EnvironmentProblem, SourceError, UsageError
from rag.fingerprint import digest

if TYPE_CHECKING:
    from indexers.encoders.tuning.source import TuningSource
    from indexers.encoders.tuning.training import Heard

CARD = "tuning.json"
FLOOR = "floor"
"""Folder of the closed-form head on the vectors of the model as it was: what a tuned model has to beat."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class TuningCard:
    """What `tuning.json` says.

    model: the checkpoint it was tuned from, and `content` a hash of it. training: hashes of the pairs it was trained on
    or stopped by; its figures are of other pairs. floor: what it was compared with, whichever was better. active:
    whether it beat chance and the floor; an inactive one is not used for search.
    """

    model: str
    content: str
    options: Mapping[str, Any]
    training: tuple[str, ...]
    figures: Mapping[str, Any]
    active: bool
    reason: str = ""
    identity: str = ""
    format: int = FORMAT


def write_card(folder: Path, card: TuningCard) -> None:
    """Write the card; it comes last, so a folder with a card is whole."""
    document = json.dumps(asdict(card), indent=2, ensure_ascii=False)
    write_atomic(folder / CARD, (document + "\n").encode())


def read_card(folder: Path) -> TuningCard | None:
    """The card of a tuned model; None when the folder holds none.

    Raises:
        SourceError: it is damaged or of a later format.
    """
    if not (folder / CARD).is_file():
        return None
    try:
        document = json.loads((folder / CARD).read_text(encoding="utf-8"))
        values = {field.name: document[field.name] for field in fields(TuningCard)}
        card = TuningCard(**{**values, "training": tuple(values["training"]), "active": values["active"] is True})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{folder / CARD} cannot be read: {error}; tune the model again") from error
    if card.format != FORMAT:
        raise SourceError(
            f"{folder / CARD} has format {card.format}, this version reads {FORMAT}; tune the model again"
        )
    return card


def require_active(model: str) -> None:
    """Refuse a checkpoint that `align fit` tuned and that did not beat chance and the floor. Others pass.

    Raises:
        UsageError: its card says that it is not active.
        SourceError: its card is damaged.
    """
    folder = Path(model).expanduser()
    card = read_card(folder) if model.strip() and folder.is_dir() else None
    if card is not None and not card.active:
        raise UsageError(f"the tuned model in {folder} is not active: {card.reason}; tune it on more or other pairs")


def require_unchanged(card: TuningCard) -> None:
    """Refuse to judge a model whose origin, which its floor stands on, is not what it was.

    Raises:
        UsageError: the checkpoint it was tuned from is gone or changed.
    """
    try:
        content = open_tuning(card.model).content
    except (ConfigError, EnvironmentProblem) as error:
        raise UsageError(f"the floor is judged with the checkpoint that the model was tuned from: {error}") from error
    if content != card.content:
        raise UsageError(f"{card.model} is not the checkpoint any more that the model was tuned from; put it back")


def first_images(cases: CasePairs) -> CasePairs:
    """The pairs as a dual encoder reads them: it sees the first image of a record."""
    passages = tuple(replace(passage, images=passage.images[:1]) for passage in cases.passages)
    alone = tuple(replace(passage, images=passage.images[:1]) for passage in cases.images_only)
    return replace(cases, passages=passages, images_only=alone)


def dual_encoders(model: str, devices: Sequence[str] = ("auto",)) -> FrozenEncoders:
    """A dual encoder on both sides, in 32 bits as it is trained. Raises as `open_clip_encoder` does."""
    from indexers.encoders.clip.opening import open_clip_encoder
    from indexers.encoders.clip.options import ClipOptions

    encoder = open_clip_encoder(ClipOptions(model, library="open_clip", devices=tuple(devices), dtype="f32"))
    return FrozenEncoders(encoder, encoder)


@dataclass(frozen=True, slots=True)
class Tuning:
    """One fine-tuning: from which checkpoint, how, and into which of `folds` equal parts it is not to look.

    The first part judges it. devices: as everywhere; training runs on the first.
    """

    model: str
    options: TuningOptions
    folds: int = 5
    devices: tuple[str, ...] = ("auto",)

    def test_split(self, cases: EncodedCases) -> Flags:
        """The pairs that judge the model, whole groups, (n,). Raises UsageError when there are too few groups."""
        pairs = cases.pairs
        held: Flags = assign_folds(pairs.groups, pairs.strata(), self.folds, self.options.seed) == 0
        return held


def open_tuning(model: str) -> TuningSource:
    """The checkpoint to start from. Raises as `open_source` does."""
    from indexers.encoders.tuning.source import open_source

    return open_source(model)


def tune(
    source: TuningSource, tuning: Tuning, cases: CasePairs, encoded: EncodedCases, out: Path, heard: Heard | None = None
) -> str:
    """Train on all pairs but the test split and write the checkpoint into `out`; returns the training's identity.

    The state of the training is kept in `out`.training until the checkpoint is written. The same call goes on where an
    earlier one was stopped, and does nothing when the checkpoint is there.

    Raises:
        UsageError: the pairs cannot be split, or the folder holds something else.
        EnvironmentProblem: memory or disk is exhausted.
    """
    from indexers.encoders.tuning.batches import tuning_pairs
    from indexers.encoders.tuning.source import write_checkpoint
    from indexers.encoders.tuning.state import StateFolder
    from indexers.encoders.tuning.training import Tuner
    from indexers.encoders.visual.torch_library import device_names

    rows = np.flatnonzero(~tuning.test_split(encoded))
    keys = [encoded.keys[row] for row in rows.tolist()]
    part = encoded.pairs.take(rows)
    identity = digest({"model": source.content, "keys": keys, "groups": part.groups.tolist(),
                       "domains": part.domains, "options": tuning.options.as_json()})  # fmt: skip
    _require_own(out)
    if (out / _IDENTITY).is_file() and (out / _IDENTITY).read_text(encoding="utf-8") == identity:
        return identity
    by_key = dict(zip(cases.keys, cases.passages, strict=True))
    passages = [by_key[key] for key in keys]
    images, texts = tuple(passage.images[0] for passage in passages), tuple(text_of(passage) for passage in passages)
    pairs = tuning_pairs(images, texts, part, tuning.options)
    work = out.absolute().with_name(f"{out.absolute().name}.training")
    states = StateFolder(work, identity)
    weights = Tuner(source.library, pairs, tuning.options, states, device_names(tuning.devices)[0]).run(heard)
    made = work / "checkpoint"
    write_checkpoint(source, weights, made)
    write_atomic(made / _IDENTITY, identity.encode())
    if out.exists():
        shutil.rmtree(out)
    made.rename(out)
    shutil.rmtree(work)
    return identity


_IDENTITY = "training-identity"
"""Which training a checkpoint came from."""


def _require_own(out: Path) -> None:
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / _IDENTITY).is_file())):
        raise UsageError(f"{out} holds something else than a tuned model; choose another folder with --out")
