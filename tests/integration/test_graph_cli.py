"""`vesalius graph` over a library built from a fact file and two reports: stats, links, neighbours, paths, pictures."""

import json
from pathlib import Path

import pytest

from pipelines.config import load_settings
from pipelines.ingest import Sources
from pipelines.library import Library, build_library
from rag.cli.app import main
from rag.types import Query

pytestmark = pytest.mark.usefixtures("forwards_once")

WORDS = [
    "channels.pages=[bm25]", "channels.figures=[bm25]", "channels.cases=[bm25]", "channels.facts=[dense,bm25]",
    "graph.nearest=0",
]  # fmt: skip
FACTS = """head\trelation\ttail\tpolarity\tsource
diabetic retinopathy\tfundus_sign\tmicroaneurysms\tpresent\teye atlas
diabetic retinopathy\tfundus_sign\tcotton wool spots\tpresent\teye atlas
hypertensive retinopathy\tfundus_sign\tcotton wool spots\tpresent\teye atlas
hypertensive retinopathy\tcaused_by\thypertension\tpresent\tmade up
diabetic retinopathy\tfundus_sign\tcherry red spot\tabsent\teye atlas
cotton wool spots\tsynonym\tsoft exudates\tpresent\teye atlas
pneumonia\tlocated_in\tlung\tpresent\tmade up
pneumonia\tlocated_in\tlung\tabsent\tanother
"""
REPORTS = [
    {"id": "r1", "caption": "Fundus photograph: cotton wool spots. No haemorrhage.", "domain": "ophthalmology"},
    {"id": "r2", "findings": "Left lower lobe pneumonia.", "impression": "Pneumonia.", "domain": "radiograph"},
]


@pytest.fixture(scope="module")
def library(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    (folder / "signs.tsv").write_text(FACTS)
    (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in REPORTS))
    build_library(
        folder / "library",
        Sources((), (folder / "records.jsonl",), (folder / "signs.tsv",)),
        load_settings(overrides=WORDS).settings,
    )
    return folder / "library"


@pytest.fixture
def run(library, capsys):
    def call(*arguments, code=0):
        capsys.readouterr()
        assert main(["graph", *arguments, "--library", str(library)]) == code
        return capsys.readouterr()

    return call


@pytest.fixture
def rows(run):
    return lambda *arguments: json.loads(run(*arguments, "--json").out)


def test_stats_count_facts_reports_and_conflicts(rows, run):
    found = rows("stats", "--conflicts")
    assert found["by_relation"]["fundus_sign"] == 4
    assert found["by_polarity"]["absent"] >= 2
    assert found["by_tier"]["report"] >= 2
    assert "fundus_sign 4" in run("stats").out
    assert found["by_source"]["eye atlas"] == 5
    assert found["conflict_list"][0]["absent"][0]["fact"] == ["pneumonia", "located_in", "lung"]
    assert "conflict: pneumonia" in run("stats", "--conflicts").out


def test_link_finds_concepts_by_name_and_synonym_at_their_place(rows, run):
    text = "Soft exudates, no pneumonia"
    found = rows("link", text)
    assert [one["concept"] for one in found] == ["cotton wool spots", "pneumonia"]
    assert all(text[one["start"] : one["end"]] == one["text"] for one in found)
    assert "no concept" in run("link", "the capital of France").out


def test_neighbours_show_source_and_what_is_denied(rows, run):
    found = rows("neighbours", "diabetic retinopathy")
    assert {tuple(row["fact"])[2]: row["polarity"] for row in found} == {
        "microaneurysms": "present", "cotton wool spots": "present", "cherry red spot": "absent"
    }  # fmt: skip
    assert {row["source"] for row in found} == {"eye atlas"}
    assert "no: diabetic retinopathy - fundus_sign - cherry red spot" in run("neighbours", "Diabetic Retinopathy").out
    two = rows("neighbours", "diabetic retinopathy", "--hops", "2")
    assert ["hypertensive retinopathy", "fundus_sign", "cotton wool spots"] in [row["fact"] for row in two]


def test_paths_join_two_concepts_and_are_drawn(rows, run, tmp_path):
    found = rows("paths", "diabetic retinopathy", "hypertension")
    assert found[0] == [
        ["diabetic retinopathy", "fundus_sign", "cotton wool spots"],
        ["hypertensive retinopathy", "fundus_sign", "cotton wool spots"],
        ["hypertensive retinopathy", "caused_by", "hypertension"],
    ]
    svg, page = tmp_path / "new" / "path.svg", tmp_path / "path.html"
    run("paths", "diabetic retinopathy", "hypertension", "--svg", str(svg), "--html", str(page))
    assert "cotton wool spots" in svg.read_text()
    assert page.read_text().lstrip().startswith("<!")
    assert rows("paths", "diabetic retinopathy", "pneumonia") == []


def test_explain_connects_several_concepts(rows, run):
    found = rows("explain", "microaneurysms", "hypertension")
    assert ["diabetic retinopathy", "fundus_sign", "microaneurysms"] in [row["fact"] for row in found]
    assert "not connected" in run("explain", "microaneurysms", "lung").err


def test_a_concept_that_is_none_is_refused_with_what_it_may_be(run):
    assert "did you mean" in run("neighbours", "bilateral cotton wool spots seen", code=2).err
    assert "graph link" in run("neighbours", "xyzzy", code=2).err
    assert "hops" in run("neighbours", "pneumonia", "--hops", "9", code=2).err


def test_facts_are_found_by_walking_and_say_so(library):
    with Library.open(library, load_settings(overrides=WORDS).settings) as opened:
        result = opened.search_timed(Query("What do soft exudates point to?"), k=10, kinds=("fact",))
    assert result.walk is not None
    assert result.walk.named == ("cotton wool spots",)
    walked = [hit for hit in result.hits if "graph" in hit.channels]
    assert ("hypertensive retinopathy", "fundus_sign", "cotton wool spots") in [hit.passage.fact for hit in walked]


def test_without_facts_there_is_no_graph(models, tmp_path, capsys):
    (tmp_path / "records.jsonl").write_text(json.dumps({"id": "r", "caption": "A drawing of two squares."}) + "\n")
    folder = Path(tmp_path / "library")
    build_library(folder, Sources((), (tmp_path / "records.jsonl",), ()), load_settings(overrides=WORDS[:3]).settings)
    code = main(["graph", "stats", "--library", str(folder)])
    assert code == 2
    assert "index add --facts" in capsys.readouterr().err
