"""Filling pages: text flows, figures float to the next page top when they do not fit, headings keep their text.

Pure: widths come from a measure function, figure shapes as height to width ratios.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.sample.lines import BODY, CAPTION, CHAPTER, PART, SECTION, Style, TextLine, break_lines
from pipelines.sample.manuscript import Block, Figure, Heading, Paragraph, Table
from pipelines.sample.page import BOTTOM, COLUMN, LEFT, RIGHT, TOP, Book, Entry, Mark, Measure, Page, Plate, Rule
from pipelines.sample.tables import set_table

FRONT_PAGES = 2
CHAPTER_NEEDS = 215.0
PART_LATEST = 495.0
ITEM_INDENT = 14.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A figure's printed width in points and its height to width ratio."""

    width: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Group:
    """Marks that stay together, set relative to their own top; `label` is what the text calls them."""

    label: str
    height: float
    marks: tuple[Mark, ...]


@dataclass(slots=True)
class Composer:
    """Fills pages from top to bottom; mutable while it works, its result is a `Book`."""

    measure: Measure
    shapes: Mapping[str, Shape]
    pages: list[Page] = field(default_factory=list)
    y: float = TOP
    waiting: list[Group] = field(default_factory=list)
    outline: list[Entry] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    sections: dict[str, int] = field(default_factory=dict)
    head: str = ""

    def compose(self, blocks: Sequence[Block]) -> Book:
        """The whole book; pages before FRONT_PAGES belong to the title and the contents."""
        self._turn()
        for block in blocks:
            match block:
                case Heading():
                    self._heading(block)
                case Paragraph():
                    self._paragraph(block)
                case Figure():
                    self._offer(self._figure(block))
                case Table():
                    self._offer(self._table(block))
        self._flush()
        return Book(tuple(self.pages), tuple(self.outline), self.labels, self.sections)

    def _turn(self) -> None:
        self.pages.append(Page(FRONT_PAGES + len(self.pages) + 1))
        self.y = TOP
        waiting, self.waiting = self.waiting, []
        for index, group in enumerate(waiting):
            if self.y + group.height > BOTTOM:
                self.waiting = waiting[index:]
                break
            self._place(group)
        if waiting and BOTTOM - self.y < 3 * BODY.leading:
            # One or two lines under a stack of figures look lost: the text goes on overleaf.
            self.y = BOTTOM

    def _flush(self) -> None:
        while self.waiting:
            if self.y + self.waiting[0].height > BOTTOM:
                self._turn()
            else:
                self._place(self.waiting.pop(0))

    def _offer(self, group: Group) -> None:
        if self.waiting or self.y + group.height > BOTTOM:
            self.waiting.append(group)
        else:
            self._place(group)

    def _place(self, group: Group) -> None:
        self.pages[-1].marks += [_moved(mark, self.y) for mark in group.marks]
        self.labels[group.label] = self.pages[-1].number
        self.y += group.height

    def _heading(self, block: Heading) -> None:
        if block.level == "section":
            self._title(block.number + "  " + block.title, SECTION, 3, above=13.0)
            self.sections[block.number] = self.pages[-1].number
            return
        if block.level == "part":
            self._flush()
            while self.y > PART_LATEST:
                self._turn()
            if self.y > TOP:
                self.y += 26.0
                self.pages[-1].marks.append(Rule(LEFT, RIGHT, self.y, 1.2, "accent"))
            self._title(block.title, PART, 1, above=10.0)
            return
        self._flush()
        while self.y + CHAPTER_NEEDS > BOTTOM:
            self._turn()
        self._title(block.number + "  " + block.title, CHAPTER, 2, above=0.0 if self.outline[-1].depth == 1 else 30.0)

    def _title(self, title: str, style: Style, depth: int, above: float) -> None:
        lines = break_lines(title, style, COLUMN, self.measure)
        while self.y + above + len(lines) * style.leading + 3 * BODY.leading > BOTTOM:
            self._turn()
        self.y += above if self.y > TOP else 0.0
        entry = Entry({PART: 1, CHAPTER: 2}.get(style, 3), " ".join(title.split()), self.pages[-1].number, self.y)
        self.outline.append(entry)
        for line in lines:
            self.y += style.leading
            self.pages[-1].marks += line.at(LEFT, self.y - style.leading * 0.28)
        self.y += 9.0 if depth == 2 else 3.0

    def _paragraph(self, block: Paragraph) -> None:
        indent = ITEM_INDENT if block.item else 0.0
        lines = break_lines(block.text, BODY, COLUMN - indent, self.measure)
        for index, line in enumerate(lines):
            while self._breaks_before(index, len(lines)):
                self._turn()
            self.y += BODY.leading
            if block.item and index == 0:
                self.pages[-1].marks += break_lines("\u2022", BODY, COLUMN, self.measure)[0].at(LEFT, self.y - 4.6)
            self.pages[-1].marks += line.at(LEFT + indent, self.y - 4.6)
        self.y += 2.5 if block.item else 6.5

    def _breaks_before(self, index: int, count: int) -> bool:
        """Whether the page ends here: it is full, or a single line would be left behind or carried over."""
        room = int((BOTTOM - self.y) / BODY.leading + 1e-6)
        if room == 0:
            return True
        lonely_start = index == 0 and room == 1 and count > 1
        lonely_end = index == count - 2 and room == 1 and count > 2
        return lonely_start or lonely_end

    def _figure(self, block: Figure) -> Group:
        shape = self.shapes[block.name]
        height = shape.width * shape.ratio
        left = LEFT + (COLUMN - shape.width) / 2
        marks: list[Mark] = [Plate(block.name, (left, 8.0, left + shape.width, 8.0 + height))]
        return self._captioned(block.label, block.caption, marks, 8.0 + height + 5.0)

    def _captioned(self, label: str, caption: str, marks: list[Mark], y: float) -> Group:
        for line in _caption(label, caption, self.measure):
            y += CAPTION.leading
            marks += line.at(LEFT, y - 3.2)
        return Group(label, y + 15.0, tuple(marks))

    def _table(self, block: Table) -> Group:
        marks: list[Mark] = []
        y = 8.0
        for line in _caption(block.label, block.caption, self.measure):
            y += CAPTION.leading
            marks += line.at(LEFT, y - 3.2)
        rows, y = set_table(block.rows, y + 5.0, self.measure)
        marks += [*rows, Rule(LEFT, RIGHT, y, 0.9)]
        return Group(block.label, y + 16.0, tuple(marks))


def _caption(label: str, caption: str, measure: Measure) -> list[TextLine]:
    title, dot, rest = caption.partition(". ")
    return break_lines(f"**{label} {title}.**{' ' if dot else ''}{rest}".replace("..", "."), CAPTION, COLUMN, measure)


def _moved(mark: Mark, down: float) -> Mark:
    if isinstance(mark, Plate):
        left, top, right, bottom = mark.box
        return Plate(mark.name, (left, top + down, right, bottom + down))
    if isinstance(mark, Rule):
        return Rule(mark.x0, mark.x1, mark.y + down, mark.weight, mark.tint)
    return type(mark)(mark.x, mark.y + down, mark.text, mark.face, mark.size, mark.tint)
