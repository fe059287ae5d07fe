"""Answers by a chat model that sees the evidence: prompt, reply of a schema, statements that quote, or a way down.

What the model says is data. It can only cite passages that it was shown, its quotes are looked up and replaced by the
passage's own words, and statements that rest on lines which read like instructions, or carry codes and addresses that
no source has, are left out. When no usable reply comes in time, another generator answers from the same evidence, and
the draft says so: `usage["degraded"]` is 1.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from string import ascii_uppercase

from rag.chat import ChatError, ChatModel, Clock, Deadline, PromptTooLong, Wanted
from rag.errors import ConfigError
from rag.generators.quoting import is_instruction
from rag.generators.vlm_request import SectionWriter, VlmRequest, Written
from rag.grounding.revision import FailedClaim, failure_note
from rag.prompting import PromptTemplate, RenderOptions, load_template, template_for
from rag.protocols import Generator
from rag.types import Draft, Evidence, Query


@dataclass(frozen=True, slots=True)
class VlmOptions:
    """How a model is asked.

    seconds: for a whole draft, all calls together. max_tokens: of a reply. shorter: how often a prompt that does not
    fit is made shorter, each time by 40 %. probabilities: ask a multiple choice by a call of its own for the letter,
    whose probability becomes the confidence. temperature, seed: of the sampling.
    """

    seconds: float = 60.0
    max_tokens: int = 1024
    shorter: int = 4
    probabilities: bool = True
    temperature: float = 0.0
    seed: int = 0
    render: RenderOptions = field(default_factory=RenderOptions)

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.max_tokens < 1 or self.shorter < 0:
            raise ConfigError("vlm: seconds and max_tokens must be positive, and shorter not negative")

    @property
    def wanted(self) -> Wanted:
        """What every reply must be, before its schema or choices."""
        return Wanted(self.max_tokens, temperature=self.temperature, seed=self.seed)


def random_mark() -> str:
    """A mark for the passages of one request: eight letters and digits that nobody can guess."""
    return secrets.token_hex(4)


class VlmGenerator:
    """Drafts with a chat model; `fallback` answers when the model does not. Thread-safe as far as these two are."""

    def __init__(
        self,
        model: ChatModel,
        fallback: Generator,
        options: VlmOptions | None = None,
        *,
        prompt: str | None = None,
        marks: Callable[[], str] = random_mark,
        clock: Clock = time.monotonic,
    ) -> None:
        """`prompt` names the prompt file; None takes the one that each question needs. `marks` draws a mark."""
        self._model, self._fallback = model, fallback
        self._options = options or VlmOptions()
        self._template = None if prompt is None else load_template(prompt)
        self._marks, self._clock = marks, clock

    def generate(self, query: Query, evidence: Evidence) -> Draft:
        return self.write(query, evidence).draft

    def write(self, query: Query, evidence: Evidence, deadline: Deadline | None = None) -> Written:
        """As `generate`, with the section that each statement belongs to, within a deadline of the caller's.

        Raises:
            QueryError: the question's own images cannot be used with this model.
        """
        if not any(hit.passage.text.strip() for hit in evidence.hits):
            return Written(Draft(()), ())
        until = deadline or Deadline.after(self._options.seconds, self._clock)
        template = self._template or template_for(query)
        request = VlmRequest(self._model, template, query, evidence, self._marked(evidence), until)
        request.render(self._options.render)
        try:
            letter, probability = self._choice(request)
            parsed = request.statements(self._options.wanted, self._options.shorter, letter)
        except (ChatError, PromptTooLong) as error:
            kind = error.kind if isinstance(error, ChatError) else "too_long"
            return self._degraded(request, kind)
        if parsed is None:
            return self._degraded(request, "unusable")
        if parsed.insufficient:
            return Written(Draft((), _index(letter or parsed.choice, query), 0.0, request.counts()), ())
        written = request.written()
        index = _index(letter or parsed.choice, query)
        if query.options and index is None:
            return self._degraded(request, "unusable")
        # A reply whose quotes are mostly made up is not to be trusted for the rest.
        share = len(written.draft.claims) / max(1, request.claimed)
        confidence = share if probability is None else probability * share
        return replace(written, draft=replace(written.draft, choice=index, confidence=confidence))

    def revise(self, query: Query, evidence: Evidence, draft: Draft, failed: Sequence[FailedClaim]) -> Draft:
        """The claims that failed the checks, written anew by one more call; none after a degraded draft.

        Raises:
            ChatError: no reply came.
        """
        if draft.usage.get("degraded") or not any(hit.passage.text.strip() for hit in evidence.hits):
            return Draft(())
        until = Deadline.after(self._options.seconds, self._clock)
        template = self._template or template_for(query)
        request = VlmRequest(self._model, template, query, evidence, self._marked(evidence), until)
        request.render(self._options.render)
        try:
            request.anew(failure_note(failed), self._options.wanted, self._options.shorter)
        except PromptTooLong:
            return Draft((), usage=request.counts())
        return request.written().draft

    def _marked(self, evidence: Evidence) -> str:
        """A mark that no passage holds."""
        texts = [hit.passage.text for hit in evidence.hits]
        mark = self._marks()
        for _ in range(8):
            if not any(mark in text for text in texts):
                break
            mark = self._marks()
        return mark

    def _choice(self, request: VlmRequest) -> tuple[str | None, float | None]:
        """The letter of a multiple choice, and how probable the model holds it if that is known."""
        letters = tuple(ascii_uppercase[: len(request.query.options)])
        if not letters or not self._options.probabilities:
            return None, None
        wanted = replace(self._options.wanted, max_tokens=8, choices=letters)
        reply = request.ask(lambda _: wanted, "Reply with the letter of the right option alone.", self._options.shorter)
        known = {letter: share for letter, share in reply.probabilities.items() if letter in letters}
        if known:
            best = max(letters, key=lambda letter: known.get(letter, 0.0))
            return best, min(1.0, max(0.0, known.get(best, 0.0)))
        said = reply.text.strip().strip("().:\"'").upper()
        return (said, None) if said in letters else (None, None)

    def _degraded(self, request: VlmRequest, kind: str) -> Written:
        """The fallback's draft, without what rests on lines that read like instructions."""
        query, evidence, fallback = request.query, request.evidence, self._fallback
        if isinstance(fallback, SectionWriter):
            fallen = fallback.write(query, evidence)
        else:
            draft = fallback.generate(query, evidence)
            fallen = Written(draft, ("",) * len(draft.claims))
        passages = {hit.passage.id: hit.passage for hit in evidence.hits}
        kept = [
            (claim, section)
            for claim, section in zip(fallen.draft.claims, fallen.sections, strict=True)
            if claim.passage_id in passages and not is_instruction(claim.quote, passages[claim.passage_id])
        ]
        marked = Counter({"degraded": 1, f"degraded_{kind}": 1})
        usage = Counter(fallen.draft.usage) + Counter(request.counts()) + marked
        degraded = replace(fallen.draft, claims=tuple(claim for claim, _ in kept), usage=dict(usage))
        return Written(degraded, tuple(section for _, section in kept), request.template.title)


def _index(letter: str | None, query: Query) -> int | None:
    if letter is None or len(letter) != 1 or letter not in ascii_uppercase[: len(query.options)]:
        return None
    return ascii_uppercase.index(letter)


__all__ = ["PromptTemplate", "VlmGenerator", "VlmOptions", "Written", "random_mark"]
