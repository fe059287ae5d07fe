"""What a sentence of a report or caption says besides naming its findings: places, suggestions, modifiers."""

from __future__ import annotations

import re

from knowledge.extraction.links import Link, Modification
from knowledge.extraction.mentions import Mention, Reading
from knowledge.extraction.places import places
from knowledge.extraction.suggestions import suggestions


def links_of(reading: Reading) -> list[Link]:
    """Where observations are, what they suggest, and which body part is part of which."""
    kept = [mention for mention in reading.mentions if mention.kept]
    return [*places(reading.nodes, kept), *suggestions(reading.nodes, kept)]


def modifications_of(reading: Reading) -> list[Modification]:
    """The words that modify each mention, its side and degree among them wherever in the sentence they stand."""
    found: list[Modification] = []
    for mention in reading.mentions:
        if not mention.kept or mention.category == "other":
            continue
        spans = mention.modifiers
        found.extend(Modification(span, mention) for span in spans)
        said = " ".join(reading.text[start:end].lower() for start, end in spans)
        if reading.style == "definition":
            continue  # there a side or degree elsewhere in the sentence is another thing's
        if mention.category == "observation" and mention.side and not _says_side(said, mention.side):
            found.append(Modification(mention.side, mention))
        # A degree in front was taken off as it is written; only one that stands apart is given by its name.
        if mention.grade and not _has_degree(reading, mention):
            found.append(Modification(mention.grade, mention))
    return found


def _has_degree(reading: Reading, mention: Mention) -> bool:
    degrees = [node for node in reading.nodes if node.kind == "severity"]
    return any(start <= node.start and node.end <= end for node in degrees for start, end in mention.modifiers)


def _says_side(said: str, side: str) -> bool:
    return bool(said) and (side in said or (side == "bilateral" and re.search(r"\b(?:bi\w+|both)", said) is not None))
