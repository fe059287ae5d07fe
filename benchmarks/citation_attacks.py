"""Do false citations and changed facts pass the checks of an answer, and are true claims let through?

Run: python -m benchmarks.citation_attacks [--library DIR] [--per-kind 100] [--seed 0] [--show 0]

Attacks and true claims are made from the library's own pages and reports (`attack_making`); without --library from the
sample library. Prints, per kind, how many were caught and by which check. "First three" are the checks shown, verbatim
and cited, which a forged citation must not pass. Kinds behind `unsupported` are reported apart: the rules were not made
for them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.attack_making import CITATION_KINDS, EXTRA_KINDS, FLIP_KINDS, TRUE_KINDS, Case, make_cases
from benchmarks.history import record
from pipelines.checking import ANSWER_GATES, answer_judge
from rag.grounding.ground import GroundingPolicy, ground
from rag.protocols import Judge
from rag.types import Draft, Evidence, Hit, Passage, Query

FIRST = frozenset(("shown", "verbatim", "cited"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case with the checks it failed; none failed means that it was shown to the reader."""

    case: Case
    failed: tuple[str, ...]


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--per-kind", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print so many wrongly judged cases per kind")
    args = parser.parse_args()
    outcomes = judged(make_cases(passages_of(args.library), args.per_kind, args.seed))
    for line in wrongly_judged(outcomes, args.show):
        print(line, file=sys.stderr)
    print(json.dumps(record("citation_attacks", figures(outcomes)), indent=2))


def wrongly_judged(outcomes: Sequence[Outcome], most: int) -> Iterator[str]:
    """Attacks that passed and true claims that did not, so many of each kind, to be read."""
    for kind in (*FLIP_KINDS, *TRUE_KINDS, *EXTRA_KINDS):
        wrong = [row for row in outcomes if row.case.kind == kind and bool(row.failed) == row.case.true]
        for row in wrong[:most]:
            claim, quote = row.case.claim.text, " ".join(row.case.claim.quote.split())
            yield f"{kind}: {'refused by ' + ', '.join(row.failed) if row.failed else 'passed'}"
            yield f"  claim {claim}\n  quote {quote}"


def passages_of(folder: Path | None) -> list[Passage]:
    """The pages and reports of a library; of the sample library when none is named."""
    from benchmarks.search import sample
    from pipelines.library import Library

    with Library.open(folder or sample()[0]) as library:
        return [*library.passages("page"), *library.passages("case")]


def judged(cases: Sequence[Case], judge: Judge | None = None, policy: GroundingPolicy | None = None) -> list[Outcome]:
    """Every case, grounded as an answer of one claim with its passage as the evidence."""
    judge, policy = judge or answer_judge(), policy or GroundingPolicy(gates=ANSWER_GATES)
    found: list[Outcome] = []
    for case in cases:
        evidence = Evidence((Hit(case.passage, 1.0),))
        answer = ground(Query(text="?"), Draft((case.claim,), confidence=1.0), evidence, judge, policy)
        failed = tuple(name for event in answer.trace for name in event["failed"])
        found.append(Outcome(case, failed))
    return found


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Per kind: how many, how many caught, by which checks; and the figures that matter in sum."""
    kinds: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(row.case.kind for row in outcomes):
        rows = [row for row in outcomes if row.case.kind == kind]
        caught = [row for row in rows if row.failed]
        by = Counter(name for row in caught for name in row.failed)
        kinds[kind] = {"n": len(rows), "caught": len(caught), "by": dict(by.most_common())}
    flips = [row for row in outcomes if row.case.kind in FLIP_KINDS]
    true = [row for row in outcomes if row.case.true]
    forged = [row for row in outcomes if row.case.kind in CITATION_KINDS]
    return {
        "attacks": len(outcomes) - len(true),
        "true_claims": len(true),
        "forged_past_first_three": sum(not FIRST & set(row.failed) for row in forged),
        "flips_caught": _share([bool(row.failed) for row in flips]),
        "true_refused": _share([bool(row.failed) for row in true]),
        "kinds": kinds,
    }


def _share(flags: Sequence[bool]) -> float:
    return round(sum(flags) / len(flags), 4) if flags else 0.0


if __name__ == "__main__":
    main()
