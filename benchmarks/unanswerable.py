"""Does an answer abstain when the library cannot answer, and only then?

Run: python -m benchmarks.unanswerable [--library DIR --queries F...] [--answers F...] [--per-arm 100] [--out ROWS]
     [--seed 0] [--splits 50] [--document docs/abstain.md] [--rows ROWS]

Asks answerable questions with known pages, and questions that have no answer: `other_book` (the same questions when
only the other books may be searched), `nonsense` (words of the library shuffled together, and invented terms), and
evidence removed, in two readings. `removed`: the pages that answer, their neighbours, and every page and figure that
prints the answer (read from --answers; without them, one that prints most of the question's words) are taken away, so
that nothing left can tell it but in other words. `removed_gold`: only the pages that answer are taken away; the rest of
the book may well tell the answer again, and an answer whose quote prints it is counted as right. Without arguments it
asks the sample library, which has one book, so `other_book` is left out. --rows measures answers that --out kept.
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

from benchmarks.abstain_figures import curve_rows, measured
from benchmarks.abstain_page import write_page
from benchmarks.history import record
from eval.datasets import QueryItem, load_queries
from eval.gold import Unit, unit_of
from pipelines.library import Library
from pipelines.trial_answers import Trial, TrialAssistant
from rag.grounding.abstention import AnswerRow
from rag.rows import read_rows
from rag.sentences import content_stems, words
from rag.types import Answer, Kind, Passage, Query

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
    """A question of one arm: what may be searched, and what its answer must cite or say. No gold: it has no answer."""

    arm: str
    query: Query
    cluster: str
    gold: frozenset[Unit] = frozenset()
    removed: frozenset[str] = frozenset()
    told: str = ""


def main() -> None:
    """Print one JSON document, and write the page when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--queries", type=Path, action="append", default=[])
    parser.add_argument("--answers", type=Path, action="append", default=[], help="rows with id and answer_text")
    parser.add_argument("--per-arm", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--splits", type=int, default=50)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--document", type=Path)
    parser.add_argument("--source", help="for --document: what was asked, of which library")
    parser.add_argument("--remarks", help="for --document: what the figures mean")
    args = parser.parse_args()
    rows = [AnswerRow(**row.data) for row in read_rows(args.rows)] if args.rows else ask_all(args)
    found = measured(rows, args.splits)
    if args.document:
        told = {name: getattr(args, name) or "" for name in ("source", "remarks")}
        write_page(args.document, curve_rows(rows), found, told)
    print(json.dumps(record("unanswerable", found), indent=2))


def ask_all(args: argparse.Namespace) -> list[AnswerRow]:
    """Every question of every arm, answered."""
    folder, paths = (args.library, args.queries) if args.library else sample_questions()
    rng = random.Random(args.seed)
    items = [item for item in load_queries(paths).items if not item.query.images]
    rows: list[AnswerRow] = []
    with Library.open(folder) as library:
        assistant = TrialAssistant(library)
        for asked in arms(library, items, answers_of(args.answers), args.per_arm, rng):
            trial = assistant.ask(asked.query, KINDS, asked.removed)
            rows.append(_row(asked, trial))
            if args.out:
                # Row by row: an hour of answers is not lost with the process.
                with args.out.open("a" if len(rows) > 1 else "w", encoding="utf-8") as stream:
                    stream.write(json.dumps(asdict(rows[-1])) + "\n")
            if len(rows) % 25 == 0:
                print(f"{len(rows)} asked", file=sys.stderr)
    return rows


def _row(asked: Asked, trial: Trial) -> AnswerRow:
    right, confidence = _is_right(asked, trial.answer), trial.answer.confidence
    return AnswerRow(asked.query.id, asked.arm, bool(asked.gold), right, confidence, asked.cluster, trial.signals)


def _is_right(asked: Asked, answer: Answer) -> bool:
    """Whether the answer cites a gold page; where those were taken away, whether a quote still prints the answer."""
    if asked.gold:
        return bool({unit_of(citation.passage) for citation in answer.citations} & asked.gold)
    return bool(asked.told) and any(_prints(citation.quote, asked.told) for citation in answer.citations)


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
            query, cluster = item.query, min("/".join(unit) for unit in item.gold)
            yield Asked("answerable", query, cluster, frozenset(item.gold))
            others = tuple(book for book in books if book not in {unit[1] for unit in item.gold})
            if others:
                elsewhere = replace(query, id=f"{query.id}/other", filters={"document": others})
                yield Asked("other_book", elsewhere, cluster)
            answer = answers.get(query.id.partition(":")[2], "")
            if answers and not 1 <= len(content_stems(answer)) <= _TERM:
                continue  # a whole sentence stands nowhere in the same words: which pages hold it is not known
            yield from _removed(pages, item, answer, cluster)
    vocabulary = sorted({word for page in pages for word in words(page.text) if word.isalpha() and len(word) > 4})
    for i in range(n):
        yield Asked("nonsense", Query(text=nonsense(vocabulary, rng), id=f"nonsense-{i}"), f"nonsense/{i}")


def _removed(pages: Sequence[Passage], item: QueryItem, answer: str, cluster: str) -> Iterator[Asked]:
    """A question whose evidence is taken away: all that may tell the answer, and only the pages known to."""
    query = item.query
    near = {(kind, book, str(int(page) + step)) for kind, book, page in item.gold for step in (-1, 0, 1)}
    all_told = frozenset(page.id for page in pages if unit_of(page) in near or _tells(page.text, query.text, answer))
    yield Asked("removed", replace(query, id=f"{query.id}/removed"), cluster, removed=all_told)
    gold = frozenset(page.id for page in pages if unit_of(page) in item.gold)
    yield Asked("removed_gold", replace(query, id=f"{query.id}/gold"), cluster, removed=gold, told=answer)


def _tells(text: str, question: str, answer: str) -> bool:
    """Whether a page may answer a question, gold or not: it prints the answer, or most words of the question."""
    if answer:
        return _prints(text, answer)
    wanted = set(content_stems(question))
    return len(wanted & set(content_stems(text))) >= _MOST_WORDS * len(wanted)


def _prints(text: str, answer: str) -> bool:
    return f" {' '.join(content_stems(answer))} " in f" {' '.join(content_stems(text))} "


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
