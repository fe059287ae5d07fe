"""Which files a folder or a path stands for."""

from pathlib import Path

import pytest

from indexers.sources.discovery import discover
from rag.errors import UsageError


@pytest.fixture
def mess(tmp_path: Path) -> Path:
    for name in [
        "b.pdf", "a.PDF", "sub/ä.pdf", "scan.png", ".hidden.pdf", ".cache/x.pdf", "records.jsonl", "sub/records.csv",
        "other.csv", "facts.tsv", "tree.obo.gz", "t.tsv.gz", "notes.txt",
    ]:  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def names(folder: Path, found: tuple[Path, ...]) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in found]


def test_a_folder_gives_only_files_of_the_source(mess: Path) -> None:
    assert names(mess, discover([mess], "pages").files) == ["a.PDF", "b.pdf", "scan.png", "sub/ä.pdf"]
    assert names(mess, discover([mess], "cases").files) == ["records.jsonl", "sub/records.csv"]
    assert names(mess, discover([mess], "facts").files) == [
        "facts.tsv", "other.csv", "t.tsv.gz", "tree.obo.gz",
    ]  # fmt: skip


def test_a_folder_with_dicom_files_is_one_source_beside_its_records(mess: Path) -> None:
    (mess / "sub" / "1.2.840.7").write_bytes(bytes(128) + b"DICM")
    (mess / "sub" / "x.dcm").write_bytes(b"anything")
    (mess / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert names(mess, discover([mess], "cases").files) == [".", "records.jsonl", "sub/records.csv"]
    assert names(mess, discover([mess / "sub" / "x.dcm"], "cases").files) == ["sub/x.dcm"]
    assert names(mess, discover([mess / "sub" / "1.2.840.7"], "cases").files) == ["sub/1.2.840.7"]
    assert discover([mess / "DICOMDIR"], "cases").files == ()
    assert "sub/x.dcm" not in names(mess, discover([mess], "pages").files)


def test_a_file_given_twice_counts_once(mess: Path) -> None:
    assert names(mess, discover([mess / "b.pdf", mess], "pages").files)[0] == "b.pdf"
    assert len(discover([mess / "b.pdf", mess], "pages").files) == 4


def test_a_named_file_of_another_kind_and_an_empty_folder_are_reported(mess: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = discover([mess / "notes.txt", tmp_path / "empty"], "pages")
    assert found.files == ()
    assert [Path(skipped.path).name for skipped in found.skipped] == ["notes.txt", "empty"]
    assert all(".pdf" in skipped.reason for skipped in found.skipped)


def test_a_missing_path_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        discover([tmp_path / "nowhere"], "pages")
