"""What is known of a concept, by facet, and queries widened with it.

After DeViDe (https://arxiv.org/abs/2404.03618: definition and appearance), K2Sight (https://arxiv.org/abs/2508.04572:
shape, density, location) and FLAIR (https://arxiv.org/abs/2308.07898: signs as experts describe them). Those put such
texts into training; here they only lengthen a query. Which relations make which facet is our choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from knowledge.linking.forms import is_abbreviation, plain_relation
from knowledge.linking.linker import Link
from knowledge.triples import Concept, Triple

MOST_TEXTS = 6
"""Texts kept in one facet: some diseases have a hundred phenotypes."""
EXPANSION_WORDS = 48
"""Default budget: with a question before it this stays below the 77 tokens that CLIP text encoders read."""

_RELATIONS: Mapping[str, tuple[str, ...]] = {
    "definition": ("definition", "description", "meaning"),
    "appearance": (
        "appearance", "sign", "has sign", "fundus sign", "imaging sign", "radiographic sign", "has finding", "texture",
        "color", "colour", "characteristic", "nature",
    ),
    "shape": ("shape", "size", "length", "long", "diameter"),
    "density": ("density", "attenuation", "signal", "signal intensity", "echogenicity"),
    "location": (
        "location", "locate in", "located in", "located at", "anatomical site", "position", "belong to", "part of",
    ),
    "cause": ("cause", "caused by", "results from", "has material basis in", "transmitted by"),
    "symptom": ("symptom", "has symptom", "has phenotype"),
}  # fmt: skip
_INVERSE_RELATIONS: Mapping[str, tuple[str, ...]] = {
    "appearance": ("suggestive of", "sign of"),
    "cause": ("causes", "results in"),
}
_FACET_OF = {relation: facet for facet, relations in _RELATIONS.items() for relation in relations}
_INVERSE_FACET_OF = {relation: facet for facet, relations in _INVERSE_RELATIONS.items() for relation in relations}


@dataclass(frozen=True, slots=True)
class ConceptFacets:
    """Texts about one concept, each facet in the order in which the triples came. Empty facets are empty tuples.

    `forms` are its other names; `symptom` holds symptoms and phenotypes.
    """

    concept: str
    name: str
    forms: tuple[str, ...] = ()
    appearance: tuple[str, ...] = ()
    location: tuple[str, ...] = ()
    shape: tuple[str, ...] = ()
    density: tuple[str, ...] = ()
    definition: tuple[str, ...] = ()
    cause: tuple[str, ...] = ()
    symptom: tuple[str, ...] = ()


_ORDER = tuple(field.name for field in fields(ConceptFacets))[2:]
"""What is put into a query first: what can be seen before what must be known."""


def facets(concept: Concept, triples: Iterable[Triple], names: Mapping[str, str] | None = None) -> ConceptFacets:
    """The facets of a concept, from the triples about it; triples about others are passed over.

    Only statements that hold (present, and not resolved) count. `names` gives the names of keys as text; a key without
    one is its own text. At most `MOST_TEXTS` texts per facet, without repetition.
    """
    found: dict[str, dict[str, str]] = {facet: {} for facet in _RELATIONS}
    for triple in triples:
        if triple.polarity != "present" or triple.change == "resolved":
            continue
        relation = plain_relation(triple.relation)
        if triple.head == concept.key:
            facet, other = _FACET_OF.get(relation), triple.tail
        elif triple.tail == concept.key:
            facet, other = _INVERSE_FACET_OF.get(relation), triple.head
        else:
            continue
        if facet is not None and len(found[facet]) < MOST_TEXTS:
            text = " ".join((names or {}).get(other, other).split())
            found[facet].setdefault(text.casefold(), text)
    forms = tuple(dict.fromkeys(form for form in concept.forms if form.casefold() != concept.name.casefold()))
    texts = {facet: tuple(text for text in kept.values() if text) for facet, kept in found.items()}
    return ConceptFacets(concept.key, concept.name, forms[:MOST_TEXTS], **texts)


def expand(query: str, links: Sequence[Link], known: Mapping[str, ConceptFacets], words: int = EXPANSION_WORDS) -> str:
    """The query, and behind it one line for each linked concept with what is known of it, `words` words at most.

    Concepts take turns and facets come by how much they help to find a picture, so the budget is shared; what the query
    says already is not repeated. A text that does not fit is left out, a definition is cut. Without links or facets the
    query comes back as it is. The same input always gives the same text.
    """
    order = [key for key in dict.fromkeys(link.concept for link in links) if key in known]
    chosen: dict[str, list[str]] = {key: [] for key in order}
    said, left = query.casefold(), words
    for turn in range(MOST_TEXTS):
        for facet in _ORDER:
            for key in order:
                text = _turn(known[key], facet, turn)
                opening = 0 if chosen[key] else len(known[key].name.split())
                piece = _fitted(text, left - opening, cut=facet == "definition")
                if not piece or piece.casefold() in said:
                    continue
                chosen[key].append(piece)
                left -= opening + len(piece.split())
                said += "\n" + piece.casefold()
    lines = [f"{known[key].name}: {'; '.join(pieces)}." for key, pieces in chosen.items() if pieces]
    return "\n".join((query, *lines))


def _turn(known: ConceptFacets, facet: str, turn: int) -> str:
    texts: tuple[str, ...] = getattr(known, facet)
    if facet == "forms":
        # Encoders seldom know what an abbreviation stands for; it may even pull a query to another field.
        texts = tuple(text for text in texts if not is_abbreviation(text))
    return texts[turn].rstrip(".;, ") if turn < len(texts) else ""


def _fitted(text: str, words: int, *, cut: bool) -> str:
    parts = text.split()
    if len(parts) <= words:
        return text
    return " ".join(parts[:words]) if cut and words > 2 else ""
