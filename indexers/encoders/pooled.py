"""An encoder with fewer rows: token pooling of late-interaction rows, and the coarse rows of a first stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from indexers.encoders.pooling import Grouping, coarse_rows, hierarchical_means
from rag.errors import ConfigError
from rag.fingerprint import digest
from rag.protocols import Encoder
from rag.types import Matrix, Passage, Query, SparseVector, Vector, VectorSpec


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How rows become fewer.

    factor: so many rows become about one in what is stored; 1 keeps all. coarse_rows: rows of the first stage's
    channel; 0 makes none. grouping: whether those are means of similar or of consecutive rows. On text, similar rows
    keep far more of the exact list (docs/choose-storage.md). coarse_channel: that channel's name, empty for
    `CHANNEL_coarse`.

    Raises:
        ConfigError: `factor` is below 1, or `coarse_rows` below 0.
    """

    factor: int = 1
    coarse_rows: int = 0
    grouping: Grouping = "similar"
    coarse_channel: str = ""

    def __post_init__(self) -> None:
        if self.factor < 1 or self.coarse_rows < 0:
            raise ConfigError(
                f"pooling {self.factor} rows into one, with {self.coarse_rows} coarse rows, is impossible: "
                "the factor is 1 or more, the coarse rows are 0 or more"
            )


class PooledEncoder:
    """Wraps an encoder of multivectors (text in reading order). Queries keep all their rows.

    Implements `rag.protocols.Encoder`. `coarse` is the pure step that makes the first stage's rows out of a passage's
    own, so that a build encodes each passage once for both channels.
    """

    def __init__(self, encoder: Encoder, options: PoolOptions) -> None:
        """Raises ConfigError when the encoder has one row per item or none."""
        if encoder.spec.form != "multi":
            raise ConfigError(f"channel {encoder.spec.name!r} is {encoder.spec.form}: only multivectors can be pooled")
        self._encoder, self._options = encoder, options

    @property
    def spec(self) -> VectorSpec:
        return self._encoder.spec

    @property
    def coarse_spec(self) -> VectorSpec | None:
        """The first stage's channel, with a graph; None without one."""
        if not self._options.coarse_rows:
            return None
        name = self._options.coarse_channel or f"{self.spec.name}_coarse"
        return replace(self.spec, name=name, graph=True)

    @property
    def specs(self) -> tuple[VectorSpec, ...]:
        """The channels it fills: its own, then the first stage's."""
        return (self.spec,) if self.coarse_spec is None else (self.spec, self.coarse_spec)

    @property
    def fingerprint(self) -> str:
        return digest({"encoder": "pooled", "of": self._encoder.fingerprint, **asdict(self._options)})

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        return [self._pooled(vector) for vector in self._encoder.encode_passages(passages)]

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        return self._encoder.encode_queries(queries)

    def coarse(self, rows: Matrix) -> Matrix:
        """The first stage's rows of a passage, from the rows that `encode_passages` gave."""
        return coarse_rows(rows, max(1, self._options.coarse_rows), self._options.grouping)

    def _pooled(self, vector: Vector | None) -> Vector | None:
        if vector is None or isinstance(vector, SparseVector) or self._options.factor == 1:
            return vector
        return hierarchical_means(vector, self._options.factor)
