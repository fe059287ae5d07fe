"""Visual concepts out of a corpus: retrieve, propose, filter, and ask again with what was kept.

After KnoBo (Yang et al., 2024, "A Textbook Remedy for Domain Shifts", https://arxiv.org/abs/2405.14839): start with the
names of the classes; each query finds passages not used before; a generator turns them into yes/no questions about an
image, each with the sentence it rests on; a question is kept when it can be answered by looking, says nothing that
another one says, and its sentence stands in the passage it names. What is kept asks the next queries.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from knowledge.model_answers import Completer, find_quote, objects_of
from rag.passages import Passage
from rag.sentences import content_stems

Search = Callable[[str, int], Sequence[Passage]]
"""A query and how many passages are wanted, to the passages found, best first."""


@dataclass(frozen=True, slots=True)
class ConceptPlan:
    """How far the loop goes. The defaults are KnoBo's: 50 hits, 10 of them read, 200 concepts or 2,000 rounds.

    `template` makes a query of a concept; `{modality}` and `{concept}` are filled in.
    """

    modality: str
    start: tuple[str, ...]
    template: str = "{modality} {concept} diagnosis criteria"
    most_concepts: int = 200
    most_rounds: int = 2_000
    hits: int = 50
    read: int = 10


@dataclass(frozen=True, slots=True)
class VisualConcept:
    """A question about an image, and `passage.text[start:end]`, the sentence that is the reason to ask it.

    `query` found the passage in round `round`, counted from 1.
    """

    question: str
    sentence: str
    passage: str
    document: str
    start: int
    end: int
    query: str
    round: int


@dataclass(slots=True)
class ConceptRun:
    """What a loop found and what it refused. `stopped` is "enough", "nothing new" or "rounds".

    `dropped` counts refused proposals by reason; `unreadable` are answers without any object in them, `failed` are
    calls that raised.
    """

    concepts: list[VisualConcept] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    rounds: int = 0
    calls: int = 0
    unreadable: int = 0
    failed: int = 0
    stopped: str = "nothing new"

    def to_json(self) -> str:
        """The run as one JSON document; `from_json` reads it back."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> ConceptRun:
        """The run that `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        return cls(**data | {"concepts": [VisualConcept(**row) for row in data["concepts"]]})


def gather_concepts(
    plan: ConceptPlan,
    search: Search,
    model: Completer,
    *,
    groundable: Callable[[str], bool] | None = None,
) -> ConceptRun:
    """Run the loop until it has enough concepts, nothing new comes, or the rounds are spent.

    `groundable` is KnoBo's last filter where reports are at hand: whether both answers to a question occur among them
    (its rule: the rarer answer in at least a tenth). Left out, no question is refused for it.
    """
    loop = _Loop(plan, search, model, groundable)
    return loop.run()


@dataclass(slots=True)
class _Loop:
    plan: ConceptPlan
    search: Search
    model: Completer
    groundable: Callable[[str], bool] | None
    found: ConceptRun = field(default_factory=ConceptRun)
    used: set[str] = field(default_factory=set)
    known: set[tuple[str, ...]] = field(default_factory=set)

    def run(self) -> ConceptRun:
        waiting = deque(self.plan.start)
        while waiting and len(self.found.concepts) < self.plan.most_concepts:
            if self.found.rounds >= self.plan.most_rounds:
                self.found.stopped = "rounds"
                return self.found
            self.found.rounds += 1
            for concept in self._round(waiting.popleft()):
                self.found.concepts.append(concept)
                waiting.append(concept.question)
                if len(self.found.concepts) >= self.plan.most_concepts:
                    break
        enough = len(self.found.concepts) >= self.plan.most_concepts
        self.found.stopped = "enough" if enough else "nothing new"
        return self.found

    def _round(self, asked: str) -> Iterator[VisualConcept]:
        query = self.plan.template.format(modality=self.plan.modality, concept=asked)
        fresh = {one.id: one for one in self.search(query, self.plan.hits) if one.id not in self.used and one.text}
        passages = list(fresh.values())[: self.plan.read]
        if not passages:
            return
        self.used.update(one.id for one in passages)
        for proposal in self._proposals(asked, passages):
            concept = self._checked(proposal, passages, query)
            if isinstance(concept, str):
                self.found.dropped[concept] = self.found.dropped.get(concept, 0) + 1
            else:
                yield concept

    def _proposals(self, asked: str, passages: Sequence[Passage]) -> list[object]:
        shown = "\n\n".join(f"[{number}] {one.text}" for number, one in enumerate(passages, start=1))
        answer = self._ask(_prompt("propose", modality=self.plan.modality, concept=asked, passages=shown))
        if answer is None:
            return []
        proposals = objects_of(answer, "concepts", "question")
        if proposals is None:
            self.found.unreadable += 1
        return proposals or []

    def _checked(self, proposal: object, passages: Sequence[Passage], query: str) -> VisualConcept | str:
        """The concept, or why it is refused. The cheap checks come first: a call is made only for what passes them."""
        grounds = _grounds(proposal, passages)
        if isinstance(grounds, str):
            return grounds
        question, passage, (start, end) = grounds
        form = normal_form(question)
        refused = "known already" if not form or form in self.known else self._refused(question)
        if refused:
            return refused
        self.known.add(form)
        said = passage.text[start:end]
        return VisualConcept(question, said, passage.id, passage.document, start, end, query, self.found.rounds)

    def _refused(self, question: str) -> str:
        if not self._yes(_prompt("is_visual", modality=self.plan.modality, question=question)):
            return "not visible"
        kept = "\n".join(f"- {one.question}" for one in self.found.concepts)
        if kept and self._yes(_prompt("is_known", question=question, kept=kept)):
            return "a paraphrase"
        if self.groundable is not None and not self.groundable(question):
            return "not groundable"
        return ""

    def _yes(self, prompt: str) -> bool:
        answer = self._ask(prompt)
        return answer is not None and answer.strip().lstrip("\"'*").casefold().startswith("yes")

    def _ask(self, prompt: str) -> str | None:
        self.found.calls += 1
        try:
            return self.model.complete(prompt)
        except Exception:  # noqa: BLE001 - a client may raise anything; the call is counted and the loop goes on
            self.found.failed += 1
            return None


def _grounds(proposal: object, passages: Sequence[Passage]) -> tuple[str, Passage, tuple[int, int]] | str:
    """The question, its passage and where its sentence stands there; or why a proposal has no grounds."""
    if not isinstance(proposal, dict):
        return "not a proposal"
    question, number, sentence = (proposal.get(name) for name in ("question", "passage", "sentence"))
    if not isinstance(question, str) or not question.strip() or not isinstance(sentence, str):
        return "not a proposal"
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(passages):
        return "no such passage"
    passage = passages[number - 1]
    place = find_quote(sentence, passage.text)
    return "sentence not in the passage" if place is None else (" ".join(question.split()), passage, place)


def normal_form(question: str) -> tuple[str, ...]:
    """What two wordings of one question share: the stems of its words of meaning, in alphabetical order.

    "no" and "without" are kept, so a question and its denial differ.
    """
    words = [word for word in content_stems(question) if word not in _ASKING]
    denials = [word for word in question.casefold().split() if word in ("no", "not", "without")]
    return tuple(sorted({*words, *denials}))


_ASKING = frozenset(content_stems("is are there does do show shows image images present visible seen any can you see"))
"""Words that only ask; "is there an effusion" and "does the image show an effusion" are one question."""


def _prompt(name: str, **parts: str) -> str:
    # One pass, so that nothing in a passage or a model's own words is filled in turn.
    return _SLOT.sub(lambda slot: parts.get(slot[1], slot[0]), _prompts()[name])


_SLOT = re.compile(r"\{(\w+)\}")


@cache
def _prompts() -> dict[str, str]:
    prompts: dict[str, str] = tomllib.loads(files("knowledge").joinpath("concepts_prompts.toml").read_text("utf-8"))
    return prompts
