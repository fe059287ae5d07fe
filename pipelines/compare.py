"""What changed between two studies of one patient: own records, the earlier report, and similar pairs as evidence.

MAG (Mu et al., 2025, https://arxiv.org/abs/2502.11651) gives a model the patient's earlier records, TemMed-Bench (2025,
https://arxiv.org/abs/2509.25143) the most similar pair of another patient; here both are evidence, each marked as such.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.answering import is_degraded, writer_for
from pipelines.checking import reviser_of
from pipelines.gathering import Event, Gatherer, GatherOptions
from pipelines.search import StageClock
from pipelines.writing.composing import ORDER, ComparisonComposer
from pipelines.writing.consensus import ConsensusOptions
from pipelines.writing.prior import PriorStudy, with_current, with_prior
from pipelines.writing.sections import laid_out, section_rows, sections_of
from rag.chat import ChatModel
from rag.errors import QueryError
from rag.grounding.ground import ground
from rag.leakage import Guard
from rag.selection import FixedK
from rag.types import Answer, Evidence, Query

if TYPE_CHECKING:
    from pipelines.assistant import Steps
    from pipelines.library import Library

QUESTION = "What has changed from the prior to the current study?"


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """Two studies: images of both, or reports, or a patient whose earlier records are in the library."""

    images: tuple[Path, ...] = ()
    prior_images: tuple[Path, ...] = ()
    report: str = ""
    prior_report: str = ""
    patient: str | None = None
    before_day: float | None = None
    region: str = ""
    question: str = QUESTION
    id: str = "comparison"

    def __post_init__(self) -> None:
        now, before = self.images or self.report.strip(), self.prior_images or self.prior_report.strip() or self.patient
        if not now or not before:
            raise QueryError("a comparison needs the current study (images or report) and an earlier one, or a patient")


class Comparer:
    """Compares two studies of one patient."""

    def __init__(
        self,
        library: Library,
        steps: Steps | None = None,
        *,
        options: ConsensusOptions | None = None,
        guard: Guard | None = None,
        model: ChatModel | None = None,
    ) -> None:
        self._library, self._steps = library, steps or library.parts.steps()
        self._guard = guard or self._steps.gather.guard
        gather = GatherOptions(1, per_option=0, guard=self._guard)
        self._gatherer = Gatherer(library, FixedK(1), gather)
        composer = ComparisonComposer(options)
        self._writer = writer_for(library.settings, composer, prompt="comparison", model=model)

    def compare(self, request: CompareRequest) -> Answer:
        """What changed, each sentence cited, or an abstention with its reason."""
        clock = StageClock()
        query = self._library.readable(Query(
            request.question, request.images, request.id, prior_images=request.prior_images, patient=request.patient,
            before_day=request.before_day, region=request.region,
        ))  # fmt: skip
        with clock.stage("retrieve"):
            evidence, events = self._evidence(request, query)
        with clock.stage("generate"):
            written = self._writer.write(query, evidence)
        with clock.stage("check"):
            revise = reviser_of(self._writer)
            answer = ground(query, written.draft, evidence, self._steps.judge, self._steps.policy, revise)
        if answer.abstained and not written.draft.claims and not is_degraded(answer):
            reason = "neither reports nor pairs of studies like this one say what changed"
            answer = replace(answer, text=f"No answer: {reason}.", reason=reason, stop_reason="no_consensus")
        sections = sections_of(answer, written)
        trace = (*events, *answer.trace, section_rows(sections, ORDER))
        answer = laid_out(replace(answer, trace=trace, seconds={**answer.seconds, **clock.seconds}), sections, ORDER)
        return replace(answer, stop_reason="degraded") if is_degraded(answer) and not answer.abstained else answer

    def _evidence(self, request: CompareRequest, query: Query) -> tuple[Evidence, list[Event]]:
        evidence, events = Evidence(()), list[Event]()
        if request.patient:
            found = self._gatherer.gather(replace(query, text=request.question), ("case",))
            own = tuple(hit for hit in found.evidence.hits if "record" in hit.channels)
            evidence, events = replace(found.evidence, hits=own), list(found.events)
        prior = PriorStudy(query.prior_images, request.prior_report, request.patient)
        evidence, compared = with_prior(self._library, query, prior, evidence, guard=self._guard)
        if request.report.strip():
            evidence = with_current(evidence, request.report, request.patient)
        return evidence, [*events, *compared]
