"""Parts of a radiology, pathology or ophthalmology report: what was found, what was asked, what it was compared with.

Headings are read in many spellings, on their own line or in front of the text, in capitals, bold or with a number. A
report without headings is one section of kind `other`. Every section is a slice of the text it came from.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Literal, cast

SectionKind = Literal[
    "findings", "impression", "indication", "comparison", "technique", "history", "recommendation", "other"
]

ASSERTING: frozenset[SectionKind] = frozenset(("findings", "impression", "other"))
"""Sections that state what this study shows. The others ask, remember, compare, describe the apparatus or advise."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: `text[start:end]` is its body without the heading and the blanks around it.

    `heading` is as written, without marks; empty where there is none.
    """

    kind: SectionKind
    start: int
    end: int
    heading: str = ""


@cache
def _heading() -> re.Pattern[str]:
    """One pattern of all headings, with a group per section kind."""
    names = tomllib.loads(files("knowledge").joinpath("report_headings.toml").read_text(encoding="utf-8"))
    kinds = [f"(?P<{kind}>{'|'.join(_pattern_of(name) for name in rows)})" for kind, rows in names.items()]
    mark = r"[ \t>*#_•–-]*(?:\(?\d{1,2}[.)][ \t]*)?[*_]*"
    ending = r"(?:[ \t]*\(s\))?[*_]*[ \t]*(?:[:;][*_]*|[*_=-]*(?=\r?\n|$)|[ \t][–-][ \t])"
    return re.compile(rf"(?:^{mark}|(?<=[.!?;:\]])[ \t]+)(?:{'|'.join(kinds)}){ending}", re.IGNORECASE | re.MULTILINE)


def _pattern_of(name: str) -> str:
    *leading, last = (word.split("|") for word in name.split())
    parts = [f"(?:{_any_of(options)}[ \\t]+)" + ("?" if "-" in options else "") for options in leading]
    return "".join(parts) + _any_of(last)


def _any_of(options: list[str]) -> str:
    return f"(?:{'|'.join(re.escape(option) for option in options if option != '-')})"


_LINE_END = re.compile(r"[.!?:][ \t]*\r?\n|\n[ \t]*\r?\n|\n(?=[ \t]*[A-Z])")


def split_report(text: str) -> tuple[Section, ...]:
    """The sections of a report in order, empty ones left out. Text before the first heading is `other`."""
    sections: list[Section] = []
    start, heading = 0, ""
    kind: SectionKind = "other"
    for match in _heading().finditer(text):
        if not _is_heading(text, match):
            continue
        sections.append(Section(kind, start, match.start(), heading))
        kind, start = cast(SectionKind, match.lastgroup), match.end()
        heading = match[kind].strip()
    sections.append(Section(kind, start, len(text), heading))
    trimmed = (_trimmed(text, section) for section in _cut_short(text, sections))
    return tuple(section for section in trimmed if section is not None)


def section_text(text: str, *kinds: SectionKind) -> str:
    """The bodies of all sections of these kinds, in order, joined by line breaks; empty when the report has none."""
    return "\n".join(text[part.start : part.end] for part in split_report(text) if part.kind in kinds)


def _is_heading(text: str, match: re.Match[str]) -> bool:
    """Inside a line only a capitalised name with a colon is a heading."""
    at_line_start = match.start() == 0 or text[match.start() - 1] == "\n"
    if at_line_start:
        return True
    name = match[match.lastgroup or 0]
    return name[0].isupper() and match.group().rstrip("*_ \t").endswith(":")


def _cut_short(text: str, sections: list[Section]) -> list[Section]:
    """End an aside at its line or paragraph when no heading announces the findings that follow it.

    "INDICATION: cough." and then plain lines: without a later heading those lines are the report itself.
    """
    if (
        not sections
        or sections[-1].kind in ASSERTING
        or any(part.kind in ("findings", "impression") for part in sections)
    ):
        return sections
    last = sections[-1]
    body = len(text[last.start : last.end]) - len(text[last.start : last.end].lstrip())
    found = _LINE_END.search(text, last.start + body, last.end)
    if found is None:
        return sections
    return [*sections[:-1], replace(last, end=found.end()), Section("other", found.end(), last.end)]


def _trimmed(text: str, section: Section) -> Section | None:
    body = text[section.start : section.end]
    if not body.strip():
        return None
    first = section.start + len(body) - len(body.lstrip())
    return replace(section, start=first, end=section.start + len(body.rstrip()))
