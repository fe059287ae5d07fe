"""The encoders that settings assign to domains: their channels when a library is built, their share of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.settings import Settings, clip_channel
from rag.domains.encoders import EncoderAssignment
from rag.errors import ConfigError

if TYPE_CHECKING:
    from indexers.devices import DeviceEncoder

GENERAL = ("image", "clip")
"""Channels that read images of every domain, the first that the library has: they read what nothing is assigned to."""


def encoder_assignment(settings: Settings) -> EncoderAssignment | None:
    """Which channel reads images of which domain; None when `clips` assigns none, and every channel is searched.

    Raises:
        ConfigError: neither figures nor cases have a channel that reads images of the other domains.
    """
    if not settings.clips:
        return None
    names = sorted({name for names in settings.channels_by_kind().values() for name in names})
    default = next((name for name in GENERAL if name in names), None)
    if default is None:
        raise ConfigError(
            "clips assigns encoders to some domains, and nothing reads images of the others: add image (or clip) to "
            "channels.figures and channels.cases"
        )
    own = {domain: clip_channel(name) for name, clip in settings.clips.items() for domain in clip.domains}
    assignment = EncoderAssignment(default, own)
    assignment.require(names)
    return assignment


def open_domain_encoder(settings: Settings, channel: str) -> DeviceEncoder:
    """The encoder of a channel "clip-NAME". Raises what `encoder_assignment` and `open_clip_encoder` raise."""
    from indexers.encoders.clip.by_domain import DomainEncoder
    from indexers.encoders.clip.opening import open_clip_encoder
    from indexers.encoders.clip.options import ClipOptions
    from pipelines.tuning import require_active

    encoder_assignment(settings)
    name = next(name for name in settings.clips if clip_channel(name) == channel)
    clip = settings.clips[name]
    require_active(clip.model)
    options = ClipOptions(**clip.model_dump(exclude={"domains"}), key=f"clips.{name}.model")
    return DomainEncoder(open_clip_encoder(options, settings.models.local), channel, clip.domains)
