"""Where the running text speaks of a figure: the sentences around it that cite its label. Pure.

A caption often names a picture without saying what it shows; the sentences that refer to it do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.sentences import split_sentences

MOST_MENTIONS = 2
_MAX_CHARACTERS = 600


def mentions(label: str, texts: Sequence[str]) -> tuple[str, ...]:
    """The first sentences of some page texts, in order, that cite a label such as "Figure 4.3"; captions are left out.

    "Fig. 4.3" and "figures 4.3" cite it too; "Figure 4.31" does not.
    """
    kind, _, number = label.partition(" ")
    word = r"(?:figs?\.?|figures?)" if kind == "Figure" else rf"{re.escape(kind)}s?"
    cites = re.compile(rf"\b{word}\s*{re.escape(number)}(?![\d])(?!\.\d)", re.IGNORECASE)
    found: dict[str, None] = {}
    for text in texts:
        if not cites.search(text):
            continue
        for sentence in split_sentences(text):
            plain = " ".join(sentence.text.split())
            match = cites.search(plain)
            if match and match.start() > 0 and len(plain) <= _MAX_CHARACTERS:
                found.setdefault(plain)
            if len(found) == MOST_MENTIONS:
                return tuple(found)
    return tuple(found)
