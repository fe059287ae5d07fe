"""A second taxonomy for text questions: the 19 partitions of a pathology library, and the choice of a corpus by name.

The names are those of Patho-AgenticRAG, https://arxiv.org/abs/2508.02258; there a trained text router chooses, here
words do. A partition is a closed list of exact strings: a name outside it is refused, never guessed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from rag.domains.names import unknown_name
from rag.errors import QueryError

PARTITIONS: tuple[str, ...] = (
    "Bone and soft tissue", "Cytology", "GI tract/liver/gallbladder/pancreas", "Hematology/lymphatic/bone marrow",
    "Infectious diseases", "Oral and head-neck", "Urinary and male reproductive", "Breast", "Endocrine",
    "General comprehensive", "Histology and embryology", "Neonatal/pediatric", "Skin", "Central nervous system",
    "Female reproductive", "Gross specimen sampling", "IHC and molecular", "Ophthalmology/otolaryngology",
    "Trachea/lung/pleura/mediastinum",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PartitionChoice:
    """The partition to search, None for all of them, and the words that decided."""

    partition: str | None
    terms: tuple[str, ...] = ()


def parse_partition(name: str) -> str:
    """A partition by its exact name, as a model or a user gives it.

    Raises:
        QueryError: there is no such partition; the message names the nearest.
    """
    if name not in PARTITIONS:
        raise QueryError(unknown_name("partition", name, PARTITIONS))
    return name


def choose_partition(text: str) -> PartitionChoice:
    """The partition that most words of a question point to.

    None (search everywhere) when no word does, or two partitions are named equally often: as in the published router,
    a partition is chosen only when tissue or organ is stated. A phrase counts as many times as it has words, because
    a longer one says more.
    """
    plain = " ".join(text.casefold().split())
    found: dict[str, tuple[str, ...]] = {}
    for partition, pattern in _patterns().items():
        if terms := tuple(dict.fromkeys(pattern.findall(plain))):
            found[partition] = terms
    weight = {name: sum(len(term.split()) for term in terms) for name, terms in found.items()}
    ranked = sorted(weight, key=lambda name: -weight[name])
    if not ranked or (len(ranked) > 1 and weight[ranked[0]] == weight[ranked[1]]):
        return PartitionChoice(None, tuple(term for terms in found.values() for term in terms))
    return PartitionChoice(ranked[0], found[ranked[0]])


@cache
def partition_terms() -> Mapping[str, tuple[str, ...]]:
    """The words of each partition, from `partitions.toml`. Raises QueryError when a name there is not one of the 19."""
    data = tomllib.loads((files("rag.domains") / "partitions.toml").read_text(encoding="utf-8"))
    return {parse_partition(name): tuple(terms) for name, terms in data["partitions"].items()}


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    made = {}
    for name, terms in partition_terms().items():
        longest_first = sorted(terms, key=lambda term: (-len(term), term))
        joined = "|".join(re.escape(term) for term in longest_first)
        made[name] = re.compile(rf"(?<![^\W_])({joined})(?:s|es)?(?![^\W_])")
    return made


def parse_corpus(name: str, documents: Sequence[str]) -> str:
    """A document of the library by its exact name.

    Raises:
        QueryError: the library has no such document; the message names the nearest.
    """
    if name not in documents:
        raise QueryError(unknown_name("document", name, tuple(documents)))
    return name


_BEFORE = r"(?:according to|(?:text)?book|atlas|collection|corpus|document|cases (?:of|in|from))"
_AFTER = r"(?:says?|states?|writes?|describes?|teach(?:es)?|reports?|(?:text)?book|atlas|collection|corpus|document)"
_SEPARATED = r"[\W_]+"
_QUOTED = "[\"'“‘«]{}[\"'”’»]"


def choose_corpora(text: str, documents: Sequence[str]) -> tuple[str, ...]:
    """The documents that a question names ("what does Anatomy Physiology say about ..."), in their own order.

    Names are often words of the question, too ("lung cancer"), so a name counts when it is written as it is, with its
    underscores or digits; in quotation marks; or, whatever joins its words, beside one that tells a source:
    "according to", "says", "the textbook".
    """
    return tuple(name for name in documents if name.strip() and _is_named(name, text))


def _is_named(name: str, text: str) -> bool:
    written = re.escape(name)
    loose = _SEPARATED.join(map(re.escape, re.findall(r"[^\W_]+", name)))
    if re.search(_QUOTED.format(written), text, re.IGNORECASE):
        return True
    if not name.replace(" ", "").isalpha() and re.search(rf"(?<![^\W_]){written}(?![^\W_])", text, re.IGNORECASE):
        return True
    cued = rf"\b{_BEFORE}{_SEPARATED}(?:the{_SEPARATED})?{loose}(?![^\W_])|(?<![^\W_]){loose}{_SEPARATED}{_AFTER}\b"
    return bool(loose) and re.search(cued, text, re.IGNORECASE) is not None
