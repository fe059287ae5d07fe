"""Would the rows of a page fit into one multivector? Asked before a build begins, not on its first page."""

from __future__ import annotations

from collections.abc import Sequence

from indexers.stores.checks import MULTI_LIMIT
from pipelines.config import Settings
from rag.errors import ConfigError
from rag.retrievers import Channel

PAGE_POINTS = (595.0, 842.0)
"""Width and height of an A4 page. The build skips a single larger page that does not fit."""
PAGE_DPI = 110.0
"""As the PDF reader renders pages."""
VISUAL = "visual"


def expected_page_rows(settings: Settings) -> int | None:
    """Rows, after token pooling, of an A4 page in channel "visual"; None without it, or where nobody can know.

    Loads no weights. Raises ConfigError when the checkpoint is unusable.
    """
    if VISUAL not in settings.channels.pages:
        return None
    from indexers.encoders.visual.opening import expected_rows
    from indexers.encoders.visual.options import VisualOptions

    try:
        return expected_rows(VisualOptions(**settings.visual.model_dump(exclude={"depth"})), PAGE_POINTS, PAGE_DPI)
    except ConfigError:
        if settings.visual.library == "vllm":
            return None  # the checkpoint lies on the server's machine
        raise


def require_fitting(settings: Settings, channels: Sequence[Channel]) -> None:
    """Raise ConfigError when a page would give more numbers than the engine holds in one multivector.

    A single page of a text channel that is too large is no reason: the build skips it and says so.
    """
    rows = expected_page_rows(settings)
    for channel in channels:
        if rows is not None and channel.name == VISUAL:
            require_rows(channel, rows, settings.visual.pool_factor)


def require_rows(channel: Channel, rows: int, pool_factor: int = 1) -> None:
    """Raise ConfigError, naming the pooling that would fit, when so many rows are too many for one multivector.

    `pool_factor` is the pooling that gave these rows.
    """
    numbers = rows * channel.spec.dim
    if channel.spec.form != "multi" or numbers <= MULTI_LIMIT:
        return
    fitting = pool_factor * -(-numbers // MULTI_LIMIT)
    raise ConfigError(
        f"channel {channel.kind}.{channel.name} gives {rows:,} rows of {channel.spec.dim} numbers for a page, "
        f"{numbers:,} in all; Qdrant holds {MULTI_LIMIT:,} in one multivector; "
        f"set {channel.name}.pool_factor={fitting} or lower {channel.name}.max_patches"
    )
