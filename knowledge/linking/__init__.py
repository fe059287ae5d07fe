"""Finds the concepts that a text names, and widens a query by what is known of them."""

from knowledge.linking.facets import ConceptFacets, expand, facets
from knowledge.linking.forms import linkable_keys
from knowledge.linking.lexicon import lexicon, read_lexicon
from knowledge.linking.linker import Link, Linker
from knowledge.linking.saved import load_tables, save_tables

__all__ = [
    "ConceptFacets", "Link", "Linker", "expand", "facets", "lexicon", "linkable_keys", "load_tables", "read_lexicon",
    "save_tables",
]  # fmt: skip
