"""A graph as sorted arrays: one canonical form per content, so equal graphs are equal to the byte.

Strings are sorted and unique; concepts are in order of their keys; triples in order of head, relation, tail, polarity
and change; supports in order of their triple and all their fields.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from knowledge.graph.intake import POLARITIES
from knowledge.graph.rows import (
    BY,
    CHANGE,
    DOCUMENT,
    DOMAIN,
    FORM,
    HEAD,
    HEAD_TEXT,
    KEY,
    NAME,
    POLARITY,
    RELATION,
    SOURCE,
    TAIL,
    TAIL_TEXT,
    TIER,
    Codes,
    Rows,
)
from knowledge.graph.strings import StringTable
from knowledge.triples import CHANGES, NAMESPACE, TIERS

_ID_BYTES = 6
"""Bytes of an id that are indexed; the seventh holds the UUID's version. Equal beginnings are told apart by reading."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The arrays of a graph of c concepts, t triples and s supports; every one is saved under its name.

    `strings`, `offsets`: a StringTable, into which the int32 codes below point. `concept` (c, 3): key, name, domain.
    `form` from `form_start` (c + 1): other wordings. `head`, `tail` (t,): concepts; `relation` (t,): a string; `sign`
    (t, 2): polarity, change. `sources` (t,): how many support it, as `weights` counts them. `support` from
    `support_start` (t + 1): the seven strings of a support in the order of `rows`; `tier`, `place` and `confidence` go
    with it. `declared`: as in `rows`.

    `incidence` from `incidence_start` (c + 1): the triples of a concept as 2 * triple + (1 where it is the tail),
    grouped by direction, relation and polarity, best supported first; `incidence_rank` is the place in the group, from
    0. `id_prefix` (t,): sorted beginnings of triple ids, with their triples in `id_triple`.
    """

    strings: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    concept: Codes
    form_start: Codes
    form: Codes
    head: Codes
    relation: Codes
    tail: Codes
    sign: npt.NDArray[np.uint8]
    sources: Codes
    support_start: Codes
    support: Codes
    tier: npt.NDArray[np.uint8]
    place: Codes
    confidence: npt.NDArray[np.float64]
    declared: Codes
    incidence_start: Codes
    incidence: Codes
    incidence_rank: Codes
    id_prefix: npt.NDArray[np.uint64]
    id_triple: Codes

    @property
    def texts(self) -> StringTable:
        """The strings."""
        return StringTable(self.strings, self.offsets)


def tables_of(rows: Rows) -> Tables:
    """Put rows in order. The same rows in any order, and with any duplicates, give the same tables."""
    rows = _sorted_rows(_with_sorted_pool(rows))
    encoded = [text.encode() for text in rows.pool]
    table = StringTable.of(encoded)
    texts, signs = rows.texts, rows.signs
    said = np.column_stack([texts[:, :DOCUMENT], signs[:, :TIER]])
    first = _starts(said)
    support_start = np.append(first, len(texts)).astype(np.int32)
    keys = np.unique(texts[first][:, [HEAD, TAIL]])
    head, tail = (np.searchsorted(keys, texts[first, end]).astype(np.int32) for end in (HEAD, TAIL))
    relation, sign = texts[first, RELATION], signs[first][:, [POLARITY, CHANGE]]
    name, form_start, form = _wordings(rows, keys)
    sources = _sources(texts[:, [DOCUMENT, SOURCE]], support_start)
    incidence = _incidence(head, relation, tail, sign[:, 0], sources, len(keys))
    prefix, id_triple = _ids(encoded, texts[first][:, : TAIL + 1], sign)
    return Tables(
        table.data, table.offsets,
        np.column_stack([keys, name, _domains(rows, keys)]).astype(np.int32), form_start, form,
        head, relation, tail, sign, sources,
        support_start, texts[:, DOCUMENT:], signs[:, TIER], rows.places, rows.confidence, rows.declared,
        *incidence, prefix, id_triple,
    )  # fmt: skip


def rows_of_tables(tables: Tables) -> Rows:
    """The rows that a graph was made of."""
    triple = np.repeat(np.arange(len(tables.head)), np.diff(tables.support_start))
    key = tables.concept[:, 0]
    said = np.column_stack([key[tables.head], tables.relation, key[tables.tail]])
    return Rows(
        list(tables.texts),
        np.column_stack([said[triple], tables.support]).astype(np.int32),
        np.column_stack([tables.sign[triple], tables.tier]).astype(np.uint8),
        np.asarray(tables.place),
        np.asarray(tables.confidence),
        np.asarray(tables.declared),
    )


def _with_sorted_pool(rows: Rows) -> Rows:
    """The rows over a pool that holds exactly the strings they use (and the empty one), sorted."""
    used = np.zeros(len(rows.pool), np.bool_)
    used[rows.texts] = True
    used[rows.declared] = True
    pool = rows.pool
    order = sorted(np.flatnonzero(used).tolist(), key=pool.__getitem__)
    texts = [pool[code] for code in order]
    shift = 0 if texts and not texts[0] else 1
    moved = np.zeros(len(pool), np.int32)
    moved[order] = np.arange(len(order), dtype=np.int32) + shift
    return Rows(
        ["", *texts] if shift else texts,
        moved[rows.texts], rows.signs, rows.places, rows.confidence, np.unique(moved[rows.declared], axis=0),
    )  # fmt: skip


def _sorted_rows(rows: Rows) -> Rows:
    """The rows in order of what they say, where and how; of equal rows one."""
    texts, signs = rows.texts.astype(np.int64), rows.signs.astype(np.int64)
    keys = [
        texts[:, 0] << 32 | texts[:, 1],
        texts[:, 2] << 32 | signs[:, 0] << 16 | signs[:, 1] << 8,
        texts[:, 3] << 32 | texts[:, 4],
        rows.places[:, 0].astype(np.int64) << 32 | rows.places[:, 1].astype(np.int64) + 1,
        texts[:, 5] << 32 | texts[:, 6],
        texts[:, 7] << 32 | texts[:, 8],
        texts[:, 9] << 32 | signs[:, 2],
        rows.confidence.view(np.int64),
    ]
    order = np.lexsort(keys[::-1])
    order = order[_starts(np.column_stack(keys)[order])]
    return rows.kept(order, np.ones(len(rows.declared), np.bool_))


def _starts(rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Where a row differs from the one before it; 0 always, unless there are none."""
    changed = np.any(rows[1:] != rows[:-1], axis=1)
    return np.flatnonzero(np.concatenate([np.ones(min(1, len(rows)), np.bool_), changed]))


def _sources(origin: Codes, support_start: Codes) -> Codes:
    """How many different origins (document, data set) support each triple."""
    counts = np.diff(support_start)
    several = np.repeat(counts > 1, counts)  # most triples have one support, and need no look
    triple = np.repeat(np.arange(len(counts)), counts)[several]
    rows = np.unique(np.column_stack([triple, origin[several]]), axis=0)
    found = np.ones(len(counts), np.int32)
    found[counts > 1] = np.unique(rows[:, 0], return_counts=True)[1]
    return found


def _wordings(rows: Rows, keys: npt.NDArray[np.int32]) -> tuple[Codes, Codes, Codes]:
    """Name, and form offsets and forms, of each concept.

    The name is the declared one, else the most frequent wording of the best tier, else the key.
    """
    declared = rows.declared[np.isin(rows.declared[:, KEY], keys)]
    tier = rows.signs[:, TIER].astype(np.int64) + 1
    named = np.unique(declared[:, [BY, KEY, NAME]], axis=0)
    concept = np.concatenate([rows.texts[:, HEAD], rows.texts[:, TAIL], named[:, 1], declared[:, KEY], keys])
    text = np.concatenate([rows.texts[:, HEAD_TEXT], rows.texts[:, TAIL_TEXT], named[:, 2], declared[:, FORM], keys])
    last = len(TIERS) + 1
    rank = np.concatenate(
        [tier, tier, np.zeros(len(named)), np.full(len(declared), last), np.full(len(keys), last + 1)]
    )
    said = text > 0  # the empty string is number 0
    place = np.searchsorted(keys, concept[said])
    packed, count = np.unique((place * 8 + rank[said].astype(np.int64)) << 32 | text[said], return_counts=True)
    order = np.lexsort((packed & 0xFFFFFFFF, -count, packed >> 32))
    place, word = (packed >> 35)[order], (packed & 0xFFFFFFFF)[order]
    name = word[np.searchsorted(place, np.arange(len(keys)))].astype(np.int32)
    # The key itself stands only in for a missing name; it is no wording.
    real = (packed >> 32 & 7) <= last
    pairs = np.unique((packed[real] >> 35) << 32 | (packed[real] & 0xFFFFFFFF))
    pairs = pairs[(pairs & 0xFFFFFFFF) != name[pairs >> 32]]
    start = np.searchsorted(pairs >> 32, np.arange(len(keys) + 1)).astype(np.int32)
    return name, start, (pairs & 0xFFFFFFFF).astype(np.int32)


def _domains(rows: Rows, keys: npt.NDArray[np.int32]) -> Codes:
    """The first declared domain of each concept that is not empty, 0 (the empty string) without."""
    found = np.zeros(len(keys), np.int32)
    declared = rows.declared[(rows.declared[:, DOMAIN] > 0) & np.isin(rows.declared[:, KEY], keys)][::-1]
    found[np.searchsorted(keys, declared[:, KEY])] = declared[:, DOMAIN]
    return found


def _incidence(
    head: Codes, relation: Codes, tail: Codes, polarity: npt.NDArray[np.uint8], sources: Codes, n: int
) -> tuple[Codes, Codes, Codes]:
    """Start of each concept, its triples in groups, best supported first, and their places in the group."""
    t = len(head)
    concept = np.concatenate([head, tail]).astype(np.int64) * 2
    concept[t:] += 1
    group = np.tile(relation.astype(np.int64) * len(POLARITIES) + polarity, 2)
    order = np.lexsort((np.tile(-sources, 2), group, concept))
    first = _starts(np.column_stack([concept[order], group[order]]))
    sizes = np.diff(np.append(first, 2 * t))
    rank = np.arange(2 * t) - np.repeat(first, sizes)
    entry = np.where(order < t, 2 * order, 2 * (order - t) + 1)
    start = np.searchsorted(concept[order] >> 1, np.arange(n + 1))
    return start.astype(np.int32), entry.astype(np.int32), rank.astype(np.int32)


def _ids(encoded: list[bytes], said: Codes, sign: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint64], Codes]:
    """The sorted beginnings of all triple ids (RFC 9562, version 5: SHA-1 of namespace and name), and their triples."""
    ending = [f"{polarity}\x1f{change}".encode() for polarity in POLARITIES for change in CHANGES]
    signs = sign[:, 0].astype(np.int64) * len(CHANGES) + sign[:, 1]
    columns = (*(column.tolist() for column in said.T), signs.tolist())
    space, sha1, join = NAMESPACE.bytes, hashlib.sha1, b"\x1f".join
    digests = [
        sha1(space + join((encoded[h], encoded[r], encoded[t], ending[s]))).digest()
        for h, r, t, s in zip(*columns, strict=True)
    ]
    begun = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, sha1().digest_size)[:, :8].copy()
    begun[:, _ID_BYTES:] = 0
    numbers = begun.view(">u8").ravel().astype(np.uint64)
    order = np.argsort(numbers, kind="stable")
    return numbers[order], order.astype(np.int32)


def id_prefix_of(triple_id: bytes) -> np.uint64:
    """The indexed beginning of an id's 16 bytes."""
    return np.uint64(int.from_bytes(triple_id[:_ID_BYTES] + b"\0\0", "big"))
