"""The loop's tools over a library: every call goes through the gatherer, so guard, router and selector hold for it."""

from __future__ import annotations

import base64
import tempfile
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

from pipelines.gathering import Gathered
from rag.agent.tools import Closer, Found, Search, Timeline
from rag.chat import ChatError, Deadline, ImagePart
from rag.types import Evidence, Hit, Kind, Passage, Query

WITHHELD = frozenset({"same record", "same patient", "same study", "same image", "page of the same image"})
"""The guard's reasons: hits dropped for one of them say whose image the question shows."""
_CROP_PIXELS = 1_000_000


class Gathers(Protocol):
    """What gathers evidence for a question, and for searches made on its behalf: a `Gatherer`."""

    def gather(self, query: Query, kinds: Sequence[Kind]) -> Gathered: ...

    def follow(self, query: Query, asked: Query, kinds: Sequence[Kind], withheld: Sequence[Hit] = ()) -> Gathered: ...

    def records(self, query: Query) -> Gathered: ...


class Passages(Protocol):
    """What gives whole passages by id, such as a library."""

    def get(self, ids: Sequence[str]) -> list[Passage]: ...


class LibraryTools:
    """The tools of one question. Use it as a context manager: crops of images are kept in a folder until it closes.

    `parallel` says whether searches may run side by side. An engine in this process has every core already and keeps
    what it read without a lock, so there they take turns; a server is waited for, so there they need not.
    """

    def __init__(self, gatherer: Gathers, library: Passages, *, parallel: bool = False) -> None:
        self._gatherer, self._library = gatherer, library
        self._turn: AbstractContextManager[object] = nullcontext() if parallel else threading.Lock()
        self._withheld: dict[str, Hit] = {}
        self._crops: tempfile.TemporaryDirectory[str] | None = None
        self._cropped = 0
        self.evidence = Evidence(())
        """What the single pass gave, with the budget in words that it had."""

    def first(self, query: Query, kinds: Sequence[Kind], deadline: Deadline) -> Found:  # noqa: ARG002 - always made
        """The single pass; it is made even when the deadline is near, as an answer needs evidence."""
        with self._turn:
            gathered = self._gatherer.gather(query, kinds)
        self.evidence = gathered.evidence
        return self._found(gathered)

    def search(self, query: Query, asked: Search, deadline: Deadline) -> Found:
        """A search for a question: its filters, its domain and its patient hold, whatever is searched for."""
        filters = {**asked.filters, **query.filters}
        other = replace(query, text=asked.text, images=asked.images, options=(), filters=filters)
        return self._follow(query, other, asked.kinds, deadline)

    def timeline(self, query: Query, asked: Timeline, deadline: Deadline) -> Found:
        """The patient's earlier records, as far as the question may see them."""
        self._in_time(deadline)
        with self._turn:
            return self._found(self._gatherer.records(replace(query, region=asked.region or query.region)))

    def closer(self, query: Query, asked: Closer, deadline: Deadline) -> Found:
        """Figures and cases that look like a part of an image. Raises QueryError when the image cannot be cut."""
        self._in_time(deadline)
        other = replace(query, text="", images=(self._crop(asked),), options=())
        return self._follow(query, other, ("figure", "case"), deadline)

    def passages(self, ids: Sequence[str]) -> list[Passage]:
        """Whole passages by id."""
        with self._turn:
            return self._library.get(list(ids))

    def _follow(self, query: Query, other: Query, kinds: Sequence[Kind], deadline: Deadline) -> Found:
        with self._turn:
            self._in_time(deadline)
            gathered = self._gatherer.follow(query, other, kinds, tuple(self._withheld.values()))
        # The events of the single pass say how the question was routed; a follow-up stands in the loop's own events.
        return replace(self._found(gathered), events=())

    def _found(self, gathered: Gathered) -> Found:
        evidence = gathered.evidence
        self._withheld |= {row.hit.passage.id: row.hit for row in evidence.dropped if row.reason in WITHHELD}
        return Found(evidence.hits, evidence.dropped, evidence.notes, gathered.events)

    def _in_time(self, deadline: Deadline) -> None:
        if deadline.passed:
            raise ChatError("the time for this question is over", kind="timeout")

    def _crop(self, asked: Closer) -> Path:
        from rag.generators.vllm_images import data_uri

        uri = data_uri(ImagePart(asked.image, asked.box), _CROP_PIXELS)
        head, _, body = uri.partition(",")
        if self._crops is None:
            self._crops = tempfile.TemporaryDirectory(prefix="vesalius-crop-")
        self._cropped += 1
        suffix = "jpg" if "jpeg" in head else "png"
        path = Path(self._crops.name) / f"crop-{self._cropped}.{suffix}"
        path.write_bytes(base64.b64decode(body))
        return path

    def __enter__(self) -> LibraryTools:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._crops is not None:
            self._crops.cleanup()
