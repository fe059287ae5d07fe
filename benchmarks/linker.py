"""How fast the linker is built, links, and is opened again from saved tables.

Run: python -m benchmarks.linker [--triples FILE.tsv[.gz]] [--reports FILE.jsonl | FILE.txt] [--sentences 50000]

Without --triples it measures made-up names (Zipf-like words, three a name); without --reports, made-up sentences that
hold one or two names each. Seconds are process time; compare the ratio to splitting the same sentences into words.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import re
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.history import record
from knowledge.linking import Linker, linkable_keys, load_tables, save_tables
from knowledge.linking.words import words_of
from knowledge.triples import Concept, Triple, key_of

T = TypeVar("T")
SYNONYMS = ("synonym", "alias")
FILLERS = re.findall(
    r"\w+",
    "the there is no evidence of in with and unchanged patient shows small consistent a since at for seen which "
    "left right compared previous study may be on both sides without was this mild increased from normal limits "
    "within noted",
)
PUNCTUATION = ("", "", "", ",", ";")


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triples", type=Path, help="TSV with a header of head, relation, tail")
    parser.add_argument("--reports", type=Path, help="JSON lines with report or caption, or plain text")
    parser.add_argument("--sentences", type=int, default=50_000)
    parser.add_argument("--names", type=int, default=180_000, help="made-up names where no triples are given")
    args = parser.parse_args()
    concepts = concepts_of(args.triples) if args.triples else made_up(args.names)
    sentences = sentences_of(args.reports) if args.reports else written(concepts, args.sentences)
    print(json.dumps(record("linker", measure(concepts, sentences)), indent=2))


def measure(concepts: Sequence[Concept], sentences: Sequence[str]) -> dict[str, float]:
    """Seconds, rates and memory. The first pass over the sentences is measured apart: it meets every word once."""
    linker, building = timed(lambda: Linker(concepts))
    found, first = timed(lambda: link_all(linker, sentences))
    passes = [timed(lambda: link_all(linker, sentences))[1] for _ in range(5)]
    splits = [timed(lambda: split_all(sentences))[1] for _ in range(5)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "linker.json"
        saving = timed(lambda: save_tables(linker.tables, path))[1]
        loading = timed(lambda: load_tables(path))[1]
        size = path.stat().st_size
    tracemalloc.start()
    kept = Linker(concepts)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {
        "concepts": len(kept),
        "forms": len(kept.tables.row_forms),
        "build_cpu_seconds": building,
        "sentences": len(sentences),
        "words_per_sentence": split_all(sentences) / len(sentences),
        "links_per_sentence": found / len(sentences),
        "first_pass_sentences_per_second": len(sentences) / first,
        "sentences_per_second": len(sentences) / min(passes),
        "times_splitting_into_words": min(passes) / min(splits),
        "memory_mib": held / 2**20,
        "save_cpu_seconds": saving,
        "load_cpu_seconds": loading,
        "saved_mib": size / 2**20,
    }


def link_all(linker: Linker, sentences: Sequence[str]) -> int:
    """How many links there are. None is kept, as in a stream."""
    found = 0
    for sentence in sentences:
        found += len(linker.link(sentence))
    return found


def split_all(sentences: Sequence[str]) -> int:
    """How many words there are: the yardstick, since every linker must at least find the words."""
    found = 0
    for sentence in sentences:
        found += len(words_of(sentence))
    return found


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What the work returned, and its process time in seconds."""
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def concepts_of(path: Path) -> list[Concept]:
    """The linkable concepts of a table of triples, with their synonyms."""
    names: dict[str, str] = {}
    forms: dict[str, list[str]] = {}
    triples = []
    for head, relation, tail in rows(path):
        names.setdefault(key_of(head), head)
        if relation in SYNONYMS:
            forms.setdefault(key_of(head), []).append(tail)
        else:
            names.setdefault(key_of(tail), tail)
            triples.append(Triple(key_of(head), relation, key_of(tail)))
    return [Concept(key, names[key], tuple(forms.get(key, ()))) for key in sorted(linkable_keys(triples) | set(forms))]


def rows(path: Path) -> Iterator[list[str]]:
    """Head, relation and tail of each row behind the header."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as stream:
        lines = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(lines)
        yield from (line[:3] for line in lines if len(line) >= 3)


def made_up(count: int) -> list[Concept]:
    """Names of two to four invented words, the common ones far more often than the rare ones."""
    generator = random.Random(7)
    roots = re.findall(r"\w+", "cardi nephr hepat pulmon derm ocul oste neur gastr enter angi my")
    tails = re.findall(r"\w+", "oma itis osis opathy algia emia ectasis sclerosis plasia trophy ous ic al oid megaly")
    parts = [root + tail for root in roots for tail in tails]
    words = [f"{part}{tail}" for tail in ("", *"abcdefghijklmnopqrstuvwxyz") for part in parts]
    weights = [1 / (place + 1) for place in range(len(words))]
    drawn = iter(generator.choices(words, weights, k=count * 4))
    names = {" ".join(next(drawn) for _ in range(generator.randint(2, 4))): None for _ in range(count)}
    return [Concept(name, name) for name in names]


def written(concepts: Sequence[Concept], count: int) -> list[str]:
    """Sentences of plain words around one or two names."""
    generator = random.Random(7)
    found = []
    for _ in range(count):
        words = generator.choices(FILLERS, k=8)
        for _ in range(generator.randint(1, 2)):
            name = generator.choice(concepts).name
            words.insert(generator.randrange(len(words)), name + generator.choice(PUNCTUATION))
        found.append(" ".join(words).capitalize() + ".")
    return found


def sentences_of(path: Path) -> list[str]:
    """Sentences of reports and captions, or of plain text, split at full stops."""
    return [part for text in texts(path) for part in re.split(r"(?<=[.;!?])\s+", text) if part.strip()]


def texts(path: Path) -> Iterable[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix != ".jsonl":
        return lines
    return [str(row.get("report") or row.get("caption") or "") for row in map(json.loads, filter(None, lines))]


if __name__ == "__main__":
    main()
