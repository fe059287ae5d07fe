"""The concept graph of a library: built from its facts and from what its reports say, kept beside its vectors.

The folder `graph` holds the graph itself and the compiled tables of its linker; both follow from the library's passages
and can be built again at any time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

from indexers.manifest import write_atomic
from knowledge.extraction.extractor import RuleExtractor
from knowledge.extraction.protocol import Source, Style, TripleExtractor
from knowledge.graph.array_graph import ArrayGraph
from knowledge.graph.saved import HEADER
from knowledge.linking import Link, Linker, linkable_keys
from knowledge.linking.saved import load_tables, save_tables
from knowledge.triples import TIERS, Statement, Support, Triple, key_of
from pipelines.fitted import GRAPH
from rag.domains.records import domain_of
from rag.errors import SourceError
from rag.fingerprint import digest, sha256_bytes
from rag.protocols import Store
from rag.types import FactLocator, Kind, Passage

LINKS, OF = "links.json", "of.txt"
READER = "reports-1"
"""Raised when reports are read in another way, so that graphs are built again."""
_READ: tuple[Kind, ...] = ("fact", "case")
TABLE = "table-1"
"""The method of supports that are facts of the library, whose passage can be cited as it is."""


_AT_ONCE = 512


class LibraryGraph:
    """A library's graph and its linker, which is opened when first asked."""

    def __init__(self, graph: ArrayGraph, folder: Path) -> None:
        self.graph, self._folder = graph, folder

    def link(self, text: str, domain: str = "") -> tuple[Link, ...]:
        """The concepts that a text names."""
        return self._linker.link(text, domain)

    @cached_property
    def _linker(self) -> Linker:
        path = self._folder / LINKS
        try:
            return Linker.of_tables(load_tables(path))
        except SourceError:
            # Tables of an older version are compiled again; they follow from the graph.
            linker = compiled_linker(self.graph)
            save_tables(linker.tables, path)
            return linker


def open_graph(library: Path) -> LibraryGraph | None:
    """The graph of a library folder; None when it has none.

    Raises:
        StoreError: its files are damaged; the message says what to do.
    """
    folder = library / GRAPH
    return LibraryGraph(ArrayGraph.open(folder), folder) if (folder / HEADER).is_file() else None


def refresh_graph(store: Store, library: Path, extractor: TripleExtractor | None = None) -> None:
    """Build the graph of a library's passages and write it into its folder, unless it is that of these passages.

    Reads every fact and case that is stored; no file of the sources is opened. Without any there is no graph.
    """
    folder = library / GRAPH
    now = _state(store)
    if _built_of(folder) == now:
        return
    reader = extractor or RuleExtractor()
    statements = chain(fact_statements(stored(store, "fact")), report_statements(stored(store, "case"), reader))
    first = next(statements, None)
    if first is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    graph = ArrayGraph.build(chain((first,), statements))
    graph.save(folder)
    save_tables(compiled_linker(graph).tables, folder / LINKS)
    # Last: it says that everything before it was done for these passages.
    write_atomic(folder / OF, now.encode())


def stored(store: Store, kind: Kind) -> Iterator[Passage]:
    """Every passage of a kind in a store, by id ascending."""
    ids = store.ids(kind)
    while some := list(islice(ids, _AT_ONCE)):
        yield from store.get(some)


def _state(store: Store) -> str:
    """Identifies the facts and cases of a store, and how they are read; ids are made of content."""
    ids: dict[str, str] = {kind: sha256_bytes("\n".join(store.ids(kind)).encode()) for kind in _READ}
    return digest({"reader": READER, **ids})


def _built_of(folder: Path) -> str | None:
    try:
        return (folder / OF).read_text(encoding="utf-8") if (folder / HEADER).is_file() else None
    except (OSError, UnicodeDecodeError):
        return None


def compiled_linker(graph: ArrayGraph) -> Linker:
    """A linker to the graph's concepts that are named, not described."""
    keys = linkable_keys(graph.triples())
    return Linker(concept for concept in graph.concepts() if concept.key in keys)


def fact_statements(passages: Iterable[Passage]) -> Iterator[Statement]:
    """What fact passages state, each supported by itself."""
    for passage in passages:
        if isinstance(passage.locator, FactLocator):
            yield Statement(triple_of(passage.locator), _support(passage, passage.locator))


def triple_of(fact: FactLocator) -> Triple:
    """The triple that a fact states, concepts by the keys of their names."""
    return Triple(key_of(fact.head), fact.relation, key_of(fact.tail), fact.polarity, fact.change)


def report_statements(passages: Iterable[Passage], extractor: TripleExtractor) -> Iterator[Statement]:
    """What the texts of cases state, each supported by its case; findings are those of the case as a whole."""
    for passage in passages:
        if passage.text.strip():
            source = Source(
                passage.document, passage.id, _style(passage), "report", subject=case_key(passage),
                name=passage.meta.get("source", ""), license=passage.meta.get("license", ""),
            )  # fmt: skip
            yield from extractor.extract(passage.text, source)


def case_key(passage: Passage) -> str:
    """The key under which a case itself is a concept of the graph."""
    return key_of(f"{passage.document} {passage.record}")


def _style(passage: Passage) -> Style:
    return "report" if domain_of(passage) in {"radiograph", "cross-section", "ultrasound"} else "caption"


def _support(passage: Passage, fact: FactLocator) -> Support:
    meta: Mapping[str, str] = passage.meta
    tier = next((one for one in TIERS if one == meta.get("tier")), TIERS[0])
    return Support(
        passage.document, passage.id, fact.head, fact.tail, tier,
        meta.get("source", ""), meta.get("license", ""), TABLE,
    )  # fmt: skip


def fact_passages(graph: ArrayGraph, triples: Sequence[Triple], most: int = 2) -> dict[str, Triple]:
    """The fact passages that state these triples, by passage id in their order, at most so many of each."""
    found: dict[str, Triple] = {}
    for triple in triples:
        own = [support.passage for support in graph.supports(triple) if support.method == TABLE]
        found |= dict.fromkeys(own[:most], triple)
    return found
