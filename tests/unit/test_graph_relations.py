"""The closed list of relations and its aliases."""

import pytest

from knowledge.relations import Meaning, Relation, RelationList, relations

TEN = (
    *("located_at", "suggestive_of", "modify", "part_of", "is_a"),
    *("synonym_of", "has_finding", "imaged_by", "treated_by", "causes"),
)


def test_the_ten_relations_and_change_are_walked():
    assert all(relations().walked(name) for name in (*TEN, "change"))


@pytest.mark.parametrize(
    ("surface", "name", "inverted"),
    [
        ("has_phenotype", "has_finding", False),
        ("locate in", "located_at", False),
        ("Locate_In", "located_at", False),
        ("cause", "causes", True),
        ("results_in", "causes", False),
        ("symptomatic_treatment_of", "treated_by", True),
        ("component", "part_of", True),
        ("synonym", "synonym_of", False),
        ("has_subtype", "is_a", True),
    ],
)
def test_surface_relations_have_a_meaning_and_a_direction(surface, name, inverted):
    meaning = relations().meaning(surface)
    assert (meaning.relation.name, meaning.inverted) == (name, inverted)


@pytest.mark.parametrize("surface", ["definition", "prevention", "onset", "not_indicated_for", "colour", "infectivity"])
def test_texts_times_and_warnings_are_known_and_not_walked(surface):
    assert relations().meaning(surface)
    assert not relations().walked(surface)


def test_an_unknown_relation_keeps_its_name_and_is_not_walked():
    assert relations().meaning("logarithm") is None
    assert relations().canonical("logarithm") == "logarithm"
    assert not relations().walked("logarithm")
    assert relations().matches("logarithm", "Logarithm")


def test_only_synonyms_read_the_same_from_both_ends():
    assert [relation.name for relation in relations().relations if relation.symmetric] == ["synonym_of"]


def test_a_surface_with_two_meanings_is_refused():
    one = Relation("a", "b", "anything", "anything", walk=True, aliases=("x",))
    with pytest.raises(ValueError, match="means both a and c"):
        RelationList((one, Relation("c", "d", "anything", "anything", walk=True, aliases=("X",))))
    assert RelationList((one,)).meaning("B") == Meaning(one, inverted=True)
