"""Breaking text into justified lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.sample.page import Face, Measure, Tint, Word

Run = tuple[str, Face]
EMPHASIS = re.compile(r"(\*\*.+?\*\*|\*.+?\*)")


@dataclass(frozen=True, slots=True)
class Style:
    """How a kind of text is set; `faces` are the plain, the bold and the italic face."""

    size: float
    leading: float
    faces: tuple[Face, Face, Face]
    tint: Tint = "ink"
    justify: bool = True


BODY = Style(11.8, 17.2, ("roman", "bold", "italic"))
CAPTION = Style(8.8, 12.2, ("sans", "sans-bold", "sans"), justify=False)
CELL = Style(9.2, 12.6, ("sans", "sans-bold", "sans"), justify=False)
CHAPTER = Style(21.0, 26.0, ("sans-bold", "sans-bold", "sans-bold"), "accent", justify=False)
SECTION = Style(13.2, 18.0, ("sans-bold", "sans-bold", "sans-bold"), "accent", justify=False)
PART = Style(11.5, 16.0, ("sans-bold", "sans-bold", "sans-bold"), "grey", justify=False)


@dataclass(frozen=True, slots=True)
class TextLine:
    """One set line: words with their offsets from the left edge."""

    words: tuple[tuple[float, str, Face], ...]
    style: Style

    def at(self, x: float, y: float) -> list[Word]:
        """The line's words with its left end at x and its baseline at y."""
        return [Word(x + offset, y, text, face, self.style.size, self.style.tint) for offset, text, face in self.words]


def runs(text: str, style: Style) -> list[Run]:
    """Words with the face their emphasis asks for; a word keeps its following space."""
    plain, bold, italic = style.faces
    words: list[Run] = []
    for piece in EMPHASIS.split(text):
        face = bold if piece.startswith("**") else italic if piece.startswith("*") else plain
        words += [(word, face) for word in re.findall(r"\S+\s*|^\s+", piece.strip("*"))]
    return words


def break_lines(text: str, style: Style, width: float, measure: Measure) -> list[TextLine]:
    """The lines of a paragraph; the last one is never stretched."""
    lines: list[TextLine] = []
    current: list[Run] = []
    filled = 0.0
    for word, face in runs(text, style):
        extent = measure(word.rstrip(), face, style.size)
        # A piece glued to the word before it (a comma after bold text) must stay on its line.
        glued = bool(current) and not current[-1][0].endswith(" ")
        if current and filled + extent > width and not glued:
            lines.append(_set_line(current, style, width, measure))
            current, filled = [], 0.0
        current.append((word, face))
        filled += measure(word, face, style.size)
    if current:
        lines.append(_set_line(current, style, 0.0, measure))
    return lines


def _set_line(words: Sequence[Run], style: Style, width: float, measure: Measure) -> TextLine:
    """Places the words; a width above 0 asks for justification by wider spaces."""
    extents = [measure(word, face, style.size) for word, face in words]
    last, last_face = words[-1]
    extents[-1] = measure(last.rstrip(), last_face, style.size)
    gaps = sum(word.endswith(" ") for word, _ in words[:-1])
    stretch = (width - sum(extents)) / gaps if style.justify and width and gaps else 0.0
    placed, x = [], 0.0
    for (word, face), extent in zip(words, extents, strict=True):
        placed.append((x, word, face))
        x += extent + (stretch if word.endswith(" ") else 0.0)
    return TextLine(tuple(placed), style)
