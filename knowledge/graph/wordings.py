"""How a concept is written: its name and forms from everything that mentions it. The readable version of `tables`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from knowledge.graph.protocol import Declaration
from knowledge.triples import TIERS, Concept, Support, Triple


def concept_of(key: str, supports: Mapping[Triple, Collection[Support]], declared: Collection[Declaration]) -> Concept:
    """The concept without its synonyms.

    Its name is the declared one that most documents give, else the wording that the best tier uses most, else a
    declared form, else its key; ties go to the first in order. Its domain is the first declared one that is not empty,
    in order of document, name and domain.
    """
    own = sorted((row for row in declared if row.concept.key == key), key=_declaration_order)
    said: Counter[tuple[int, str]] = Counter()
    for triple, rows in supports.items():
        for row in rows:
            for end, text in ((triple.head, row.head_text), (triple.tail, row.tail_text)):
                if end == key and text:
                    said[TIERS.index(row.tier), text] += 1
    for _, name in {(row.document, row.concept.name) for row in own if row.concept.name}:
        said[-1, name] += 1
    stated = {(row.document, row.concept.name, row.concept.domain, form) for row in own for form in row.concept.forms}
    for *_, form in stated:
        if form:
            said[len(TIERS), form] += 1
    forms = {text for _, text in said}
    ranked = sorted((tier, -count, text) for (tier, text), count in said.items())
    name = ranked[0][2] if ranked else key
    domain = next((row.concept.domain for row in own if row.concept.domain), "")
    return Concept(key, name, tuple(sorted(forms - {name})), domain)


def _declaration_order(row: Declaration) -> tuple[str, str, str]:
    return row.document, row.concept.name, row.concept.domain
