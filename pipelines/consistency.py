"""A symbolic check of a chain of answers about one study: what contradicts itself, by rules in a file.

After Dr-LLaVA (Sun et al., 2024, https://arxiv.org/abs/2405.19567), which checks whole dialogues against a graph of
clinical rules. Here a rule says that two things cannot be stated together, or that one needs another; terms are
findings of `knowledge.findings` or phrases. One rule needs no file: the same finding both present and absent, on the
same side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from knowledge.findings import LABELS, Finding, label_text
from rag.errors import ConfigError

_POLARITIES = ("present", "absent", "uncertain")
_SAME = "a finding is both present and absent"


@dataclass(frozen=True, slots=True)
class Term:
    """Something a sentence may state: a finding with its polarity, or any of some phrases."""

    name: str
    label: str = ""
    polarity: str = ""
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Two terms that exclude each other; or, with `implies`, of which the second may not be denied beside the first."""

    first: Term
    second: Term
    implies: bool = False

    @property
    def name(self) -> str:
        """The rule in words."""
        return f"{self.first.name} {'implies' if self.implies else 'excludes'} {self.second.name}"


@dataclass(frozen=True, slots=True)
class Violation:
    """Two statements of a chain, counted from 0, that cannot both stand; `first` is at most `second`."""

    rule: str
    first: int
    second: int


@cache
def shipped_rules() -> tuple[Rule, ...]:
    """The rules that ship with the package: chest films."""
    return parse_rules(files("pipelines").joinpath("consistency.yaml").read_text(encoding="utf-8"))


def read_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of a file of your own. Raises ConfigError naming the entry that cannot be used."""
    try:
        return parse_rules(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the rules in {path} cannot be read ({error})") from error


def parse_rules(text: str) -> tuple[Rule, ...]:
    """The rules of a YAML text. Raises ConfigError."""
    import yaml

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"the rules are not YAML: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("terms"), dict) or not isinstance(data.get("rules"), list):
        raise ConfigError("a file of rules has a mapping `terms` and a list `rules`")
    terms = {str(name): _term(str(name), row) for name, row in data["terms"].items()}
    return tuple(_rule(row, terms) for row in data["rules"])


def rules_for(path: Path | None) -> tuple[Rule, ...]:
    """The rules of a file, or those that ship with the package."""
    return shipped_rules() if path is None else read_rules(path)


def check_chain(statements: Sequence[str], rules: Sequence[Rule] | None = None) -> tuple[Violation, ...]:
    """What contradicts itself in a chain of statements about one study, in order; each pair once per rule."""
    read = [label_text(text) for text in statements]
    found: list[Violation] = []
    for j in range(len(statements)):
        for i in range(j + 1):
            if i != j and _opposite(read[i], read[j]):
                found.append(Violation(_SAME, i, j))
            for rule in shipped_rules() if rules is None else rules:
                here, there = (statements[i], read[i]), (statements[j], read[j])
                if _broken(rule, here, there) or (i != j and _broken(rule, there, here)):
                    found.append(Violation(rule.name, i, j))
    return tuple(found)


def contradictory(statements: Sequence[str], rules: Sequence[Rule] | None = None) -> frozenset[int]:
    """The statements that are part of a contradiction: which of the two is wrong, a rule cannot know."""
    return frozenset(index for one in check_chain(statements, rules) for index in (one.first, one.second))


def _broken(rule: Rule, first: tuple[str, Sequence[Finding]], second: tuple[str, Sequence[Finding]]) -> bool:
    if not _states(rule.first, *first):
        return False
    return _denies(rule.second, *second) if rule.implies else _states(rule.second, *second)


def _states(term: Term, text: str, findings: Sequence[Finding]) -> bool:
    if term.phrases:
        return any(_holds(phrase, text) for phrase in term.phrases)
    return any(one.label == term.label and one.polarity == term.polarity for one in findings)


def _denies(term: Term, text: str, findings: Sequence[Finding]) -> bool:
    if term.phrases:
        return any(_holds(f"{no} {phrase}", text) for phrase in term.phrases for no in ("no", "without", "not"))
    opposite = "absent" if term.polarity == "present" else "present"
    return any(one.label == term.label and one.polarity == opposite for one in findings)


def _holds(phrase: str, text: str) -> bool:
    words = r"\s+".join(re.escape(word) for word in phrase.split())
    return re.search(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE) is not None


def _opposite(first: Sequence[Finding], second: Sequence[Finding]) -> bool:
    return any(
        {one.polarity, other.polarity} == {"present", "absent"} and one.label == other.label and _same_side(one, other)
        for one in first
        for other in second
    )


def _same_side(one: Finding, other: Finding) -> bool:
    sides = {one.laterality, other.laterality}
    return not {"left", "right"} <= sides


def _term(name: str, row: object) -> Term:
    if isinstance(row, Mapping) and isinstance(row.get("phrases"), list) and row["phrases"]:
        return Term(name, phrases=tuple(str(phrase) for phrase in row["phrases"]))
    if isinstance(row, Mapping) and row.get("label") in LABELS and row.get("polarity") in _POLARITIES:
        return Term(name, str(row["label"]), str(row["polarity"]))
    raise ConfigError(f"term {name!r} needs phrases, or a label of knowledge.findings and a polarity")


def _rule(row: object, terms: Mapping[str, Term]) -> Rule:
    for key in ("never_together", "implies"):
        names = row.get(key) if isinstance(row, Mapping) else None
        if isinstance(names, list) and len(names) == 2:
            unknown = [str(name) for name in names if name not in terms]
            if unknown:
                raise ConfigError(f"rule {key} {names}: there is no term {', '.join(unknown)}")
            return Rule(terms[names[0]], terms[names[1]], implies=key == "implies")
    raise ConfigError(f"rule {row!r} is neither never_together nor implies with two terms")
