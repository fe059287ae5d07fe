"""The child process that reads a PDF: limits, then a loop of requests and replies.

MuPDF is C code with live security reports and files on which it never ends, so it runs here: own session, limits on
memory, processor time and files, an empty environment, nothing written to disk. Requests are JSON lines on standard
input; replies are `frames` on standard output. The parent (`pdf_process`) checks every reply. One child holds one
document. It is forked by `pdf_forkserver`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
from collections.abc import Callable
from typing import Any

from indexers.sources.frames import pack
from indexers.sources.page_content import PageContent, RawPage
from indexers.sources.pdf_faults import library_reason
from indexers.sources.pdf_reader import Reader, Refused

_MAX_CROPS = 24
_PR_SET_NO_NEW_PRIVS = 38
_STACK = 100 << 20
"""Bytes. MuPDF reads outlines by recursion: one of 100,000 levels overflows the usual 8 MiB and ends the process."""


def serve() -> None:
    """Answer the requests on standard input until it ends."""
    send = _private_output()
    reader: Reader | None = None
    for line in open(0, "rb", closefd=False):  # noqa: SIM115 - standard input, which is not closed
        request = json.loads(line)
        _allow(request["cpu"])
        try:
            if request["do"] == "open":
                reader = Reader(request["path"])
                send(pack({"pages": reader.n_pages}))
            elif reader is not None:
                _serve(reader, request, send)
        except Exception as error:  # noqa: BLE001 - a process border: MuPDF raises many types, the parent needs one reply
            send(pack({"error": _reason(error)}))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, Refused) else library_reason(error)


def _serve(reader: Reader, request: dict[str, Any], send: Callable[[bytes], None]) -> None:
    match request["do"]:
        case "use":
            reader.use(request["furniture"], request["entries"])
        case "furniture":
            send(pack({"furniture": reader.furniture()}))
        case "entries":
            send(pack({"entries": reader.entries(scan=request["scan"])}))
        case "page":
            _serve_page(reader, request, send)


def _serve_page(reader: Reader, request: dict[str, Any], send: Callable[[bytes], None]) -> None:
    """The text, or one error; then the pictures, or an error; then, when figures have labels, who speaks of them.

    That comes last because it reads the pages before and after, which may end this process.
    """
    number = request["page"]
    raw, content = reader.content(number)
    labels = [figure.label for figure in content.figures]
    boxes = [figure.box for figure in content.figures if figure.is_picture][:_MAX_CROPS]
    send(pack({"page": number, "cites": any(labels), **_described(raw, content)}))
    try:
        dpi = request["dpi"] if content.content.text else request["scan_dpi"]
        whole, crops = reader.render(number, boxes, dpi)
        send(pack({"page": number}, [whole, *crops]))
    except Exception as error:  # noqa: BLE001 - as in `serve`
        send(pack({"page": number, "error": _reason(error)}))
    if any(labels):
        send(pack({"page": number, "mentions": reader.mentions(number, labels, request["avoid"])}))


def _described(raw: RawPage, content: PageContent) -> dict[str, Any]:
    drawn = 0
    figures = []
    for figure, section in zip(content.figures, content.figure_sections, strict=True):
        is_cropped = figure.is_picture and drawn < _MAX_CROPS
        drawn += figure.is_picture
        figures.append(
            {
                "label": figure.label,
                "box": figure.box,
                "text": figure.content.text,
                "boxes": figure.content.boxes,
                "section": section,
                "cropped": is_cropped,
            }
        )
    return {
        "size": (raw.width, raw.height),
        "text": content.content.text,
        "boxes": content.content.boxes,
        "section": content.section,
        "terms": content.terms,
        "figures": figures,
    }


def _private_output() -> Callable[[bytes], None]:
    """Keep the reply pipe for replies: what a library prints goes nowhere."""
    pipe = os.dup(1)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)

    def send(message: bytes) -> None:
        view = memoryview(message)
        while view:
            view = view[os.write(pipe, view) :]

    return send


def confine(memory: int) -> None:
    """Limits for the rest of this process's life, of its address space to so many bytes.

    A system that lacks one of them keeps the others.
    """
    for kind, amount in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_AS, memory)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (amount, amount))
    with contextlib.suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_STACK)
        resource.setrlimit(resource.RLIMIT_STACK, (_STACK if most == resource.RLIM_INFINITY else most, most))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _allow(seconds: int) -> None:
    """Grant processor time for the next request; the system ends the process when it is used up."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, hard))
