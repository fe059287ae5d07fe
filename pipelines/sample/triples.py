"""The facts: grouped source lines expanded to one triple per line with polarity, source and licence."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple

from pipelines.sample.manuscript import PACKAGE
from pipelines.sample.records import LICENSE

RELATIONS = frozenset(
    {
        "associated_with",
        "caused_by",
        "complication_of",
        "has_definition",
        "has_sign",
        "has_stage",
        "is_a",
        "located_at",
        "measured_by",
        "part_of",
        "risk_factor_of",
        "stained_by",
        "suggestive_of",
        "synonym",
        "treated_by",
    }
)
HEADER = ("head", "relation", "tail", "polarity", "source", "license")


class Triple(NamedTuple):
    """One fact; `section` is the number of the handbook section that supports it."""

    head: str
    relation: str
    tail: str
    polarity: Literal["present", "absent"]
    section: str


def triples() -> list[Triple]:
    """All facts in source order.

    In facts.txt a line `# 2.3` names the section, `head|relation|tail; tail` states facts, a leading `!` denies them.
    """
    facts: list[Triple] = []
    section = ""
    text = (resources.files(PACKAGE) / "facts" / "facts.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("# "):
            section = line[2:]
            continue
        head, relation, tails = line.split("|")
        polarity: Literal["present", "absent"] = "absent" if head.startswith("!") else "present"
        facts += [Triple(head.lstrip("!"), relation, tail.strip(), polarity, section) for tail in tails.split(";")]
    return facts


def write_triples(path: Path, titles: Mapping[str, str]) -> None:
    """Writes the facts as TSV; `titles` maps a section number to its printed title."""
    rows = [HEADER]
    for head, relation, tail, polarity, section in triples():
        source = f"The Vesalius Sample Handbook, section {titles[section]}"
        rows.append((head, relation, tail, polarity, source, LICENSE))
    path.parent.mkdir(parents=True)
    path.write_text("\n".join("\t".join(row) for row in rows) + "\n", encoding="utf-8")
