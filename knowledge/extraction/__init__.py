"""Sentences to triples by rules, with polarity, change and provenance. See docs/extract-facts.md."""

from knowledge.extraction.extractor import RuleExtractor, extract
from knowledge.extraction.protocol import LinkedSpan, Source, SpanLinker, Style, TripleExtractor

__all__ = ["LinkedSpan", "RuleExtractor", "Source", "SpanLinker", "Style", "TripleExtractor", "extract"]
