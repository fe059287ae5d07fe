"""Report corpora: what a record becomes, and which records are refused."""

import json
from pathlib import Path

import pytest
from PIL import Image

from indexers.sources.cases import CaseParser
from indexers.sources.perceptual import image_key
from rag.errors import SourceError
from rag.types import CaseLocator, Passage, Skipped


def parsed(folder: Path, *rows: object, name: str = "records.jsonl") -> tuple[list[Passage], list[Skipped]]:
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    parser = CaseParser()
    units = list(parser.parse(parser.open(folder / name), ()))
    return [p for u in units for p in u.passages], [s for u in units for s in u.skipped]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "chest 胸部"
    folder.mkdir()
    Image.new("L", (20, 20), 50).save(folder / "ö.png")
    return folder


def test_fields_of_a_record(corpus: Path) -> None:
    row = {
        "id": 17, "images": ["ö.png"], "findings": "Clear\r\nlungs.", "impression": "Normal.", "domain": "radiology",
        "labels": ["healthy", "adult"], "patient_id": "p1", "study_id": "s1", "offset_days": -2, "license": "CC0",
    }  # fmt: skip
    (passage,), skipped = parsed(corpus, row)
    assert not skipped
    assert passage.document == "chest 胸部"
    assert passage.text == "Findings: Clear\nlungs.\n\nImpression: Normal."
    assert passage.locator == CaseLocator("17", "p1", "s1", -2.0)
    assert passage.images == (corpus / "ö.png",)
    key = passage.meta["phash"]
    assert passage.meta == {"domain": "radiology", "labels": "healthy; adult", "license": "CC0", "phash": key}
    assert key == image_key(corpus / "ö.png")


def test_title_is_not_repeated_and_dates_count_from_the_first(corpus: Path) -> None:
    passages, skipped = parsed(
        corpus,
        {"id": "a", "title": "Lipoma", "caption": "lipoma, back", "patient_id": "p", "date": "2024-03-05"},
        {"id": "b", "title": "Wrist", "caption": "A fracture.", "patient_id": "p", "date": "2024-03-01T10:00:00"},
        {"id": "c", "report": "Old.", "patient_id": "q", "date": "2007"},
        name="mine.jsonl",
    )
    assert not skipped
    assert [passage.text for passage in passages] == ["lipoma, back", "Wrist\n\nA fracture.", "Old."]
    assert [passage.locator.day for passage in passages] == [4.0, 0.0, None]
    assert passages[0].document == "mine"


def test_one_of_image_and_text_is_enough(corpus: Path) -> None:
    passages, skipped = parsed(corpus, {"id": "a", "image": "ö.png"}, {"id": "b", "report": "text only"})
    assert (len(passages), skipped) == (2, [])


def test_bad_records_are_named_and_the_others_kept(corpus: Path) -> None:
    (corpus / "broken.png").write_bytes(b"\x89PNG junk")
    (corpus / "leak").symlink_to("/etc")
    rows = [
        ({"id": "empty"}, "neither image nor text"),
        ({"id": "up", "image": "../../etc/passwd", "caption": "x"}, "leaves the folder"),
        ({"id": "root", "image": "/etc/passwd", "caption": "x"}, "absolute"),
        ({"id": "link", "image": "leak/hostname", "caption": "x"}, "leads out of|does not exist"),
        ({"id": "gone", "image": "missing.png", "caption": "y"}, "does not exist"),
        ({"id": "broken", "image": "broken.png", "caption": "y"}, "not a PNG|corrupt"),
        ({"id": "good", "caption": "z"}, ""),
        ({"id": "good", "caption": "twice"}, "same id"),
        ({"caption": "nameless"}, "no id"),
        ({"id": "odd", "report": {"a": 1}}, "'report' is not a text"),
        ({"id": "odd image", "image": 3}, "'image'"),
        ({"id": "when", "report": "x", "offset_days": "soon"}, "not a number"),
        ("{broken json", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ("[" * 100_000, "not JSON"),
    ]
    passages, skipped = parsed(corpus, *(row for row, _ in rows))
    assert [passage.text for passage in passages] == ["z"]
    expected = [(line, reason) for line, (_, reason) in enumerate(rows, 1) if reason]
    assert len(skipped) == len(expected)
    for found, (line, reason) in zip(skipped, expected, strict=True):
        assert found.locator.split(" (")[0] == f"line {line}"
        assert any(part in found.reason for part in reason.split("|")), found
    assert skipped[1].locator == "line 2 (up)"


def test_ids_change_with_the_image(corpus: Path) -> None:
    row = {"id": "a", "image": "ö.png", "caption": "x"}
    first = parsed(corpus, row)[0][0].id
    assert parsed(corpus, row)[0][0].id == first
    Image.new("L", (20, 20), 51).save(corpus / "ö.png")
    assert parsed(corpus, row)[0][0].id != first


def test_csv_with_bad_rows(corpus: Path) -> None:
    (corpus / "t.csv").write_bytes("\ufeffid;x\r\n".encode())
    rows = 'id,image,caption\r\na,ö.png,first\r\nb,too,many,cells\r\n\r\nc,,\r\nd,,"two\nlines"\r\n'
    passages, skipped = parsed(corpus, rows, name="set.csv")
    assert [passage.text for passage in passages] == ["first", "two\nlines"]
    assert [(s.locator, s.reason) for s in skipped] == [
        ("line 3", "4 columns where the header has 3"),
        ("line 5 (c)", "the record has neither image nor text"),
    ]


def test_file_without_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text("\n\n")
    with pytest.raises(SourceError, match="no records"):
        CaseParser().open(tmp_path / "records.jsonl")


def owners(folder: Path, *rows: dict[str, object]) -> list[str | None]:
    return [passage.locator.patient for passage in parsed(folder, *rows)[0]]


def test_small_groups_are_patients_where_no_record_names_one(corpus: Path) -> None:
    rows = [{"id": f"r{i}", "report": "x", "group": i // 2, "date": f"2024-01-0{i + 1}"} for i in range(4)]
    passages, _ = parsed(corpus, *rows, {"id": "alone", "report": "x"})
    assert [passage.locator.patient for passage in passages] == ["0", "0", "1", "1", None]
    assert [passage.locator.day for passage in passages] == [0.0, 1.0, 0.0, 1.0, None]


def test_groups_are_no_patients_beside_patient_ids_or_as_arms_of_a_study(corpus: Path) -> None:
    rows = [{"id": f"r{i}", "report": "x", "group": f"g{i}"} for i in range(3)]
    assert owners(corpus, *rows, {"id": "named", "report": "x", "patient_id": "p"}) == [None, None, None, "p"]
    arms = [{"id": f"r{i}", "report": "x", "group": "treated" if i % 2 else "control"} for i in range(30)]
    assert set(owners(corpus, *arms)) == {None}


def test_a_group_that_is_no_name_is_left_out(corpus: Path) -> None:
    assert owners(
        corpus, {"id": "a", "report": "x", "group": {"arm": 1}}, {"id": "b", "report": "x", "group": True}
    ) == [
        None,
        None,
    ]
