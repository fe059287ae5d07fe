"""Descriptions of conditions as JSON: `{"condition": ["sign", "no other sign"]}`, the form of FLAIR's definitions.

FLAIR: https://arxiv.org/abs/2308.07898
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from indexers.sources.characters import clean
from indexers.sources.fact_rows import MAX_LINE, Origin, Row, Triple, fact_row, license_beside, version_in_name
from indexers.sources.lines import read_lines
from rag.errors import SourceError

MAX_FILE = 64 << 20
_FUNDUS = re.compile(r"fundus|retina|flair", re.IGNORECASE)
_NEGATION = re.compile(r"(?:no|without(?: any)?|absence of|absent)\s+(?=\S)", re.IGNORECASE)
_TURN = re.compile(r"\b(?:but|except|with|only|although|however)\b|;", re.IGNORECASE)
"""After these words a description may say something else than before, so its "no" cannot be taken off."""

_Entries = list[tuple[str, object]]


def sign_rows(path: Path) -> Iterator[Row]:
    """Signs of conditions. The relation is fundus_sign where the name of the file or its folder says so, or has_sign.

    A description that begins with "no" is an absent sign, without its "no"; one that turns halfway ("no haemorrhages
    but exudates") stays as it is written. Problems have the number of the condition's line.
    """
    text = _text(path)
    entries = _entries(text)
    relation = "fundus_sign" if _FUNDUS.search(path.stem) or _FUNDUS.search(path.parent.name) else "has_sign"
    origin = Origin(_source(path), license_beside(path), version_in_name(path))
    at = 0
    for condition, signs in entries:
        at = max(text.find(json.dumps(condition, ensure_ascii=False), at), at)
        line = text.count("\n", 0, at) + 1
        if not isinstance(signs, list) or not all(isinstance(sign, str) for sign in signs):
            yield Row(line, problem=f"the descriptions of {condition[:40]!r} are not a list of texts")
            continue
        for sign in signs:
            yield _sign_row(line, condition, sign, (relation, origin))


def _sign_row(line: int, condition: str, sign: str, said: tuple[str, Origin]) -> Row:
    if max(len(condition), len(sign)) > MAX_LINE:
        return Row(line, problem=f"a description is longer than {MAX_LINE} characters")
    head, tail = (" ".join(clean(text).split()) for text in (condition, sign))
    negation = _NEGATION.match(tail)
    if negation is None or _TURN.search(tail):
        return fact_row(line, Triple(head, said[0], tail), said[1])
    return fact_row(line, Triple(head, said[0], tail[negation.end() :], "absent"), said[1])


def _source(path: Path) -> str:
    return path.parent.name if path.stem == "definitions" and path.parent.name else path.stem


def check_signs(path: Path) -> None:
    """Raise SourceError unless the file holds conditions with lists of descriptions."""
    entries = _entries(_text(path))
    if not any(isinstance(signs, list) and not isinstance(signs, _Pairs) for _, signs in entries):
        raise SourceError('the JSON object has no condition with a list of signs: {"condition": ["sign", ...]}')


def _text(path: Path) -> str:
    lines = [line.text for line in read_lines(path, MAX_FILE, MAX_FILE) if not line.problem]
    return "\n".join(lines)


def _entries(text: str) -> _Entries:
    """The pairs of the outermost object, a condition that stands twice among them."""
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"the file is not JSON ({error})") from error
    if not isinstance(found, _Pairs):
        raise SourceError('the JSON is not an object of the form {"condition": ["sign", ...]}')
    return list(found)


class _Pairs(list[tuple[str, object]]):
    """A JSON object with its pairs in order."""
