"""Pictures are well-formed, escaped, complete, and their labels lie on nothing."""

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings

from knowledge.graph.array_graph import ArrayGraph
from knowledge.graph.drawing import MOST_CONCEPTS, draw_html, draw_svg
from knowledge.graph.testing import EYE, statement, statements

SPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def eye():
    return ArrayGraph.build(EYE)


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SPACE}text")]


def titles(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SPACE}title")]


def boxes(svg):
    """x0, y0, x1, y1 of the concepts' boxes; the first rectangle is the paper."""
    rectangles = list(ElementTree.fromstring(svg).iter(f"{SPACE}rect"))[1:]
    sides = ([float(rectangle.get(name)) for name in ("x", "y", "width", "height")] for rectangle in rectangles)
    return [(x, y, x + width, y + height) for x, y, width, height in sides]


def label_boxes(svg):
    """The same of the labels, at 5.6 pixels a letter and 11 a line."""
    found = []
    for element in ElementTree.fromstring(svg).iter(f"{SPACE}text"):
        if element.get("text-anchor") in ("start", "end") and not element.get("stroke"):
            x, y, width = float(element.get("x")), float(element.get("y")), 5.6 * len(element.text or "")
            left = x if element.get("text-anchor") == "start" else x - width
            found.append((left, y - 9, left + width, y + 2))
    return found


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_denied_facts_are_dashed_and_say_no(eye):
    svg = draw_svg(eye, eye.triples_of("hypertensive retinopathy"), ["hypertensive retinopathy"])
    assert "no fundus sign" in texts(svg)
    assert len(re.findall(r"stroke-dasharray", svg)) == 1
    assert "Hypertensive retinopathy | no fundus_sign | Microaneurysm\n  cases, 1" in titles(svg)


def test_uncertain_facts_say_possible():
    graph = ArrayGraph.build([statement("a", "causes", "b", polarity="uncertain")])
    assert "possible causes" in texts(draw_svg(graph, tuple(graph.triples()), ["a"]))


def test_every_support_is_in_the_tooltip(eye):
    svg = draw_svg(eye, eye.triples_of("microaneurysm"), ["microaneurysm"])
    assert "Diabetic retinopathy | fundus_sign | Microaneurysm\n  atlas, 1\n  book, 1" in titles(svg)


def test_text_is_escaped_and_cleaned():
    graph = ArrayGraph.build([statement("<script>&\"'\x0b", "is_a", "B" * 3000)])
    svg = draw_svg(graph, tuple(graph.triples()), ["nobody"])
    assert "<script>" not in svg
    assert any("<script>&\"'" in title for title in titles(svg))
    assert max(len(text) for text in texts(svg)) < 40
    assert "<script>" not in draw_html(graph, tuple(graph.triples()), ["<script>"], "<script>")


def test_paths_run_from_left_to_right(eye):
    paths = eye.paths("hypertensive retinopathy", "microaneurysm")
    svg = draw_svg(eye, paths[0], ["hypertensive retinopathy", "microaneurysm"])
    assert len(boxes(svg)) == 4
    places = sorted((box[0], name) for box, name in zip(boxes(svg), titles(svg)[-4:], strict=True))
    assert [name for _, name in places] == [
        "Hypertensive retinopathy", "Cotton wool spot", "Diabetic retinopathy", "Microaneurysm",
    ]  # fmt: skip


def test_nothing_to_show_is_said(eye):
    assert "nothing to show" in texts(draw_svg(eye, (), ["nobody"]))
    assert set(texts(draw_svg(eye, (), ["retina", "lens"]))) == {"Retina", "Lens"}


def test_what_does_not_fit_is_counted():
    graph = ArrayGraph.build([statement("hub", "is_a", f"leaf {number:03d}") for number in range(100)])
    svg = draw_svg(graph, graph.neighbours(["hub"], cap=100), ["hub"])
    assert len(boxes(svg)) == MOST_CONCEPTS
    assert f"{101 - MOST_CONCEPTS} more not shown" in texts(svg)


def test_pictures_load_nothing(eye):
    html = draw_html(eye, tuple(eye.triples()), ["retina"])
    assert re.findall(r"(?:href|src|url|@import)", html) == []
    assert re.findall(r"https?://[^\"]+", html) == ["http://www.w3.org/2000/svg"]


def test_the_same_graph_gives_the_same_picture(eye):
    triples = tuple(eye.triples())
    assert draw_svg(eye, triples, ["retina"]) == draw_svg(eye, triples, ["retina"])


@settings(max_examples=50, deadline=None)
@given(statements(25))
def test_labels_and_boxes_lie_on_nothing(rows):
    graph = ArrayGraph.build(rows)
    svg = draw_svg(graph, tuple(graph.triples()), ["a", "b"])
    labels, concepts = label_boxes(svg), boxes(svg)
    assert not any(overlap(a, b) for a, b in combinations(concepts, 2))
    assert not any(overlap(label, box) for label in labels for box in concepts)
    assert not any(overlap(a, b) for a, b in combinations(labels, 2))
