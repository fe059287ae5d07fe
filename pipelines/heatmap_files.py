"""Heat maps of a search as files: a PNG for the whole query and one per telling word of each page, and an index."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from indexers.sources.pdf import write_whole
from pipelines.heatmap_drawing import Drawing, draw
from pipelines.heatmaps import PageMap, PageMapper, WordMap
from rag.errors import UsageError
from rag.similarity import page_size
from rag.types import Query

INDEX = "heatmaps.json"
MOST_PAGES = 5
"""Page hits that are drawn, the first ones: people look at few, and a page takes up to nine pictures."""
MOST_WORDS = 8
"""Words that get a picture of their own, those that say most about where to look."""


def write_heatmaps(folder: Path, query: Query, maps: Sequence[PageMap], mapper: PageMapper) -> dict[str, Any]:
    """Draw the first page hits into a folder, made when needed; returns what its index, heatmaps.json, says.

    Every file is written whole or not at all, the index last. A page that cannot be drawn is listed there with the
    reason. Raises UsageError when the folder cannot be written.
    """
    drawn: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    try:
        for found in maps[:MOST_PAGES]:
            reason = found.reason or _draw_page(folder, query, found, mapper, drawn)
            if reason:
                skipped.append({**_page_row(found), "reason": reason})
        index = {"query": query.id, "text": query.text, "maps": drawn, "skipped": skipped}
        write_whole(folder / INDEX, (json.dumps(index, ensure_ascii=False, indent=2) + "\n").encode())
    except OSError as error:
        raise UsageError(f"heat maps cannot be written to {folder} ({error.strerror or error})") from error
    return index


def query_folder(folder: Path, query_id: str, taken: set[str]) -> Path:
    """Where the heat maps of one query of many go: a folder with a safe name made of its id, apart from `taken`."""
    name = wanted = file_name(query_id) or "query"
    number = 2
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    taken.add(name)
    return folder / name


def file_name(text: str, longest: int = 40) -> str:
    """Letters and digits of ASCII, words joined by hyphens: a part of a file name on every system; may be empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()[:400]).strip("-")[:longest].strip("-")


def _draw_page(folder: Path, query: Query, found: PageMap, mapper: PageMapper, drawn: list[dict[str, Any]]) -> str:
    """Draw a page's pictures and note them in `drawn`; returns why none could be drawn, else an empty text."""
    image, size = mapper.page_image(found.passage), page_size(found.passage)
    if image is None or size is None or found.places is None:
        return "the image of this page is not at hand"
    stem = f"{found.rank:02d}-{file_name(found.passage.document) or 'page'}-p{found.passage.page or 0:04d}"
    for name, word in _pictures(stem, found):
        values = found.whole if word is None else word.values
        regions = found.regions(values)
        title = f"{found.passage.document}, page {found.passage.page}  ·  " + (
            "where the query was found" if word is None else f"where “{word.name}” was found"
        )
        drawing = Drawing(title, _shown_words(query, found, word), found.places, values, regions, size)
        try:
            picture = draw(image.path, drawing)
        except (OSError, ValueError, SyntaxError) as error:
            # Pillow reports broken files with all of these.
            return f"the image of this page cannot be read ({error})"
        write_whole(folder / name, picture)
        row = {"file": name, "token": None if word is None else word.name, **_page_row(found)}
        score = found.score if word is None else word.score
        drawn.append({**row, "score": round(score, 4), "regions": [region.row() for region in regions]})
    return ""


def _pictures(stem: str, found: PageMap) -> Iterator[tuple[str, WordMap | None]]:
    """The file name of each picture and the word that it is about, None for the whole query."""
    yield f"{stem}.png", None
    for number, word in enumerate(found.telling_words()[:MOST_WORDS], start=1):
        yield f"{stem}-{number}-{file_name(word.name)}".rstrip("-") + ".png", word


def _shown_words(query: Query, found: PageMap, shown: WordMap | None) -> tuple[tuple[str, float | None], ...]:
    """The query's words over a picture with their strength; None for those that the picture is not about."""
    named = [word for word in found.words if word.name]
    if not named:
        return ((query.text.strip() or "Image query", None),)
    strength = {id(word): float(word.values.max(initial=0.0)) for word in named}
    return tuple((word.name, strength[id(word)] if shown is None or word is shown else None) for word in named)


def _page_row(found: PageMap) -> dict[str, Any]:
    passage = found.passage
    return {"rank": found.rank, "passage_id": passage.id, "document": passage.document, "page": passage.page}
