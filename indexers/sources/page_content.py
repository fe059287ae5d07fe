"""What is kept of one page: its text with word boxes, its section, and its figures. Pure: works on extracted lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from indexers.sources.page_figures import Figure, body_size, find_figures
from indexers.sources.page_furniture import Slot, drop_furniture
from indexers.sources.page_lines import Line, PageText, Rect, attach_markers, bold_terms, page_text
from indexers.sources.page_regions import find_regions
from indexers.sources.page_sections import Sections


@dataclass(frozen=True, slots=True)
class RawPage:
    """A page as extracted: number from 1, width and height in points, lines in reading order, image and path boxes."""

    number: int
    width: float
    height: float
    lines: tuple[Line, ...]
    images: tuple[Rect, ...] = ()
    paths: tuple[Rect, ...] = ()


@dataclass(frozen=True, slots=True)
class PageContent:
    """The kept content of a page. `figure_sections` holds one section path per figure, `terms` the bold terms."""

    content: PageText
    section: tuple[str, ...]
    figures: tuple[Figure, ...]
    figure_sections: tuple[tuple[str, ...], ...]
    terms: tuple[str, ...] = ()


def page_content(raw: RawPage, furniture: frozenset[Slot], sections: Sections) -> PageContent:
    """Drop running lines, join the rest into text, and pair pictures with their captions."""
    lines = attach_markers(drop_furniture(raw.lines, raw.height, furniture))
    regions = find_regions(raw.images, raw.paths, lines, (0.0, 0.0, raw.width, raw.height))
    figures = find_figures(lines, regions)
    return PageContent(
        page_text(lines),
        sections.of_page(raw.number, lines),
        tuple(figures),
        tuple(sections.at(raw.number, figure.box[1]) for figure in figures),
        bold_terms(lines, body_size(lines)),
    )


def body_lines(raw: RawPage, furniture: frozenset[Slot]) -> Sequence[Line]:
    """The lines of a page without its running lines."""
    return drop_furniture(raw.lines, raw.height, furniture)
