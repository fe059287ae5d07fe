"""Words of a question, a caption or a record that point to a domain. The word lists are data: `terms.toml`.

A word's weight is evidence in nats (log-likelihood ratio against a question of no domain): 4 for the name of an imaging
method, 1.5 for what is seen or done in one domain almost only, 0.7 for a hint. Judgement, not a measurement.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from rag.domains.names import Domain, ImageDomain, parse_domain

WEIGHTS: Mapping[str, float] = {"names": 4.0, "codes": 4.0, "signs": 1.5, "hints": 0.7}
MOST = 6.0
"""Evidence of one domain's words together stops here: many words of one report are not independent."""


@dataclass(frozen=True, slots=True)
class TermMatch:
    """A word or phrase found, the domain it points to, and its evidence in nats."""

    domain: ImageDomain
    term: str
    weight: float


@dataclass(frozen=True, slots=True)
class TermRules:
    """Word lists compiled to one pattern; the longest phrase at a place wins.

    `codes` keep their case ("CT", "OCT"), all other words do not; a plural s is forgiven.
    """

    words: Mapping[str, TermMatch]
    codes: Mapping[str, TermMatch]
    pattern: re.Pattern[str]
    code_pattern: re.Pattern[str]

    def match(self, text: str) -> tuple[TermMatch, ...]:
        """Every distinct word found, in the order of the text; codes last."""
        plain = " ".join(text.casefold().split())
        found = [self.words[match.group(1)] for match in self.pattern.finditer(plain)]
        found += [self.codes[match.group(1)] for match in self.code_pattern.finditer(text)]
        return tuple(dict.fromkeys(found))


def domain_scores(matches: Sequence[TermMatch]) -> dict[ImageDomain, float]:
    """Evidence for each domain in nats, at most `MOST`; domains without a word are left out."""
    scores: dict[ImageDomain, float] = {}
    for match in matches:
        scores[match.domain] = min(MOST, scores.get(match.domain, 0.0) + match.weight)
    return scores


def text_posterior(matches: Sequence[TermMatch], against: float = 2.0) -> dict[Domain, float]:
    """The posterior of a question without an image: its words against the prior that it needs no picture.

    `against`: how many nats a single domain stands behind `text` before any word is read.
    """
    from math import exp

    from rag.domains.names import normalised

    weights: dict[Domain, float] = {"text": 1.0}
    for domain, score in domain_scores(matches).items():
        weights[domain] = exp(score - against)
    return normalised(weights)


def compile_rules(lists: Mapping[str, Mapping[str, Sequence[str]]]) -> TermRules:
    """Rules from word lists by domain, then by sort (names, codes, signs, hints).

    Raises:
        ValueError: a sort has no weight, or a word stands in two lists.
        QueryError: a domain does not exist.
    """
    words: dict[str, TermMatch] = {}
    codes: dict[str, TermMatch] = {}
    for domain, sorts in lists.items():
        for sort, terms in sorts.items():
            if sort not in WEIGHTS:
                raise ValueError(f"terms of {domain}: {sort!r} is none of {', '.join(WEIGHTS)}")
            table = codes if sort == "codes" else words
            for term in terms:
                key = term if sort == "codes" else term.casefold()
                if key in table:
                    raise ValueError(f"the term {term!r} stands in two lists")
                table[key] = TermMatch(parse_domain(domain), term, WEIGHTS[sort])
    return TermRules(words, codes, _pattern(words, "(?:s|es)?"), _pattern(codes, "s?"))


def _pattern(terms: Mapping[str, TermMatch], ending: str) -> re.Pattern[str]:
    if not terms:
        return re.compile(r"(?!)")
    longest_first = sorted(terms, key=lambda term: (-len(term), term))
    joined = "|".join(re.escape(term) for term in longest_first)
    return re.compile(rf"(?<![^\W_])({joined}){ending}(?![^\W_])")


@cache
def shipped_terms() -> TermRules:
    """The word lists that ship with Vesalius."""
    text = (files("rag.domains") / "terms.toml").read_text(encoding="utf-8")
    return compile_rules(tomllib.loads(text))
