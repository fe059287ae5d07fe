"""RadGraph's output, in a recorded form written by hand, as statements."""

import pytest

from knowledge.extraction.protocol import Source, TripleExtractor
from knowledge.extraction.radgraph import RadGraphExtractor, installed_annotator, radgraph_statements
from knowledge.triples import Triple
from rag.errors import MissingExtra, SourceError

TEXT = "No pneumothorax.  Small LEFT pleural effusion suggests edema, worse."


def row(tokens, label, place, *relations):
    return {"tokens": tokens, "label": label, "start_ix": place, "end_ix": place, "relations": list(relations)}


ANNOTATION = {
    "text": "No pneumothorax . Small LEFT pleural effusion suggests edema , worse .",
    "entities": {
        "1": row("pneumothorax", "OBS-DA", 1),
        "2": row("Small", "Observation::definitely present", 3, ["modify", "5"]),
        "3": row("LEFT", "ANAT-DP", 4, ["modify", "4"]),
        "4": row("pleural", "Anatomy::definitely present", 5),
        "5": row("effusion", "OBS-DP", 6, ["located_at", "4"], ["suggestive_of", "6"]),
        "6": row("edema", "OBS-U", 8),
        "7": row("worse", "CHAN-CON-WOR", 10, ["modify", "5"]),
        "8": row("odd", "NEW-KIND", 0, ["modify", "5"]),
        "9": row("lost", "ANAT-DP", 3, ["modify", "99"], ["unknown", "5"], "bad"),
    },
}
SOURCE = Source("cases", "p1", name="ours")


def test_entities_and_relations_become_triples():
    triples = {statement.triple for statement in radgraph_statements(ANNOTATION, SOURCE, text=TEXT)}
    assert triples == {
        Triple("study", "has_finding", "pneumothorax", "absent"),
        Triple("study", "has_finding", "effusion", "present", "worse"),
        Triple("study", "has_finding", "edema", "uncertain"),
        Triple("small", "modify", "effusion"),
        Triple("left", "modify", "pleural"),
        Triple("worse", "modify", "effusion"),
        Triple("effusion", "located_at", "left pleural", "present", "worse"),
        Triple("effusion", "suggestive_of", "edema"),
    }


def test_support_points_into_the_passage():
    for statement in radgraph_statements(ANNOTATION, SOURCE, text=TEXT):
        shown = TEXT[statement.support.start : statement.support.end]
        assert statement.support.head_text in shown
        assert statement.support.tail_text in shown
        assert statement.support.method == "radgraph-1"


def test_offsets_are_left_out_where_the_text_is_another():
    assert {one.support.start for one in radgraph_statements(ANNOTATION, SOURCE, text="another text")} == {-1}


def test_an_annotation_without_entities_is_an_error():
    with pytest.raises(SourceError, match="entities"):
        radgraph_statements({"text": "x"}, SOURCE)


def test_extractor_plays_the_protocol_and_survives_empty_output():
    extractor = RadGraphExtractor(lambda texts: {"0": ANNOTATION})
    assert isinstance(extractor, TripleExtractor)
    assert len(extractor.extract(TEXT, SOURCE)) == 8
    assert RadGraphExtractor(lambda texts: {}).extract(TEXT, SOURCE) == []


def test_a_missing_package_is_named():
    with pytest.raises(MissingExtra, match="radgraph"):
        installed_annotator("weights")
