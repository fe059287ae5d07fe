"""Multiple choice: what is each kind of evidence worth to the extractive answerer?

Run: python -m benchmarks.choice_evidence --library DIR --questions F [--channels page.late,page.bm25] [--limit N]

The same questions are answered with the evidence that the assistant gathers (`full`, as `vesalius ask --questions`),
with each single channel's hits alone, with the pages of other questions (`shuffled`), and with no pages (`none`: every
answer abstains). Two arms know the gold pages, both in the order in which a search finds them: `gold_only` has these
and nothing else, so that no page speaks of the options that are wrong; `gold_first` has them in front of what `full`
has, and is the oracle of a retriever that missed nothing. A question without a choice counts as a guess. Prints
accuracy with a 95 % interval, accuracy over chance, how many were answered, how many choices carry a citation, how many
cite a gold page, and exact paired tests of `full` against each other arm.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.history import record
from pipelines.assistant import Steps
from pipelines.gathering import Gatherer
from pipelines.library import Library
from rag.generators.extractive import ExtractiveGenerator
from rag.generators.scoring import SentenceScorer
from rag.grounding.ground import ground
from rag.rows import query_from_row, read_rows
from rag.types import Answer, Evidence, Hit, Kind, Passage, Query

KINDS: tuple[Kind, ...] = ("page", "figure")
PAGES: tuple[Kind, ...] = ("page",)


@dataclass(frozen=True, slots=True)
class Item:
    """A question with its right letter and the pages that answer it, (document, page)."""

    query: Query
    answer: str
    gold: frozenset[tuple[str, int]]


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--channels", default="", help="channels asked alone (default: every one of pages)")
    parser.add_argument("--arms", default="full,gold_only,gold_first,shuffled,none,channels")
    parser.add_argument("--limit", type=int, default=0)
    args = parser.parse_args()
    items = load_items(args.questions)[: args.limit or None]
    with Library.open(args.library) as library:
        names = [name for name in args.channels.split(",") if name] or [
            channel.name for channel in library.parts.channels() if channel.kind == "page"
        ]
        found: dict[str, Any] = {}
        right: dict[str, list[float]] = {}
        steps = library.parts.steps()
        if isinstance(steps.generator, ExtractiveGenerator):
            steps.generator.scorer = Remembered(steps.generator.scorer)
        for arm, gather in arms_of(library, items, names, args.arms.split(",")).items():
            found[arm], right[arm] = measured(items, gather, steps)
            print(arm, found[arm], file=sys.stderr)
    figures = {"n": len(items), "chance": chance(items), "arms": found, "full_against": paired(right)}
    print(json.dumps(record("choice_evidence", figures), indent=2))


class Remembered:
    """A scorer that reads no pair twice: the arms share most of their pages."""

    def __init__(self, scorer: SentenceScorer) -> None:
        self._scorer = scorer
        self._known: dict[tuple[str, str], float] = {}

    def score(self, question: str, sentences: Sequence[str]) -> list[float]:
        """As the scorer's own."""
        new = [sentence for sentence in dict.fromkeys(sentences) if (question, sentence) not in self._known]
        if new:
            scores = self._scorer.score(question, new)
            self._known |= {(question, sentence): value for sentence, value in zip(new, scores, strict=True)}
        return [self._known[question, sentence] for sentence in sentences]


def load_items(path: Path) -> list[Item]:
    """The questions of a file with `options`, `answer` and `gold_pages` of `book`."""
    items = []
    for row in read_rows(path):
        pages = frozenset((row.data["book"], page) for page in row.data["gold_pages"])
        items.append(Item(query_from_row(row, path.parent), row.data["answer"], pages))
    return items


def chance(items: Sequence[Item]) -> float:
    """Accuracy of guessing evenly among the options."""
    return float(np.mean([1 / len(item.query.options) for item in items]))


Gather = Callable[[int], Evidence]
"""The evidence for the question at a place."""


def arms_of(
    library: Library, items: Sequence[Item], channels: Sequence[str], wanted: Sequence[str]
) -> Mapping[str, Gather]:
    """How each arm gathers."""
    steps = library.parts.steps()
    gatherer = Gatherer(library, steps.selector, steps.gather)
    pages = {(page.document, page.page or 0): page for page in library.passages("page")}
    cache: dict[int, Evidence] = {}

    def full(at: int) -> Evidence:
        if at not in cache:
            cache[at] = gatherer.gather(items[at].query, KINDS).evidence
        return cache[at]

    def gold_only(at: int) -> Evidence:
        query = replace(items[at].query, options=())
        found = [place_of(hit.passage) for hit in library.search(query, k=len(pages), kinds=PAGES)]
        gold = [place for place in found if place in items[at].gold]
        gold += [place for place in sorted(items[at].gold) if place in pages and place not in gold]
        return Evidence(tuple(Hit(pages[place], 1.0) for place in gold))

    def gold_first(at: int) -> Evidence:
        gold = gold_only(at).hits
        known = {hit.passage.id for hit in gold}
        return Evidence((*gold, *(hit for hit in full(at).hits if hit.passage.id not in known)))

    def shuffled(at: int) -> Evidence:
        own = items[at].gold
        other = full((at + len(items) // 2) % len(items))
        return replace(other, hits=tuple(hit for hit in other.hits if place_of(hit.passage) not in own))

    def nothing(_at: int) -> Evidence:
        return Evidence(())

    found: dict[str, Gather] = {
        "full": full, "gold_only": gold_only, "gold_first": gold_first, "shuffled": shuffled, "none": nothing,
    }  # fmt: skip
    arms = {name: gather for name, gather in found.items() if name in wanted}
    if "channels" in wanted:
        arms |= {f"only {name}": single(library, items, steps, name) for name in channels}
    return arms


def single(library: Library, items: Sequence[Item], steps: Steps, channel: str) -> Gather:
    """The hits of one channel alone, also for each option, as many as the assistant would take."""
    one = next(row for row in library.parts.channels() if row.kind == "page" and row.name == channel)

    def search(query: Query, k: int) -> list[Hit]:
        [vector] = one.encoder.encode_queries([query])
        return [] if vector is None else library.store.search("page", one.name, vector, k, dict(query.filters))

    def gather(at: int) -> Evidence:
        query = items[at].query
        hits = {hit.passage.id: hit for hit in search(replace(query, options=()), steps.gather.k)}
        for option in query.options:
            asked = replace(query, text=f"{query.text} {option}", options=())
            new = [hit for hit in search(asked, steps.gather.k) if hit.passage.id not in hits]
            hits |= {hit.passage.id: hit for hit in new[: steps.gather.per_option]}
        whole = {page.id: page for page in library.get(list(hits))}
        return Evidence(tuple(replace(hit, passage=whole[name]) for name, hit in hits.items() if name in whole))

    return gather


def place_of(passage: Passage) -> tuple[str, int]:
    """The page that a passage stands on."""
    return passage.document, passage.page or 0


def measured(items: Sequence[Item], gather: Gather, steps: Steps) -> tuple[dict[str, Any], list[float]]:
    """Accuracy of one arm, and what each question counts. One without a choice counts as a guess."""
    right: list[float] = []
    answered = cited = cited_right = 0
    for at, item in enumerate(items):
        evidence = gather(at)
        draft = steps.generator.generate(item.query, evidence)
        answer = ground(item.query, draft, evidence, steps.judge, steps.policy)
        letter = letter_of(answer)
        right.append(float(letter == item.answer) if letter else 1 / len(item.query.options))
        answered += letter is not None
        cited += letter is not None and bool(answer.citations)
        cited_right += any(place_of(citation.passage) in item.gold for citation in answer.citations)
    low, high = interval(right)
    expected = chance(items)
    figures = {
        "accuracy": round(float(np.mean(right)), 4), "low": low, "high": high,
        "over_chance": round(float(np.mean(right)) / expected, 3), "answered": answered, "with_citation": cited,
        "cites_gold_page": cited_right,
    }  # fmt: skip
    return figures, right


def paired(right: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """The arm `full` against every other on the same questions: how often either is better, and how likely by chance.

    `p` is that of the exact two-sided sign test (McNemar's for right and wrong; https://doi.org/10.1007/BF02295996).
    """
    own = right.get("full", ())
    found: dict[str, dict[str, float]] = {}
    for arm, values in right.items():
        if arm != "full" and own:
            better = sum(a > b for a, b in zip(own, values, strict=True))
            worse = sum(a < b for a, b in zip(own, values, strict=True))
            found[arm] = {"better": better, "worse": worse, "p": round(sign_test(better, worse), 4)}
    return found


def sign_test(better: int, worse: int) -> float:
    """The two-sided probability of a split at least as uneven when both outcomes are equally likely; 1 for no pairs."""
    n = better + worse
    tail = sum(math.comb(n, i) for i in range(min(better, worse) + 1)) / 2**n
    return min(1.0, 2 * tail)


def letter_of(answer: Answer) -> str | None:
    """The chosen letter; None for an abstention."""
    return None if answer.abstained else answer.choice


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """A 95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(seed)
    means = rng.choice(np.array(values), (2000, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)


if __name__ == "__main__":
    main()
