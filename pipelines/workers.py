"""What an encode worker on another machine is made from: the settings, and the library's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.channels import Encoders
from pipelines.compose import Parsers
from pipelines.config import Settings
from rag.protocols import Parser
from rag.retrievers import Channel
from rag.types import SourceKind


@dataclass(frozen=True, slots=True)
class LibraryWorker:
    """Implements `indexers.ray_engine.WorkerParts`; small enough to be sent anywhere."""

    settings: Settings
    folder: Path

    def channels(self) -> tuple[Channel, ...]:
        """Every channel with its encoder, made in the worker's own process."""
        return Encoders(self.settings, self.folder).channels

    def parser(self, path: Path, source: SourceKind) -> Parser:
        """The parser that reads this file and writes its images into the library's folder."""
        return Parsers(self.settings, self.folder).parser(path, source)
