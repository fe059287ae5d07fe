"""What another model says of an image, as evidence: probabilities become words, in four bands.

ChatCAD (Wang et al., 2023, https://arxiv.org/abs/2302.07257) puts the outputs of a classifier before a language model
in four verbal bands cut at 0.2, 0.5 and 0.9; the words are our own. A classifier's output is no source: the passage
says where it comes from, and its number stands in the note.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from rag.errors import QueryError
from rag.fingerprint import digest
from rag.prompting.instructions import reads_like_instruction, visible
from rag.types import ChannelScore, Evidence, FactLocator, Hit, Passage, Polarity

EXPERT = "expert"
"""The channel of hits that another model gave."""
EDGES = (0.2, 0.5, 0.9)
_BANDS: tuple[tuple[str, Polarity], ...] = (
    ("no sign of {}", "absent"),
    ("{} is possible", "uncertain"),
    ("{} is likely", "present"),
    ("{} is almost certain", "present"),
)
_MOST, _LONGEST = 200, 80


@dataclass(frozen=True, slots=True)
class ExpertOutput:
    """A model's probabilities for one study, by the name of the finding, each in [0, 1]."""

    model: str
    probabilities: Mapping[str, float]


def in_words(finding: str, probability: float) -> tuple[str, Polarity]:
    """A probability in words, and what it says of the finding. A probability on an edge belongs to the band above."""
    band = sum(probability >= edge for edge in EDGES)
    words, polarity = _BANDS[band]
    return words.format(finding), polarity


def read_expert(path: Path, model: str = "") -> ExpertOutput:
    """The outputs in a JSON file: an object from finding to probability.

    Raises:
        QueryError: it is no such object; the message names the entry.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise QueryError(f"the file {path} cannot be read as JSON ({error})") from error
    if not isinstance(data, dict):
        raise QueryError(f"the file {path} holds no object from finding to probability")
    return expert_output(model or path.stem, data)


def expert_output(model: str, data: Mapping[str, object]) -> ExpertOutput:
    """Checked probabilities. Raises QueryError naming the first entry that is none."""
    if len(data) > _MOST:
        raise QueryError(f"{model} names {len(data)} findings; {_MOST} at the most are read")
    checked: dict[str, float] = {}
    for name, value in data.items():
        finding = " ".join(visible(str(name)).replace("_", " ").split())
        if not finding or len(finding) > _LONGEST or reads_like_instruction(finding):
            raise QueryError(f"{model}: {str(name)[:_LONGEST]!r} is not the name of a finding")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not isfinite(value) or not 0 <= value <= 1:  # type: ignore[arg-type,operator]
            raise QueryError(f"{model}: {finding} has {value!r}, which is no probability from 0 to 1")
        checked[finding] = float(value)  # type: ignore[arg-type]
    return ExpertOutput(" ".join(visible(model).split())[:_LONGEST], checked)


def expert_hits(output: ExpertOutput) -> tuple[Hit, ...]:
    """The outputs as fact passages, the most probable first, ties by name."""
    rows = sorted(output.probabilities.items(), key=lambda row: (-row[1], row[0]))
    return tuple(
        Hit(_passage(output.model, finding, value), value, {EXPERT: ChannelScore(rank, value)})
        for rank, (finding, value) in enumerate(rows, start=1)
    )


def with_expert(evidence: Evidence, output: ExpertOutput) -> Evidence:
    """The evidence with a model's outputs in front of it, each noted as what it is."""
    hits = expert_hits(output)
    notes = {
        hit.passage.id: f"Output of the model {output.model} on this study, probability {hit.score:.2f}; not a source."
        for hit in hits
    }
    return Evidence((*hits, *evidence.hits), evidence.dropped, evidence.budget_words, {**evidence.notes, **notes})


def _passage(model: str, finding: str, value: float) -> Passage:
    words, polarity = in_words(finding, value)
    text = f"According to another model, {words}."
    place = FactLocator("this study", "shows", finding, polarity)
    return Passage(f"expert-{digest({'model': model, 'finding': finding, 'value': value})}", "fact", model, text, place)
