"""Pictures of a neighbourhood or of paths: self-contained SVG and HTML, without a drawing library.

Concepts are boxes in columns; arrows run from head to tail and carry the relation as its source writes it. A denied
fact is red and dashed and says "no", an uncertain one is dotted and says "possible". Pointing at an arrow shows the
fact and the documents that say it. All text is escaped, and nothing is loaded from anywhere.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape

from knowledge.graph.geometry import LINE, MARGIN, Box, End, Route, box_of, place, route
from knowledge.graph.layout import columns_of, rows_of
from knowledge.graph.protocol import Graph
from knowledge.triples import Triple

MOST_CONCEPTS = 40
"""More boxes than this cannot be read on one screen; the rest is left out and counted below the picture."""

_LABEL, _SUPPORTS, _ARROW = 30, 6, 9.0
_UNPRINTABLE = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
_INK, _LABEL_INK, _LINE_INK, _NO_INK, _PAPER = "#1b2733", "#44525f", "#7b8b99", "#b3261e", "#ffffff"
_DASHES = {"present": "", "absent": ' stroke-dasharray="6 4"', "uncertain": ' stroke-dasharray="2 4"'}
_STYLE = "g:hover>path{stroke-width:2.4}"
_WORD = {"present": "", "absent": "no ", "uncertain": "possible "}


def draw_svg(graph: Graph, triples: Sequence[Triple], seeds: Sequence[str]) -> str:
    """An SVG of triples, with the seeds marked.

    The two ends of paths stand left and right; around one seed, what points at it stands left. Triples that would bring
    more than `MOST_CONCEPTS` concepts are left out and counted, so give the best first.
    """
    seeds = [key for key in dict.fromkeys(seeds) if graph.concept(key)][:MOST_CONCEPTS]
    shown, left_out = _fitting(triples, seeds)
    return _drawn(graph, shown, columns_of(shown, seeds), seeds, left_out)


def draw_html(graph: Graph, triples: Sequence[Triple], seeds: Sequence[str], title: str = "") -> str:
    """The same picture as an HTML page of its own; the title is that of the seeds when none is given."""
    name = _text(title or ", ".join(_name(graph, key) for key in seeds))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        f'<body style="margin:1.5rem;font:15px system-ui,sans-serif"><h1 style="font-size:1.2rem">{name}</h1>'
        f'<div style="overflow:auto">{draw_svg(graph, triples, seeds)}</div></body></html>\n'
    )


def _fitting(triples: Sequence[Triple], seeds: Sequence[str]) -> tuple[list[Triple], int]:
    shown, keys = [], set(seeds)
    for triple in triples:
        wanted = keys | {triple.head, triple.tail}
        if len(wanted) <= MOST_CONCEPTS:
            keys = wanted
            shown.append(triple)
    return shown, len(triples) - len(shown)


def _drawn(
    graph: Graph, triples: Sequence[Triple], column: Mapping[str, int], seeds: Sequence[str], left_out: int
) -> str:
    boxes = {key: box_of(_clean(_name(graph, key))) for key in column}
    bundles = _bundles(triples)
    routes = [route(_label(bundle), bundle[0].head, bundle[0].tail, column) for bundle in bundles]
    width, height = place(boxes, rows_of(triples, column), routes)
    arrows = [_arrow(way, bundle, boxes, graph) for way, bundle in zip(routes, bundles, strict=True)]
    parts = [line for line, _ in arrows] + [label for _, label in arrows]
    parts += [_box(box, _name(graph, key), seed=key in seeds) for key, box in boxes.items()]
    note = f"{left_out} more not shown" if left_out else "" if boxes else "nothing to show"
    if note:
        parts.append(f'<text x="{MARGIN}" y="{height:.0f}" fill="{_LABEL_INK}" font-size="11.5">{note}</text>')
        width, height = max(width, 180.0), height + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" font-family="{_FONT}" font-size="13"><style>{_STYLE}</style>'
        f'<rect x="0" y="0" width="{width:.0f}" height="{height:.0f}" fill="{_PAPER}"/>{"".join(parts)}</svg>\n'
    )


def _bundles(triples: Sequence[Triple]) -> list[tuple[Triple, ...]]:
    """Triples from one concept to the same other with the same polarity share an arrow."""
    bundles: dict[tuple[str, str, str], list[Triple]] = defaultdict(list)
    for triple in triples:
        bundles[triple.head, triple.tail, triple.polarity].append(triple)
    return [tuple(bundle) for bundle in bundles.values()]


def _label(bundle: Sequence[Triple]) -> str:
    """The relations, with "no" or "possible" in front."""
    names = dict.fromkeys(
        triple.relation.replace("_", " ") + (f" ({triple.change})" if triple.change != "none" else "")
        for triple in bundle
    )
    text = _clean(", ".join(names))
    return _WORD[bundle[0].polarity] + (text if len(text) <= _LABEL else f"{text[: _LABEL - 1].rstrip()}…")


def _arrow(way: Route, bundle: Sequence[Triple], boxes: Mapping[str, Box], graph: Graph) -> tuple[str, str]:
    """The line with its head, and the label, which is drawn above all lines."""
    (x1, y1, out1), (x2, y2, out2) = (_start(way.end(name), way.ports[name], boxes) for name in ("head", "tail"))
    flat1, flat2 = (way.label_width if way.labelled == name else 0.0 for name in ("head", "tail"))
    tip, x2 = x2, x2 + out2 * _ARROW
    bend1, bend2 = x1 + out1 * flat1, x2 + out2 * max(0.0, flat2 - _ARROW)
    pull = max(30.0, abs(bend2 - bend1) / 2) if out1 != out2 else 46.0
    line = (
        f"M{x1:.1f} {y1:.1f}H{bend1:.1f}C{bend1 + out1 * pull:.1f} {y1:.1f} {bend2 + out2 * pull:.1f} {y2:.1f} "
        f"{bend2:.1f} {y2:.1f}H{x2:.1f}"
    )
    point = f"M{tip:.1f} {y2:.1f}l{out2 * _ARROW:.1f} -4v8z"
    polarity = bundle[0].polarity
    ink = _NO_INK if polarity == "absent" else _LINE_INK
    drawn = (
        f'<path d="{line}" fill="none" stroke="{ink}" stroke-width="1.3"{_DASHES[polarity]}/>'
        f'<path d="{point}" fill="{ink}" stroke="none"/>'
    )
    edge, y, out = (x1, y1, out1) if way.labelled == "head" else (tip, y2, out2)
    shift = _ARROW if way.labelled == "tail" else 5.0
    where = (
        f'text-anchor="{"start" if out > 0 else "end"}" x="{edge + out * shift:.1f}" y="{y - 5:.1f}" font-size="11.5"'
    )
    colour = _NO_INK if polarity == "absent" else _LABEL_INK
    label = (  # a white copy below keeps the words readable where arrows cross them
        f'<text {where} fill="{_PAPER}" stroke="{_PAPER}" stroke-width="3">{_text(way.label)}</text>'
        f'<text {where} fill="{colour}">{_text(way.label)}</text>'
    )
    title = f"<title>{_text(_evidence(graph, bundle))}</title>"
    return f"<g>{title}{drawn}</g>", f"<g>{title}{label}</g>"


def _start(end: End, y: float, boxes: Mapping[str, Box]) -> tuple[float, float, float]:
    """The point on the box's side, and -1 or 1 for the way out of it."""
    box = boxes[end.key]
    return (box.x, y, -1.0) if end.side == "left" else (box.x + box.width, y, 1.0)


def _box(box: Box, name: str, *, seed: bool) -> str:
    top = box.middle - len(box.lines) * LINE / 2 + 12
    fill, stroke = ("#dcebdc", "#4c8a55") if seed else ("#eef3f8", "#8aa2b8")
    weight = ' font-weight="600"' if seed else ""
    lines = "".join(
        f'<text text-anchor="middle" x="{box.x + box.width / 2:.1f}" y="{top + row * LINE:.1f}" fill="{_INK}"{weight}>'
        f"{_text(line)}</text>"
        for row, line in enumerate(box.lines)
    )
    return (
        f'<g><title>{_text(name)}</title><rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="6" fill="{fill}" stroke="{stroke}"/>{lines}</g>'
    )


def _evidence(graph: Graph, bundle: Sequence[Triple]) -> str:
    """The facts as written, and the documents that say each."""
    lines = []
    for triple in bundle:
        supports = graph.supports(triple)
        said = f"{_WORD[triple.polarity]}{triple.relation}"
        lines.append(f"{_name(graph, triple.head)} | {said} | {_name(graph, triple.tail)}")
        for support in supports[:_SUPPORTS]:
            source = f" ({support.source})" if support.source else ""
            lines.append(f"  {support.document}, {support.passage}{source}")
        if len(supports) > _SUPPORTS:
            lines.append(f"  and {len(supports) - _SUPPORTS} more")
    return "\n".join(lines)


def _name(graph: Graph, key: str) -> str:
    concept = graph.concept(key)
    return concept.name if concept else key


def _clean(text: str) -> str:
    """The text without what XML cannot hold."""
    return _UNPRINTABLE.sub("", text)


def _text(text: str) -> str:
    return escape(_clean(text))
