"""`vesalius demo`: write the sample library's sources, index them, and answer a question with citations."""

from __future__ import annotations

import argparse
from pathlib import Path

from rag.cli.common import Subcommands, command, emit_json, note, progress_sink, settings

QUESTION = "Which sign marks a pleural effusion on an upright chest film, and how does a pneumothorax differ?"


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    made = command(subcommands, "demo", run, "index the sample library and answer one question, offline")
    made.add_argument("--library", type=Path, default=Path("library"), metavar="DIR", help="default: library")


def run(args: argparse.Namespace) -> int:
    """From nothing to one cited answer; a second run finds the library built."""
    from pipelines.answer_page import render_answer_page
    from pipelines.assistant import Assistant
    from pipelines.ingest import BuildOptions, Sources
    from pipelines.library import Library, build_library
    from pipelines.sample.build import write_sample
    from rag.grounding.render import answer_to_dict
    from rag.types import Query

    sample = write_sample(args.library / "sample")
    note(args, f"sample sources in {args.library / 'sample'}")
    chosen = settings(args)
    sources = Sources((sample.handbook,), (sample.cases,), (sample.facts,))
    report = build_library(args.library, sources, chosen, BuildOptions(sink=progress_sink(args)))
    with Library.open(args.library, chosen) as library:
        query = Query(text=QUESTION)
        answer = Assistant(library).ask(query)
        page = args.library / "answer.html"
        page.write_text(render_answer_page(query, answer, library.page_image), encoding="utf-8")
    if args.json:
        emit_json({"library": str(args.library), "counts": report.counts, "answer": answer_to_dict(answer)})
    else:
        print(f"\n{args.library}: " + ", ".join(f"{count} {kind}s" for kind, count in report.counts.items()))
        print(f"\nQ: {QUESTION}\n\n{answer.text}\n")
        for citation in answer.citations:
            place = f"page {citation.page}" if citation.page else citation.passage.record or "fact"
            print(f"  [{citation.n}] {citation.document}, {place}")
        print(f"\nThe cited pages, with the quotes marked: {page}")
        print(f'Ask your own: .venv/bin/vesalius ask "..." --library {args.library}')
    return 0 if answer.citations else 1
