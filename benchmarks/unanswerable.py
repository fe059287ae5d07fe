"""Does an answer abstain when the library cannot answer, and only then?

Run: python -m benchmarks.unanswerable [--library DIR --queries F...] [--answers F...] [--per-arm 100] [--out ROWS]
     [--seed 0] [--document docs/abstain.md] [--rows ROWS]

Asks answerable questions with known pages, and three kinds that have no answer: `other_book` (the same questions when
only the other books may be searched), `nonsense` (words of the library shuffled together, and invented terms), and
`removed` (the pages that answer are taken away, and every page that prints the answer, read from --answers, or most of
the question's words). Without arguments it asks the sample library, which has one book, so `other_book` is left out.
--rows measures answers that --out kept.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.abstain_page import write_page
from benchmarks.history import record
from eval.datasets import QueryItem, load_queries
from eval.gold import unit_of
from pipelines.assistant import Assistant
from pipelines.library import Library
from pipelines.search import SearchResult, Withhold
from rag.grounding.abstention import AnswerRow, FitAbstention, figures_at, fit_threshold, folds, risk_coverage, summary
from rag.rows import read_rows
from rag.sentences import content_stems, words
from rag.types import Kind, Query

KINDS: tuple[Kind, ...] = ("page", "figure")
_SYLLABLES = "bra cor dil fen gam hyo jun kel lom mur nop ost pir quo rel sut tav ulo vex wim xan yol zer"
_ENDINGS = "osis itis emia al ium ectin oma ane"
_TERM = 5
"""Content words of an answer that is a term, printed in the same words wherever it is told."""
_MOST_WORDS = 0.6
_TEMPLATES = (
    "Which {0} lines the {1} of the {2}?", "What is the function of the {0} in {1}?", "How does {0} cause {1}?",
    "Where is the {0} located relative to the {1}?", "Which drug is given for {0} with {1}?",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of one arm: what may be searched, and what its answer must cite. No gold: it has no answer."""

    arm: str
    query: Query
    gold: frozenset[tuple[str, ...]] = frozenset()
    removed: frozenset[str] = frozenset()


class Without:
    """A library without some passages: they are searched for, and withheld."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.removed: frozenset[str] = frozenset()
        self.parts, self.history, self.get = library.parts, library.history, library.get

    def search_timed(
        self, query: Query, *, k: int, kinds: Sequence[Kind], withhold: Withhold | None = None
    ) -> SearchResult:
        """As the library, deeper by what is taken away."""
        depth = k if not self.removed else 3 * k
        found = self._library.search_timed(query, k=depth, kinds=kinds, withhold=withhold)
        kept = tuple(hit for hit in found.hits if hit.passage.id not in self.removed)
        return replace(found, hits=kept[:k])


def main() -> None:
    """Print one JSON document, and write the page when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--queries", type=Path, action="append", default=[])
    parser.add_argument("--answers", type=Path, action="append", default=[], help="rows with id and answer_text")
    parser.add_argument("--per-arm", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=float, default=0.9)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--without", action="append", default=[], metavar="ARM", help="an arm that is not counted")
    parser.add_argument("--document", type=Path)
    parser.add_argument("--source", help="for --document: what was asked, of which library")
    parser.add_argument("--remarks", help="for --document: what the figures mean")
    args = parser.parse_args()
    rows = kept_rows(args.rows) if args.rows else ask_all(args)
    rows = [row for row in rows if row.arm not in args.without]
    found = measured(rows, args.target)
    if args.document:
        told = {name: getattr(args, name) or "" for name in ("source", "remarks")}
        write_page(args.document, rows, found, told)
    print(json.dumps(record("unanswerable", found), indent=2))


def kept_rows(path: Path) -> list[AnswerRow]:
    """Rows that an earlier run kept."""
    return [AnswerRow(**row.data) for row in read_rows(path)]


def measured(rows: Sequence[AnswerRow], target: float) -> dict[str, Any]:
    """At the default threshold, and at thresholds fitted on the other folds' questions."""
    fitted: list[AnswerRow] = []
    thresholds = []
    for train, test in folds(rows, 5):
        threshold = fit_threshold(train, FitAbstention("balanced", target)).value
        thresholds.append(threshold)
        # Confidence against the fold's own threshold, so that one cut at 0 serves all.
        fitted.extend(replace(row, confidence=row.confidence - threshold) for row in test)
    return {
        "n": len(rows),
        "default": {"threshold": 0.5, **figures_at(rows, 0.5)},
        "fitted": {"thresholds": [round(value, 4) for value in thresholds], **figures_at(fitted, 0.0)},
        "curve": summary(rows),
        "table": [asdict(point) for point in risk_coverage(rows, [0.1 * i for i in range(1, 11)])],
    }


def ask_all(args: argparse.Namespace) -> list[AnswerRow]:
    """Every question of every arm, answered."""
    folder, paths = (args.library, args.queries) if args.library else sample_questions()
    rng = random.Random(args.seed)
    items = [item for item in load_queries(paths).items if not item.query.images]
    with Library.open(folder) as library:
        opened = Without(library)
        steps = library.parts.steps()
        # Below every threshold nothing is lost: the confidence of each answer is what is measured.
        steps = replace(steps, policy=replace(steps.policy, min_confidence=0.0, min_choice_confidence=0.0))
        assistant = Assistant(opened, steps)
        rows = []
        for asked in arms(library, items, answers_of(args.answers), args.per_arm, rng):
            opened.removed = asked.removed
            answer = assistant.ask(asked.query, kinds=KINDS)
            cited = {unit_of(citation.passage) for citation in answer.citations}
            rows.append(
                AnswerRow(
                    asked.query.id,
                    asked.arm,
                    bool(asked.gold),
                    bool(cited & asked.gold),
                    answer.confidence,
                    asked.query.id.removesuffix("/other").removesuffix("/removed"),
                )
            )
            if args.out:
                # Row by row: an hour of answers is not lost with the process.
                with args.out.open("a" if len(rows) > 1 else "w", encoding="utf-8") as stream:
                    stream.write(json.dumps(asdict(rows[-1])) + "\n")
            if len(rows) % 25 == 0:
                print(f"{len(rows)} asked", file=sys.stderr)
    return rows


def answers_of(paths: Sequence[Path]) -> dict[str, str]:
    """The words of each known answer, by the question's id."""
    return {
        row.data["id"]: row.data["answer_text"]
        for path in paths
        for row in read_rows(path)
        if "answer_text" in row.data
    }


def arms(
    library: Library, items: Sequence[QueryItem], answers: Mapping[str, str], n: int, rng: random.Random
) -> Iterator[Asked]:
    """The questions of every arm, at most n of each set and arm."""
    pages = [*library.passages("page"), *library.passages("figure")]
    books = sorted({page.document for page in pages})
    for name in dict.fromkeys(item.set_name for item in items):
        own = [item for item in items if item.set_name == name]
        for item in rng.sample(own, min(n, len(own))):
            query = item.query
            yield Asked("answerable", query, frozenset(item.gold))
            gold_books = {unit[1] for unit in item.gold}
            others = tuple(book for book in books if book not in gold_books)
            if others:
                yield Asked("other_book", replace(query, id=f"{query.id}/other", filters={"document": others}))
            answer = answers.get(query.id.partition(":")[2], "")
            if answers and not 1 <= len(content_stems(answer)) <= _TERM:
                continue  # a whole sentence stands nowhere in the same words: which pages hold it is not known
            gone = frozenset(
                page.id for page in pages if unit_of(page) in item.gold or _tells(page.text, query.text, answer)
            )
            yield Asked("removed", replace(query, id=f"{query.id}/removed"), removed=gone)
    vocabulary = sorted({word for page in pages for word in words(page.text) if word.isalpha() and len(word) > 4})
    for i in range(n):
        yield Asked("nonsense", Query(text=nonsense(vocabulary, rng), id=f"nonsense-{i}"))


def _tells(text: str, question: str, answer: str) -> bool:
    """Whether a page may answer a question, gold or not: it prints the answer, or most words of the question."""
    held = content_stems(text)
    if answer:
        return f" {' '.join(content_stems(answer))} " in f" {' '.join(held)} "
    wanted = set(content_stems(question))
    return len(wanted & set(held)) >= _MOST_WORDS * len(wanted)


def nonsense(vocabulary: Sequence[str], rng: random.Random) -> str:
    """A question without an answer: a template with invented terms, or with words that do not belong together."""
    template = rng.choice(_TEMPLATES)
    if rng.random() < 0.5:
        terms = ["".join(rng.choices(_SYLLABLES.split(), k=2)) + rng.choice(_ENDINGS.split()) for _ in range(3)]
    else:
        terms = [" ".join(rng.sample(vocabulary, 2)) for _ in range(3)]
    return template.format(*terms)


def sample_questions() -> tuple[Path, list[Path]]:
    """The sample library and its page questions."""
    from benchmarks.search import sample

    folder, queries = sample()
    return folder, [path for path in queries if re.search("pages", path.name)]


if __name__ == "__main__":
    main()
