"""How fast the concept graph loads, opens and walks, and how much memory an opened one takes.

Run: python -m benchmarks.graph [--triples FILE.tsv.gz] [--edges 1000000 --concepts 100000]

Measures a made graph with Zipf-distributed concepts (PrimeKG-like hubs) and, when given, a table of triples with the
header `head relation tail [polarity source license]`. Seconds are CPU seconds where the name says so. On at most
`NETWORKX_EDGES` triples of each graph it also times networkx's own `pagerank` and `ego_graph` in the same run: compare
the ratios, because seconds depend on the machine and on who else uses it. `loop_cpu` is a plain Python loop of ten
million additions, for the same purpose.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from benchmarks.history import record
from knowledge.graph.array_graph import ArrayGraph
from knowledge.triples import Statement, Support, Triple, key_of

NETWORKX_EDGES = 250_000
QUERIES = 200
NETWORKX_QUERIES = 5
SEED = 7
RELATIONS = ("has_phenotype", "is_a", "located_in", "has_symptom", "treated_by", "causes", "part_of", "synonym")
SHARES = (0.5, 0.14, 0.12, 0.1, 0.05, 0.04, 0.03, 0.02)


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triples", type=Path)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--concepts", type=int, default=100_000)
    parser.add_argument("--reopen", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.reopen:
        print(json.dumps(reopened(args.reopen)))
        return
    figures: dict[str, Any] = {"loop_cpu": cpu(lambda: sum(number for number in range(10_000_000)))[0]}
    if args.triples:
        figures["file"] = measure(lambda: read(args.triples))
    figures["made"] = measure(lambda: made(args.edges, args.concepts))
    print(json.dumps(record("graph", figures), indent=2))


def measure(statements: Callable[[], Iterator[Statement]]) -> dict[str, Any]:
    """All figures of one graph."""
    read_cpu = cpu(lambda: sum(1 for _ in statements()))[0]
    load_cpu, graph = cpu(lambda: ArrayGraph.build(statements()))
    stats = graph.stats()
    seeds = seed_sets(graph)
    figures: dict[str, Any] = {
        "concepts": stats.concepts, "triples": stats.triples, "walked": stats.walked,
        "load_cpu": load_cpu, "of_that_reading_cpu": read_cpu,
        "ppr_cpu": spread(lambda keys: graph.ppr(dict.fromkeys(keys, 1.0)), seeds),
        "neighbours_2_hops_cpu": spread(lambda keys: graph.neighbours(keys[:1], hops=2), seeds),
        "paths_cpu": spread(lambda keys: graph.paths(keys[0], keys[-1]), seeds),
        "explain_cpu": spread(graph.explain, seeds[:20]),
    }  # fmt: skip
    added = Statement(Triple("one", "is_a", "more"), Support("addition", "1", "One", "More"))
    figures["add_document_cpu"], grown = cpu(lambda: graph.add([added]))
    figures["remove_document_cpu"] = cpu(lambda: grown.remove_document("addition"))[0]
    with tempfile.TemporaryDirectory() as folder:
        figures["save_cpu"] = cpu(lambda: graph.save(Path(folder)))[0]
        figures["saved_mib"] = sum(path.stat().st_size for path in Path(folder).rglob("*.npy")) / 2**20
        command = [sys.executable, "-m", "benchmarks.graph", "--reopen", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        figures["fresh_process"] = json.loads(done.stdout)
    figures["networkx"] = against_networkx(list(islice(statements(), NETWORKX_EDGES)))
    return figures


def reopened(folder: Path) -> dict[str, float]:
    """Opening and using a saved graph in this process, and the memory it takes."""
    before = resident()
    started = time.perf_counter()
    open_cpu, graph = cpu(lambda: ArrayGraph.open(folder))
    open_seconds = time.perf_counter() - started
    opened = resident()
    seeds = seed_sets(graph)[:20]
    first_cpu = cpu(lambda: graph.ppr(dict.fromkeys(seeds[0], 1.0)))[0]
    for keys in seeds:
        graph.ppr(dict.fromkeys(keys, 1.0))
        graph.neighbours(keys, hops=2)
    return {
        "open_seconds": open_seconds, "open_cpu": open_cpu, "first_ppr_cpu": first_cpu,
        "rss_before_mib": before, "rss_opened_mib": opened,
        "rss_used_mib": resident(), "rss_peak_mib": resident("VmHWM"),
    }  # fmt: skip


def against_networkx(statements: Sequence[Statement]) -> dict[str, float]:
    """Functions of networkx on the links of the same triples, and how many times longer they take.

    networkx walks an undirected graph of the walked triples' ends, so both rank the same links. `ego_graph` returns the
    graph within two steps; ours is timed without a cap for that comparison, and with its default cap.
    """
    ours = ArrayGraph.build(statements)
    seeds = seed_sets(ours)[:NETWORKX_QUERIES]
    theirs = nx.Graph()
    theirs.add_edges_from(
        (triple.head, triple.tail)
        for triple in ours.triples()
        if ours.relations.walked(triple.relation) and triple.head != triple.tail
    )
    seeds = [[key for key in keys if key in theirs] for keys in seeds]
    seeds = [keys for keys in seeds if keys]
    pagerank = spread(lambda keys: nx.pagerank(theirs, alpha=0.5, personalization=dict.fromkeys(keys, 1.0)), seeds)
    ego = spread(lambda keys: nx.ego_graph(theirs, keys[0], radius=2), seeds)
    ppr = spread(lambda keys: ours.ppr(dict.fromkeys(keys, 1.0)), seeds)
    uncapped = spread(lambda keys: ours.neighbours(keys[:1], hops=2, cap=10**9), seeds)
    capped = spread(lambda keys: ours.neighbours(keys[:1], hops=2), seeds)
    return {
        "triples": len(statements), "pagerank_p50": pagerank["p50"], "ego_graph_p50": ego["p50"],
        "pagerank_times_ours": pagerank["p50"] / ppr["p50"],
        "ego_graph_times_ours_uncapped": ego["p50"] / uncapped["p50"],
        "ego_graph_times_ours": ego["p50"] / capped["p50"],
    }  # fmt: skip


def seed_sets(graph: ArrayGraph) -> list[list[str]]:
    """One to five concepts each, drawn as often as triples name them, as questions do with hubs."""
    rng = np.random.default_rng(SEED)
    heads = [triple.head for triple in islice(graph.triples(), 0, None, 50)]
    return [
        [heads[place] for place in rng.integers(0, len(heads), rng.integers(1, 6)).tolist()] for _ in range(QUERIES)
    ]


def read(path: Path) -> Iterator[Statement]:
    """The rows of a table as statements; the file's stem is the document."""
    key = cache(key_of)
    document = path.name.partition(".")[0]
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
        place = {name: number for number, name in enumerate(next(stream).rstrip("\n").split("\t"))}
        said = [place[name] for name in ("head", "relation", "tail")]
        polarity, source, terms = (place.get(name, -1) for name in ("polarity", "source", "license"))
        for number, line in enumerate(stream, 2):
            cells = [*line.rstrip("\n").split("\t"), ""]  # the last cell stands in for a missing column
            head, relation, tail = (cells[column] for column in said)
            triple = Triple(key(head), relation, key(tail), cells[polarity] or "present")
            origin = cells[source], cells[terms]
            yield Statement(triple, Support(document, f"line {number}", head, tail, "ontology", *origin))


def made(edges: int, concepts: int) -> Iterator[Statement]:
    """Random statements; the k-th concept is named with a probability that falls as 1 / k (Zipf)."""
    rng = np.random.default_rng(SEED)
    share = 1 / np.arange(1, concepts + 1)
    share /= share.sum()
    names = [f"concept {number:07d}" for number in rng.permutation(concepts)]
    for start in range(0, edges, 100_000):
        n = min(100_000, edges - start)
        heads, tails = rng.integers(0, concepts, n).tolist(), rng.choice(concepts, n, p=share).tolist()
        relations = rng.choice(len(RELATIONS), n, p=SHARES).tolist()
        for number, (head, relation, tail) in enumerate(zip(heads, relations, tails, strict=True), start):
            triple = Triple(names[head], RELATIONS[relation], names[tail])
            yield Statement(triple, Support(f"book {number % 50}", f"page {number % 1000}", names[head], names[tail]))


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of one call, and what it returns."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def spread(work: Callable[[list[str]], Any], seeds: Sequence[list[str]]) -> dict[str, float]:
    """Median and 95th percentile of the CPU seconds per seed set, after one call that fills caches."""
    work(seeds[0])
    times = [cpu(lambda keys=keys: work(keys))[0] for keys in seeds]  # type: ignore[misc]
    return {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))}


def resident(field: str = "VmRSS") -> float:
    """Memory of this process in MiB, as the system counts it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    main()
