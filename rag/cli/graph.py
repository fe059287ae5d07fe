"""`vesalius graph`: what the concept graph of a library holds, and how two concepts are connected."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.common import Subcommands, add_library, command, emit_json, note
from rag.errors import QueryError, UsageError

if TYPE_CHECKING:
    from knowledge.triples import Triple
    from pipelines.graph_library import LibraryGraph

_POLARITY = {"present": "", "absent": "no: ", "uncertain": "possibly: "}


def add(subcommands: Subcommands) -> None:
    """Declare the commands."""
    made = subcommands.add_parser("graph", help="look into the concept graph of a library")
    inner = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    stats = _graph_command(inner, "stats", _stats, "count concepts, triples and their sources")
    stats.add_argument("--conflicts", action="store_true", help="also list what is both stated and denied")
    link = _graph_command(inner, "link", _link, "find the concepts that a text names")
    link.add_argument("text", metavar="TEXT")
    link.add_argument("--domain", default="", metavar="NAME", help="radiology, pathology, ophthalmology, dermatology")
    near = _graph_command(inner, "neighbours", _neighbours, "list the triples around a concept")
    near.add_argument("concept", metavar="CONCEPT")
    near.add_argument("--hops", type=int, default=1, metavar="N", help="steps from the concept (default 1, at most 3)")
    near.add_argument("--relation", action="append", default=[], metavar="NAME", help="only this relation; repeat")
    near.add_argument("--cap", type=int, default=25, metavar="N", help="triples of one relation at one concept")
    _pictures(near)
    paths = _graph_command(inner, "paths", _paths, "show how two concepts are connected")
    paths.add_argument("start", metavar="A")
    paths.add_argument("end", metavar="B")
    paths.add_argument("--max-hops", type=int, default=3, metavar="N", help="steps at the most (default 3)")
    paths.add_argument("--limit", type=int, default=10, metavar="N", help="paths at the most (default 10)")
    _pictures(paths)
    explain = _graph_command(inner, "explain", _explain, "connect several concepts by one small tree")
    explain.add_argument("concepts", nargs="+", metavar="CONCEPT")
    _pictures(explain)


def _graph_command(
    inner: Subcommands, name: str, run: Callable[[argparse.Namespace, LibraryGraph], int], words: str
) -> argparse.ArgumentParser:
    made = command(inner, name, lambda args: _opened(args, run), words)
    add_library(made)
    return made


def _pictures(made: argparse.ArgumentParser) -> None:
    made.add_argument("--svg", type=Path, metavar="FILE", help="draw it")
    made.add_argument("--html", type=Path, metavar="FILE", help="draw it on a page of its own")


def _opened(args: argparse.Namespace, run: Callable[[argparse.Namespace, LibraryGraph], int]) -> int:
    from indexers.manifest import read_manifest
    from pipelines.graph_library import open_graph

    read_manifest(args.library)
    graph = open_graph(args.library)
    if graph is None:
        raise UsageError(
            f"the library {args.library} has no graph: nothing in it states a fact; add some with "
            f"`vesalius index add --facts FILE --library {args.library}`"
        )
    return run(args, graph)


def _stats(args: argparse.Namespace, graph: LibraryGraph) -> int:
    stats = graph.graph.stats()
    found = {one.name: _plain(getattr(stats, one.name)) for one in dataclasses.fields(stats)}
    conflicts = graph.graph.conflicts() if args.conflicts else ()
    if args.json:
        rows = [{"present": _rows(graph, one.present), "absent": _rows(graph, one.absent)} for one in conflicts]
        emit_json({**found, **({"conflict_list": rows} if args.conflicts else {})})
        return 0
    for name, value in found.items():
        if isinstance(value, dict):
            top = sorted(value.items(), key=lambda row: -row[1])[:12]
            print(f"{name}: " + (", ".join(f"{key} {count}" for key, count in top) or "none"))
        else:
            print(f"{name}: {value}")
    for one in conflicts:
        print("conflict: " + "; ".join(_line(graph, triple) for triple in (*one.present, *one.absent)))
    return 0


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def _link(args: argparse.Namespace, graph: LibraryGraph) -> int:
    links = graph.link(args.text, args.domain)
    if args.json:
        emit_json([
            {
                "text": one.text, "start": one.start, "end": one.end, "concept": one.concept, "name": one.name,
                "score": one.score, "candidates": list(one.candidates),
            }
            for one in links
        ])  # fmt: skip
        return 0
    for one in links:
        others = f" (or {', '.join(one.candidates[1:4])})" if len(one.candidates) > 1 else ""
        print(f"{one.start:4}-{one.end:<4} {one.text} -> {one.name} {one.score:.1f}{others}")
    if not links:
        print("no concept of the graph is named")
    return 0


def _neighbours(args: argparse.Namespace, graph: LibraryGraph) -> int:
    key = resolve(graph, args.concept)
    found = graph.graph.neighbours((key,), args.hops, args.relation or None, args.cap)
    told = () if args.relation else tuple(triple for triple in graph.graph.triples_of(key) if triple not in found)
    rest = tuple(triple for triple in told if triple.polarity != "present" or not _followed(graph, triple))[: args.cap]
    _show(args, graph, (*found, *rest), (key,))
    return 0


def _followed(graph: LibraryGraph, triple: Triple) -> bool:
    return graph.graph.relations.walked(triple.relation)


def _paths(args: argparse.Namespace, graph: LibraryGraph) -> int:
    start, end = resolve(graph, args.start), resolve(graph, args.end)
    paths = graph.graph.paths(start, end, args.max_hops, args.limit)
    _draw(args, graph, tuple(dict.fromkeys(triple for path in paths for triple in path)), (start, end))
    if args.json:
        emit_json([[_row(graph, triple)["fact"] for triple in path] for path in paths])
        return 0
    for number, path in enumerate(paths, start=1):
        print(f"{number}. " + "; ".join(_line(graph, triple) for triple in path))
    if not paths:
        print(f"no path of at most {args.max_hops} steps")
    return 0


def _explain(args: argparse.Namespace, graph: LibraryGraph) -> int:
    keys = tuple(resolve(graph, name) for name in args.concepts)
    found = graph.graph.explain(keys)
    if len(found.groups) > 1:
        note(args, "not connected with each other: " + " | ".join(", ".join(group) for group in found.groups))
    _show(args, graph, found.triples, keys)
    return 0


def _show(args: argparse.Namespace, graph: LibraryGraph, triples: Sequence[Triple], seeds: Sequence[str]) -> None:
    _draw(args, graph, triples, seeds)
    if args.json:
        emit_json(_rows(graph, triples))
        return
    for triple in triples:
        print(_line(graph, triple))
    if not triples:
        print("nothing is known of it")


def resolve(graph: LibraryGraph, name: str) -> str:
    """The key of a concept that a user names: its key or name, else the one concept that the words link to.

    Raises:
        QueryError: the graph has no such concept; the message names what it may be instead.
    """
    from knowledge.triples import key_of

    if graph.graph.concept(key_of(name)) is not None:
        return key_of(name)
    links = graph.link(name)
    whole = [one for one in links if one.end - one.start >= len(name.strip())]
    if whole:
        return whole[0].concept
    near = ", ".join(one.name for one in links)
    raise QueryError(
        f"the graph has no concept {name!r}"
        + (f"; did you mean {near}?" if near else "; see `vesalius graph link TEXT`")
    )


def _rows(graph: LibraryGraph, triples: Sequence[Triple]) -> list[dict[str, Any]]:
    return [_row(graph, triple) for triple in triples]


def _row(graph: LibraryGraph, triple: Triple) -> dict[str, Any]:
    supports = graph.graph.supports(triple)
    sources = sorted({support.source or support.document for support in supports})
    return {
        "fact": [_name(graph, triple.head), triple.relation, _name(graph, triple.tail)],
        "polarity": triple.polarity,
        "change": triple.change,
        "source": ", ".join(sources),
        "supports": len(supports),
    }


def _line(graph: LibraryGraph, triple: Triple) -> str:
    row = _row(graph, triple)
    head, relation, tail = row["fact"]
    change = "" if triple.change == "none" else f" ({triple.change})"
    return f"{_POLARITY[triple.polarity]}{head} - {relation} - {tail}{change}  [{row['source']}]"


def _name(graph: LibraryGraph, key: str) -> str:
    concept = graph.graph.concept(key)
    return key if concept is None else concept.name


def _draw(args: argparse.Namespace, graph: LibraryGraph, triples: Sequence[Triple], seeds: Sequence[str]) -> None:
    if args.svg is None and args.html is None:
        return
    from knowledge.graph.drawing import draw_html, draw_svg

    for path, drawn in ((args.svg, draw_svg), (args.html, draw_html)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(drawn(graph.graph, triples, seeds), encoding="utf-8")
            note(args, f"drawn in {path}")
