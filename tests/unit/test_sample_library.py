"""The sample library is complete, consistent with itself and the same on every run."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.sample.build import STAMP, SampleSources, write_sample
from pipelines.sample.figures import draw, spread
from pipelines.sample.manuscript import Figure, Paragraph, Table, chapters, parse
from pipelines.sample.records import planned
from pipelines.sample.scene import Finding, Scene
from pipelines.sample.triples import HEADER, RELATIONS

pymupdf = pytest.importorskip("pymupdf")

SIDED = {"pneumothorax", "effusion", "consolidation", "nodule", "cavity"}


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="session")
def library(sample: SampleSources) -> SampleSources:
    return sample


@pytest.fixture(scope="session")
def page_texts(library: SampleSources) -> list[str]:
    with pymupdf.open(library.handbook) as document:
        return [" ".join(page.get_text().split()) for page in document]


def test_every_source_exists(library: SampleSources) -> None:
    assert library.handbook.is_file()
    assert library.cases.is_file()
    assert library.facts.is_file()
    names = {path.name for path in library.queries.glob("*.jsonl")}
    assert names == {"pages.jsonl", "cases.jsonl", "facts.jsonl", "choice.jsonl"}


def test_handbook_has_the_promised_size(library: SampleSources, page_texts: list[str]) -> None:
    blocks = chapters()
    assert len(page_texts) >= 26
    assert sum(isinstance(block, Figure) for block in blocks) >= 14
    assert sum(isinstance(block, Table) for block in blocks) >= 2
    with pymupdf.open(library.handbook) as document:
        outline = document.get_toc()
        assert {depth for depth, _, _ in outline} == {1, 2, 3}
        assert all(1 <= page <= document.page_count for _, _, page in outline)


def test_running_head_opens_every_page_after_the_title(page_texts: list[str]) -> None:
    for number, text in enumerate(page_texts[1:], start=2):
        assert text.startswith(f"The Vesalius Sample Handbook {number} ")


def test_outline_entries_are_printed_on_their_page(library: SampleSources, page_texts: list[str]) -> None:
    with pymupdf.open(library.handbook) as document:
        for _, title, page in document.get_toc():
            assert title in page_texts[page - 1]


def test_no_text_leaves_the_column(library: SampleSources) -> None:
    with pymupdf.open(library.handbook) as document:
        for page in document:
            lines = [
                (line["bbox"], span["size"])
                for block in page.get_text("dict")["blocks"]
                for line in block.get("lines", ())
                for span in line["spans"][:1]
            ]
            assert all(box[0] >= 90 and box[2] <= 506 and box[3] <= 778 for box, _ in lines)


def test_defined_terms_are_bold(library: SampleSources) -> None:
    with pymupdf.open(library.handbook) as document:
        bold = {
            span["text"].strip()
            for page in document
            for block in page.get_text("dict")["blocks"]
            for line in block.get("lines", ())
            for span in line["spans"]
            if span["flags"] & pymupdf.TEXT_FONT_BOLD
        }
    assert {"silhouette sign", "Consolidation", "granuloma", "Drusen"} <= bold


def test_every_figure_is_drawn_once_above_its_caption(library: SampleSources) -> None:
    labels = [block.label for block in chapters() if isinstance(block, Figure)]
    assert len(set(labels)) == len(labels)
    with pymupdf.open(library.handbook) as document:
        captions = [
            match[0]
            for page in document
            for line in page.get_text().splitlines()
            if (match := re.match(r"Figure \d+\.\d+ (?=[A-Z])", line))
        ]
    assert sorted(caption.strip() for caption in captions) == sorted(labels)


def test_text_mentions_only_figures_and_tables_that_exist() -> None:
    blocks = chapters()
    known = {block.label for block in blocks if isinstance(block, Figure | Table)}
    running = " ".join(block.text for block in blocks if isinstance(block, Paragraph))
    assert set(re.findall(r"(?:Figure|Table) \d+\.\d+", running)) <= known


def test_page_gold_holds_the_anchor(library: SampleSources, page_texts: list[str]) -> None:
    from pipelines.sample.gold import _planned

    for name in ("pages", "choice"):
        anchors = {row["id"]: row.get("anchor", "") for row in _planned(name)}
        for row in rows_of(library.queries / f"{name}.jsonl"):
            for gold in row["gold"]:
                if gold["source"] == "page":
                    assert gold["book"] == library.handbook.stem
                    assert anchors[row["id"]] in page_texts[gold["page"] - 1]


def test_gold_refers_to_what_exists(library: SampleSources) -> None:
    records = {row["id"]: row for row in rows_of(library.cases)}
    with library.facts.open(encoding="utf-8") as stream:
        facts = {(row["head"], row["relation"], row["tail"]) for row in csv.DictReader(stream, delimiter="\t")}
    seen: set[str] = set()
    for path in sorted(library.queries.glob("*.jsonl")):
        for row in rows_of(path):
            assert row["id"] not in seen
            seen.add(row["id"])
            assert row["gold"]
            assert "image" not in row or (path.parent / row["image"]).is_file()
            for gold in row["gold"]:
                if gold["source"] == "report":
                    assert gold["id"] in records
                if gold["source"] == "fact":
                    assert tuple(gold["fact"]) in facts


def test_question_sets_have_the_promised_sizes(library: SampleSources) -> None:
    sizes = {path.stem: len(rows_of(path)) for path in library.queries.glob("*.jsonl")}
    assert sizes["pages"] >= 40
    assert sizes["cases"] >= 20
    assert sizes["facts"] >= 15
    assert sizes["choice"] >= 20


def test_page_questions_are_not_sentences_of_the_book(library: SampleSources, page_texts: list[str]) -> None:
    whole = " ".join(page_texts)
    assert all(row["text"].rstrip("?") not in whole for row in rows_of(library.queries / "pages.jsonl"))


def test_choices_are_balanced_letters(library: SampleSources) -> None:
    answers = [row["answer"] for row in rows_of(library.queries / "choice.jsonl")]
    assert set(answers) == set("ABCD")
    assert max(answers.count(letter) for letter in "ABCD") <= len(answers) / 2
    assert all(len(set(row["options"])) == 4 for row in rows_of(library.queries / "choice.jsonl"))


def test_records_have_image_or_report(library: SampleSources) -> None:
    records = rows_of(library.cases)
    assert len(records) >= 48
    assert len({row["id"] for row in records}) == len(records)
    assert 2 <= sum("image" not in row for row in records) <= 3
    assert sum("report" not in row for row in records) == 2
    for row in records:
        if "image" in row:
            with Image.open(library.cases.parent / row["image"]) as image:
                assert image.size == (384, 384)


def test_several_patients_return(library: SampleSources) -> None:
    days: dict[str, set[int]] = {}
    for row in rows_of(library.cases):
        days.setdefault(row["patient_id"], set()).add(row["offset_days"])
    assert sum(len(each) > 1 for each in days.values()) >= 5


@pytest.mark.parametrize(
    "plan", [plan for plan in planned() if "scene" in plan and "report" in plan], ids=lambda p: p["id"]
)
def test_report_names_the_side_that_is_drawn(plan: dict[str, Any]) -> None:
    report = plan["report"].lower()
    for item in plan["scene"].get("findings", ()):
        if item["name"] in SIDED and item.get("side"):
            assert item["side"] in report or "bilateral" in report
        if item["name"] in SIDED and item["name"] != "nodule":
            other = "left" if item.get("side") == "right" else "right"
            assert f"{other}-sided" not in report
            assert f"{other} {item['name']}" not in report
    if plan["scene"]["kind"] == "fundus":
        assert report.startswith(f"findings: {plan['scene']['side']} eye")
        assert plan["view"] == f"{plan['scene']['side']} eye"


@pytest.mark.parametrize("name", ["effusion", "pneumothorax"])
def test_right_of_the_patient_is_left_of_the_image(name: str) -> None:
    def halves(side: str) -> tuple[float, float]:
        plain = draw(Scene("chest", 5), 128)
        sick = draw(Scene("chest", 5, (Finding(name, side, size=0.6),)), 128)
        changed = [abs(a - b) for a, b in zip(plain.tobytes(), sick.tobytes(), strict=True)]
        left = sum(value for index, value in enumerate(changed) if index % 128 < 64)
        return left, sum(changed) - left

    left, right = halves("right")
    assert left > 3 * right
    left, right = halves("left")
    assert right > 3 * left


@pytest.mark.parametrize(("side", "brighter"), [("right", "right"), ("left", "left")])
def test_disc_lies_on_the_nasal_side(side: str, brighter: str) -> None:
    image = draw(Scene("fundus", 4, side=side), 128).convert("L")
    places = {"left": image.crop((34, 52, 52, 72)), "right": image.crop((76, 52, 94, 72))}
    peak = {half: max(crop.tobytes()) for half, crop in places.items()}
    assert max(peak, key=lambda half: peak[half]) == brighter


def test_triples_are_well_formed(library: SampleSources) -> None:
    with library.facts.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert tuple(rows[0]) == HEADER
    assert len(rows) >= 400
    assert len(RELATIONS) <= 15
    assert {row["relation"] for row in rows} == RELATIONS
    assert len({(row["head"], row["relation"], row["tail"]) for row in rows}) == len(rows)
    assert all(value and value == value.strip() for row in rows for value in row.values())
    assert {row["polarity"] for row in rows} == {"present", "absent"}


@pytest.mark.slow
def test_second_call_changes_nothing_and_a_half_library_is_redone(library: SampleSources, tmp_path: Path) -> None:
    folder = library.handbook.parent
    before = library.handbook.stat().st_mtime_ns
    assert write_sample(folder) == library
    assert library.handbook.stat().st_mtime_ns == before
    half = tmp_path / "again"
    (half / "cases").mkdir(parents=True)
    write_sample(half)
    assert (half / STAMP).is_file()
    assert digests(half) == digests(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(FileExistsError, match="thesis"):
        write_sample(tmp_path)
    assert (tmp_path / "thesis.txt").is_file()


def test_manuscript_blocks_are_read_by_kind() -> None:
    blocks = parse("Plain **bold** text\ncontinued.\n\n- one\n- two\n\n![x] Figure 1.1 A title. A caption.")
    assert [type(block).__name__ for block in blocks] == ["Paragraph", "Paragraph", "Paragraph", "Figure"]
    assert blocks[0] == Paragraph("Plain **bold** text continued.")


def test_labels_keep_their_distance() -> None:
    heights = spread([5, 6, 7, 99], 10, 100)
    assert all(later - earlier >= 10 for earlier, later in pairwise(heights))
    assert heights[-1] <= 95
