"""Reports on images: similar cases, pages and facts in; findings and impression out, each sentence cited.

With a vision-language model the evidence is its reference; without one, or when it does not answer, the report is
composed of sentences on which the reports of similar cases agree. Either way it is a draft for a reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.answering import is_degraded, writer_for
from pipelines.checking import reviser_of
from pipelines.consistency import Rule, check_chain, rules_for
from pipelines.expert import ExpertOutput, with_expert
from pipelines.gathering import Event, Gatherer, GatherOptions
from pipelines.search import StageClock
from pipelines.writing.composing import ORDER, ReportComposer
from pipelines.writing.consensus import ConsensusOptions, agreed_findings
from pipelines.writing.prior import PriorStudy, with_prior
from pipelines.writing.reading import ByPatient, similar_cases
from pipelines.writing.sections import laid_out, section_rows, sections_of
from rag.chat import ChatModel
from rag.errors import QueryError
from rag.generators.vlm_request import Written
from rag.grounding.ground import ground
from rag.leakage import Guard
from rag.selection import FixedK
from rag.types import Answer, Evidence, Kind, Query

if TYPE_CHECKING:
    from pipelines.assistant import Steps
    from pipelines.library import Library

_ABOUT: tuple[Kind, ...] = ("page", "figure", "fact")


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What is to be reported: images of one study, why it was made, and what came before.

    `prior_report` is the text of an earlier report of this patient. With `patient`, earlier records are looked up, only
    those before `before_day` when it is given. `expert` are outputs of other models on this study.
    """

    images: tuple[Path, ...]
    indication: str = ""
    prior_images: tuple[Path, ...] = ()
    prior_report: str = ""
    patient: str | None = None
    before_day: float | None = None
    domain: str | None = None
    expert: tuple[ExpertOutput, ...] = ()
    id: str = "report"

    def __post_init__(self) -> None:
        if not self.images:
            raise QueryError("a report needs at least one image of the study")

    def query(self) -> Query:
        """The request as the question that a model is asked."""
        return Query(
            self.indication.strip() or "not given", self.images, self.id, prior_images=self.prior_images,
            patient=self.patient, before_day=self.before_day, domain=self.domain,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How much is read. cases: similar cases. passages: pages, figures and facts about what they agree on."""

    cases: int = 8
    passages: int = 4
    consensus: ConsensusOptions = field(default_factory=ConsensusOptions)


class Reporter:
    """Writes reports from a library.

    answer = Reporter(library).report(ReportRequest(images=(Path("cxr.png"),), indication="cough"))
    """

    def __init__(
        self,
        library: Library,
        steps: Steps | None = None,
        *,
        options: ReportOptions | None = None,
        guard: Guard | None = None,
        model: ChatModel | None = None,
    ) -> None:
        """`guard` withholds the study's own image and patient. `model` writes, whatever the settings say."""
        self._library, self._steps = library, steps or library.parts.steps()
        self._options = options or ReportOptions()
        chosen = guard or self._steps.gather.guard
        gather = GatherOptions(self._options.cases, per_option=0, guard=chosen, selector="cases")
        self._cases = Gatherer(library, ByPatient(self._options.cases), gather)
        about = GatherOptions(self._options.passages, per_option=0, guard=chosen, selector="fixed")
        self._about = Gatherer(library, FixedK(self._options.passages), about)
        self._composer = ReportComposer(self._options.consensus)
        self._writer = writer_for(library.settings, self._composer, prompt="report", model=model)
        self._guard, self._rules = chosen, rules_for(library.settings.answer.consistency)

    def report(self, request: ReportRequest) -> Answer:
        """A report whose every sentence was checked against what it cites, or an abstention with its reason.

        Raises QueryError when an image cannot be read.
        """
        clock, query = StageClock(), self._library.readable(request.query())
        with clock.stage("retrieve"):
            evidence, events = self._evidence(request, query)
        with clock.stage("generate"):
            written, contradictions = without_contradictions(self._writer.write(query, evidence), self._rules)
        with clock.stage("check"):
            revise = reviser_of(self._writer)
            answer = ground(query, written.draft, evidence, self._steps.judge, self._steps.policy, revise)
        sections = sections_of(answer, written)
        if answer.abstained and not written.draft.claims and not is_degraded(answer):
            answer = _nothing(answer)
        trace = (*events, *contradictions, *answer.trace, section_rows(sections, ORDER))
        answer = laid_out(replace(answer, trace=trace, seconds={**answer.seconds, **clock.seconds}), sections, ORDER)
        return replace(answer, stop_reason="degraded") if is_degraded(answer) and not answer.abstained else answer

    def _evidence(self, request: ReportRequest, query: Query) -> tuple[Evidence, list[Event]]:
        """Similar cases by the images alone, then passages about what these agree on, then what else is known."""
        found = self._cases.gather(replace(query, text=""), ("case",))
        cases = similar_cases(found.evidence.hits)
        agreed = agreed_findings(cases, self._options.consensus)
        events: list[Event] = [*found.events, {"step": "consensus", "cases": len(cases), "agreed": [
            {"label": one.label, "polarity": one.polarity, "agreement": round(one.agreement, 3),
             "against": round(one.against, 3)} for one in agreed]}]  # fmt: skip
        named = [one.label for one in agreed if one.polarity == "present" and one.label != "No Finding"]
        evidence = found.evidence
        if named:
            about = self._about.gather(Query(", ".join(named), id=query.id, domain=query.domain), _ABOUT)
            evidence = replace(evidence, hits=(*evidence.hits, *about.evidence.hits))
        prior = PriorStudy(query.prior_images, request.prior_report, request.patient)
        evidence, compared = with_prior(self._library, query, prior, evidence, guard=self._guard)
        for output in request.expert:
            evidence = with_expert(evidence, output)
        return evidence, [*events, *compared]


def without_contradictions(written: Written, rules: Sequence[Rule] | None = None) -> tuple[Written, list[Event]]:
    """The draft without statements that contradict each other: which one is wrong, nobody knows here."""
    # What was and what is may well differ: only statements on this study are held against each other.
    now = [i for i, section in enumerate(written.sections) if section not in {"prior", "change"}]
    found = check_chain([written.draft.claims[i].text for i in now], rules)
    dropped = {now[index] for one in found for index in (one.first, one.second)}
    kept = [i for i in range(len(written.draft.claims)) if i not in dropped]
    draft = replace(written.draft, claims=tuple(written.draft.claims[i] for i in kept))
    events: list[Event] = [
        {"step": "consistency", "rule": one.rule, "claims": [now[one.first], now[one.second]], "kept": False}
        for one in found
    ]
    return Written(draft, tuple(written.sections[i] for i in kept), written.prompt), events


def _nothing(answer: Answer) -> Answer:
    reason = "the reports of similar cases do not agree on anything that could be said of these images"
    return replace(answer, text=f"No answer: {reason}.", reason=reason, stop_reason="no_consensus")


__all__ = ["ORDER", "ReportOptions", "ReportRequest", "Reporter", "without_contradictions"]
