"""R3: awkward PDFs of every kind and mutants of valid pages end in an outcome that has a name."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.awkward_bytes import mutant, valid_pages
from benchmarks.awkward_content import font_bomb
from benchmarks.awkward_kinds import PARTLY, WHOLE, AwkwardFile, awkward_files
from benchmarks.awkward_pdfs import (
    UNCLASSIFIED,
    Outcome,
    children_of,
    chosen,
    classify,
    read,
    read_all,
    table,
    write_all,
)
from indexers.sources.pdf_faults import PdfFault, fault_of, library_reason
from indexers.sources.pdf_process import PdfLimits
from indexers.sources.pdf_starter import shared_starter

LIMITS = PdfLimits(open_seconds=15, survey_seconds=15, page_seconds=15, file_seconds=60)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    folder = tmp_path_factory.mktemp("awkward")
    (folder / "tmp").mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder / "tmp")
    try:
        write_all(folder, seed=100, count=40, light=True)
        found = read_all(chosen(100, 40, light=True), folder, LIMITS, workers=2)
    finally:
        tempfile.tempdir = before
    assert list((folder / "tmp").iterdir()) == []
    assert [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pdf"] == []
    return found


def test_r3_every_file_ends_as_its_kind_may(outcomes: list[Outcome]) -> None:
    assert [(item.kind, item.problems) for item in outcomes if item.problems] == []
    assert len({item.kind for item in outcomes}) > 50
    assert len(outcomes) > 120


def test_r3_no_file_ends_the_reader_and_no_process_is_left(outcomes: list[Outcome]) -> None:
    faults = Counter(fault_of(reason) for item in outcomes for reason in item.reasons)
    assert not {PdfFault.CRASHED, PdfFault.BAD_REPLY, PdfFault.NOT_STARTED, None} & set(faults)
    assert children_of(shared_starter().pid) == []


def test_r3_the_kinds_reach_all_classes_that_need_no_patience(outcomes: list[Outcome]) -> None:
    assert {item.outcome for item in outcomes} >= {
        *(WHOLE, PARTLY, "EMPTY", "NOT_PDF", "CUT_OFF"),
        *("ENCRYPTED", "NO_PAGES", "DAMAGED", "BAD_SIZE", "TOO_LARGE"),
    }


def test_table_counts_every_file(outcomes: list[Outcome]) -> None:
    last = table(outcomes).splitlines()[-1]
    assert last.startswith("| **all** |")
    assert sum(map(int, last.split("|")[2:-1])) == len(outcomes)


def test_mutants_are_the_same_for_the_same_seed_and_differ_from_the_valid_pages() -> None:
    made = [mutant(seed) for seed in range(200)]
    assert made == [mutant(seed) for seed in range(200)]
    assert len(set(made)) > 190
    assert sum(data in valid_pages() for data in made) < 10


def test_every_kind_says_what_may_become_of_it() -> None:
    names = {WHOLE, PARTLY, *(fault.name for fault in PdfFault)}
    for file in awkward_files():
        assert file.right
        assert set(file.right) <= names


@pytest.mark.parametrize("fault", PdfFault)
def test_a_reason_tells_its_class(fault: PdfFault) -> None:
    assert fault_of(fault.because("a detail: 3 of 4")) is fault
    assert fault_of(fault.because("")) is fault
    assert [other for other in PdfFault if fault.value.startswith(other.value)] == [fault]


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (MemoryError(), PdfFault.NO_MEMORY),
        (RuntimeError("code=2: malloc (900000000 bytes) failed"), PdfFault.NO_MEMORY),
        (RuntimeError("code=5: Overly large image"), PdfFault.TOO_LARGE),
        (ValueError("cycle in page tree\nat line 7"), PdfFault.DAMAGED),
        (ValueError("Failed to open file '/home/me/limits/a.pdf' as type pdf."), PdfFault.DAMAGED),
    ],
)
def test_exceptions_of_the_library_have_a_class_and_one_line(error: Exception, fault: PdfFault) -> None:
    reason = library_reason(error)
    assert fault_of(reason) is fault
    assert "\n" not in reason
    assert "/home" not in reason


def test_a_font_bomb_that_needs_more_memory_than_allowed_says_so(tmp_path: Path) -> None:
    status = Path(f"/proc/{shared_starter().pid}/status")
    if not status.exists():
        pytest.skip("needs /proc to know what the libraries take")
    taken = next(int(line.split()[1]) << 10 for line in status.read_text().splitlines() if line.startswith("VmSize"))
    path = tmp_path / "bomb.pdf"
    path.write_bytes(font_bomb(150 << 20))
    limits = PdfLimits(memory_bytes=taken + (64 << 20), survey_seconds=15)
    outcome = read(AwkwardFile("font bomb", bytes, (PdfFault.NO_MEMORY.name, PARTLY)), path, limits)
    assert outcome.problems == ()
    assert fault_of(outcome.reasons[0]) is PdfFault.NO_MEMORY


def test_reasons_of_other_parts_have_no_class() -> None:
    assert fault_of("the text of the scan could not be recognised") is None
    assert classify(indexed=False, reasons=["something"]) == UNCLASSIFIED
    assert classify(indexed=False, reasons=[]) == UNCLASSIFIED
    assert classify(indexed=True, reasons=["something"]) == PARTLY
