"""Evidence for a question: search, withhold what must not help, look records up, select; each step leaves an event.

The events say why this evidence: what the router took the question for, what the guard withheld, which records were
looked up, and what the selector kept. They hold ids, counts and reasons, never the text of a question or a passage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from indexers.sources.perceptual import ImageKeys
from pipelines.timeline import EvidenceBlock, evidence_blocks, global_record, record_hits, region_record
from rag.leakage import Guard, Guarded, Likeness, QueryOrigin, guarded, search_guarded, single_image_cosines
from rag.protocols import Selector
from rag.types import Dropped, Evidence, Hit, Kind, Query

if TYPE_CHECKING:
    from pipelines.library import Library
    from pipelines.search import SearchResult

CANDIDATES_PER_PASSAGE = 3
"""Hits asked for, per passage that the selector may keep: it drops duplicates and what exceeds the budget."""
DEEPER = 4
"""How many times as deep a search goes at the most to replace hits that the guard withholds."""
_OWN_PATIENT = Guard(patient=True, study=False, image=False, kin=False)

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GatherOptions:
    """How evidence is gathered.

    k: passages that the selector may keep. per_option: passages added for each option of a choice. depth: hits that
    the selector reads at least (one that was calibrated on lists of 30 needs 30). guard: withholds the question's own
    image, study and patient, for questions that come from the corpus; None shows everything. selector: its name.
    """

    k: int
    per_option: int = 3
    depth: int = 0
    guard: Guard | None = None
    selector: str = "fixed"

    @property
    def candidates(self) -> int:
        """Hits asked of a search."""
        return max(self.k * CANDIDATES_PER_PASSAGE, self.depth)


@dataclass(frozen=True, slots=True)
class Gathered:
    """The evidence, its passages whole, and the events that led to it.

    `doubt` in [0, 1] is the share of the answer's confidence that was lost on the way.
    """

    evidence: Evidence
    events: tuple[Event, ...]
    doubt: float = 0.0


class Gatherer:
    """Gathers evidence from a library."""

    def __init__(self, library: Library, selector: Selector, options: GatherOptions) -> None:
        self._library, self._selector, self._options = library, selector, options
        self._keys = ImageKeys()

    def gather(self, query: Query, kinds: Sequence[Kind]) -> Gathered:
        """What the question finds; for a multiple choice also the best new passages of the question with each option.

        Options come second and never push out what the question itself found: an option is a guess. A patient's records
        come first: they were looked up, not found by likeness.
        """
        result, clean = self._search(query, query, kinds)
        blocks = self._records(query) if self._may_look_up(query) and "case" in kinds else ()
        chosen = self._selector.select(query, clean.kept)
        events = [*_routed(result), self._guarded(clean), *_looked_up(query, blocks), self._selected(chosen)]
        if query.options and self._options.per_option:
            chosen = self._with_options(query, kinds, chosen)
        evidence = _with_records(chosen, blocks)
        left_out = (*evidence.dropped, *result.dropped, *clean.dropped)
        return Gathered(self._whole(replace(evidence, dropped=left_out)), tuple(events))

    def follow(self, query: Query, asked: Query, kinds: Sequence[Kind], withheld: Sequence[Hit] = ()) -> Gathered:
        """What another query finds for a question: whatever must not help the question is withheld from it as well.

        `withheld` are hits that were withheld before: they say whose image the question shows.
        """
        result, clean = self._search(query, asked, kinds, withheld=withheld)
        chosen = self._selector.select(asked, clean.kept)
        evidence = replace(chosen, dropped=(*chosen.dropped, *result.dropped, *clean.dropped))
        return Gathered(self._whole(evidence), (*_routed(result), self._guarded(clean), self._selected(chosen)))

    def records(self, query: Query) -> Gathered:
        """Only the look-up of the patient's earlier records, as far as the question may see them."""
        blocks = self._records(query) if self._may_look_up(query) else ()
        return Gathered(self._whole(_with_records(Evidence(()), blocks)), tuple(_looked_up(query, blocks)))

    def _search(
        self, query: Query, asked: Query, kinds: Sequence[Kind], k: int | None = None, withheld: Sequence[Hit] = ()
    ) -> tuple[SearchResult, Guarded]:
        """The first search's result, and the k first hits that may be shown for the question."""
        results: list[SearchResult] = []
        k = k or self._options.candidates

        def guarded_hits(hits: Sequence[Hit]) -> Guarded:
            return self._withhold(query, asked, hits, withheld)

        def clean(hits: Sequence[Hit]) -> Sequence[Hit]:
            return guarded_hits(hits).kept

        def search(depth: int) -> Sequence[Hit]:
            results.append(self._library.search_timed(asked, k=depth, kinds=kinds, withhold=clean))
            return results[-1].hits

        found = search_guarded(search, guarded_hits, k, DEEPER * k)
        return results[0], found

    def _withhold(self, query: Query, asked: Query, hits: Sequence[Hit], withheld: Sequence[Hit]) -> Guarded:
        """The hits that may be shown for a question, `withheld` ones speaking for whose it is but not counted."""
        before = {hit.passage.id for hit in withheld}
        judged = self._judged(query, asked, [*withheld, *(hit for hit in hits if hit.passage.id not in before)])
        own = tuple(row for row in judged.dropped if row.hit.passage.id not in before)
        again = [Dropped(hit, "withheld before") for hit in hits if hit.passage.id in before]
        kept = tuple(hit for hit in judged.kept if hit.passage.id not in before)
        return Guarded(kept, (*own, *again))

    def _judged(self, query: Query, asked: Query, hits: Sequence[Hit]) -> Guarded:
        guard = self._options.guard
        if guard is None:
            # Records of the patient asked about come by look-up, which knows the day: likeness would show later ones.
            return guarded(QueryOrigin(query.patient), hits, _OWN_PATIENT) if query.patient else Guarded(tuple(hits))
        images = tuple(dict.fromkeys((*query.images, *asked.images)))
        origin = QueryOrigin(query.patient, query.study, images=self._keys.of_files(images))
        cosines = single_image_cosines(hits, guard.channel) if len(asked.images or query.images) == 1 else {}
        return guarded(origin, hits, guard, Likeness(self._keys.of_passage, cosines))

    def _with_options(self, query: Query, kinds: Sequence[Kind], found: Evidence) -> Evidence:
        kept = {hit.passage.id: hit for hit in found.hits}
        for option in query.options:
            asked = replace(query, text=f"{query.text} {option}".strip(), options=())
            hits = self._search(query, asked, kinds, self._options.k)[1].kept
            new = [hit for hit in hits if hit.passage.id not in kept][: self._options.per_option]
            kept |= {hit.passage.id: hit for hit in new}
        dropped = tuple(item for item in found.dropped if item.hit.passage.id not in kept)
        return replace(found, hits=tuple(kept.values()), dropped=dropped)

    def _may_look_up(self, query: Query) -> bool:
        """A guarded question sees its patient's records only when the day says which of them are earlier."""
        return bool(query.patient) and (self._options.guard is None or query.before_day is not None)

    def _records(self, query: Query) -> tuple[EvidenceBlock, ...]:
        """The patient's earlier records, the latest first; only what they say of a region when one is asked for."""
        studies = self._library.history(query.patient or "", query.before_day)
        entries = region_record(studies, query.region) if query.region.strip() else global_record(studies)
        return evidence_blocks(entries, query.before_day)

    def _whole(self, evidence: Evidence) -> Evidence:
        """Evidence with the passages' word boxes, which a search leaves out."""
        passages = {passage.id: passage for passage in self._library.get([hit.passage.id for hit in evidence.hits])}
        hits = tuple(
            replace(hit, passage=passages[hit.passage.id]) for hit in evidence.hits if hit.passage.id in passages
        )
        return replace(evidence, hits=hits)

    def _guarded(self, clean: Guarded) -> Event:
        return {"step": "guard", "on": self._options.guard is not None, "withheld": dict(clean.counts)}

    def _selected(self, chosen: Evidence) -> Event:
        kinds = Counter(hit.passage.kind for hit in chosen.hits)
        return {
            "step": "select",
            "selector": self._options.selector,
            "kept": dict(sorted(kinds.items())),
            "dropped": len(chosen.dropped),
        }


def _routed(result: SearchResult) -> list[Event]:
    routed = [] if result.route is None else [{**result.route.trace(), "left_out": len(result.dropped)}]
    return [*routed, *([] if result.walk is None else [result.walk.trace()])]


def _looked_up(query: Query, blocks: Sequence[EvidenceBlock]) -> list[Event]:
    if query.patient is None:
        return []
    days = [block.entry.study.day for block in blocks]
    compared = sum(bool(block.warning) for block in blocks)
    return [{"step": "records", "n": len(blocks), "days": days, "before_day": query.before_day, "comparing": compared}]


def _with_records(chosen: Evidence, blocks: Sequence[EvidenceBlock]) -> Evidence:
    """Records first, each with the note that says when it was written and with what it compares."""
    records = record_hits(blocks)
    known = {hit.passage.id for hit in records}
    notes: dict[str, str] = {}
    for block in blocks:
        lines = (notes.get(block.entry.passage.id, block.heading), block.warning)
        notes[block.entry.passage.id] = "\n".join(line for line in lines if line)
    hits = (*records, *(hit for hit in chosen.hits if hit.passage.id not in known))
    return replace(chosen, hits=hits, notes=notes)
