"""What similar cases agree on: findings by label where reports have labels, else sentences by their words.

A finding is stated, or denied, only when enough of the weight says so, more than one patient has it, and hardly any
case says the opposite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from knowledge.findings import LABELS, Finding, label_text
from knowledge.findings.statements import places_of
from pipelines.writing.portable import is_portable
from pipelines.writing.reading import ReportSentence, SimilarCase, shares
from rag.errors import ConfigError
from rag.grounding.checks import polarity_agrees, sides_agree
from rag.sentences import content_stems
from rag.types import DraftClaim, Polarity

_ZONES = frozenset({"upper", "middle", "lower"})
_MORE = 2
"""Further cases that a sentence is cited from."""
_SAME = 0.6
"""Share of a sentence's content words that another one holds when both say the same."""


@dataclass(frozen=True, slots=True)
class ConsensusOptions:
    """When similar cases agree. agree: least share of the weight that says so. against: most that says the opposite.

    patients: at least so many say so. most: sentences per section. Judgement, not fitted: there was no report corpus
    with images of many patients to fit them on.
    """

    agree: float = 0.5
    against: float = 0.2
    patients: int = 2
    most: int = 8

    def __post_init__(self) -> None:
        if not (0 < self.agree <= 1 and 0 <= self.against < self.agree and self.patients >= 1 and self.most >= 1):
            raise ConfigError("report: agree must be in (0, 1] and above against; patients and most at least 1")


@dataclass(frozen=True, slots=True)
class Agreed:
    """A finding that the cases agree on, the weight of those that say so, and of those that say the opposite."""

    label: str
    polarity: Polarity
    agreement: float
    against: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """A sentence for the answer, the section it goes to, and the agreement it rests on.

    `also` are the same words with other cases that say so: the check keeps those whose quote holds.
    """

    claim: DraftClaim
    section: str
    agreement: float
    also: tuple[DraftClaim, ...] = ()


def agreed_findings(cases: Sequence[SimilarCase], options: ConsensusOptions) -> tuple[Agreed, ...]:
    """The findings that are stated by agreement, then those denied, each in the order of `LABELS`."""
    rows = shares(cases)
    found = []
    for label in LABELS:
        row = rows.get(label)
        if row is None:
            continue
        sides: tuple[tuple[Polarity, Polarity], ...] = (("present", "absent"), ("absent", "present"))
        for said, opposite in sides:
            n = sum(case.labels.get(label) == said for case in cases)
            if row[said] >= options.agree and row[opposite] <= options.against and n >= options.patients:
                found.append(Agreed(label, said, row[said], row[opposite]))
    found.sort(key=lambda one: one.polarity != "present")
    return _without_contradicted_normal(found)


def _without_contradicted_normal(found: Sequence[Agreed]) -> tuple[Agreed, ...]:
    """A study is not called normal beside a finding that is stated."""
    stated = any(one.polarity == "present" and one.label not in {"No Finding", "Support Devices"} for one in found)
    return tuple(one for one in found if not (stated and one.label == "No Finding"))


def label_sentences(cases: Sequence[SimilarCase], agreed: Sequence[Agreed], options: ConsensusOptions) -> list[Chosen]:
    """A sentence of the findings for each finding agreed on, and one of the impression for those that are stated.

    Sentences come from the most similar case that has a fitting one: it says nothing but what is agreed on, with the
    side, degree and zone that are agreed on as well. Where there is none, the finding's own words are taken.
    """
    chosen: list[Chosen] = []
    for one in agreed:
        for section in ("findings", "impression") if one.polarity == "present" else ("findings",):
            if sum(row.section == section for row in chosen) < options.most and not _covered(chosen, one, section):
                row = _sentence_for(one, section, cases, agreed)
                chosen += [] if row is None or any(row.claim.text == other.claim.text for other in chosen) else [row]
    return _said_once(chosen)


def _said_once(chosen: Sequence[Chosen]) -> list[Chosen]:
    """Without denials that another sentence of the section makes too, with more besides."""
    said = [{(one.label, one.polarity) for one in label_text(row.claim.text)} for row in chosen]
    return [
        row
        for row, own in zip(chosen, said, strict=True)
        if any(polarity != "absent" for _, polarity in own)
        or not any(own < other and row.section == more.section for more, other in zip(chosen, said, strict=True))
    ]


def _covered(chosen: Sequence[Chosen], one: Agreed, section: str) -> bool:
    return any(
        row.section == section and any(_says(finding, one) for finding in label_text(row.claim.text)) for row in chosen
    )


def _sentence_for(one: Agreed, section: str, cases: Sequence[SimilarCase], agreed: Sequence[Agreed]) -> Chosen | None:
    saying = [
        (case, sentence, finding)
        for case in cases
        for sentence in case.sentences
        if (sentence.section == "impression") == (section == "impression")
        for finding in sentence.findings
        if _says(finding, one)
    ]
    for case, sentence, _ in saying:
        if is_portable(sentence) and all(_fits(finding, sentence, cases, agreed) for finding in sentence.findings):
            claim = _claim(case, sentence)
            return Chosen(claim, section, one.agreement, _also(claim, saying))
    if section == "impression" or one.label == "No Finding":
        return None
    bare = (_bare(case, finding) for case, _, finding in saying if finding.change is None)
    plain = next((claim for claim in bare if not any(letter.isdigit() for letter in claim.quote)), None)
    return None if plain is None else Chosen(plain, section, one.agreement)


def _says(finding: Finding, one: Agreed) -> bool:
    return finding.label == one.label and finding.polarity == one.polarity


def _fits(finding: Finding, sentence: ReportSentence, cases: Sequence[SimilarCase], agreed: Sequence[Agreed]) -> bool:
    """Whether a finding of a sentence is agreed on, with what is said of it besides."""
    if not any(_says(finding, one) for one in agreed):
        return False
    said = [(case, row, other) for case in cases for row in case.sentences for other in row.findings
            if other.label == finding.label and other.polarity == finding.polarity]  # fmt: skip
    total = _weight(cases, {case.passage.id for case, _, _ in said})

    def shared(holds: set[str]) -> bool:
        return _weight(cases, holds) >= 0.5 * total

    side = {case.passage.id for case, _, other in said if other.laterality == finding.laterality}
    degree = {case.passage.id for case, _, other in said if other.severity == finding.severity}
    zones = places_of(sentence.text) & _ZONES
    zoned = {case.passage.id for case, row, _ in said if zones <= places_of(row.text)}
    return (
        (finding.laterality is None or shared(side))
        and (finding.severity is None or shared(degree))
        and (not zones or shared(zoned))
    )


def _claim(case: SimilarCase, sentence: ReportSentence) -> DraftClaim:
    said = " ".join(sentence.text.split())
    said = said if said.endswith((".", "!")) else f"{said}."
    return DraftClaim(said[0].upper() + said[1:], case.passage.id, sentence.text)


def _also(claim: DraftClaim, saying: Sequence[tuple[SimilarCase, ReportSentence, Finding]]) -> tuple[DraftClaim, ...]:
    """The claim cited from further cases, one sentence each; what may not be taken over is not quoted either."""
    others: dict[str, DraftClaim] = {}
    for case, sentence, _ in saying:
        if case.passage.id != claim.passage_id and is_portable(sentence):
            others.setdefault(case.passage.id, DraftClaim(claim.text, case.passage.id, sentence.text))
    return tuple(others.values())[:_MORE]


def _bare(case: SimilarCase, finding: Finding) -> DraftClaim:
    """The finding's own words and nothing else: "No pneumothorax." of a sentence that also gives a size."""
    start, end = finding.start, finding.end
    if finding.cue is not None and finding.polarity == "absent":
        start, end = min(start, finding.cue[0]), max(end, finding.cue[1])
    quote = case.passage.text[start:end]
    named = " ".join(finding.text.split())
    said = f"no {named}" if finding.polarity == "absent" else named
    return DraftClaim(f"{said[0].upper()}{said[1:]}.", case.passage.id, quote)


def worded_sentences(cases: Sequence[SimilarCase], options: ConsensusOptions) -> list[Chosen]:
    """For reports without labels: the sentences that other cases repeat in substance, and that none contradicts."""
    rows = [(case, sentence, frozenset(content_stems(sentence.text))) for case in cases for sentence in case.sentences]
    chosen: list[Chosen] = []
    for case, sentence, bag in rows:
        if not _tells(sentence.text, bag) or not is_portable(sentence):
            continue
        said, denied = {case.passage.id}, set[str]()
        for other, row, held in rows:
            if other is not case and len(bag & held) >= _SAME * len(bag):
                agrees = polarity_agrees(sentence.text, row.text) and sides_agree(sentence.text, row.text)
                (said if agrees else denied).add(other.passage.id)
        agreement = _weight(cases, said)
        against = _weight(cases, denied - said)
        section = "impression" if sentence.section == "impression" else "findings"
        full = sum(row.section == section for row in chosen) >= options.most
        enough = agreement >= options.agree and against <= options.against and len(said) >= options.patients
        if enough and not full and not _repeated(bag, chosen):
            chosen.append(Chosen(_claim(case, sentence), section, agreement))
    return chosen


def _tells(text: str, bag: frozenset[str]) -> bool:
    """Whether a sentence says something: "Left eye." only names what was looked at."""
    return len(bag) >= 3 or (bool(bag) and not polarity_agrees(text, text.lower().replace("no ", "", 1)))


def _weight(cases: Sequence[SimilarCase], ids: set[str]) -> float:
    return sum(case.weight for case in cases if case.passage.id in ids)


def _repeated(bag: frozenset[str], chosen: Sequence[Chosen]) -> bool:
    return any(len(bag & set(content_stems(row.claim.text))) >= _SAME * len(bag) for row in chosen)
