"""Why an image may show a finding: signs from similar cases, facts of the graph, and pages, each sentence cited.

KG-LLaVA (https://arxiv.org/abs/2410.04749) gives a model the triples of similar images and asks which signs show a
finding that is given. The finding is taken as given here as well: an explanation says what would speak for it, not that
it is so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.answering import is_degraded, writer_for
from pipelines.checking import reviser_of
from pipelines.expert import ExpertOutput, with_expert
from pipelines.gathering import Event, Gatherer, GatherOptions
from pipelines.search import StageClock
from pipelines.writing.explaining import ExplanationComposer, stated_share
from pipelines.writing.reading import ByPatient, similar_cases
from pipelines.writing.sections import laid_out, section_rows, sections_of
from rag.chat import ChatModel
from rag.errors import QueryError
from rag.grounding.ground import ground
from rag.leakage import Guard
from rag.types import Answer, Evidence, Hit, Kind, Query

if TYPE_CHECKING:
    from pipelines.assistant import Steps
    from pipelines.library import Library

_ABOUT: tuple[Kind, ...] = ("fact", "page", "figure")
_LONGEST = 200
ORDER = ("cases", "known")
"""Sections of an explanation: what other patients' reports say, and what facts and pages say."""


@dataclass(frozen=True, slots=True)
class ExplainRequest:
    """An image and the finding that it is said to show."""

    image: Path
    finding: str
    domain: str | None = None
    expert: tuple[ExpertOutput, ...] = ()
    id: str = "explanation"

    def __post_init__(self) -> None:
        if not self.finding.strip() or len(self.finding) > _LONGEST:
            raise QueryError(
                f"the finding to explain is empty or longer than {_LONGEST} characters; name it in a few words"
            )

    def query(self) -> Query:
        """The request as the question that a model is asked."""
        said = f"The image is said to show: {self.finding.strip()}. Which signs show it?"
        return Query(said, (self.image,), self.id, domain=self.domain)


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """How much is read: similar cases, and facts, pages and figures about the finding."""

    cases: int = 8
    passages: int = 8


class Explainer:
    """Explains findings from a library.

    answer = Explainer(library).explain(ExplainRequest(Path("cxr.png"), "pleural effusion"))
    """

    def __init__(
        self,
        library: Library,
        steps: Steps | None = None,
        *,
        options: ExplainOptions | None = None,
        guard: Guard | None = None,
        model: ChatModel | None = None,
    ) -> None:
        self._steps, self._options = steps or library.parts.steps(), options or ExplainOptions()
        chosen = guard or self._steps.gather.guard
        of_cases = GatherOptions(self._options.cases, per_option=0, guard=chosen, selector="cases")
        self._cases = Gatherer(library, ByPatient(self._options.cases), of_cases)
        about = GatherOptions(self._options.passages, per_option=0, guard=chosen, selector=self._steps.gather.selector)
        self._about = Gatherer(library, self._steps.selector, about)
        self._library, self._model = library, model

    def explain(self, request: ExplainRequest) -> Answer:
        """A short explanation, or an abstention when nothing in the library speaks of the finding."""
        clock, query = StageClock(), self._library.readable(request.query())
        with clock.stage("retrieve"):
            evidence, events = self._evidence(request, query)
        with clock.stage("generate"):
            composer = ExplanationComposer(request.finding, self._steps.generator)
            writer = writer_for(self._library.settings, composer, prompt="explanation", model=self._model)
            written = writer.write(query, evidence)
        with clock.stage("check"):
            revise = reviser_of(writer)
            answer = ground(query, written.draft, evidence, self._steps.judge, self._steps.policy, revise)
        sections = sections_of(answer, written)
        trace = (*events, *answer.trace, section_rows(sections, ORDER))
        answer = laid_out(replace(answer, trace=trace, seconds={**answer.seconds, **clock.seconds}), sections, ORDER)
        return replace(answer, stop_reason="degraded") if is_degraded(answer) and not answer.abstained else answer

    def _evidence(self, request: ExplainRequest, query: Query) -> tuple[Evidence, list[Event]]:
        cases = self._cases.gather(replace(query, text=""), ("case",))
        about = self._about.gather(Query(request.finding, id=query.id), _ABOUT)
        hits: Sequence[Hit] = (*about.evidence.hits, *cases.evidence.hits)
        evidence = replace(about.evidence, hits=tuple(hits), dropped=(*about.evidence.dropped, *cases.evidence.dropped))
        stated, denied = stated_share(similar_cases(cases.evidence.hits), request.finding)
        event: Event = {"step": "finding", "stated": round(stated, 3), "denied": round(denied, 3)}
        for output in request.expert:
            evidence = with_expert(evidence, output)
        return evidence, [*cases.events, *about.events, event]
