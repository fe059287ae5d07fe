"""The gold questions: pages are found from anchors in the laid-out book, never typed by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance

from pipelines.sample.manuscript import PACKAGE
from pipelines.sample.page import Book
from pipelines.sample.records import COMPRESSION

LABEL = re.compile(r"(Figure|Table) \d+\.\d+")
BOOK = "handbook"


class AnchorError(LookupError):
    """An anchor phrase that is not on exactly one page of the book."""


def page_of(anchor: str, book: Book) -> int:
    """The page that carries a figure or table label, or the only page with a phrase of the text.

    Raises:
        AnchorError: if the phrase is on no page or on several.
    """
    if LABEL.fullmatch(anchor):
        return book.labels[anchor]
    pages = [page.number for page in book.pages if anchor in page.text()]
    if len(pages) != 1:
        raise AnchorError(f"the anchor {anchor!r} is on pages {pages}; choose a phrase that one page holds alone")
    return pages[0]


def write_questions(folder: Path, cases: Path, book: Book) -> None:
    """Writes the four question files and the altered images of the image queries."""
    (folder / "images").mkdir(parents=True)
    for name in ("pages", "cases", "facts", "choice"):
        rows = [_resolved(row, folder, cases, book) for row in _planned(name)]
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / f"{name}.jsonl").write_text(text + "\n", encoding="utf-8")


def _planned(name: str) -> list[dict[str, Any]]:
    text = (resources.files(PACKAGE) / "questions" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _resolved(row: Mapping[str, Any], folder: Path, cases: Path, book: Book) -> dict[str, Any]:
    """The row with its anchor or case turned into gold, and with its image where it asks for one."""
    kept = {key: value for key, value in row.items() if key not in ("anchor", "case", "change")}
    if "anchor" in row:
        kept["gold"] = [{"source": "page", "book": BOOK, "page": page_of(row["anchor"], book)}]
    if "case" in row:
        kept["gold"] = [{"source": "report", "id": row["case"]}]
        if "change" in row or "options" in row:
            kept["image"] = f"images/{row['id']}.png"
            with Image.open(cases / "images" / f"{row['case']}.png") as image:
                altered(image, row.get("change", "resize")).save(folder / kept["image"], compress_level=COMPRESSION)
    return kept


def altered(image: Image.Image, change: str) -> Image.Image:
    """The same picture as another camera might give it: cropped, resized or with other contrast."""
    width, height = image.size
    match change:
        case "crop":
            return image.crop((round(width * 0.06), round(height * 0.05), round(width * 0.96), round(height * 0.95)))
        case "resize":
            return image.resize((256, 256), Image.Resampling.LANCZOS)
        case "contrast":
            return ImageEnhance.Brightness(ImageEnhance.Contrast(image).enhance(1.25)).enhance(0.93)
        case _:
            raise ValueError(f"unknown change {change!r}; known are crop, resize and contrast")
