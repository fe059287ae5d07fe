"""The extractor against hand-labelled sentences of five sections, a third held back, and its speed.

Run: python -m benchmarks.extraction
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from knowledge.extraction.extractor import RuleExtractor, sentence_links
from knowledge.extraction.reported import modifications_of

SENTENCES = Path(__file__).parents[1] / "tests" / "data" / "extraction" / "sentences.jsonl"
SECTIONS = ("chest", "pathology", "eye", "clinical", "definition")
SPLITS = ("dev", "held", "fresh", "last")
_SIGNS = {"@": ("anatomy", "present"), "+": ("observation", "present"), "-": ("observation", "absent"),
          "?": ("observation", "uncertain"), "=": ("other", "present")}  # fmt: skip
_RELATIONS = {"@": "located_at", ">": "modify", "~": "suggestive_of", "isa": "is_a", "partof": "part_of",
              "causes": "causes", "has": "has_finding", "treatedby": "treated_by", "same": "synonym_of"}  # fmt: skip
_RELATION = re.compile(
    r"(?P<sign>[!?]?)(?P<head>.+?) (?P<kind>@|>|~|isa|partof|causes|has|treatedby|same) (?P<tail>.+)"
)


class Entity(NamedTuple):
    """Words with what they are: category, polarity and change."""

    words: str
    category: str
    polarity: str
    change: str


class Relation(NamedTuple):
    """Words of head and tail, the relation between them, and its polarity."""

    head: str
    name: str
    tail: str
    polarity: str


class Sentence(NamedTuple):
    """One row of the gold, and what it says."""

    row: dict[str, Any]
    entities: list[Entity]
    relations: list[Relation]


def gold() -> list[Sentence]:
    """Every labelled sentence."""
    return [_sentence(json.loads(line)) for line in SENTENCES.read_text(encoding="utf-8").splitlines()]


def _sentence(row: dict[str, Any]) -> Sentence:
    entities = []
    for part in _parts(row["entities"]):
        words, _, change = part[1:].partition("^")
        entities.append(Entity(_form(words), *_SIGNS[part[0]], change or "none"))
    polarities = {entity.words: entity.polarity for entity in entities}
    relations = []
    for part in _parts(row["relations"]):
        match = _RELATION.fullmatch(part)
        if match is None:
            raise ValueError(f"{row['id']}: {part!r} is no relation")
        head, tail, name = _form(match["head"]), _form(match["tail"]), _RELATIONS[match["kind"]]
        said = {"!": "absent", "?": "uncertain"}.get(match["sign"])
        relations.append(Relation(head, name, tail, said or _implied(head, name, tail, polarities)))
    return Sentence(row, entities, relations)


def _implied(head: str, name: str, tail: str, polarities: dict[str, str]) -> str:
    """A place has the polarity of its finding, a modifier of what it modifies, a suggestion that of the sign."""
    if name == "modify":
        return polarities.get(tail, "present")
    return polarities.get(head, "present") if name in ("located_at", "suggestive_of") else "present"


def _parts(row: str) -> list[str]:
    return [part.strip() for part in row.split(";") if part.strip()]


def _form(words: str) -> str:
    return " ".join(words.lower().split())


def found_in(sentence: Sentence) -> tuple[list[Entity], list[Relation]]:
    """What the extractor reads out of a sentence. In definitions a thing counts as found where a relation names it."""
    text, style = sentence.row["text"], sentence.row["style"]
    entities: list[Entity] = []
    relations: list[Relation] = []
    for reading in RuleExtractor().readings(text, style):
        links = sentence_links(reading, style)
        linked = {id(mention) for link in links for mention in (link.head, link.tail)}
        spoken = {id(one): one for one in (*reading.mentions, *(m for link in links for m in (link.head, link.tail)))}
        for mention in sorted(spoken.values(), key=lambda one: (one.start, -one.end)):
            if mention.kept and (mention.category != "other" or id(mention) in linked):
                words = _form(text[mention.start : mention.end])
                entities.append(Entity(words, mention.category, mention.polarity, mention.change))
        for link in links:
            head, tail = text[link.head.start : link.head.end], text[link.tail.start : link.tail.end]
            relations.append(Relation(_form(head), link.relation, _form(tail), link.polarity))
        for words, mention in modifications_of(reading):
            said = words if isinstance(words, str) else text[words[0] : words[1]]
            tail = text[mention.start : mention.end]
            relations.append(Relation(_form(said), "modify", _form(tail), mention.polarity))
    return entities, relations


class Score(NamedTuple):
    """Hits, false finds and misses."""

    hit: int
    wrong: int
    missed: int

    @property
    def f1(self) -> float:
        total = 2 * self.hit + self.wrong + self.missed
        return 2 * self.hit / total if total else 1.0


def score(pairs: Iterable[tuple[Sequence[Any], Sequence[Any]]]) -> Score:
    """Multiset matches of (gold, found) over sentences."""
    hit = wrong = missed = 0
    for wanted, found in pairs:
        common = sum((Counter(wanted) & Counter(found)).values())
        hit, wrong, missed = hit + common, wrong + len(found) - common, missed + len(wanted) - common
    return Score(hit, wrong, missed)


def figures(sentences: Sequence[Sentence]) -> dict[str, float]:
    """F1 of entities (exact words), of relations (words, relation and polarity), and of polarity on found entities."""
    read = [(sentence, *found_in(sentence)) for sentence in sentences]
    return {
        "sentences": len(sentences),
        "entity": score(([e.words for e in s.entities], [e.words for e in es]) for s, es, _ in read).f1,
        "polarity": polarity_f1((s.entities, es) for s, es, _ in read),
        "polarity_strict": score((_said(s.entities), _said(es)) for s, es, _ in read).f1,
        "change": score((_changed(s.entities), _changed(es)) for s, es, _ in read).f1,
        "relation": score((s.relations, rs) for s, _, rs in read).f1,
        "relation_without_modify": score((_named(s.relations), _named(rs)) for s, _, rs in read).f1,
    }


def _said(entities: Sequence[Entity]) -> list[tuple[str, str]]:
    return [(one.words, one.polarity) for one in entities if one.category == "observation"]


def _changed(entities: Sequence[Entity]) -> list[tuple[str, str]]:
    return [(one.words, one.change) for one in entities if one.change != "none"]


def _named(relations: Sequence[Relation]) -> list[Relation]:
    return [one for one in relations if one.name != "modify"]


def polarity_f1(pairs: Iterable[tuple[Sequence[Entity], Sequence[Entity]]]) -> float:
    """Macro F1 over present, absent and uncertain, of the observations whose words were found."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("present", "absent", "uncertain")}
    for wanted, found in pairs:
        for want, got in _matched(wanted, found):
            if want == got:
                counts[want]["hit"] += 1
            else:
                counts[want]["missed"] += 1
                counts[got]["wrong"] += 1
    met = [count for count in counts.values() if count]
    return sum(Score(c["hit"], c["wrong"], c["missed"]).f1 for c in met) / max(1, len(met))


def _matched(wanted: Sequence[Entity], found: Sequence[Entity]) -> Iterator[tuple[str, str]]:
    left = list(found)
    for entity in wanted:
        if entity.category != "observation":
            continue
        hit = next((one for one in left if one.words == entity.words), None)
        if hit is not None:
            left.remove(hit)
            yield entity.polarity, hit.polarity


def speed(sentences: Sequence[Sentence], repeats: int = 20) -> float:
    """Sentences a second of processor time, on text that is not repeated word for word."""
    reader = RuleExtractor()
    for sentence in sentences:
        list(reader.readings(sentence.row["text"], sentence.row["style"]))
    start = time.process_time()
    for _ in range(repeats):
        for sentence in sentences:
            for reading in reader.readings(sentence.row["text"], sentence.row["style"]):
                sentence_links(reading, sentence.row["style"])
    return repeats * len(sentences) / (time.process_time() - start)


def table() -> dict[str, dict[str, dict[str, float]]]:
    """Figures by split and section, with all sections together."""
    rows = gold()
    return {
        split: {
            name: figures([one for one in rows if one.row["split"] == split and keep(one)])
            for name, keep in (*((section, _in(section)) for section in SECTIONS), ("all", lambda _: True))
        }
        for split in SPLITS
    }


def _in(section: str) -> Callable[[Sentence], bool]:
    return lambda one: one.row["section"] == section


def main() -> None:
    found = table()
    names = ("sentences", "entity", "polarity", "polarity_strict", "change", "relation", "relation_without_modify")
    if "--json" in sys.argv:
        print(json.dumps({"figures": found, "sentences_per_second": speed(gold())}))
        return
    for split, sections in found.items():
        print(f"| {split} | " + " | ".join(names) + " |")
        print("|---" * (len(names) + 1) + "|")
        for section, row in sections.items():
            print(
                f"| {section} | "
                + " | ".join(f"{row[n]:.0f}" if n == "sentences" else f"{row[n]:.3f}" for n in names)
                + " |"
            )
        print()
    print(f"{speed(gold()):.0f} sentences a second of processor time")


if __name__ == "__main__":
    main()
