"""RadGraph's annotations as statements, and an extractor on a RadGraph model that the user has.

RadGraph (Jain et al., 2021, https://arxiv.org/abs/2106.14463; RadGraph2, https://physionet.org/content/radgraph2) marks
entities as anatomy or as observation present, uncertain or absent, joined by `modify`, `located_at` and
`suggestive_of`. Its weights are credentialed: they are never shipped or fetched here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from knowledge.extraction.protocol import Source
from knowledge.triples import Change, Statement, Support, Triple, key_of
from rag.errors import MissingExtra, SourceError
from rag.passages import Polarity

METHOD = "radgraph-1"
_RELATIONS = frozenset(("modify", "located_at", "suggestive_of"))
_CHANGES: dict[str, Change] = {
    "CHAN-NC": "stable", "CHAN-CON-AP": "new", "CHAN-CON-RES": "resolved", "CHAN-CON-IMP": "better",
    "CHAN-CON-WOR": "worse", "CHAN-DEV-AP": "new", "CHAN-DEV-DISA": "resolved", "CHAN-DEV-PLACE": "stable",
}  # fmt: skip
"""RadGraph2's labels of change in the words of the triple contract."""

Annotator = Callable[[Sequence[str]], Mapping[str, Any]]
"""Reports in, RadGraph's output out: `{"0": {"text", "entities": {id: row}}}`; a row has `tokens`, `label`, `start_ix`,
`end_ix` and `relations`."""


class _Entity(NamedTuple):
    words: str
    category: str
    polarity: Polarity
    change: Change
    first: int
    last: int
    relations: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RadGraphExtractor:
    """A `TripleExtractor` on any annotator with RadGraph's output, for instance `installed_annotator()`."""

    annotate: Annotator
    confidence: float = 0.8
    """How far a statement is trusted: RadGraph's relation F1 is 0.82 on MIMIC-CXR and 0.73 on CheXpert reports."""

    def extract(self, text: str, source: Source) -> list[Statement]:
        output = self.annotate([text])
        annotation = next(iter(output.values()), None) if isinstance(output, Mapping) else None
        if not isinstance(annotation, Mapping):
            return []
        return radgraph_statements(annotation, source, text=text, confidence=self.confidence)


def radgraph_statements(
    annotation: Mapping[str, Any], source: Source, *, text: str = "", confidence: float = 0.8
) -> list[Statement]:
    """The statements of one annotated report. Entities and relations that are not RadGraph's are left out.

    Token positions of the annotation become offsets into `text`, the passage as it stands; a support has -1 where the
    tokens do not occur there in order. A place has the words that modify it in its key. The polarity of a relation is
    that of its observation, the polarity of a modifier that of what it modifies.
    """
    rows = annotation.get("entities")
    if not isinstance(rows, Mapping):
        raise SourceError("a RadGraph annotation has no 'entities'; give the model's output as it is", stage="extract")
    entities = {str(key): entity for key, row in rows.items() if (entity := _entity(row)) is not None}
    places = _offsets(str(annotation.get("text", "")), text)
    found: list[Statement] = []
    for entity in entities.values():
        for triple, other in _triples(entity, entities, source):
            span = _span(places, entity, other or entity)
            support = Support(
                document=source.document,
                passage=source.passage,
                head_text=entity.words if other is not None else "",
                tail_text=other.words if other is not None else entity.words,
                tier=source.tier,
                source=source.name,
                license=source.license,
                method=METHOD,
                confidence=confidence,
                start=span[0],
                end=span[1],
            )
            found.append(Statement(triple, support))
    return found


def installed_annotator(weights: str, *, cuda: int = -1) -> Annotator:
    """RadGraph's own model with the user's weights, in a folder; `cuda` is a device number, -1 for the processor.

    Raises:
        MissingExtra: the `radgraph` package is not installed.
    """
    try:
        from radgraph import RadGraph  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingExtra("radgraph", feature="the RadGraph extractor") from error
    return cast(Annotator, RadGraph(model_path=weights, cuda=cuda))


def _entity(row: object) -> _Entity | None:
    if not isinstance(row, Mapping) or not isinstance(row.get("tokens"), str) or not isinstance(row.get("label"), str):
        return None
    label = str(row["label"])
    category, polarity, change = _label(label)
    if category is None:
        return None
    relations = tuple(
        (str(pair[0]), str(pair[1]))
        for pair in row.get("relations") or ()
        if isinstance(pair, Sequence) and len(pair) == 2
    )
    first, last = (row.get(name) for name in ("start_ix", "end_ix"))
    if not isinstance(first, int) or not isinstance(last, int):
        first = last = -1
    return _Entity(str(row["tokens"]), category, polarity, change, first, last, relations)


def _label(label: str) -> tuple[str | None, Polarity, Change]:
    """Both ways in which RadGraph writes labels: "OBS-DA" and "Observation::definitely absent"."""
    parts = label.replace("::", "-").replace(" ", "-").casefold()
    if parts.startswith(("anat", "anatomy")):
        return "anatomy", "present", "none"
    if parts.startswith("chan"):
        change: Change = next((change for name, change in _CHANGES.items() if label.upper().startswith(name)), "none")
        return "change", "present", change
    if not parts.startswith("obs"):
        return None, "present", "none"
    if parts.endswith(("-da", "absent")):
        return "observation", "absent", "none"
    return "observation", "uncertain" if parts.endswith(("-u", "uncertain")) else "present", "none"


def _triples(
    entity: _Entity, entities: Mapping[str, _Entity], source: Source
) -> Iterator[tuple[Triple, _Entity | None]]:
    change = _change_of(entity, entities)
    if entity.category == "observation" and source.subject and not _only_modifies(entity):
        yield Triple(source.subject, "has_finding", key_of(entity.words), entity.polarity, change), None
    for relation, target in entity.relations:
        other = entities.get(target)
        if other is None or relation not in _RELATIONS:
            continue
        if relation == "located_at":
            other = _whole_place(target, entities)
        polarity = other.polarity if relation == "modify" else entity.polarity
        stated: Change = change if relation == "located_at" else "none"
        yield Triple(key_of(entity.words), relation, key_of(other.words), polarity, stated), other


def _whole_place(target: str, entities: Mapping[str, _Entity]) -> _Entity:
    """A body part with the words that modify it ("left" of "pleural"): a place must not lose its side."""
    place = entities[target]
    parts = [one for one in entities.values() if one.category == "anatomy" and ("modify", target) in one.relations]
    whole = sorted([*parts, place], key=lambda one: one.first)
    return place._replace(words=" ".join(one.words for one in whole), first=whole[0].first, last=whole[-1].last)


def _only_modifies(entity: _Entity) -> bool:
    """Whether an observation is a mere adjective of another entity."""
    return bool(entity.relations) and all(relation == "modify" for relation, _ in entity.relations)


def _change_of(entity: _Entity, entities: Mapping[str, _Entity]) -> Change:
    changing = (
        other.change
        for other in entities.values()
        if other.category == "change" and any(entities.get(target) is entity for _, target in other.relations)
    )
    return next(changing, "none")


def _offsets(tokenised: str, text: str) -> list[tuple[int, int]]:
    """Where each token of the annotated text stands in the passage; empty when they do not meet."""
    places: list[tuple[int, int]] = []
    reached = 0
    for token in tokenised.split():
        match = re.compile(re.escape(token), re.IGNORECASE).search(text, reached)
        if match is None:
            return []
        places.append(match.span())
        reached = match.end()
    return places


def _span(places: Sequence[tuple[int, int]], one: _Entity, other: _Entity) -> tuple[int, int]:
    first, last = min(one.first, other.first), max(one.last, other.last)
    return (places[first][0], places[last][1]) if 0 <= first <= last < len(places) else (-1, -1)
