"""The graph through llama-index: reads keep polarity and provenance, changes are refused."""

import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed", exc_type=ImportError)

from knowledge.graph.array_graph import ArrayGraph
from knowledge.graph.testing import EYE
from pipelines.adapters.llama_index_graph import ReadOnlyGraphStore
from rag.errors import UsageError


@pytest.fixture
def store():
    return ReadOnlyGraphStore(ArrayGraph.build(EYE))


def labels(triplets):
    return [(str(head), relation.label, str(tail)) for head, relation, tail in triplets]


def test_a_denied_fact_says_so_in_its_label(store):
    found = store.get_triplets(entity_names=["Hypertensive retinopathy"])
    assert ("Hypertensive retinopathy", "no fundus_sign", "Microaneurysm") in labels(found)
    assert labels(store.get_triplets(properties={"polarity": "absent"})) == [
        ("Hypertensive retinopathy", "no fundus_sign", "Microaneurysm")
    ]
    assert labels(store.get_triplets(ids=["microaneurysm"], relation_names=["no fundus_sign"])) == [
        ("Hypertensive retinopathy", "no fundus_sign", "Microaneurysm")
    ]


def test_walks_leave_denials_out(store):
    walked = store.get_rel_map(store.get(ids=["microaneurysm"]), depth=9)
    assert ("Diabetic retinopathy", "fundus_sign", "Microaneurysm") in labels(walked)
    assert all(relation.properties["polarity"] == "present" for _, relation, _ in walked)
    assert len(store.get_rel_map(store.get(ids=["microaneurysm"]), limit=1)) == 1
    without = store.get_rel_map(store.get(ids=["microaneurysm"]), ignore_rels=["has_finding"])
    assert "fundus_sign" not in {label for _, label, _ in labels(without)}
    assert store.get_rel_map(store.get(ids=["microaneurysm"]), depth=0) == []


def test_relations_name_their_documents(store):
    (found,) = store.get_triplets(properties={"documents": "book"})
    assert found[1].properties["documents"] == ["atlas", "book"]
    assert (found[0].id, found[1].source_id) == ("diabetic retinopathy", "diabetic retinopathy")


def test_nodes_are_found_by_key_and_by_name(store):
    assert [node.id for node in store.get(ids=["Retina", "nobody", "lens"])] == ["retina", "lens"]
    assert "retina" in [node.id for node in store.get()]
    assert [node.id for node in store.get(properties={"name": "Lens"})] == ["lens"]
    assert store.get_triplets() == []


def test_changes_and_queries_it_cannot_answer_are_refused(store):
    for change in (
        lambda: store.upsert_nodes([1]),
        lambda: store.upsert_relations([1]),
        lambda: store.delete(ids=["retina"]),
    ):
        with pytest.raises(UsageError, match="read-only"):
            change()
    with pytest.raises(UsageError, match="no query language"):
        store.structured_query("MATCH (n) RETURN n")
    with pytest.raises(UsageError, match="no vectors"):
        store.vector_query("retina")
