"""Processes that read PDFs: forked, confined, ended, and used from several threads at once."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymupdf
import pytest

from indexers.sources.frames import pack
from indexers.sources.pdf import PdfParser
from indexers.sources.pdf_faults import PdfFault, fault_of
from indexers.sources.pdf_process import ChildFailed, PdfLimits, PdfProcess
from indexers.sources.pdf_session import PdfSession
from indexers.sources.pdf_starter import Starter, shared_starter
from rag.errors import SourceError

MEMORY = 2 << 30
ROOT = Path(__file__).parents[2]


def book(path: Path, pages: int = 2) -> Path:
    document = pymupdf.open()
    for number in range(1, pages + 1):
        document.new_page().insert_text((72, 100), f"This is page {number} of {path.stem}.")
    document.save(path)
    return path


def texts(path: Path) -> list[str]:
    parser = PdfParser(path.parent / "images")
    return [passage.text for unit in parser.parse(parser.open(path), ()) for passage in unit.passages]


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie without a parent to wait for it counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_parsers_in_several_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    paths = [book(tmp_path / f"book{number}.pdf", pages=4) for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(texts, paths))
    assert found == [[f"This is page {page} of {path.stem}." for page in range(1, 5)] for path in paths]


def test_one_document_read_by_several_parsers_at_once(tmp_path: Path) -> None:
    path = book(tmp_path / "atlas.pdf", pages=6)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(texts, [path] * 8))
    assert found == [[f"This is page {page} of atlas." for page in range(1, 7)]] * 8


def test_children_hold_only_their_own_pipes(tmp_path: Path) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc")
    with (
        PdfSession(book(tmp_path / "a.pdf"), PdfLimits(), 72, 72) as first,
        PdfSession(book(tmp_path / "b.pdf"), PdfLimits(), 72, 72) as second,
    ):
        first.open()
        second.open()
        pipes = []
        for session in (first, second):
            files = [str(link.readlink()) for link in Path(f"/proc/{session._child.pid}/fd").iterdir()]
            pipes.append({name for name in files if name.startswith("pipe:")})
            assert not any(name.startswith("socket:") for name in files)
        assert [len(found) for found in pipes] == [2, 2]
        assert not pipes[0] & pipes[1]


@pytest.mark.parametrize("noticed", ["when sending", "when waiting"])
def test_a_dead_server_is_replaced_and_its_children_end(noticed: str, tmp_path: Path) -> None:
    path = book(tmp_path / "atlas.pdf")
    with PdfSession(path, PdfLimits(), 72, 72) as session:
        session.open()
        server, child = shared_starter().pid, session._child.pid
        os.kill(server, signal.SIGKILL)
        while noticed == "when sending" and not gone(server):
            time.sleep(0.01)
        assert texts(path) == ["This is page 1 of atlas.", "This is page 2 of atlas."]
        assert shared_starter().pid != server
        deadline = time.monotonic() + 10
        while not gone(child) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert gone(child)


def test_a_page_is_asked_again_when_the_reader_ended_with_its_server(tmp_path: Path) -> None:
    with PdfSession(book(tmp_path / "atlas.pdf", pages=9), PdfLimits(), 72, 72) as session:
        replies = []
        for reply in session.pages(range(1, session.open() + 1)):
            replies.append(reply)
            if reply.number in (2, 6):
                os.kill(shared_starter().pid, signal.SIGKILL)
    assert [reply.number for reply in replies] == list(range(1, 10))
    assert [reply.reason for reply in replies] == [""] * 9


def test_what_cannot_be_started_is_one_clear_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = book(tmp_path / "atlas.pdf")

    def no_more(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe", no_more)
    with pytest.raises(SourceError) as caught:
        PdfParser(tmp_path).open(path)
    assert fault_of(caught.value.reason) is PdfFault.NOT_STARTED
    monkeypatch.undo()
    assert len(texts(path)) == 2


def test_a_child_that_does_not_listen_holds_nobody_up() -> None:
    child = PdfProcess(MEMORY)
    os.kill(child.pid, signal.SIGSTOP)
    started = time.monotonic()
    assert not child.send({"do": "use", "furniture": [], "entries": ["x" * 400_000]}, 0.3)
    with pytest.raises(ChildFailed, match=r"more than 0\.2 s") as caught:
        child.receive(0.2)
    assert time.monotonic() - started < 5
    assert fault_of(str(caught.value)) is PdfFault.TIMED_OUT
    assert gone(child.pid)
    with pytest.raises(ChildFailed):
        child.receive(0.2)
    assert child.stop() is None


@pytest.mark.parametrize(
    "said", [{"pages": "many"}, {"pages": 0}, {}, {"pages": 10**9}], ids=["words", "none", "nothing", "endless"]
)
def test_a_page_count_that_cannot_be_is_refused(said: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = iter([pack(said)])
    monkeypatch.setattr(PdfProcess, "_fill", lambda self, *_: self._buffer.extend(next(frames)))
    with pytest.raises(SourceError) as caught:
        PdfParser(tmp_path).open(book(tmp_path / "atlas.pdf"))
    assert fault_of(caught.value.reason) in {PdfFault.BAD_REPLY, PdfFault.TOO_LARGE}


def test_a_header_that_is_nested_without_end_is_a_bad_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    child = PdfProcess(MEMORY)
    bomb = b"[" * 200_000
    monkeypatch.setattr(PdfProcess, "_fill", lambda self, *_: self._buffer.extend(len(bomb).to_bytes(4, "big") + bomb))
    with pytest.raises(ChildFailed) as caught:
        child.receive(1)
    assert fault_of(str(caught.value)) is PdfFault.BAD_REPLY
    assert gone(child.pid)


def test_exit_codes_and_memory_of_children_are_known() -> None:
    starter = Starter()
    try:
        for code in (signal.SIGTERM, signal.SIGSEGV):
            started = starter.start(MEMORY)
            os.kill(started.pid, code)
            os.close(started.requests)
            while not gone(started.pid):
                time.sleep(0.01)
            os.close(started.replies)
            assert starter.end(started.pid) == -code
        assert starter.end(os.getpid()) is None
        assert starter.peak_bytes > 10 << 20
    finally:
        starter.close()


def _texts_in_fork(path: Path, results: object) -> None:
    results.put((shared_starter().pid, texts(path)))


def test_a_fork_of_this_process_gets_a_server_of_its_own(tmp_path: Path) -> None:
    path = book(tmp_path / "atlas.pdf")
    own = shared_starter().pid
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    worker = context.Process(target=_texts_in_fork, args=(path, results))
    worker.start()
    server, found = results.get()
    worker.join()
    assert server != own
    assert found == texts(path) == ["This is page 1 of atlas.", "This is page 2 of atlas."]
    assert shared_starter().pid == own


def test_nothing_is_left_when_the_parent_is_killed(tmp_path: Path) -> None:
    path = book(tmp_path / "atlas.pdf")
    code = (
        "import json, sys, time\n"
        "from pathlib import Path\n"
        "from indexers.sources.pdf_process import PdfLimits\n"
        "from indexers.sources.pdf_session import PdfSession\n"
        "from indexers.sources.pdf_starter import shared_starter\n"
        "session = PdfSession(Path(sys.argv[1]), PdfLimits(), 72, 72)\n"
        "session.open()\n"
        "print(json.dumps([shared_starter().pid, session._child.pid]), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as parent:
        assert parent.stdout is not None
        server, child = json.loads(parent.stdout.readline())
        assert not gone(server)
        assert not gone(child)
        parent.kill()
    deadline = time.monotonic() + 10
    while not (gone(server) and gone(child)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gone(server)
    assert gone(child)
