"""Multiple-choice questions made from the definitions of a book's glossary, for choices on other items than its own.

Run: python -m benchmarks.glossary_choice --questions BOOK/questions.jsonl [--questions ...] --out F.jsonl [--form term]

Reads lines of kind `glossary_definition` (`id, book, question, answer_text, gold_section, gold_pages`): a meaning and
its term. Every definition makes one question, its term among the terms of three others of the same chapter, those of
its own section first; a term that holds the other's words, or the reverse, is no distractor ("epithelium" for "simple
epithelium"). Half of the definitions, by the hash of their id, ask for the term of a meaning (`term`), the other half
for the meaning of a term (`meaning`). Draws are seeded with that id: the same file always makes the same questions. The
output is read by `benchmarks.choice_evidence`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rag.sentences import content_stems

Form = Literal["term", "meaning"]
LETTERS = "ABCD"


def main() -> None:
    """Write the questions and say how many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=Path, required=True, action="append")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--form", choices=("term", "meaning"), default="", help="only these (default: both)")
    args = parser.parse_args()
    lines = [line for path in args.questions for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in map(json.loads, lines) if row["kind"] == "glossary_definition"]
    made = [row for row in questions(rows) if args.form in ("", row["form"])]
    args.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")
    print(json.dumps({"definitions": len(rows), "questions": len(made)}))


def questions(definitions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One question per definition that has three others to choose from."""
    made = []
    for row in definitions:
        options = [row, *distractors(row, definitions)]
        random.Random(row["id"]).shuffle(options)
        if len(options) == len(LETTERS):
            made.append(question(row, options))
    return made


def question(row: Mapping[str, Any], options: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The question for a definition, its options in the order given."""
    form = form_of(row)
    asked = f"Which term means: {row['question']}?" if form == "term" else f"What is meant by {row['answer_text']}?"
    shown = "answer_text" if form == "term" else "question"
    return {
        "id": row["id"], "form": form, "book": row["book"], "question": asked,
        "options": {letter: one[shown] for letter, one in zip(LETTERS, options, strict=True)},
        "answer": LETTERS[[one["id"] for one in options].index(row["id"])], "gold_pages": row["gold_pages"],
    }  # fmt: skip


def distractors(row: Mapping[str, Any], definitions: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Three other definitions of the chapter, the section's own first."""
    own = frozenset(content_stems(row["answer_text"]))
    others = []
    for other in definitions:
        stems = frozenset(content_stems(other["answer_text"]))
        if chapter_of(other) == chapter_of(row) and not (stems <= own or own <= stems):
            others.append(other)
    others.sort(key=lambda other: (other["gold_section"] != row["gold_section"], ordered(other, row["id"])))
    return others[: len(LETTERS) - 1]


def chapter_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """The book, and its chapter's number: the part of the section's number before the first dot."""
    return row["book"], str(row["gold_section"]).partition(".")[0]


def form_of(row: Mapping[str, Any]) -> Form:
    """What a definition is asked for."""
    return "term" if int(ordered(row, "form")[:4], 16) % 2 == 0 else "meaning"


def ordered(row: Mapping[str, Any], salt: str) -> str:
    """A place in an order that looks random and never changes."""
    return hashlib.sha256((salt + row["id"]).encode()).hexdigest()


if __name__ == "__main__":
    main()
