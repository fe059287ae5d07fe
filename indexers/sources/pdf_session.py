"""Reads the pages of one PDF through child processes, and goes on with a new child when one dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from indexers.sources.pdf_faults import PdfFault
from indexers.sources.pdf_process import ChildFailed, PdfLimits, PdfProcess, ReaderLost
from rag.errors import SourceError

_AHEAD = 4
_MAX_PAGES = 100_000
_MAX_FAILURES = 8
"""Children that may die one after the other before the rest of the file is given up."""


@dataclass(frozen=True, slots=True)
class PageReply:
    """What the child said about a page.

    `header` is None when its text could not be read, `blobs` is empty when it could not be drawn; then `stage` and
    `reason` say why. `mentions` has the sentences that speak of its figures, by figure; it may be empty.
    """

    number: int
    header: dict[str, Any] | None
    blobs: tuple[bytes, ...] = ()
    stage: str = ""
    reason: str = ""
    mentions: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class PdfSession:
    """One document being read. Use as a context manager; leaving it ends the child."""

    path: Path
    limits: PdfLimits
    dpi: float
    scan_dpi: float
    n_pages: int = 0
    _child: PdfProcess | None = None
    _survey: dict[str, Any] | None = None
    _waited: float = field(default=0.0)
    _bad: set[int] = field(default_factory=set)

    def __enter__(self) -> PdfSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        self._drop()

    def open(self) -> int:
        """Start a child on the document; returns the number of pages. Raises SourceError when it cannot be opened."""
        self._opened()
        return self.n_pages

    def pages(self, numbers: Iterable[int]) -> Iterator[PageReply]:
        """One reply per page, in order. The child works some pages ahead of the consumer.

        Raises SourceError when one child after the other dies, or the file as a whole takes too long.
        """
        waiting, asked = deque(numbers), deque[int]()
        failures = 0
        while waiting or asked:
            child = self._ready()
            while waiting and len(asked) < _AHEAD and self._request(child, waiting[0]):
                asked.append(waiting.popleft())
            page = asked.popleft() if asked else waiting.popleft()
            reply, alive = self._reply(child, page)
            if not alive:
                self._drop()
                waiting.extendleft(reversed(asked))
                asked.clear()
            failures = 0 if alive else failures + 1
            if reply is None:
                waiting.appendleft(page)
            else:
                yield reply
            self._check(failures, page)

    def _ready(self) -> PdfProcess:
        """A child that has the document open and knows what was learned about it."""
        fresh = self._child is None
        child = self._opened()
        if self._survey is None:
            furniture = self._learn({"do": "furniture"})
            # A document on which looking at a sample of pages failed is not looked through for headings.
            entries = self._learn({"do": "entries", "scan": furniture is not None})
            self._survey = {"furniture": furniture or [], "entries": entries or []}
            fresh = True
            child = self._opened()
        if fresh:
            child.send({"do": "use", **self._survey}, self.limits.open_seconds)
        return child

    def _learn(self, request: dict[str, Any]) -> list[Any] | None:
        """A fact about the whole document; None when it cannot be learned, and the document is read without it."""
        child = self._opened()
        try:
            found = self._ask(child, request, self.limits.survey_seconds).get(request["do"])
        except SourceError:
            return None
        return found if isinstance(found, list) else None

    def _request(self, child: PdfProcess, page: int) -> bool:
        # A page that ended a child is not looked at again for what it says about its neighbours' figures.
        avoid = [near for near in (page - 1, page + 1) if near in self._bad]
        request = {"do": "page", "page": page, "dpi": self.dpi, "scan_dpi": self.scan_dpi, "avoid": avoid}
        return child.send(request, self.limits.page_seconds)

    def _reply(self, child: PdfProcess, page: int) -> tuple[PageReply | None, bool]:
        """What `pdf_child` sends of a page, None when that must be asked again, and whether the child lives."""
        header = None
        try:
            first = child.receive(self.limits.page_seconds)
            if "error" in first.header:
                return PageReply(page, None, (), "parse", str(first.header["error"])), True
            header = first.header
            second = child.receive(self.limits.page_seconds)
        except ReaderLost:
            return None, False
        except ChildFailed as error:
            self._bad.add(page)
            return PageReply(page, header, (), "render" if header else "parse", str(error)), False
        reason = str(second.header.get("error", ""))
        mentions, alive = self._mentions(child) if header.get("cites") is True else ([], True)
        return PageReply(page, header, second.blobs, "render" if reason else "", reason, mentions), alive

    def _mentions(self, child: PdfProcess) -> tuple[list[Any], bool]:
        try:
            found = child.receive(self.limits.page_seconds).header.get("mentions")
        except ChildFailed:
            return [], False
        return found if isinstance(found, list) else [], True

    def _opened(self) -> PdfProcess:
        if self._child is None:
            try:
                child = self._child = PdfProcess(self.limits.memory_bytes)
            except ChildFailed as error:
                raise SourceError(str(error), stage="open") from error
            request = {"do": "open", "path": str(self.path.absolute())}
            self.n_pages = _page_count(self._ask(child, request, self.limits.open_seconds).get("pages"))
        return self._child

    def _ask(self, child: PdfProcess, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        try:
            frame = child.ask(request, seconds)
        except ChildFailed as error:
            self._drop()
            raise SourceError(str(error), stage="open") from error
        if "error" in frame.header:
            if request["do"] == "open":
                self._drop()
            raise SourceError(str(frame.header["error"]), stage="open")
        return frame.header

    def _drop(self) -> None:
        if self._child is not None:
            self._waited += self._child.seconds_waited
            self._child.stop()
            self._child = None

    def _check(self, failures: int, page: int) -> None:
        waited = self._waited + (self._child.seconds_waited if self._child else 0.0)
        rest = f"pages {page + 1}-{self.n_pages}"
        if failures >= _MAX_FAILURES:
            reason = PdfFault.GIVEN_UP.because(f"the PDF reader failed on {failures} pages in a row")
            raise SourceError(reason, stage="parse", locator=rest)
        if waited > self.limits.file_seconds:
            reason = PdfFault.GIVEN_UP.because(f"the file took more than {self.limits.file_seconds:g} s")
            raise SourceError(reason, stage="parse", locator=rest)


def _page_count(said: object) -> int:
    if not isinstance(said, int) or said < 1:
        raise SourceError(PdfFault.BAD_REPLY.because("it counts no pages"), stage="open")
    if said > _MAX_PAGES:
        raise SourceError(PdfFault.TOO_LARGE.because(f"{said} pages, and {_MAX_PAGES} are read"), stage="open")
    return said
