"""Definitions out of a book's own sentences: few, and true."""

from collections.abc import Container, Iterator
from pathlib import Path

import pytest

from indexers.sources.fact_definitions import GlossaryParser, definition_rows
from rag.types import Document, PageLocator, Passage, Unit


def page(text: str, terms: str, number: int = 7) -> Passage:
    return Passage(f"p{number}", "page", "book", text, PageLocator(number), meta={"terms": terms})


@pytest.mark.parametrize(
    ("sentence", "meaning"),
    [
        ("A tendon is a band of tissue that ties muscle to bone.", "a band of tissue that ties muscle to bone."),
        ("The tendon (T) is defined as tissue that ties muscle to bone.", "tissue that ties muscle to bone."),
        ("Tendon, or sinew, refers to any cord of dense tissue.", "any cord of dense tissue."),
        ("Tendon is the term for a cord of dense tissue.", "a cord of dense tissue."),
    ],
)
def test_sentences_that_say_what_a_bold_term_is(sentence: str, meaning: str) -> None:
    [row] = definition_rows(page(f"It pulls hard on it. {sentence} Then it rests.", "bone; tendon"))
    assert (row.head, row.relation, row.tail, row.polarity) == ("tendon", "definition", meaning, "present")
    assert (row.origin.tier, row.origin.source, row.line) == ("textbook", "book", 7)


@pytest.mark.parametrize(
    "sentence",
    [
        "A tendon is found wherever muscle meets bone.",
        "A tendon is not a band of fat or of muscle.",
        "The tendon is the most important cord of the body.",
        "The tendon is the strongest cord of the body.",
        "A tendon is a good example of dense tissue.",
        "Tendon repair is a branch of surgery for the hand.",
        "This tendon is a cord of dense tissue.",
        "The tendon is the cord shown in the figure above.",
        "A ligament is a band of tissue that ties bone to bone.",
        "A tendon is a cord.",
    ],
)
def test_other_sentences_are_left_alone(sentence: str) -> None:
    assert not list(definition_rows(page(sentence, "tendon")))


def test_a_page_without_bold_terms_defines_nothing() -> None:
    assert not list(definition_rows(page("A tendon is a band of tissue that ties muscle to bone.", "")))


class _Book:
    """Two pages, one unit each."""

    def open(self, path: Path) -> Document:
        return Document("book", path, "0" * 64, "pages", 2)

    def parse(self, document: Document, done: Container[str]) -> Iterator[Unit]:
        text = "A tendon is a band of tissue that ties muscle to bone."
        units = (Unit("u1", (page(text, "tendon", 1),)), Unit("u2", (page("No term stands here.", "", 2),)))
        return (unit for unit in units if unit.key not in done)


def test_a_book_yields_its_pages_and_their_definitions() -> None:
    parser = GlossaryParser(_Book())
    document = parser.open(Path("book.pdf"))
    first, second = parser.parse(document, ())
    fact = first.passages[1]
    assert [passage.kind for passage in first.passages] == ["page", "fact"]
    assert fact.fact == ("tendon", "definition", "a band of tissue that ties muscle to bone.")
    assert (fact.document, fact.meta["page"], fact.meta["tier"]) == ("book", "1", "textbook")
    assert [passage.kind for passage in second.passages] == ["page"]
    assert [unit.key for unit in parser.parse(document, {"u1"})] == ["u2"]
