"""Reads statements out of passages by rules; docs/extract-facts.md says which and how well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from knowledge.extraction.definitions import definition_links
from knowledge.extraction.links import Link, Modification
from knowledge.extraction.mentions import Mention, Reading, read_sentence
from knowledge.extraction.nodes import Linked
from knowledge.extraction.protocol import CategoryOf, Source, SpanLinker, Style
from knowledge.extraction.reported import links_of, modifications_of
from knowledge.findings.sentences import report_sentences
from knowledge.findings.tokens import Span
from knowledge.report_sections import ASSERTING, split_report
from knowledge.triples import Statement, Support, Tier, Triple, key_of
from rag.passages import Polarity
from rag.sentences import split_sentences

METHOD = "rules-1"
_IN_STUDY, _WORDS, _HEAD_NOUN = 0.9, 0.95, 0.8
"""Confidence of a finding of the study, of a modifier and of "a hepatic cyst is a cyst": our own ranking."""
_LONGEST_SENTENCE = 2_000
"""Characters; a longer run without a stop is a table or a list of names, which these rules do not read."""


@dataclass(frozen=True, slots=True)
class RuleExtractor:
    """A `TripleExtractor` without a model. With a `linker`, concepts get the keys of its vocabulary.

    Where a phrase says more than the concept found in it ("left lower lobe" for "lower lobe"), it keeps a key of its
    own and an `is_a` statement ties it to that concept, so that a side is never lost and the graph stays connected.
    """

    linker: SpanLinker | None = None
    category_of: CategoryOf | None = None
    """Where given, what a concept is decides; otherwise the last word of the words that name it."""

    def extract(self, text: str, source: Source) -> list[Statement]:
        statements: list[Statement] = []
        topic: Mention | None = None
        for reading in self.readings(text, source.style):
            links = sentence_links(reading, source.style, topic)
            topic = _topic(links, topic)
            statements.extend(_statements(reading, links, source))
        return list({_identity(statement): statement for statement in statements}.values())

    def readings(self, text: str, style: Style) -> Iterator[Reading]:
        """Every sentence of a passage as it was read, with its mentions."""
        linked = self._linked(text)
        for span in sentence_spans(text, style):
            inside = [one for one in linked if span[0] <= one.start and one.end <= span[1]]
            yield read_sentence(text, span, style, inside)

    def _linked(self, text: str) -> list[Linked]:
        if self.linker is None:
            return []
        known = self.category_of or (lambda _: None)
        return [Linked(one.start, one.end, one.concept, one.name, known(one.concept)) for one in self.linker.link(text)]


def extract(text: str, *, style: Style, document: str, passage: str, tier: Tier) -> list[Statement]:
    """The statements of a passage, without a linker: keys are the normal form of the words."""
    return RuleExtractor().extract(text, Source(document, passage, style, tier))


def sentence_spans(text: str, style: Style) -> list[Span]:
    """Where the sentences that state something stand: of a report only in the sections that do."""
    if style == "definition":
        spans = [(one.start, one.end) for one in split_sentences(text) if one.kind != "heading"]
    elif style == "caption":
        spans = report_sentences(text)
    else:
        sections = [part for part in split_report(text) if part.kind in ASSERTING]
        spans = [span for part in sections for span in report_sentences(text, part.start, part.end)]
    return [span for span in spans if span[1] - span[0] <= _LONGEST_SENTENCE]


def sentence_links(reading: Reading, style: Style, topic: Mention | None = None) -> list[Link]:
    """The relations between the mentions of a sentence; `topic` is what the one before defined, in definitions."""
    return definition_links(reading, topic) if style == "definition" else links_of(reading)


def _topic(links: Iterable[Link], before: Mention | None) -> Mention | None:
    """What the next sentence may point back to: the thing defined here, or the same as before while it is spoken of."""
    for link in links:
        if link.relation == "is_a":
            return link.head
        if before is not None and before.key in (link.head.key, link.tail.key):
            return before
    return None


def _statements(reading: Reading, links: Sequence[Link], source: Source) -> Iterator[Statement]:
    for mention in reading.mentions:
        if mention.kept and mention.kind_of:
            yield _kind_statement(reading, mention, source)
    if source.style != "definition":
        yield from _found(reading, source)
    for link in links:
        change = link.head.change if link.relation == "located_at" else "none"
        triple = Triple(link.head.key, link.relation, link.tail.key, link.polarity, change)
        spans = ((link.head.start, link.head.end), (link.tail.start, link.tail.end))
        yield Statement(triple, _support(reading, source, spans, link.confidence))
    for modification in modifications_of(reading):
        yield _modify(reading, modification, source)


def _found(reading: Reading, source: Source) -> Iterator[Statement]:
    """That the study shows, lacks or may have each finding, and how it changed."""
    for mention in reading.mentions:
        if mention.category != "observation" or not mention.kept:
            continue
        spans = ((mention.start, mention.start), (mention.start, mention.end))
        if source.subject:
            triple = Triple(source.subject, "has_finding", mention.key, mention.polarity, mention.change)
            yield Statement(triple, _support(reading, source, spans, _IN_STUDY))
        if mention.change != "none":
            triple = Triple(mention.key, "change", mention.change, _changed(mention), mention.change)
            yield Statement(triple, _support(reading, source, (spans[1], spans[0]), _IN_STUDY))


def _changed(mention: Mention) -> Polarity:
    """A finding that resolved is absent, its resolution is a fact."""
    return "present" if mention.change == "resolved" else mention.polarity


def _modify(reading: Reading, modification: Modification, source: Source) -> Statement:
    words, mention = modification
    place = (mention.start, mention.end)
    if isinstance(words, str):
        # Said elsewhere in the sentence: the support shows the finding's own words on both sides.
        triple = Triple(key_of(words), "modify", mention.key, mention.polarity)
        return Statement(triple, _support(reading, source, ((place[0], place[0]), place), _WORDS))
    triple = Triple(key_of(reading.text[words[0] : words[1]]), "modify", mention.key, mention.polarity)
    return Statement(triple, _support(reading, source, (words, place), _WORDS))


def _kind_statement(reading: Reading, mention: Mention, source: Source) -> Statement:
    spans = ((mention.start, mention.end), (mention.start, mention.end))
    return Statement(Triple(mention.key, "is_a", mention.kind_of), _support(reading, source, spans, _HEAD_NOUN))


def _support(reading: Reading, source: Source, spans: Iterable[Span], confidence: float) -> Support:
    (head_start, head_end), (tail_start, tail_end) = spans
    return Support(
        document=source.document,
        passage=source.passage,
        head_text=reading.text[head_start:head_end],
        tail_text=reading.text[tail_start:tail_end],
        tier=source.tier,
        source=source.name,
        license=source.license,
        method=METHOD,
        confidence=confidence,
        start=reading.span[0],
        end=reading.span[1],
    )


def _identity(statement: Statement) -> tuple[Triple, int]:
    return statement.triple, statement.support.start
