"""Which encoder fills which channel: the encoders of some settings, made when first needed and shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from indexers.models import ModelStore, default_cache
from pipelines.config import Settings
from rag.protocols import Encoder
from rag.retrievers import Channel
from rag.types import Kind, Prefetch, VectorSpec

if TYPE_CHECKING:
    from indexers.devices import DeviceEncoder
    from indexers.encoders.dense import DenseTextEncoder

DENSE, LATE, RERANKER, IMAGE = (
    "bge-small-en-v1.5",
    "answerai-colbert-small-v1-backbone",
    "ms-marco-minilm-l12-v2",
    "dinov2-small",
)
ALIGNED = "aligned"
WHITENING = "whitening.npy"
MEAN_TERMS: dict[Kind, float] = {"page": 256.0, "figure": 40.0, "case": 40.0, "fact": 8.0}
"""Average lengths for BM25, in terms without stop words: what books, captions, reports and facts have, rounded."""


class Encoders:
    """The encoders of some settings by channel name, each made once."""

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        """`folder` is the library's: what was fitted on its own images is read from there."""
        self.settings, self.folder = settings, folder
        self.cache = settings.models.cache or default_cache()
        self.models = ModelStore(self.cache, local=settings.models.local)

    @property
    def channel_names(self) -> frozenset[str]:
        """The channels that some kind has."""
        return frozenset(name for channels in self.settings.channels_by_kind().values() for name in channels)

    def model_names(self) -> list[str]:
        """The models of the lock file that these settings need, each once."""
        names = self.channel_names
        needed = {
            DENSE: bool(names & {"dense", "terms", ALIGNED}),
            LATE: "late" in names,
            RERANKER: True,  # the extractive answerer reads sentences with it, whether or not hits are reranked
            IMAGE: bool(names & {"image", ALIGNED}),
        }
        return [name for name, wanted in needed.items() if wanted]

    def require_models(self) -> None:
        """Raise unless every model file is in the cache and the head can be used: before work begins, not amid it."""
        for name in self.model_names():
            self.models.path(name)
        if ALIGNED in self.channel_names:
            _ = self._aligned

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """Every channel of every kind, with its encoder."""
        return tuple(
            self._channel(kind, name, self._bm25[kind] if name == "bm25" else self._by_name[name])
            for kind, names in self.settings.channels_by_kind().items()
            for name in names
        )

    def _channel(self, kind: Kind, name: str, encoder: Encoder) -> Channel:
        spec = channel_spec(kind, encoder.spec)
        if name == "visual":
            coarse = self._visual.specs[1:]
            return Channel(kind, spec, encoder, coarse, stages(coarse, self.settings.visual.depth))
        if name == "late" and kind == "page":
            coarse = getattr(encoder, "specs", (spec,))[1:]
            return Channel(kind, spec, encoder, coarse, stages(coarse, self.settings.late.depth))
        return Channel(kind, spec, encoder)

    @cached_property
    def _by_name(self) -> dict[str, Encoder]:
        return {name: self._encoder(name) for name in sorted(self.channel_names - {"bm25"})}

    def _encoder(self, name: str) -> Encoder:
        match name:
            case "late":
                return self._late()
            case "image":
                return self._image()
            case "terms":
                from indexers.encoders.terms import TermsEncoder

                return TermsEncoder(self._dense)
            case "visual" | "clip" | "aligned":
                return self._named(name)
            case _ if name.startswith("clip-"):
                from pipelines.domain_encoders import open_domain_encoder

                return open_domain_encoder(self.settings, name)
            case _:
                return self._dense

    def _named(self, name: str) -> Encoder:
        """The encoder of a channel without a default: the settings name a checkpoint or a head."""
        match name:
            case "visual":
                return self._visual
            case "clip":
                return self._clip()
            case _:
                return self._aligned

    @cached_property
    def _visual(self) -> DeviceEncoder:
        from indexers.encoders.visual.opening import open_visual
        from indexers.encoders.visual.options import VisualOptions

        return open_visual(VisualOptions(**self.settings.visual.model_dump(exclude={"depth"})))

    def _late(self) -> Encoder:
        from indexers.encoders.late import LateOptions, LateTextEncoder
        from indexers.encoders.projection import shipped

        settings = self.settings.late
        encoder = LateTextEncoder(
            self.models.files(LATE),
            options=LateOptions(storage=settings.storage),
            projection=shipped("late_projection"),
        )
        if settings.pool_factor == 1 and not settings.coarse_rows:
            return encoder
        from indexers.encoders.pooled import PooledEncoder, PoolOptions

        return PooledEncoder(encoder, PoolOptions(settings.pool_factor, settings.coarse_rows))

    def _clip(self) -> DeviceEncoder:
        from indexers.encoders.clip.opening import open_clip_encoder
        from indexers.encoders.clip.options import ClipOptions
        from pipelines.tuning import require_active

        require_active(self.settings.clip.model)
        return open_clip_encoder(ClipOptions(**self.settings.clip.model_dump()), self.settings.models.local)

    @cached_property
    def _aligned(self) -> Encoder:
        from pipelines.aligned_channel import embedded_encoders, find_head, open_channel

        head = find_head(self.settings.aligned.head, self.folder)
        return open_channel(head, embedded_encoders(self.models, IMAGE, DENSE))

    def keep_head(self, folder: Path) -> None:
        """Copy the head of channel "aligned" into a new library."""
        if ALIGNED in self.channel_names:
            from pipelines.aligned_channel import keep_head

            keep_head(self.settings.aligned.head, folder)

    def _image(self) -> Encoder:
        from indexers.encoders.image import ImageEncoder, ImageOptions
        from indexers.encoders.projection import load_projection, shipped

        own = None if self.folder is None else self.folder / WHITENING
        fitted = load_projection(own) if own is not None and own.is_file() else shipped("image_whitening")
        return ImageEncoder(
            self.models.files(IMAGE), options=ImageOptions(crops=self.settings.channels.image_views), whitening=fitted
        )

    def fit_images(self, paths: Sequence[Path], folder: Path) -> None:
        """Fit the whitening of image vectors on a new library's own images. Before any channel is used."""
        from indexers.encoders.image import ImageEncoder
        from indexers.encoders.projection import save_projection

        save_projection(folder / WHITENING, ImageEncoder(self.models.files(IMAGE)).fit(paths))

    @cached_property
    def _dense(self) -> DenseTextEncoder:
        from indexers.encoders.dense import DenseTextEncoder

        return DenseTextEncoder(self.models.files(DENSE))

    @cached_property
    def _bm25(self) -> dict[Kind, Encoder]:
        from indexers.encoders.bm25 import Bm25Encoder, Bm25Options

        return {kind: Bm25Encoder(options=Bm25Options(mean_terms=terms)) for kind, terms in MEAN_TERMS.items()}


WIDER = 5
"""How many times as many passages an earlier stage keeps: enough for 0.99 of the exact list (decision 0008)."""


def stages(coarse: Sequence[VectorSpec], depth: int) -> Prefetch | None:
    """The earlier stages of a search, finer channels first in `coarse`: the last one keeps `depth` passages."""
    if not coarse:
        return None
    return Prefetch(coarse[0].name, depth, stages(coarse[1:], WIDER * depth))


def channel_spec(kind: Kind, spec: VectorSpec) -> VectorSpec:
    """How a kind stores an encoder's rows: facts are short, one row each, so they need no multivector."""
    return replace(spec, form="dense") if kind == "fact" and spec.form == "multi" else spec
