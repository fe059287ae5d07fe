"""Both graphs pass the contract, and agree on random content."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.graph.array_graph import ArrayGraph
from knowledge.graph.networkx_graph import NetworkxGraph
from knowledge.graph.testing import RELATIONS, GraphContract, declarations, statements

KEYS = ("a", "b", "c c", "dé", "f", "g", "h", "nobody")


class TestArrayGraph(GraphContract):
    @pytest.fixture
    def build(self):
        return ArrayGraph.build


class TestOpenedArrayGraph(GraphContract):
    @pytest.fixture
    def build(self, tmp_path):
        def build(*content):
            ArrayGraph.build(*content).save(tmp_path / "graph")
            return ArrayGraph.open(tmp_path / "graph")

        return build


class TestNetworkxGraph(GraphContract):
    @pytest.fixture
    def build(self):
        return NetworkxGraph.build


@settings(max_examples=50, deadline=None)
@given(statements(), declarations())
def test_they_hold_the_same(rows, declared):
    fast, readable = ArrayGraph.build(rows, declared), NetworkxGraph.build(rows, declared)
    assert list(fast.triples()) == list(readable.triples())
    for triple in readable.triples():
        assert fast.supports(triple) == readable.supports(triple)
        assert fast.triple(triple.id) == triple
    assert list(fast.concepts()) == list(readable.concepts())
    for key in (*KEYS, "e" * 140):
        assert fast.concept(key) == readable.concept(key)
        assert fast.triples_of(key) == readable.triples_of(key)
    assert fast.stats() == readable.stats()
    assert fast.conflicts() == readable.conflicts()
    assert fast.documents() == readable.documents()
    assert [fast.triples_in(name) for name in fast.documents()] == [
        readable.triples_in(name) for name in fast.documents()
    ]


@settings(max_examples=50, deadline=None)
@given(
    statements(),
    st.dictionaries(st.sampled_from(KEYS), st.floats(0.01, 10), max_size=4),
    st.sampled_from((0.15, 0.5, 0.9)),
)
def test_they_rank_the_same(rows, seeds, restart):
    options = {"restart": restart, "top_n": 100, "tolerance": 1e-9}
    fast = ArrayGraph.build(rows).ppr(seeds, **options)
    readable = NetworkxGraph.build(rows).ppr(seeds, **options)
    assert dict(fast) == pytest.approx(dict(readable), abs=1e-6)
    assert not fast or sum(score for _, score in fast) == pytest.approx(1, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    statements(),
    st.lists(st.sampled_from(KEYS), max_size=4),
    st.integers(1, 3),
    st.integers(1, 4),
    st.none() | st.lists(st.sampled_from((*RELATIONS, "has_finding", "located_at")), max_size=3),
)
def test_they_walk_the_same(rows, keys, hops, cap, relations):
    fast, readable = ArrayGraph.build(rows), NetworkxGraph.build(rows)
    assert fast.neighbours(keys, hops, relations, cap) == readable.neighbours(keys, hops, relations, cap)
    assert fast.explain(keys) == readable.explain(keys)
    for start, end in pairwise(keys):
        assert fast.paths(start, end, hops) == readable.paths(start, end, hops)
        assert fast.paths(start, end, hops, cap) == readable.paths(start, end, hops)[:cap]


@settings(max_examples=50, deadline=None)
@given(statements(), declarations(), statements(12), declarations(3))
def test_adding_and_removing_a_document_gives_the_first_graph(tmp_path_factory, rows, declared, more, named):
    new = [type(row)(row.triple, type(row.support)("new", *_rest(row.support))) for row in more]
    renamed = [type(row)("new", row.concept) for row in named]
    folder = tmp_path_factory.mktemp("graph")
    first = ArrayGraph.build(rows, declared)
    again = first.add(new, renamed).remove_document("new")
    assert first.save(folder / "first") == again.save(folder / "again")
    assert _saved(folder / "first") == _saved(folder / "again")
    oracle = NetworkxGraph.build(rows, declared)
    back = oracle.add(new, renamed).remove_document("new")
    assert back.stats() == oracle.stats() == again.stats()
    assert list(back.triples()) == list(oracle.triples())


@settings(max_examples=50, deadline=None)
@given(statements(), declarations(), st.randoms())
def test_the_order_of_arrival_does_not_matter(tmp_path_factory, rows, declared, random):
    folder = tmp_path_factory.mktemp("graph")
    mixed = [*rows, *rows[:3]]
    random.shuffle(mixed)
    half = len(mixed) // 2
    pieces = ArrayGraph.build(mixed[:half]).add(mixed[half:], declared[::-1])
    assert pieces.save(folder / "pieces") == ArrayGraph.build(rows, declared).save(folder / "whole")
    assert _saved(folder / "pieces") == _saved(folder / "whole")


def _rest(support):
    return [getattr(support, name) for name in type(support).__slots__[1:]]


def _saved(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
