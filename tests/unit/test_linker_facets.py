"""Facets of a concept, and queries widened with them."""

from hypothesis import given
from hypothesis import strategies as st

from knowledge.linking import ConceptFacets, Linker, expand, facets
from knowledge.triples import Concept, Triple

DRUSEN = Concept("drusen", "Drusen", ("colloid bodies", "drusen", "DRU"))
TRIPLES = [
    Triple("drusen", "definition", "deposits under the retina, yellow and small."),
    Triple("drusen", "fundus_sign", "yellow dots"),
    Triple("drusen", "Fundus sign", "Yellow  dots"),
    Triple("drusen", "shape", "round"),
    Triple("drusen", "density", "dense", "absent"),
    Triple("drusen", "located_in", "retina"),
    Triple("drusen", "has_symptom", "none", "uncertain"),
    Triple("halo", "suggestive_of", "drusen"),
    Triple("age", "causes", "drusen"),
    Triple("other", "shape", "square"),
    Triple("drusen", "cause", "gone", change="resolved"),
    Triple("drusen", "price", "high"),
]


def test_facets_group_what_triples_state():
    known = facets(DRUSEN, TRIPLES, {"retina": "Retina"})
    assert known == ConceptFacets(
        "drusen",
        "Drusen",
        forms=("colloid bodies", "DRU"),
        appearance=("yellow dots", "halo"),
        location=("Retina",),
        shape=("round",),
        definition=("deposits under the retina, yellow and small.",),
        cause=("age",),
    )


def test_a_facet_keeps_a_few_texts():
    many = [Triple("drusen", "has_phenotype", f"sign {i}") for i in range(100)]
    assert facets(DRUSEN, many).symptom == tuple(f"sign {i}" for i in range(6))


def linked(text):
    return Linker([DRUSEN, Concept("cyst", "Cyst")], lexicon=()).link(text)


def test_a_query_is_followed_by_what_is_known():
    known = {"drusen": facets(DRUSEN, TRIPLES)}
    query = "Which disease shows drusen in the retina?"
    assert expand(query, linked(query), known) == (
        f"{query}\nDrusen: colloid bodies; yellow dots; round; deposits under the retina, yellow and small; age; halo."
    )


def test_concepts_share_the_budget_and_definitions_are_cut():
    known = {
        "drusen": ConceptFacets(
            "drusen", "Drusen", appearance=("yellow dots",), definition=("one two three four five",)
        ),
        "cyst": ConceptFacets("cyst", "Cyst", appearance=("dark hole",), definition=("six seven eight nine",)),
    }
    assert expand("drusen or cyst", linked("drusen or cyst"), known, words=9) == (
        "drusen or cyst\nDrusen: yellow dots; one two three.\nCyst: dark hole."
    )


def test_nothing_known_leaves_the_query_alone():
    assert expand("drusen", linked("drusen"), {}) == "drusen"
    assert expand("drusen", (), {"drusen": facets(DRUSEN, TRIPLES)}) == "drusen"
    assert expand("drusen", linked("drusen"), {"drusen": facets(DRUSEN, TRIPLES)}, words=0) == "drusen"


@given(st.integers(0, 60), st.lists(st.sampled_from(["drusen", "cyst", "and", "dots"]), max_size=8).map(" ".join))
def test_the_budget_holds_and_the_text_is_always_the_same(words, query):
    known = {"drusen": facets(DRUSEN, TRIPLES), "cyst": ConceptFacets("cyst", "Cyst", shape=("round thing",))}
    wide = expand(query, linked(query), known, words)
    assert wide.startswith(query)
    assert len(wide[len(query) :].split()) <= words
    assert wide == expand(query, linked(query), known, words)
