"""Evidence for questions of two parts: the single pass against other strategies, paired.

    python -m benchmarks.multipart --library LIB --queries A.jsonl B.jsonl [--strategies agent ircot] [--count 120]

Prints the share of parts with a right page among the first k passages of the evidence, with 95 % intervals of the
paired difference, and searches per question. Then the same for the single questions that the planner takes for several:
the others keep the single pass's passages in front by construction. No model plans: every strategy runs with the
deterministic planner.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from eval.multipart import (
    MultipartOptions,
    MultipartQuestion,
    StrategyRun,
    compare,
    mean_searches,
    multipart_questions,
    single_questions,
)
from pipelines.gathering import Gathered, Gatherer
from pipelines.library import Library
from pipelines.scoring import CrossEncoderScorer
from pipelines.strategies import LoopStrategy, StrategyOptions, parse_strategy
from rag.agent.planner import Planner
from rag.chat import Deadline
from rag.generators.question import split_question
from rag.rows import read_rows
from rag.types import Hit, Kind, Query

KS = (4, 8, 12)


class Remembered:
    """Searches and scores of sentences that were made already: strategies ask much the same of one library."""

    def __init__(self, library: Library, path: Path | None) -> None:
        steps = library.parts.steps()
        self._path, self._model = path, CrossEncoderScorer(library.parts.reranker)
        self._gatherer = Gatherer(library, steps.selector, steps.gather)
        known = pickle.loads(path.read_bytes()) if path is not None and path.is_file() else ({}, {})
        self.searches: dict[tuple, Gathered] = known[0]
        self.scores: dict[tuple[str, str], float] = known[1]

    def gather(self, query: Query, kinds: Sequence[Kind]) -> Gathered:
        return self._made((query.text, query.options, tuple(kinds)), lambda: self._gatherer.gather(query, kinds))

    def follow(self, query: Query, asked: Query, kinds: Sequence[Kind], withheld: Sequence[Hit] = ()) -> Gathered:
        made = lambda: self._gatherer.follow(query, asked, kinds, withheld)  # noqa: E731
        return self._made((asked.text, (), tuple(kinds)), made)

    def records(self, query: Query) -> Gathered:
        return self._gatherer.records(query)

    def score(self, question: str, sentences: Sequence[str]) -> list[float]:
        new = [text for text in sentences if (question, text) not in self.scores]
        self.scores |= {(question, text): n for text, n in zip(new, self._model.score(question, new), strict=True)}
        return [self.scores[question, text] for text in sentences]

    def keep(self) -> None:
        if self._path is not None:
            self._path.write_bytes(pickle.dumps((self.searches, self.scores)))

    def _made(self, key: tuple, make: Callable[[], Gathered]) -> Gathered:
        if key not in self.searches:
            self.searches[key] = make()
        return self.searches[key]


def run(
    library: Library, remembered: Remembered, name: str, questions: list[MultipartQuestion], *, scored: bool
) -> StrategyRun:
    options = StrategyOptions(parse_strategy(name), scorer=remembered if scored else None)
    strategy = LoopStrategy(library, remembered, options)
    hits, searches, stops = [], [], Counter()
    for done, question in enumerate(questions, start=1):
        found = strategy.gather(Query(text=question.text), ("page", "figure"), Deadline.after(3600))
        stop = next(event for event in found.events if event["step"] == "agent.stop")
        after = [row.hit for row in found.evidence.dropped if row.reason.startswith("after the first")]
        # The single pass may show as many passages as the others: what it ranked behind its own k.
        hits.append([*found.evidence.hits, *(after if name == "single" else [])])
        searches.append(stop["searches"])
        stops[stop["stop_reason"]] += 1
        if done % 20 == 0:
            remembered.keep()
    remembered.keep()
    print(f"  {name}: stopped by {dict(stops)}", flush=True)
    return StrategyRun(name, hits, searches)


def show(title: str, questions: list[MultipartQuestion], base: StrategyRun, others: list[StrategyRun]) -> list[dict]:
    print(f"\n{title}: {len(questions)} questions; share of parts with a right page among the first k passages")
    rows = []
    for other in others:
        searches = mean_searches(other)
        print(f"  {other.name}: {searches.value:.2f} searches a question ({searches.low:.2f} to {searches.high:.2f})")
        for row in compare(questions, base, other, KS):
            gap = row.difference
            print(
                f"    k={row.k:<3} {base.name} {row.base.value:.3f}  {other.name} {row.other.value:.3f}  "
                f"difference {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})  wins {row.wins}, losses {row.losses}"
            )
            rows.append(
                {
                    "questions": title, "n": len(questions), "strategy": other.name, "k": row.k,
                    "single": row.base.as_json(), "recall": row.other.as_json(), "difference": gap.as_json(),
                    "searches": searches.as_json(), "wins": row.wins, "losses": row.losses,
                }
            )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--queries", type=Path, nargs="+", required=True)
    parser.add_argument("--strategies", nargs="+", default=["agent"])
    parser.add_argument("--books", nargs="*", default=[], help="only rows about these books")
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--singles", type=int, default=50, help="single questions beside them at the most; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unseen", action="store_true", help="join in wordings that the planner was not made with")
    parser.add_argument("--words-only", action="store_true", help="grade by words, without the cross-encoder")
    parser.add_argument("--remember", type=Path, help="a file that keeps searches and scores between calls")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    rows = [row for path in args.queries for row in read_rows(path)]
    singles = single_questions(rows, args.books)
    options = MultipartOptions(count=args.count, seed=args.seed, unseen=args.unseen)
    sets = {"two parts": multipart_questions(singles, options)}
    planner = Planner(split_question)
    split = [one for one in singles if len(planner.parts(Query(text=one.text))) > 1]
    print(f"{len(singles)} single questions, of which the planner takes {len(split)} for several")
    if args.singles and split:
        sets["one part"] = [MultipartQuestion(one.id, one.text, (one.gold,)) for one in split[: args.singles]]
    figures = []
    with Library.open(args.library) as library:
        remembered = Remembered(library, args.remember)
        for title, questions in sets.items():
            print(f"{title}: {len(questions)} questions", flush=True)
            base = run(library, remembered, "single", questions, scored=not args.words_only)
            others = [run(library, remembered, name, questions, scored=not args.words_only) for name in args.strategies]
            figures += show(title, questions, base, others)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
