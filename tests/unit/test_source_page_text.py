"""Text of a page: every word has its box, and what can be read stays in the order of PyMuPDF's own extraction."""

import re
import string
from pathlib import Path

import pymupdf
from hypothesis import given, settings
from hypothesis import strategies as st

from indexers.sources.characters import clean
from indexers.sources.page_furniture import drop_furniture, find_furniture, sample_pages
from indexers.sources.page_lines import Line, Run, Word, attach_markers, bold_terms, clean_words, page_text, union
from indexers.sources.page_sections import Entry, Sections, headings
from indexers.sources.pdf_reader import Reader

PLACE = (10.0, 10.0, 20.0, 20.0)


def line(
    text: str, y: float = 100.0, *, x: float = 50.0, size: float = 10.0, block: int = 0, bold: bool = False
) -> Line:
    words = tuple(
        word
        for i, token in enumerate(text.split(" "))
        for word in clean_words(token, (x + 30.0 * i, y, x + 30.0 * i + 28, y + size))
    )
    return Line(words, union(word.box for word in words), size, bold, block, (Run(text, bold),))


def readable(text: str) -> str:
    return "".join(re.findall(r"[a-z0-9]+", text.lower()))


tokens = st.text(min_size=1, max_size=8).filter(lambda token: clean(token).split())


@given(st.lists(st.tuples(st.lists(tokens, min_size=1, max_size=5), st.integers(0, 3)), max_size=6))
def test_each_word_of_the_text_has_its_box(rows: list[tuple[list[str], int]]) -> None:
    lines = []
    for i, (row, block) in enumerate(rows):
        words = tuple(word for token in row for word in clean_words(token, PLACE))
        lines.append(Line(words, (0.0, 12.0 * i, 90.0, 12.0 * i + 10), 10.0, bold=False, block=block))
    content = page_text(attach_markers(lines))
    assert len(content.text.split()) == len(content.boxes)


@given(st.text())
def test_cleaning_loses_no_letter_and_leaves_nothing_hidden(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]", cleaned)
    if text.isascii():
        assert readable(cleaned) == readable(text)


def test_ligatures_are_opened_and_exponents_are_left() -> None:
    assert clean("de\ufb01ne e\ufb03cient") == "define efficient"
    assert clean("10⁹ µg/L β₂ 血液 naïve") == "10⁹ µg/L β₂ 血液 naïve"
    assert clean("in\u00adflam\u200bmation\U000e0041") == "inflammation"


def test_word_split_at_a_line_end_is_joined_and_keeps_its_first_box() -> None:
    content = page_text([line("acute inflam-", 10), line("mation heals", 22)])
    assert content.text == "acute inflammation\nheals"
    assert content.boxes[1] == (80.0, 10, 108.0, 20)


def test_a_compound_keeps_its_hyphen_when_the_page_prints_it_so() -> None:
    content = page_text([line("a beta-blocker or a beta-", 10), line("blocker again", 22)])
    assert "or a beta-blocker" in content.text


def test_list_marks_extracted_apart_return_to_their_items() -> None:
    lines = [line("Weigh the patient", 100, x=70), line("Measure pressure", 115, x=70)]
    marks = [line("•", 100, x=50, block=5), line("•", 115, x=50, block=5)]
    marks = [
        Line((Word("•", (60, m.box[1], 66, m.box[3])),), (60, m.box[1], 66, m.box[3]), 10, False, 5) for m in marks
    ]
    assert page_text(attach_markers([*lines, *marks])).text == "• Weigh the patient\n\n• Measure pressure"


def test_bold_terms_are_joined_over_a_line_end_and_headings_are_none() -> None:
    heading = line("Epithelium", 10, bold=True)
    first = Line(line("x").words, PLACE, 10.0, bold=False, block=1, runs=(Run("The", False), Run("simple", True)))
    second = Line(
        line("x").words, PLACE, 10.0, bold=True, block=1, runs=(Run("squamous", True), Run("is thin,", False))
    )
    assert bold_terms([heading, first, second], 10.0) == ("simple squamous",)


def test_running_lines_are_found_by_place_and_repetition() -> None:
    pages = []
    for number in range(1, 21):
        head = f"Chapter {1 + number // 10}" if number % 2 else "Anatomy"
        body = line(f"Body {'abcdefghijklmnopqrstuvwxyz'[number]} begins here", 60, size=10.0, block=1)
        pages.append(([line(head, 20, size=8.0), body, line(str(number), 820, size=9.0)], 842.0))
    furniture = find_furniture(pages)
    assert [[kept.text for kept in drop_furniture(lines, 842.0, furniture)] for lines, _ in pages] == [
        [lines[1].text] for lines, _ in pages
    ]


def test_sample_reaches_both_ends_of_a_book() -> None:
    assert sample_pages(5) == [1, 2, 3, 4, 5]
    pages = sample_pages(2000)
    assert (pages[0], pages[-1]) == (1, 2000)
    assert len(pages) <= 64


def test_section_of_a_place_and_of_a_page() -> None:
    sections = Sections([Entry(1, 50, 1, "A"), Entry(1, 400, 2, "A.1"), Entry(3, 0, 2, "A.2"), Entry(4, 100, 1, "B")])
    assert sections.at(1, 10) == ()
    assert sections.at(1, 400) == ("A", "A.1")
    assert sections.at(2, 5) == ("A", "A.1")
    assert sections.at(4, 90) == ("A", "A.2")
    assert sections.of_page(4, [line("a few", 50), line("many more words here", 200)]) == ("B",)


def test_headings_are_lines_set_larger_than_the_body() -> None:
    body = [line("running text " * 8, 200 + 12 * i) for i in range(20)]
    pages = [
        (1, [line("The Heart", 50, size=20), line("Valves", 120, size=14), *body]),
        (2, [line("Blood", 50, size=20), *body]),
    ]
    assert [(entry.page, entry.level, entry.title) for entry in headings(pages)] == [
        (1, 1, "The Heart"), (1, 2, "Valves"), (2, 1, "Blood"),
    ]  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.text(string.ascii_letters + string.digits + " .,-éß°²ﬁµ", min_size=1, max_size=60), min_size=1, max_size=8
    )
)
def test_text_is_contiguous_in_the_plain_extraction(tmp_path_factory: object, rows: list[str]) -> None:
    document = pymupdf.open()
    page = document.new_page()
    page.insert_textbox((60, 60, 300, 700), "\n".join(rows), fontsize=10)
    path = tmp_path_factory.getbasetemp() / "generated.pdf"
    document.save(path)
    document.close()
    reader = Reader(str(path))
    raw, content = reader.content(1)
    plain = pymupdf.open(Path(path))[0].get_text()
    assert readable(content.content.text) == readable(plain)
    assert len(content.content.text.split()) == len(content.content.boxes)
    for x0, y0, x1, y1 in content.content.boxes:
        assert 0 <= x0 < x1 <= raw.width
        assert 0 <= y0 < y1 <= raw.height
