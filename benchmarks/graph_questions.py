"""Whether the concept graph helps: relational and single-fact questions, glossary terms, relations, and pages.

Run: python -m benchmarks.graph_questions --library LIB [--slake FILE...] [--queries FILE...] [--out FILE]

What each part measures stands in docs/graph-evaluation.md. Questions are made from the library's own graph;
`--role tune` takes the wordings and answers that settings may be fitted on.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.graph_pages import page_figures
from benchmarks.history import record
from eval.relational import QuestionOptions, RelationalQuestion, relational_questions, stated
from eval.relational_templates import ROLES, SHAPES
from eval.statistics import bootstrap
from knowledge.asked_relations import asked_relations
from pipelines.config import load_settings
from pipelines.graph_library import LibraryGraph, open_graph, triple_of
from pipelines.graph_search import GRAPH, FactWalker
from pipelines.library import Library
from rag.errors import ConfigError
from rag.fusion import reciprocal_rank_fusion
from rag.retrievers import KindRetriever, encode_query
from rag.types import FactLocator, Hit, Passage, Query

WITH, WITHOUT, TEXT, WALK = "with graph", "without graph", "text channels", "PageRank"
MEASURES = ("recall@5", "recall@10", "all@10")
DEPTH = 200
Figures = dict[str, object]
_SLAKE_RELATIONS: Mapping[str, str] = {
    "can": "function", "could": "function", "be used for": "function", "treat": "treated_by", "prevent": "prevented_by",
}  # fmt: skip
"""What those of SLAKE's own relations mean that are no relation of its tables."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a library, searched by every channel alone and by both fusions, each list in one pass."""

    library: Library
    graph: LibraryGraph
    walker: FactWalker

    @classmethod
    def of(cls, library: Library) -> Facts:
        """Raises ConfigError when the library has no graph."""
        graph, walker = open_graph(library.folder), library.parts.walker(library.store)
        if graph is None or walker is None:
            raise ConfigError("this library has no concept graph; build it with facts and graph.enabled")
        return cls(library, graph, walker)

    def search(self, query: Query) -> dict[str, list[Hit]]:
        """The ranked facts of each system, best first."""
        settings = self.library.parts.settings.fusion
        channels = [channel for channel in self.library.parts.channels() if channel.kind == "fact"]
        retriever = KindRetriever(self.library.store, channels, self.library.parts.fusion())
        vectors = encode_query(query, channels)
        lists = retriever.lists(query, vectors, settings.depth)
        walked = self.walker.walk(query, vectors).lists()
        fused = {WITHOUT: retriever.fuse(query, lists), WITH: retriever.fuse(query, {**lists, **walked})}
        return {**lists, GRAPH: walked.get(GRAPH, []), **fused}

    def says(self, passage: Passage) -> tuple[str, str, str] | None:
        """What a fact states, in the words of the list of relations."""
        fact = passage.locator
        return stated(triple_of(fact), self.graph.graph.relations) if isinstance(fact, FactLocator) else None


def question_figures(facts: Facts, questions: Sequence[RelationalQuestion]) -> Figures:
    """Recall of the gold facts by group of questions and system, and the paired difference that the graph makes."""
    rows: dict[str, list[dict[str, tuple[float, ...]]]] = {}
    for question in questions:
        found = {name: _recalls(facts, hits, question) for name, hits in facts.search(Query(question.text)).items()}
        for group in (question.shape, "single" if question.shape == "single" else "relational"):
            if group not in rows or rows[group][-1] is not found:
                rows.setdefault(group, []).append(found)
    order = ("relational", *SHAPES)
    return {group: _group(rows[group]) for group in order if group in rows}


def _recalls(facts: Facts, hits: Sequence[Hit], question: RelationalQuestion) -> tuple[float, ...]:
    said = [facts.says(hit.passage) for hit in hits[:10]]
    found = [sum(gold in said[:k] for gold in question.gold) / len(question.gold) for k in (5, 10)]
    return found[0], found[1], float(found[1] == 1)


def _group(rows: Sequence[Mapping[str, tuple[float, ...]]]) -> Figures:
    table: Figures = {"n": len(rows)}
    for place, measure in enumerate(MEASURES):
        names = list(rows[0])
        values = np.array([[row[name][place] for name in names] for row in rows])
        drawn = bootstrap(values)
        gain = drawn.difference(names.index(WITH), names.index(WITHOUT)).as_json()
        means = {name: round(float(mean), 4) for name, mean in zip(names, drawn.means, strict=True)}
        table[measure] = {**means, "with minus without": gain}
    return table


def glossary_figures(facts: Facts, count: int, source: str = "") -> Figures:
    """Meaning to term: a definition as the question, its term among the concepts of the facts found.

    Definitions of a term that stands in no other walked fact are left out: nothing could find them. `source`: only
    definitions of data sets whose name begins so. The definitions of the term itself are no evidence.
    """
    asked = list(islice(_definitions(facts, source), count))
    found: dict[str, list[int]] = {TEXT: [], WALK: [], "fused": []}
    for passage in asked:
        for name, concepts in _terms(facts, passage).items():
            key = _says(facts, passage)[0]
            found[name].append(concepts.index(key) + 1 if key in concepts else 0)
    return {
        "n": len(asked),
        **{
            name: {f"r@{k}": round(float(np.mean([0 < rank <= k for rank in ranks])), 4) for k in (1, 10)}
            for name, ranks in found.items()
            if ranks
        },
    }


def _says(facts: Facts, passage: Passage) -> tuple[str, str, str]:
    return facts.says(passage) or ("", "", "")


def _definitions(facts: Facts, source: str) -> Iterator[Passage]:
    """Definitions of concepts that other facts name, in an order by chance."""
    graph = facts.graph.graph
    triples = [triple for triple in graph.triples() if stated(triple, graph.relations)[1] == "definition"]
    random.Random(0).shuffle(triples)
    for triple in triples:
        rows = [row for row in graph.supports(triple) if row.source.startswith(source)]
        if rows and graph.neighbours((triple.head,), 1, cap=1):
            yield from facts.library.get([rows[0].passage])


def _terms(facts: Facts, passage: Passage) -> dict[str, list[str]]:
    """Concepts in the order in which each system comes to them."""
    term, _, meaning = _says(facts, passage)
    query = Query(meaning)
    hits = [hit for hit in facts.search(query)[WITHOUT] if _says(facts, hit.passage)[:2] != (term, "definition")]
    text = list(dict.fromkeys(key for hit in hits for key in _named(facts, hit)))
    seeds = {link.concept: link.score for link in facts.graph.link(meaning)}
    walked = [key for key, _ in facts.graph.graph.ppr(seeds, top_n=DEPTH)]
    return {TEXT: text, WALK: walked, "fused": _fused(text, walked)}


def _named(facts: Facts, hit: Hit) -> Iterable[str]:
    head, relation, tail = _says(facts, hit.passage)
    return (head, tail) if facts.graph.graph.relations.walked(relation) else (head,)


def _fused(*rankings: Sequence[str]) -> list[str]:
    """Reciprocal ranks of concepts, added."""
    lists = {
        str(number): [Hit(Passage(key, "fact", "", key, FactLocator(key, "", "")), 0.0) for key in ranking]
        for number, ranking in enumerate(rankings)
    }
    return [hit.passage.id for hit in reciprocal_rank_fusion(lists, {})]


def relation_figures(paths: Sequence[Path], facts: Facts) -> Figures:
    """SLAKE's knowledge questions: the first relation that the rule reads off the question against the row's own."""
    relations = facts.graph.graph.relations
    rows = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    kept = [row for row in rows if row.get("base_type") == "kvqa" and row["triple"][0] == "vhead"]
    right: dict[str, list[bool]] = {}
    for row in kept:
        surface = row["triple"][1]
        meant = _SLAKE_RELATIONS.get(surface) or relations.canonical(surface)
        right.setdefault(surface, []).append(asked_relations(row["question"])[:1] == (meant,))
    every = [one for found in right.values() for one in found]
    known = [one for name, found in right.items() if name != "damage" for one in found]
    return {
        "n": len(every),
        "accuracy": round(float(np.mean(every)), 4),
        "without damage, which the list of relations lacks": round(float(np.mean(known)), 4),
        "by relation": {name: [sum(found), len(found)] for name, found in sorted(right.items())},
    }


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--role", choices=ROLES, default="judge")
    parser.add_argument("--relational", type=int, default=240)
    parser.add_argument("--single", type=int, default=120)
    parser.add_argument("--glossary", type=int, default=300, help="definitions asked for; 0: none")
    parser.add_argument("--glossary-source", default="", help="only definitions of data sets that begin so")
    parser.add_argument("--slake", type=Path, nargs="*", default=[], help="question files with a triple per row")
    parser.add_argument("--queries", type=Path, nargs="*", default=[], help="page questions")
    parser.add_argument("--page-sample", type=int, default=0, help="page questions of each file; 0: all")
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="as for vesalius")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with _opened(args.library, args.overrides) as library:
        facts = Facts.of(library)
        options = QuestionOptions(args.role, args.relational, args.single)
        figures: Figures = {"facts": library.store.count("fact")}
        for name, measure in _parts(facts, options, args):
            figures[name] = measure()
            # Written after each part: the next one may take an hour on a large library.
            if args.out:
                args.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record("graph_questions", figures), indent=1))


def _parts(
    facts: Facts, options: QuestionOptions, args: argparse.Namespace
) -> Iterable[tuple[str, Callable[[], Figures]]]:
    """What is asked for, the quick ones first."""
    if args.slake:
        yield "relations", lambda: relation_figures(args.slake, facts)
    if args.relational or args.single:
        yield "questions", lambda: question_figures(facts, relational_questions(facts.graph.graph, options))
    if args.queries:
        yield "pages", lambda: page_figures(facts.library, args.queries, args.page_sample)
    if args.glossary:
        yield "glossary", lambda: glossary_figures(facts, args.glossary, args.glossary_source)


def _opened(folder: Path, overrides: Sequence[str]) -> Library:
    """The library with its own settings, and some changed."""
    from indexers.manifest import read_manifest

    manifest = read_manifest(folder)
    settings = load_settings(manifest.preset, overrides=list(overrides), library=manifest.settings).settings
    return Library.open(folder, settings)


if __name__ == "__main__":
    main()
