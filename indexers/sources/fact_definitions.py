"""A glossary out of a book's own sentences: what "A tendon is a band of tissue that ties muscle to bone" defines.

A term counts when the book prints it in bold and a sentence begins with it and says what it is. Such sentences are few,
but they are definitions; how often is measured in docs/facts.md. Sentence forms after Hearst, 1992,
https://aclanthology.org/C92-2082/
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import replace
from pathlib import Path

from indexers.sources.fact_rows import Origin, Row, Triple, fact_row
from indexers.sources.facts import fact_passage
from rag.protocols import Parser
from rag.sentences import split_sentences
from rag.types import Document, Passage, Unit

MOST_TERM_WORDS, FEWEST_MEANING_WORDS, MOST_MEANING_WORDS = 6, 4, 60
_ASIDE = r"(?:\s*\([^()]{1,60}\)|,\s+(?:or|also called|also known as)\s[^,]{1,60},)?"
_SAYS_WHAT = re.compile(
    rf"{_ASIDE}\s+(?:(?:is|are|can be|may be)\s+defined\s+as|refers?\s+to|is\s+the\s+(?:term|name)\s+for|"
    r"(?:is|are)(?=\s+(?:an?|the|any|one\s+of)\s))\s+",
)
_OPENING = re.compile(r"(?:an?|the)\s+", re.IGNORECASE)
_NO_KIND = re.compile(
    r"(?:an?|the|any|one\s+of(?:\s+the)?)\s+(?:very\s+|most\s+)*(?:most|least|more|less|main|major|only|first|second|third|last|next|same|"
    r"common|frequent|important|key|good|great|likely|other|example|result|reason|cause|case|way|matter|\w+est|"
    r"few|lot|number|part\s+of\s+why)\b",
    re.IGNORECASE,
)
"""What ranks or judges its subject does not say what it is."""
_POINTS_BACK = re.compile(r"\b(?:this|these|that\s+is\s+shown|such|above|here|figure|table)\b", re.IGNORECASE)


class GlossaryParser:
    """Another parser's pages, each followed by the definitions that stand on it as facts.

    A fact has its book as document and the page's number in `meta["page"]`. Its id depends on the book and the fact.
    """

    def __init__(self, pages: Parser) -> None:
        self._pages = pages

    def open(self, path: Path) -> Document:
        return self._pages.open(path)

    def parse(self, document: Document, done: Container[str]) -> Iterator[Unit]:
        for unit in self._pages.parse(document, done):
            facts = {
                fact.id: fact
                for page in unit.passages
                if page.kind == "page"
                for row in definition_rows(page)
                for fact in [fact_passage(document.name, row._replace(notes=(("page", str(page.page)),)))]
            }
            yield replace(unit, passages=(*unit.passages, *facts.values())) if facts else unit


def definition_rows(page: Passage) -> Iterator[Row]:
    """The definitions on a page: one row per term at the most, with the page's number as its line.

    The meaning is the rest of the sentence, word for word.
    """
    terms = [term.strip() for term in page.meta.get("terms", "").split(";")]
    wanted = {term.casefold(): term for term in terms if _is_term(term)}
    origin = Origin(page.document, page.meta.get("license", ""), "", "textbook")
    for sentence in split_sentences(page.text):
        if not wanted or sentence.kind != "prose":
            continue
        text = " ".join(sentence.text.split())
        found = _defined(text, wanted)
        if found is not None:
            term, meaning = found
            del wanted[term.casefold()]
            yield fact_row(page.page or 0, Triple(term, "definition", meaning), origin)


def _is_term(term: str) -> bool:
    return bool(term) and len(term.split()) <= MOST_TERM_WORDS and term.count("(") == term.count(")")


def _defined(sentence: str, wanted: dict[str, str]) -> tuple[str, str] | None:
    """The term that a sentence begins with, and its meaning."""
    opening = _OPENING.match(sentence)
    rest = sentence[opening.end() :] if opening else sentence
    folded = rest.casefold()
    for key in sorted(wanted, key=len, reverse=True):
        says = _SAYS_WHAT.match(rest, len(key)) if folded.startswith(key) else None
        if says is not None:
            meaning = rest[says.end() :]
            return (wanted[key], meaning) if _is_meaning(meaning) else None
    return None


def _is_meaning(text: str) -> bool:
    n_words = len(text.split())
    return (
        FEWEST_MEANING_WORDS <= n_words <= MOST_MEANING_WORDS
        and _NO_KIND.match(text) is None
        and _POINTS_BACK.search(text) is None
    )
