"""An explanation out of quotes: a sentence of a similar case, facts that name the finding, and what the pages say."""

from __future__ import annotations

from collections.abc import Sequence

from knowledge.findings import Finding, label_text
from pipelines.expert import EXPERT
from pipelines.writing.consensus import Chosen
from pipelines.writing.portable import is_portable
from pipelines.writing.reading import ReportSentence, SimilarCase, similar_cases
from rag.generators.vlm_request import Written
from rag.grounding.checks import polarity_of
from rag.protocols import Generator
from rag.sentences import content_stems
from rag.types import Draft, DraftClaim, Evidence, FactLocator, Passage, Query

_TELLING = ("sign", "suggest", "finding", "show", "manifest", "indicat", "appear", "caus", "defin")
"""Parts of the names of relations that explain, the most telling first."""
_FACTS, _CASES, _PAGES = 2, 2, 1


class ExplanationComposer:
    """Explains one finding. `reader` quotes from pages: any generator that answers a question from evidence.

    Confidence is 0.5 for facts and pages that name the finding, and grows to 1 with the weight of similar cases that
    state it; sentences of cases alone have that weight.
    """

    def __init__(self, finding: str, reader: Generator) -> None:
        self._finding, self._reader = " ".join(finding.split()), reader

    def generate(self, query: Query, evidence: Evidence) -> Draft:
        return self.write(query, evidence).draft

    def write(self, query: Query, evidence: Evidence) -> Written:
        """At most two sentences of cases, two facts, and one sentence of a page."""
        cases = similar_cases(evidence.hits)
        stated, _ = stated_share(cases, self._finding)
        shown = self._of_cases(cases)
        known = [*self._of_facts(evidence), *self._of_pages(query, evidence)]
        confidence = 0.5 + 0.5 * stated if known else stated
        chosen = [*shown, *known]
        draft = Draft(tuple(row.claim for row in chosen), confidence=min(1.0, confidence) if chosen else 0.0)
        return Written(draft, tuple(row.section for row in chosen))

    def _of_cases(self, cases: Sequence[SimilarCase]) -> list[Chosen]:
        """What the most similar cases that state the finding say of it, and nothing about their patients."""
        rows: list[Chosen] = []
        for case in cases:
            for sentence in case.sentences:
                fresh = all(sentence.text != row.claim.quote for row in rows)
                if (
                    len(rows) < _CASES
                    and fresh
                    and says(sentence, self._finding) == "present"
                    and is_portable(sentence)
                ):
                    text = " ".join(sentence.text.split())
                    rows.append(Chosen(DraftClaim(text, case.passage.id, sentence.text), "cases", case.weight))
        return rows

    def _of_facts(self, evidence: Evidence) -> list[Chosen]:
        facts = [
            hit.passage
            for hit in evidence.hits
            if hit.passage.kind == "fact" and EXPERT not in hit.channels and _names(hit.passage, self._finding)
        ]
        facts.sort(key=_telling)
        return [Chosen(DraftClaim(one.text, one.id, one.text), "known", 0.5) for one in facts[:_FACTS]]

    def _of_pages(self, query: Query, evidence: Evidence) -> list[Chosen]:
        """The sentence of a page that answers what the signs are, if it names the finding."""
        pages = tuple(hit for hit in evidence.hits if hit.passage.kind in {"page", "figure"})
        if not pages:
            return []
        draft = self._reader.generate(Query(f"What are the signs of {self._finding}?", id=query.id), Evidence(pages))
        wanted = set(content_stems(self._finding))
        told = [claim for claim in draft.claims if wanted <= set(content_stems(claim.quote))]
        return [Chosen(claim, "known", draft.confidence) for claim in told[:_PAGES] if draft.confidence >= 0.5]


def stated_share(cases: Sequence[SimilarCase], finding: str) -> tuple[float, float]:
    """The weight of the cases that state a finding, and of those that deny it."""
    shares = {"present": 0.0, "absent": 0.0}
    for case in cases:
        said = {says(sentence, finding) for sentence in case.sentences}
        verdict = "present" if "present" in said else "absent" if "absent" in said else ""
        if verdict:
            shares[verdict] += case.weight
    return shares["present"], shares["absent"]


def says(sentence: ReportSentence, finding: str) -> str:
    """What a sentence says of a finding: present, absent, uncertain, or nothing (empty).

    By label where the finding's name has one; else by its words, all of which the sentence must hold.
    """
    own = _labels(finding)
    if own:
        found = {one.polarity for one in sentence.findings if one.label in own}
        return next((name for name in ("present", "absent", "uncertain") if name in found), "")
    wanted = set(content_stems(finding))
    held = polarity_of(sentence.text)
    if not wanted or not wanted <= held.keys():
        return ""
    return "present" if all(True in held[stem] for stem in wanted) else "absent"


def _telling(passage: Passage) -> int:
    relation = (passage.fact or ("", "", ""))[1].lower()
    return next((i for i, word in enumerate(_TELLING) if word in relation), len(_TELLING))


def _labels(finding: str) -> frozenset[str]:
    found: tuple[Finding, ...] = label_text(finding)
    return frozenset(one.label for one in found)


def _names(passage: Passage, finding: str) -> bool:
    """Whether a fact is about the finding and holds: head or tail has all its words."""
    place = passage.locator
    if not isinstance(place, FactLocator) or place.polarity != "present":
        return False
    wanted = set(content_stems(finding))
    ends = (place.head, place.tail)
    return bool(wanted) and any(wanted <= set(content_stems(end)) for end in ends) and bool(passage.text.strip())
