"""A text as a row of tokens for comparison: content stems, and in place of a modifier its scale and its values.

"The left ventricle is mildly enlarged" reads `<side: left> ventricl <severity: mild> enlarg`. So the claim with
"right" in place of "left" is the same row but for one value, which is how an exchanged side is seen even when the quote
names both.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files

from rag.grounding.quantities import Quantity, quantities, with_digits
from rag.grounding.scope import PRESENCE, without_formulas
from rag.grounding.terms import expanded
from rag.sentences import STOPWORDS, stem, words

NUMBER = "number"
_TOKEN = re.compile(r"[^\W_]+(?:[.,’'][^\W_]+)*%?")
_DENIALS = frozenset(["no", "not", "without", "never", "cannot", "nor", "neither"])
_IDLE = re.compile(r"\s+(?:only|merely|longer|more|less|fewer|doubt)\b")
_CODE = re.compile(r"^[a-z]+\d+[a-z0-9]*$")


@dataclass(frozen=True, slots=True)
class Token:
    """A content stem (`group` empty), or a modifier: its group, and its values or its quantities.

    `n` modifiers of one group side by side are one token ("left and right"). `denied`: a word of denial stands between
    this token and the one before it. `seen`: it only says that something is there.
    """

    key: str
    group: str = ""
    values: frozenset[str] = frozenset()
    amounts: tuple[Quantity, ...] = ()
    n: int = 1
    denied: bool = False
    seen: bool = False


@dataclass(frozen=True, slots=True)
class Scales:
    """The modifier words: form or stem to (group, value), and the groups that a claim may not add to."""

    values: dict[str, tuple[str, str]]
    strict: frozenset[str]

    def of(self, word: str) -> tuple[str, str] | None:
        """The scale and value of a word as it stands: abbreviations of sides count in capitals only."""
        if word in self.values:
            return self.values[word]
        lowered = word.lower()
        return self.values.get(lowered) or self.values.get("~" + stem(lowered))


@cache
def scales() -> Scales:
    """The table of `words.toml`."""
    table = tomllib.loads(files("rag.grounding").joinpath("words.toml").read_text(encoding="utf-8"))
    strict = frozenset(table.pop("strict"))
    values: dict[str, tuple[str, str]] = {}
    for group, rows in table.items():
        for value, forms in rows.items():
            for form in forms:
                values.setdefault(form, (group, value))
                if form.islower() and len(form) > 3:
                    values.setdefault("~" + stem(form), (group, value))
    return Scales(values, strict)


@lru_cache(maxsize=4096)
def tokens(text: str) -> tuple[Token, ...]:
    """The content stems, modifiers and numbers of a text in order; modifiers of one group side by side are one."""
    text = without_formulas(expanded(text))
    plain = with_digits(text)
    amounts = {amount.start: amount for amount in quantities(text)}
    found: list[Token] = []
    after, denied = 0, False
    for match in _TOKEN.finditer(plain):
        if match.start() < after:
            continue
        word = match.group().lower().replace("’", "'")
        if word in _DENIALS or word.endswith("n't"):
            denied = not _IDLE.match(plain, match.end())
            continue
        token = _token(match.group(), word, amounts.get(match.start()))
        if token is not None:
            after = token.amounts[0].end if token.amounts else 0
            _add(found, replace(token, denied=denied))
            denied = False
    return tuple(found)


def _token(form: str, word: str, amount: Quantity | None) -> Token | None:
    if amount is not None:
        return Token(NUMBER, NUMBER, amounts=(amount,))
    scaled = scales().of(form)
    if scaled is not None:
        group, value = scaled
        return Token(group, group, frozenset(("left", "right") if value == "both" else (value,)))
    return None if word in STOPWORDS else Token(stem(word.removesuffix("'s")), seen=word in PRESENCE)


def _add(found: list[Token], token: Token) -> None:
    if found and token.group and found[-1].group == token.group:
        last = found.pop()
        token = replace(
            last, values=last.values | token.values, amounts=last.amounts + token.amounts, n=last.n + token.n
        )
    found.append(token)


def values_of(text: str) -> dict[str, frozenset[str]]:
    """The values that a text names, by group."""
    found: dict[str, frozenset[str]] = {}
    for token in tokens(text):
        if token.values:
            found[token.group] = found.get(token.group, frozenset()) | token.values
    return found


def codes(text: str) -> set[str]:
    """Names made of letters and digits (T4, B12, CO2, FEV1): one sign changed is another thing."""
    joined = re.sub(r"(?<=[A-Za-z])-(?=\d)", "", text)
    return {word for word in words(joined) if _CODE.match(word)}
