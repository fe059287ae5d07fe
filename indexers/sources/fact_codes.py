"""ICD-10-CM: a list of codes, and the description and order files of the yearly release.

Forms: https://www.cms.gov/medicare/coding-billing/icd-10-codes ("icd10cm_codes", "icd10cm_order"). A code stands for
what the codes below it have in common, so its parent is the longest code that it begins with, then the block whose
range holds it, then the chapter that the block is listed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from indexers.sources.characters import clean
from indexers.sources.fact_rows import Origin, Row, Triple, fact_row, license_beside, noted, version_in_name
from indexers.sources.fact_tables import filled_lines

_CATEGORY = r"[A-Z][0-9AB][0-9A-Z]"
_CODE = rf"{_CATEGORY}(?:\.?[0-9A-Z]{{1,4}})?"
_RANGE = re.compile(rf"{_CATEGORY}-{_CATEGORY}")
_LISTED = re.compile(rf"({_CODE})(?:\s+(\S.*))?")
_ORDERED = re.compile(rf"\d{{5}}\s+({_CODE})\s+[01]\s+(\S.*)")
_CHAPTER = re.compile(r"[1-9]\d?")
_SHORT_DESCRIPTION = 60
"""Characters of the short description in an order file; the long one stands behind it."""
_LOOKED_AT = 20
SYSTEM = "ICD-10-CM"


class _Entry(NamedTuple):
    """A line of the file: a code without its dot, a block ("A00-A09") or a chapter ("1")."""

    line: int
    code: str
    description: str = ""
    problem: str = ""


def looks_like_codes(path: Path) -> bool:
    """Whether nine in ten of a file's first lines are codes, with or without their descriptions."""
    found = [_entry(line.number, clean(line.text)) for line in islice(filled_lines(path), _LOOKED_AT)]
    codes = [entry for entry in found if not entry.problem]
    return any(not _CHAPTER.fullmatch(entry.code) for entry in codes) and len(codes) >= 0.9 * len(found)


def code_rows(path: Path) -> Iterator[Row]:
    """`is_a` from each code to its parent; with descriptions these are the names, and each has its code as a fact.

    A list without descriptions gives links between codes only: it says nothing of what they mean.
    """
    entries = [
        _Entry(line.number, "", problem=line.problem) if line.problem else _entry(line.number, clean(line.text))
        for line in filled_lines(path)
    ]
    origin = Origin("icd10cm", license_beside(path), version_in_name(path))
    names = {entry.code: entry.description or _display(entry.code) for entry in entries if not entry.problem}
    for entry, parent in _with_parents(entries):
        if entry.problem:
            yield Row(entry.line, problem=entry.problem)
            continue
        head_id = noted(("head_id", f"ICD10CM:{_dotted(entry.code)}"))
        if entry.description:
            yield fact_row(entry.line, Triple(entry.description, "icd10cm_code", _dotted(entry.code)), origin, head_id)
        if parent and names[parent] != names[entry.code]:
            ids = (*head_id, ("tail_id", f"ICD10CM:{_dotted(parent)}"))
            yield fact_row(entry.line, Triple(names[entry.code], "is_a", names[parent]), origin, ids)


def _entry(number: int, text: str) -> _Entry:
    text = text.strip()
    if ordered := _ORDERED.fullmatch(text):
        # Both descriptions stand in columns of their own, and the long one may repeat the short one.
        description = ordered.group(2)[_SHORT_DESCRIPTION:].strip() or ordered.group(2).strip()
        return _Entry(number, ordered.group(1).replace(".", ""), description)
    if _RANGE.fullmatch(text) or _CHAPTER.fullmatch(text):
        return _Entry(number, text)
    if listed := _LISTED.fullmatch(text):
        return _Entry(number, listed.group(1).replace(".", ""), " ".join((listed.group(2) or "").split()))
    return _Entry(number, "", problem="neither a code, nor a code and its description")


def _with_parents(entries: Sequence[_Entry]) -> Iterator[tuple[_Entry, str]]:
    codes = {entry.code for entry in entries}
    chapter, blocks = "", list[str]()
    for entry in entries:
        if _CHAPTER.fullmatch(entry.code):
            chapter, blocks = entry.code, []
            yield entry, ""
        elif entry.problem:
            yield entry, ""
        elif "-" in entry.code:
            blocks = [block for block in blocks if _holds(block, entry.code)]
            yield entry, blocks[-1] if blocks else chapter
            blocks.append(entry.code)
        else:
            yield (
                entry,
                _parent_code(entry.code, codes)
                or next((block for block in reversed(blocks) if _holds(block, entry.code)), chapter),
            )


def _parent_code(code: str, codes: set[str]) -> str:
    return next((code[:length] for length in range(len(code) - 1, 2, -1) if code[:length] in codes), "")


def _holds(block: str, code: str) -> bool:
    """Whether a block's range holds a code, or another block."""
    first, last = block.split("-")
    ends = code.split("-")
    return first <= ends[0][:3] and ends[-1][:3] <= last


def _dotted(code: str) -> str:
    return code if len(code) <= len("A00") or "-" in code else f"{code[:3]}.{code[3:]}"


def _display(code: str) -> str:
    return f"{SYSTEM} {'chapter ' if _CHAPTER.fullmatch(code) else ''}{_dotted(code)}"
