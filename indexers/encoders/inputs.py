"""What an encoder reads of a passage or a query, in one place so that all channels read the same. Pure."""

from __future__ import annotations

from rag.types import Passage


def context_of(passage: Passage) -> str:
    """Where the passage stands: its headings, outermost first; empty when it has none.

    A window in the middle of a page rarely repeats the heading it belongs to.
    """
    return " > ".join(heading.strip() for heading in passage.section if heading.strip())


def text_of(passage: Passage) -> str:
    """What text encoders read of a passage: a figure's caption, and the sentences of its book that speak of it."""
    mentioned = passage.meta.get("mentions", "")
    return f"{passage.text}\n\n{mentioned}".strip() if mentioned else passage.text


def with_context(context: str, text: str) -> str:
    """A window as a model reads it: the context on a line of its own above it."""
    return f"{context}\n{text}" if context else text
