"""From a question to facts by the graph: the walk, the gate, what like cases show, and what is kept in a library."""

import tomllib
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.encoders.hashing import HashEncoder
from indexers.sources.verbalise import verbalise
from indexers.stores.memory import MemoryStore
from knowledge.asked_relations import asked_relations
from knowledge.graph.array_graph import ArrayGraph
from knowledge.relations import relations as shipped_relations
from knowledge.walking import WalkOptions, walk
from pipelines.graph_library import case_key, fact_statements, open_graph, refresh_graph, stored, triple_of
from pipelines.graph_search import FactWalker, FactWalkOptions
from rag.fingerprint import passage_id
from rag.types import CaseLocator, ChannelScore, FactLocator, Hit, Passage, Point, Query

FACTS = [
    ("diabetic retinopathy", "fundus_sign", "microaneurysm", "present"),
    ("diabetic retinopathy", "fundus_sign", "cotton wool spot", "present"),
    ("diabetic retinopathy", "is_a", "retinal vascular disease", "present"),
    ("hypertensive retinopathy", "is_a", "retinal vascular disease", "present"),
    ("hypertensive retinopathy", "fundus_sign", "cotton wool spot", "present"),
    ("diabetic retinopathy", "fundus_sign", "cherry red spot", "absent"),
    ("diabetic retinopathy", "definition", "Damage to vessels of the retina by diabetes mellitus.", "present"),
    ("pneumonia", "located_in", "lung", "present"),
    ("pneumonia", "has_symptom", "cough", "present"),
]  # fmt: skip
ENCODER = HashEncoder("dense", dim=256)


def fact(head, relation, tail, polarity="present", document="ontology"):
    key = passage_id("f" * 64, "fact", f"{document}/{head}/{relation}/{tail}/{polarity}")
    text = verbalise(head, relation, tail, polarity)
    meta = {"source": "made up", "license": "CC0"}
    return Passage(key, "fact", document, text, FactLocator(head, relation, tail, polarity), meta=meta)


def case(record, text):
    key = passage_id("c" * 64, "case", record)
    return Passage(key, "case", "clinic", text, CaseLocator(record), meta={"domain": "radiograph"})


CASES = [case("r1", "Right lower lobe pneumonia. No pleural effusion."), case("r2", "Clear lungs.")]


def store_of(passages):
    store = MemoryStore({"fact": (ENCODER.spec,), "case": (ENCODER.spec,)})
    for passage in passages:
        store.upsert([Point(passage, {"dense": ENCODER.encode_passages([passage])[0]})])
    return store


@pytest.fixture
def library(tmp_path):
    store = store_of([*(fact(*row) for row in FACTS), *CASES])
    refresh_graph(store, tmp_path)
    return store, tmp_path


def walker(library, **options):
    store, folder = library
    return FactWalker(open_graph(folder), store, FactWalkOptions(**{"nearest": -1.0, **options}))


def ask(library, text="", cases=(), images=(), **options):
    query = Query(text=text, images=images)
    vectors = {"dense": ENCODER.encode_queries([query])[0]} if text else {}
    return walker(library, **options).walk(query, vectors, cases)


def facts_of(found):
    return [hit.passage.fact for hit in found.hits]


def test_facts_of_what_is_named_come_first_and_carry_their_passage(library):
    found = ask(library, "Which signs suggest diabetic retinopathy?")
    assert found.named == ("diabetic retinopathy",)
    assert facts_of(found)[0][0] == "diabetic retinopathy"
    assert ("pneumonia", "located_in", "lung") not in facts_of(found)
    assert all(hit.passage.meta["source"] == "made up" for hit in found.hits)
    assert [hit.channels["graph"].rank for hit in found.hits] == list(range(1, len(found.hits) + 1))


def test_a_walk_reaches_facts_that_name_no_word_of_the_question(library):
    found = ask(library, "cotton wool spot")
    assert ("hypertensive retinopathy", "is_a", "retinal vascular disease") in facts_of(found)


def test_what_is_denied_is_found_and_says_so(library):
    found = ask(library, "diabetic retinopathy")
    denied = [hit.passage for hit in found.hits if hit.passage.locator.polarity == "absent"]
    assert [passage.fact[2] for passage in denied] == ["cherry red spot"]
    assert "not" in denied[0].text


def test_a_question_that_names_nothing_gets_nothing_and_the_reason(library):
    found = ask(library, "What is the capital of France?")
    assert found.hits == ()
    assert "no concept" in found.reason
    assert found.lists() == {}


def test_facts_far_from_the_question_are_left_out(library):
    assert ask(library, "diabetic retinopathy", nearest=1.01).reason == "no fact on the way is near to the question"


def test_an_image_begins_at_the_findings_of_cases_like_it(library):
    like = [Hit(CASES[0], 0.9, {"image": ChannelScore(1, 0.9)})]
    found = ask(library, cases=like, images=("film.png",))
    assert ("pneumonia", "has_symptom", "cough") in facts_of(found)
    assert "pleural effusion" not in found.shown  # denied there
    assert ask(library, "cough?", cases=like).shown == ()  # a question without an image has no cases like it
    assert ask(library, cases=[Hit(CASES[1], 0.9)], images=("film.png",)).hits == ()


def test_one_heads_many_tails_do_not_fill_the_list(library):
    phenotypes = [fact("marfan syndrome", "has_phenotype", f"sign number {n}") for n in range(30)]
    other = fact("marfan syndrome", "is_a", "connective tissue disease")
    store = store_of([*phenotypes, other])
    store_folder = library[1] / "second"
    store_folder.mkdir()
    refresh_graph(store, store_folder)
    found = ask((store, store_folder), "marfan syndrome", repeat=0.5)
    assert facts_of(found).index(other.fact) <= 2


def test_a_graph_is_built_again_only_when_passages_changed(library):
    store, folder = library
    header = folder / "graph" / "header.json"
    before = header.stat().st_mtime_ns
    refresh_graph(store, folder)
    assert header.stat().st_mtime_ns == before
    store.upsert([Point(fact("asthma", "has_symptom", "wheeze"), {})])
    refresh_graph(store, folder)
    assert open_graph(folder).graph.concept("asthma") is not None
    store.delete("fact", "ontology")
    store.delete("case", "clinic")
    refresh_graph(store, folder)
    assert open_graph(folder) is None


def test_linker_tables_of_another_version_are_compiled_again(library):
    _, folder = library
    (folder / "graph" / "links.json").write_text("{}")
    assert [link.concept for link in open_graph(folder).link("a cotton wool spot")] == ["cotton wool spot"]
    assert len((folder / "graph" / "links.json").read_text()) > 2


def test_facts_and_reports_state_triples_with_their_passage(library):
    store, folder = library
    graph = open_graph(folder).graph
    statement = next(fact_statements([fact(*FACTS[0])]))
    assert statement.triple == triple_of(FactLocator(*FACTS[0]))
    assert [support.passage for support in graph.supports(statement.triple)] == [fact(*FACTS[0]).id]
    own = graph.triples_of(case_key(CASES[0]))
    assert {(triple.tail, triple.polarity) for triple in own if triple.relation == "has_finding"} >= {
        ("pleural effusion", "absent")
    }
    assert all(support.passage == CASES[0].id for triple in own for support in graph.supports(triple))
    assert len(list(stored(store, "fact"))) == len(FACTS)


def test_nearness_is_a_share_of_the_nearest():
    graph = ArrayGraph.build(fact_statements(fact(*row) for row in FACTS))
    found = walk(graph, {"pneumonia": 1.0}, WalkOptions(most=2))
    assert len(found) == 2
    assert found[0].nearness == 1.0
    assert np.all(np.diff([one.nearness for one in found]) <= 0)
    assert walk(graph, {"nothing": 1.0}) == ()


def graph_of(*rows):
    return ArrayGraph.build(fact_statements(fact(*row) for row in rows))


def crowd(*, signs=30):
    """A disease of the retina with night blindness, among many of either alone."""
    eyes = [(f"eye disease {n}", "located_in", "retina") for n in range(signs)]
    blind = [(f"blindness syndrome {n}", "has_symptom", "night blindness") for n in range(signs)]
    both = [("zonular dystrophy", "located_in", "retina"), ("zonular dystrophy", "has_symptom", "night blindness")]
    return [*eyes, *blind, *both]


def test_what_joins_two_named_concepts_comes_before_what_is_near_to_one():
    found = walk(graph_of(*crowd()), {"retina": 1.0, "night blindness": 1.0})
    assert {one.triple.head for one in found[:2]} == {"zonular dystrophy"}


def test_a_link_between_two_named_concepts_comes_first():
    graph = graph_of(*crowd(), ("night blindness", "anatomical_site", "retina"))
    found = walk(graph, {"retina": 1.0, "night blindness": 1.0})
    assert found[0].triple.head == "night blindness"


def test_a_chain_goes_on_by_the_other_relation_that_is_asked_for():
    rows = [("lovastatin", "symptomatic_treatment_of", "angina"), ("angina", "has_symptom", "chest tightness")]
    others = [(f"drug {n}", "symptomatic_treatment_of", "angina") for n in range(30)]
    parents = [("angina", "is_a", f"heart group {n}") for n in range(10)]
    graph = graph_of(*rows, *others, *parents)
    found = walk(graph, {"lovastatin": 1.0}, asked=("has_finding", "treated_by"))
    assert {one.triple.tail for one in found[:2]} == {"angina", "chest tightness"}


def test_a_relation_that_is_asked_for_comes_first():
    rows = [("asthma", "has_symptom", f"sign {n}") for n in range(9)] + [("asthma", "located_in", "zone of lung")]
    found = walk(graph_of(*rows), {"asthma": 1.0}, asked=("located_at",))
    assert found[0].triple.tail == "zone of lung"


def test_more_of_a_relation_that_is_asked_for_is_read_at_a_hub():
    graph = graph_of(*[("hub", "has_symptom", f"sign {n:03}") for n in range(60)])
    options = WalkOptions(concepts=1, cap=5, asked_cap=50)
    assert len(walk(graph, {"hub": 1.0}, options)) == 5
    assert len(walk(graph, {"hub": 1.0}, options, ("has_finding",))) == 50


def test_unknown_seeds_are_passed_over():
    graph = graph_of(*crowd())
    alone = walk(graph, {"retina": 1.0})
    assert walk(graph, {"nothing": 1.0}) == ()
    assert {one.triple for one in walk(graph, {"retina": 1.0, "nothing": 1.0})} == {one.triple for one in alone}


@given(st.data())
def test_nearness_is_a_share_whatever_the_graph(data):
    names = st.sampled_from("abcdef")
    surfaces = st.sampled_from(["has_symptom", "located_in", "is_a", "definition", "made up"])
    rows = data.draw(st.lists(st.tuples(names, surfaces, names), min_size=1, max_size=20))
    seeds = data.draw(st.dictionaries(names, st.floats(0.1, 1.0), min_size=1, max_size=4))
    asked = data.draw(st.sets(st.sampled_from(["has_finding", "located_at", "is_a"])))
    found = walk(graph_of(*rows), seeds, asked=asked)
    assert all(0 < one.nearness <= 1 for one in found)
    assert [one.nearness for one in found] == sorted((one.nearness for one in found), reverse=True)
    assert len({one.triple for one in found}) == len(found)


@pytest.mark.parametrize(
    ("question", "relations"),
    [
        ("How is asthma treated?", ("treated_by",)),
        ("Where is a melanoma located?", ("located_at",)),
        ("What kind of symptoms does influenza have?", ("has_finding",)),
        ("What kind of tumour is a glioma?", ("is_a",)),
        ("How to prevent the disease on the heart?", ("prevented_by",)),
        ("Which organ belongs to the circulatory system?", ("part_of", "located_at")),
        ("Which symptom has the disease that ribavirin treats?", ("has_finding", "treated_by")),
        ("diabetic retinopathy", ()),
        ("", ()),
    ],
)
def test_words_tell_which_relation_is_asked_for(question, relations):
    assert asked_relations(question) == relations


def test_every_relation_that_can_be_asked_for_is_in_the_list():
    data = tomllib.loads(files("knowledge").joinpath("asked_relations.toml").read_text(encoding="utf-8"))
    names = {relation for section in data.values() for relation in section}
    assert names <= {relation.name for relation in shipped_relations().relations}
