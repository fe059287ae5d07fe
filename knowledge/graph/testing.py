"""What every graph must do, and random content to try it on. Imported by tests only: it needs pytest and hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import strategies as st

from knowledge.graph.intake import LONGEST_LABEL, Intake
from knowledge.graph.protocol import Conflict, Declaration, Explanation, Graph
from knowledge.triples import CHANGES, TIERS, Change, Concept, Statement, Support, Tier, Triple, key_of
from rag.errors import QueryError
from rag.types import Polarity

Build = Callable[..., Graph]
"""Makes a graph: build(statements, declared=())."""

RELATIONS = ("is_a", "has_phenotype", "located_in", "synonym", "definition", "colour of hair", "cause", "causes")
_NAMES = ("A", "b", "C c", "dé", "e" * 140, "F", "g", "h")
_DOCUMENTS = ("atlas", "book", "cases")


def statement(  # noqa: PLR0913  # a short way to write what has eleven fields
    head: str,
    relation: str,
    tail: str,
    document: str = "atlas",
    polarity: Polarity = "present",
    *,
    change: Change = "none",
    source: str = "",
    tier: Tier = "ontology",
) -> Statement:
    """A statement whose passage is the document's first."""
    triple = Triple(key_of(head), relation, key_of(tail), polarity, change)
    return Statement(triple, Support(document, "1", head, tail, tier, source))


def statements(most: int = 40) -> st.SearchStrategy[list[Statement]]:
    """Random multigraphs: parallel triples, self-loops, denials, changes, unknown relations, sentences, repetitions."""
    names = st.sampled_from(_NAMES)
    triple = st.builds(
        Triple,
        names.map(key_of),
        st.sampled_from(RELATIONS),
        names.map(key_of),
        st.sampled_from(("present", "present", "present", "absent", "uncertain")),
        st.sampled_from(("none", "none", *CHANGES)),
    )
    wording = st.sampled_from(("", *_NAMES))
    support = st.builds(
        Support,
        st.sampled_from(_DOCUMENTS),
        st.sampled_from(("1", "2")),
        wording,
        wording,
        st.sampled_from(TIERS),
        st.sampled_from(("", "hpo")),
        confidence=st.sampled_from((0.5, 1.0)),
        start=st.sampled_from((-1, 3)),
    )
    return st.lists(st.builds(Statement, triple, support), max_size=most)


def declarations(most: int = 6) -> st.SearchStrategy[list[Declaration]]:
    """Random names, forms and domains, of concepts that the graph has and of others."""
    names = st.sampled_from(("", *_NAMES))
    concept = st.builds(
        Concept, st.sampled_from(_NAMES).map(key_of), names, st.lists(names, max_size=3).map(tuple), names
    )
    return st.lists(st.builds(Declaration, st.sampled_from(_DOCUMENTS), concept), max_size=most)


def facts(triples: Iterable[Triple]) -> list[tuple[str, str, str]]:
    """Head, relation and tail."""
    return [(triple.head, triple.relation, triple.tail) for triple in triples]


EYE = (
    statement("Diabetic retinopathy", "fundus_sign", "Microaneurysm"),
    statement("Diabetic retinopathy", "fundus_sign", "microaneurysm", "book"),
    statement("Diabetic retinopathy", "is_a", "Retinal disease"),
    statement("Retinal disease", "located_in", "Retina"),
    statement("Microaneurysm", "located_in", "Retina"),
    statement("Diabetic retinopathy", "fundus_sign", "Cotton wool spot"),
    statement("Hypertensive retinopathy", "fundus_sign", "Cotton wool spot"),
    statement("Hypertensive retinopathy", "fundus_sign", "Microaneurysm", "cases", "absent", tier="report"),
    statement("Diabetic retinopathy", "definition", "Damage to the retina by diabetes."),
    statement("Diabetic retinopathy", "synonym", "Diabetic eye disease"),
    statement("Retina", "eyelid colour", "Pink"),
    statement("Cataract", "located_in", "Lens"),
)
"""A little graph with every kind of triple that walks leave out."""


class GraphContract:
    """Run by a subclass per implementation, which gives the fixture `build`."""

    @pytest.fixture
    def eye(self, build: Build) -> Graph:
        """The little graph."""
        return build(EYE)

    def test_plays_the_protocol(self, eye: Graph) -> None:
        assert isinstance(eye, Graph)

    def test_reads_back_what_it_was_given(self, eye: Graph) -> None:
        assert set(eye.triples()) == {row.triple for row in EYE}
        assert sum(len(eye.supports(triple)) for triple in eye.triples()) == len(EYE)
        assert all(eye.triple(triple.id) == triple for triple in eye.triples())
        assert eye.documents() == ("atlas", "book", "cases")
        assert facts(eye.triples_in("book")) == [("diabetic retinopathy", "fundus_sign", "microaneurysm")]

    def test_one_triple_keeps_all_its_supports(self, eye: Graph) -> None:
        rows = eye.supports(EYE[0].triple)
        assert [(row.document, row.tail_text) for row in rows] == [
            ("atlas", "Microaneurysm"),
            ("book", "microaneurysm"),
        ]

    def test_concepts_have_names_and_forms(self, eye: Graph) -> None:
        assert eye.concept("microaneurysm") == Concept("microaneurysm", "Microaneurysm", ("microaneurysm",))
        found = eye.concept("diabetic retinopathy")
        assert found is not None
        assert found.forms == ("Diabetic eye disease",)
        keys = [concept.key for concept in eye.concepts()]
        assert "retina" in keys
        assert keys == sorted(keys)
        assert not {"diabetic eye disease", "damage to the retina by diabetes."} & set(keys)

    def test_a_declared_name_comes_first(self, build: Build) -> None:
        declared = [Declaration("book", Concept("retina", "RETINA", ("Netzhaut",), "ophthalmology"))]
        graph = build(EYE, declared)
        assert graph.concept("retina") == Concept("retina", "RETINA", ("Netzhaut", "Retina"), "ophthalmology")
        assert graph.remove_document("book").concept("retina") == Concept("retina", "Retina")

    def test_walks_leave_out_denials_texts_and_unknown_relations(self, eye: Graph) -> None:
        reached = facts(eye.neighbours(["retina", "hypertensive retinopathy"], hops=3))
        assert ("hypertensive retinopathy", "fundus_sign", "microaneurysm") not in reached
        assert {relation for _, relation, _ in reached} == {"fundus_sign", "is_a", "located_in"}
        everything = {relation for _, relation, _ in facts(eye.triples_of("diabetic retinopathy"))}
        assert everything == {"fundus_sign", "is_a", "definition", "synonym"}
        assert len(eye.triples_of("hypertensive retinopathy")) == 2

    def test_neighbours_of_a_named_relation(self, eye: Graph) -> None:
        assert facts(eye.neighbours(["diabetic retinopathy"], relations=["definition"])) == [
            ("diabetic retinopathy", "definition", "damage to the retina by diabetes.")
        ]
        both = eye.neighbours(["diabetic retinopathy"], relations=["has_finding"])
        assert facts(both) == [  # the one with two sources first
            ("diabetic retinopathy", "fundus_sign", "microaneurysm"),
            ("diabetic retinopathy", "fundus_sign", "cotton wool spot"),
        ]
        assert eye.neighbours(["retina"], relations=["eyelid colour"])[0].tail == "pink"

    def test_hubs_are_capped_per_relation(self, build: Build) -> None:
        rows = [statement("hub", relation, f"leaf {n}") for relation in ("is_a", "cause") for n in range(30)]
        graph = build([*rows, statement("hub", "is_a", "leaf 29", "book")])
        kept = facts(graph.neighbours(["hub"], cap=3))
        assert len(kept) == 6
        assert kept[0] == ("hub", "is_a", "leaf 29")

    def test_pagerank_gives_shares(self, eye: Graph) -> None:
        scores = dict(eye.ppr({"diabetic retinopathy": 2.0, "cataract": 1.0}))
        assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
        assert scores["cataract"] + scores["lens"] == pytest.approx(1 / 3, abs=1e-5)
        # Two concepts and one link: x = r + (1 - r)(1 - x) gives 2/3 at r = 1/2.
        assert scores["cataract"] == pytest.approx(2 / 9, abs=1e-5)
        assert max(scores, key=scores.__getitem__) == "diabetic retinopathy"

    def test_pagerank_of_strange_seeds(self, eye: Graph) -> None:
        assert eye.ppr({}) == ()
        assert eye.ppr({"nobody": 1.0}) == ()
        assert eye.ppr({"retina": 0.0}) == ()
        assert eye.ppr({"retina": 1.0}, top_n=0) == ()
        assert dict(eye.ppr({"pink": 1.0, "nobody": 5.0})) == pytest.approx({"pink": 1.0})
        assert eye.ppr({"retina": 1e308, "lens": 1e308}, restart=1.0) == (("lens", 0.5), ("retina", 0.5))
        for bad in ({"retina": -1.0}, {"retina": float("nan")}):
            with pytest.raises(QueryError, match="retina"):
                eye.ppr(bad)
        with pytest.raises(QueryError, match="restart"):
            eye.ppr({"retina": 1.0}, restart=0.0)

    def test_paths_are_short_and_supported_first(self, eye: Graph) -> None:
        paths = [facts(path) for path in eye.paths("hypertensive retinopathy", "microaneurysm")]
        assert paths == [
            [
                ("hypertensive retinopathy", "fundus_sign", "cotton wool spot"),
                ("diabetic retinopathy", "fundus_sign", "cotton wool spot"),
                ("diabetic retinopathy", "fundus_sign", "microaneurysm"),
            ]
        ]
        assert eye.paths("hypertensive retinopathy", "microaneurysm", max_hops=2) == ()
        assert eye.paths("retina", "retina") == eye.paths("retina", "nobody") == eye.paths("retina", "lens") == ()
        assert len(eye.paths("diabetic retinopathy", "retina", limit=1)) == 1

    def test_steps_are_bounded(self, eye: Graph) -> None:
        for hops in (0, 4):
            with pytest.raises(QueryError, match="hops"):
                eye.paths("retina", "lens", max_hops=hops)
            with pytest.raises(QueryError, match="hops"):
                eye.neighbours(["retina"], hops=hops)

    def test_an_explanation_joins_the_seeds(self, eye: Graph) -> None:
        found = eye.explain(["hypertensive retinopathy", "microaneurysm", "cataract", "nobody"])
        assert found.groups == (("cataract",), ("hypertensive retinopathy", "microaneurysm"))
        assert found.unknown == ("nobody",)
        assert len(found.triples) == 3
        assert eye.explain(["retina"]) == Explanation((), (("retina",),))
        assert eye.explain([]) == Explanation((), ())

    def test_a_synonym_joins_two_concepts_only_when_it_is_theirs_alone(self, build: Build) -> None:
        known = [statement("dyspnea", "is_a", "symptom"), statement("asthma", "symptom", "breathlessness")]
        joined = build([*known, statement("dyspnea", "synonym", "breathlessness")])
        assert len(joined.paths("asthma", "dyspnea")) == 1
        assert build([statement("dyspnea", "synonym", "breathlessness")]).stats().walked == 0
        ambiguous = [statement("dyspnea", "synonym", "breathlessness"), statement("fear", "synonym", "breathlessness")]
        assert build([*known, statement("fear", "is_a", "emotion"), *ambiguous]).paths("asthma", "dyspnea") == ()

    def test_conflicts_are_kept_and_listed(self, build: Build) -> None:
        denied = statement("flu", "causes", "rash", "book", "absent")
        graph = build([statement("flu", "causes", "rash"), denied, statement("flu", "causes", "rash", change="new")])
        present = (Triple("flu", "causes", "rash"), Triple("flu", "causes", "rash", change="new"))
        assert graph.conflicts() == (Conflict(present, (denied.triple,)),)
        assert len(graph.triples_of("flu")) == 3

    def test_stats_count(self, eye: Graph) -> None:
        stats = eye.stats()
        assert (stats.concepts, stats.triples, stats.supports, stats.documents) == (11, 11, 12, 3)
        assert stats.by_polarity == {"present": 10, "absent": 1}
        assert stats.by_tier == {"ontology": 11, "report": 1}
        assert stats.unknown == {"eyelid colour": 1}
        assert (stats.walked, stats.conflicts) == (7, 0)

    def test_an_empty_graph_answers(self, build: Build) -> None:
        graph = build([])
        answers = (
            *(graph.triples(), graph.concepts(), graph.documents(), graph.conflicts(), graph.triples_in("atlas")),
            *(graph.triples_of("a"), graph.supports(EYE[0].triple), graph.neighbours(["a"]), graph.paths("a", "b")),
            graph.ppr({"a": 1.0}),
        )
        assert all(not tuple(answer) for answer in answers)
        assert graph.explain(["a"]) == Explanation((), (), ("a",))
        assert graph.triple("nonsense") is None
        assert graph.triple(EYE[0].triple.id) is None
        assert graph.stats().triples == 0
        assert graph.concept("a") is None

    def test_a_self_loop_stays_out_of_walks(self, build: Build) -> None:
        graph = build([statement("a", "is_a", "a"), statement("a", "is_a", "b")])
        assert dict(graph.ppr({"a": 1.0})) == pytest.approx({"a": 2 / 3, "b": 1 / 3}, abs=1e-5)
        assert len(graph.triples_of("a")) == 2

    def test_edits_leave_the_first_graph_alone(self, eye: Graph) -> None:
        grown = eye.add([statement("Uveitis", "located_in", "Uvea", "cases")])
        assert grown.concept("uveitis") == Concept("uveitis", "Uveitis")
        assert eye.concept("uveitis") is None
        smaller = grown.remove_document("atlas")
        assert set(smaller.documents()) == {"book", "cases"}
        assert len(smaller.supports(EYE[0].triple)) == 1
        assert smaller.concept("lens") is None

    def test_labels_without_end_are_cut_and_stay_apart(self, build: Build) -> None:
        long = "x" * 1_000_000
        intake = Intake()
        rows = list(intake.statements([statement(long + "a", "is_a", "b"), statement(long + "b", "is_a", "b")]))
        graph = build(rows)
        assert len(graph.triples_of("b")) == 2
        assert all(len(triple.head) <= LONGEST_LABEL for triple in graph.triples())
        assert [(flag.document, flag.kept) for flag in intake.flags] == [("atlas", True)] * 2

    def test_what_no_graph_can_keep_is_passed_over(self, build: Build) -> None:
        good = statement("a", "is_a", "b")
        bad = [
            statement("", "is_a", "b"),
            statement("a", " ", "b"),
            statement("a", "is_a", "\ud800"),
            statement("a", "is_a", "b\x1fpresent"),
            replace(good, support=replace(good.support, confidence=float("nan"))),
            replace(good, support=replace(good.support, start=2**40)),
            replace(good, support=replace(good.support, document="")),
            replace(good, triple=replace(good.triple, polarity="maybe")),  # type: ignore[arg-type]
        ]
        intake = Intake()
        assert list(intake.statements([*bad, good])) == [good]
        assert len(intake.flags) == len(bad)
        assert list(build([*bad, good]).triples()) == [good.triple]
