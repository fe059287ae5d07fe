"""The handbook's text: chapters in a small Markdown dialect, read into typed blocks.

`% Part`, `# 1 Chapter`, `## 1.1 Section`, `- item`, `![figure-id] Figure 1.1 Title. Caption.`,
`: Table 1.1 Title.` followed by `| cell | cell |` rows; everything else is a paragraph, with `**bold**` and
`*italic*` inside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import Literal

PACKAGE = "pipelines.sample"
FIGURE_LINE = re.compile(r"!\[(?P<name>[\w-]+)\] (?P<label>Figure \d+\.\d+) (?P<caption>.+)")
TABLE_LINE = re.compile(r": (?P<label>Table \d+\.\d+) (?P<caption>.+)")

Level = Literal["part", "chapter", "section"]


@dataclass(frozen=True, slots=True)
class Heading:
    """A title in the text; `number` is empty for a part."""

    level: Level
    number: str
    title: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text; `item` marks a list entry."""

    text: str
    item: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure by its name in figures.jsonl, with its printed label and caption."""

    name: str
    label: str
    caption: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first row is its head."""

    label: str
    caption: str
    rows: tuple[tuple[str, ...], ...]


Block = Heading | Paragraph | Figure | Table


def chapters() -> list[Block]:
    """All blocks of the handbook, in reading order (file names are ordered)."""
    folder = resources.files(PACKAGE) / "handbook"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".md")), key=lambda item: item.name)
    return [block for file in files for block in parse(file.read_text(encoding="utf-8"))]


def parse(text: str) -> list[Block]:
    """The blocks of one chapter file; blocks are separated by empty lines."""
    return [block for chunk in re.split(r"\n\s*\n", text.strip()) for block in _blocks(chunk.strip().splitlines())]


def _blocks(lines: list[str]) -> list[Block]:
    first = lines[0]
    if match := TABLE_LINE.match(first):
        rows = tuple(tuple(cell.strip() for cell in line.strip("| ").split("|")) for line in lines[1:])
        return [Table(match["label"], match["caption"], rows)]
    if first.startswith("- "):
        return [Paragraph(line[2:], item=True) for line in lines]
    joined = " ".join(line.strip() for line in lines)
    if match := FIGURE_LINE.match(joined):
        return [Figure(match["name"], match["label"], match["caption"])]
    if first.startswith("% "):
        return [Heading("part", "", joined[2:])]
    if first.startswith("#"):
        mark, number, title = joined.split(" ", 2)
        return [Heading("chapter" if mark == "#" else "section", number, title)]
    return [Paragraph(joined)]
