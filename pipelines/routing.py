"""The router of one library: prototypes of its own cases, else prompts of its image-text encoder, else words alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from indexers.domains.library import load_prototypes
from indexers.domains.zero_shot import PromptedDomains
from indexers.journal import Journal
from rag.errors import IndexMismatch, StoreError
from rag.retrievers import Channel
from rag.routing import DomainModel, DomainRouter, RuleRouter

JOURNAL = "journal.sqlite"
PROTOTYPES, PROMPTS = "image", "clip"
"""The channels whose vectors of a query image are judged: by prototypes, and by prompts where there are none."""


def open_router(folder: Path | None, channels: Sequence[Channel], *, sure: float) -> DomainRouter:
    """The router of the library in `folder`; without one, it decides by words, tags and prompts.

    Args:
        folder: the library's.
        channels: of all kinds. Their encoders of text are asked nothing until an image comes.
        sure: the probability from which other domains are left out.
    """
    router = DomainRouter(RuleRouter(), sure=sure, documents=_documents(folder))
    fitted, missing = _prototypes(folder, channels)
    if fitted is not None:
        return DomainRouter(router.kinds, fitted, sure, documents=router.documents)
    asked = next((one.encoder for one in channels if one.name == PROMPTS), None)
    if asked is not None:
        prompts = PromptedDomains(asked)
        return DomainRouter(router.kinds, prompts, sure, channel=PROMPTS, documents=router.documents)
    return router if missing is None else DomainRouter(
        router.kinds, sure=sure, missing=missing, documents=router.documents
    )  # fmt: skip


def _prototypes(folder: Path | None, channels: Sequence[Channel]) -> tuple[DomainModel | None, str | None]:
    """The prototypes that fit the encoder, or None and what is wrong with the file, if anything is."""
    encoder = next((one.encoder for one in channels if (one.kind, one.name) == ("case", PROTOTYPES)), None)
    if encoder is None or folder is None:
        return None, None
    try:
        return load_prototypes(folder, encoder.fingerprint), None
    except (IndexMismatch, StoreError) as error:
        # Without them the search is blind to domains in images, which is no reason not to search.
        return None, str(error)


def _documents(folder: Path | None) -> tuple[str, ...]:
    """The names that a question can name; none where the journal is damaged, which a search need not read."""
    if folder is None or not (folder / JOURNAL).is_file():
        return ()
    try:
        journal = Journal(folder / JOURNAL)
    except StoreError:
        return ()
    try:
        return journal.names()
    finally:
        journal.close()
