"""One card per cited source: the page with the quoted lines marked, the case with its report, or the fact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pipelines.inline_images import data_uri
from rag.grounding.quotes import locate
from rag.types import Box, Citation, FactLocator, Passage


@dataclass(frozen=True, slots=True)
class PageImage:
    """A rendered page and the size of that page in points, which scales the boxes onto it."""

    path: Path
    width_pt: float
    height_pt: float


PageImages = Callable[[Passage], PageImage | None]
"""Finds the image of the page that a page or figure passage stands on; None when there is none."""


def source_card(citations: Sequence[Citation], page_images: PageImages) -> str:
    """The card of one passage with all its citations. Every text is escaped."""
    passage = citations[0].passage
    if passage.kind == "fact":
        body = _fact(passage) + _quotes(citations, with_text=False)
    elif passage.kind == "case":
        body = _quotes(citations, with_text=False) + _case(passage, citations)
    else:
        body = _quotes(citations, with_text=True) + _sheet(citations, page_images(passage))
    return f'<article class="source">\n{_heading(passage)}\n{body}\n</article>'


def _heading(passage: Passage) -> str:
    place = {
        "page": f"page {passage.page}",
        "figure": f"figure on page {passage.page}",
        "case": f"case {passage.record}",
        "fact": "fact",
    }[passage.kind]
    notes = [" › ".join(passage.section), *(passage.meta.get(key, "") for key in ("modality", "source", "license"))]
    shown = " · ".join(escape(note) for note in notes if note)
    return (
        f'<h3 dir="auto">{escape(passage.document)}, {escape(place)}</h3>\n<p class="meta" dir="auto">{shown}</p>'
        if shown
        else f'<h3 dir="auto">{escape(passage.document)}, {escape(place)}</h3>'
    )


def _quotes(citations: Sequence[Citation], *, with_text: bool) -> str:
    """The anchors that the marks of the answer jump to, with the quoted words unless the card shows them in place."""
    rows = []
    for citation in citations:
        anchor = f'<span class="mark" id="source-{citation.n}">{citation.n}</span>'
        text = f'<span dir="auto">{escape(" ".join(citation.quote.split()))}</span>'
        rows.append(f"<blockquote>{anchor}{text}</blockquote>" if with_text else anchor)
    return "\n".join(rows) if with_text else f"<p>{' '.join(rows)}</p>"


def _sheet(citations: Sequence[Citation], image: PageImage | None) -> str:
    uri = data_uri(image.path) if image is not None else None
    if image is None or uri is None or image.width_pt <= 0 or image.height_pt <= 0:
        return '<p class="missing">The image of this page is not at hand.</p>'
    frame = citations[0].passage.kind == "figure"
    marks = "".join(_marked(citation, frame=frame) for citation in citations)
    size = f"0 0 {image.width_pt:.2f} {image.height_pt:.2f}"
    return (
        f'<div class="sheet"><img src="{uri}" alt="{escape(_described(citations[0].passage))}">'
        f'<svg viewBox="{size}" preserveAspectRatio="none" aria-hidden="true">{marks}</svg></div>'
    )


def _described(passage: Passage) -> str:
    return f"Page {passage.page} of {passage.document} with the quoted lines marked"


def _marked(citation: Citation, *, frame: bool) -> str:
    boxes = citation.lines or ((citation.box,) if citation.box else ())
    name = ' class="frame"' if frame else ""
    rects = "".join(f"<rect{name} {_geometry(box)}/>" for box in boxes)
    if not boxes:
        return rects
    layout = citation.passage.layout
    left = float(layout.boxes()[:, 0].min()) if layout is not None else boxes[0].x0
    # In the margin, where it hides no words when the quote begins in the middle of a line.
    return f'{rects}<text x="{max(2.0, left - 14):.2f}" y="{boxes[0].y1 - 1:.2f}">{citation.n}</text>'


def _geometry(box: Box) -> str:
    width, height = max(0.0, box.x1 - box.x0), max(0.0, box.y1 - box.y0)
    return f'x="{box.x0:.2f}" y="{box.y0:.2f}" width="{width:.2f}" height="{height:.2f}"'


def _case(passage: Passage, citations: Sequence[Citation]) -> str:
    uris = [uri for uri in (data_uri(path, 700) for path in passage.images[:2]) if uri]
    images = "".join(f'<img src="{uri}" alt="Image of the cited case">' for uri in uris)
    report = f'<div class="report" dir="auto">{marked_text(passage.text, [c.quote for c in citations])}</div>'
    return f'<div class="case{" both" if images else ""}"><div>{images}</div>{report}</div>'


def marked_text(text: str, quotes: Sequence[str]) -> str:
    """The escaped text with every quote in a mark element; overlapping quotes share one."""
    spans = sorted(span for span in (locate(quote, text) for quote in quotes) if span is not None)
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        if end <= at:
            continue
        pieces += [escape(text[at : max(at, start)]), "<mark>", escape(text[max(at, start) : end]), "</mark>"]
        at = end
    return "".join([*pieces, escape(text[at:])])


def _fact(passage: Passage) -> str:
    locator = passage.locator
    if not isinstance(locator, FactLocator):
        return f'<p dir="auto">{escape(passage.text)}</p>'
    polarity = "" if locator.polarity == "present" else f'<span class="absent">{escape(locator.polarity)}</span>'
    relation = escape(locator.relation.replace("_", " "))
    parts = f"<b>{escape(locator.head)}</b><i>{relation}</i><b>{escape(locator.tail)}</b>{polarity}"
    return f'<div class="triple" dir="auto">{parts}</div>'
