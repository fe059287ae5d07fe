"""One question put to a chat model: its prompt as it shrinks, the calls it took, and the statements that may stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Protocol, runtime_checkable

from rag.chat import ChatModel, Deadline, Prompt, PromptTooLong, Reply, Wanted
from rag.errors import QueryError
from rag.generators.claims_reply import ParsedReply, ReplyClaim, parse_reply
from rag.generators.quoting import exact_quote, foreign_codes, is_instruction
from rag.prompting import PromptTemplate, Rendered, RenderOptions, render, reply_schema
from rag.prompting.instructions import ordered_words
from rag.sentences import content_stems
from rag.types import Draft, DraftClaim, Evidence, Query

SHRINK = 0.6
"""Share of the tokens that a prompt which was too long keeps."""


@dataclass(frozen=True, slots=True)
class Written:
    """A draft, and for each of its claims the section of the reply it stood in. `prompt`: the file and its version."""

    draft: Draft
    sections: tuple[str, ...]
    prompt: str = ""


@runtime_checkable
class SectionWriter(Protocol):
    """A generator whose drafts have sections."""

    def write(self, query: Query, evidence: Evidence) -> Written:
        """As `generate`, with the section of each claim."""
        ...


class VlmRequest:
    """Puts one question to a model. Not thread-safe; made for one draft."""

    def __init__(
        self,
        model: ChatModel,
        template: PromptTemplate,
        query: Query,
        evidence: Evidence,
        mark: str,
        deadline: Deadline,
    ) -> None:
        self.template, self.query, self.evidence = template, query, evidence
        self._model, self._mark, self._deadline = model, mark, deadline
        self._counts: Counter[str] = Counter()
        self._options = RenderOptions()
        self._rendered: Rendered | None = None
        self._kept: list[tuple[DraftClaim, str]] = []
        self._ordered = ordered_words(hit.passage.text for hit in evidence.hits)
        self.claimed = 0

    def render(self, options: RenderOptions) -> Rendered:
        """Fill the prompt; what was filled before is replaced."""
        self._options = options
        self._rendered = render(self.template, self.query, self.evidence, options, self._mark)
        return self._rendered

    @property
    def rendered(self) -> Rendered:
        """The prompt as it is now."""
        return self._rendered or self.render(self._options)

    def counts(self) -> dict[str, int]:
        """What was used: calls, tokens as the server counts them, and what was left out."""
        shown = {"passages_shown": len(self.rendered.passages), "passages_left_out": len(self.rendered.left_out)}
        flagged = {"passages_flagged": len(self.rendered.flagged)}
        return {name: n for name, n in {**self._counts, **shown, **flagged}.items() if n or name == "passages_shown"}

    def ask(self, wanted: Callable[[Rendered], Wanted], last: str, shorter: int) -> Reply:
        """One reply. A prompt that is too long is shortened and put again; pictures that cannot be used are left out.

        Raises:
            PromptTooLong: it did not fit after so many times either.
            ChatError: no reply came.
            QueryError: an image of the question cannot be used.
        """
        for turn in range(shorter + 1):
            filled = self.rendered
            prompt: Prompt = filled.prompt
            prompt = replace(prompt, parts=(*prompt.parts, last)) if last else prompt
            self._counts["calls"] += 1
            try:
                reply = self._model.reply(prompt, wanted(filled), self._deadline)
            except PromptTooLong:
                self._counts["shortened"] += 1
                if turn == shorter:
                    raise
                self.render(replace(self._options, tokens=int(filled.tokens * SHRINK)))
            except QueryError:
                if not self._options.evidence_images:
                    raise
                self._counts["evidence_images_left_out"] += 1
                self.render(replace(self._options, evidence_images=0))
            else:
                self._counts.update({name: n for name, n in reply.usage.items() if name != "calls"})
                return reply
        raise PromptTooLong("the pictures and passages of the prompt were refused again and again")

    def statements(self, base: Wanted, shorter: int, letter: str | None) -> ParsedReply | None:
        """The reply read and its statements kept; a reply of which nothing can stand is asked for once more.

        None when both are unusable. Raises as `ask`.
        """
        letters = (letter,) if letter else tuple(ascii_uppercase[: len(self.query.options)])
        asked = f"The right option is {letter}. Say what in the passages speaks for it." if letter else ""
        wanted = self._wanted(base, letters)
        for repair in (False, True):
            last = f"{asked}\n\n{self._complaint()}".strip() if repair else asked
            self._counts["repairs"] += repair
            parsed = parse_reply(self.ask(wanted, last, shorter).text, self.template.sections)
            if parsed is None:
                self._counts["unreadable"] += 1
                continue
            self._counts["salvaged"] += not parsed.whole
            self._keep(parsed)
            if parsed.insufficient or self._kept:
                return parsed
        return None

    def anew(self, note: str, base: Wanted, shorter: int) -> None:
        """One more reply after a note on what was wrong; what of it may stand is kept. Raises as `ask`."""
        parsed = parse_reply(self.ask(self._wanted(base, ()), note, shorter).text, self.template.sections)
        if parsed is not None:
            self._keep(parsed)

    def _wanted(self, base: Wanted, letters: Sequence[str]) -> Callable[[Rendered], Wanted]:
        def wanted(filled: Rendered) -> Wanted:
            sections = self.template.sections
            schema = reply_schema(tuple(filled.passages), sections, most=self._options.most, letters=letters)
            return replace(base, schema=schema)

        return wanted

    def _complaint(self) -> str:
        why = "its quotes do not stand in the passages it names" if self.claimed else "it is not JSON of the schema"
        return (
            f"Your last reply could not be used: {why}. Reply again with one JSON object of the schema and nothing "
            "else; copy every quote word for word from the passage whose id you give."
        )

    def _keep(self, parsed: ParsedReply) -> None:
        self.claimed = len(parsed.claims)
        self._kept = []
        for claim in parsed.claims:
            made = self._made(claim)
            if isinstance(made, str):
                self._counts[made] += 1
            elif sum(section == claim.section for _, section in self._kept) < self._options.most:
                self._kept.append((made, claim.section))

    def _made(self, claim: ReplyClaim) -> DraftClaim | str:
        """The statement with the passage's own words as its quote, or the name under which its refusal is counted."""
        passage = self.rendered.passages.get(claim.label)
        if passage is None:
            return "claims_of_unknown_passages"
        quote = exact_quote(claim.quote, passage.text)
        if quote is None:
            return "claims_without_quote"
        beyond = set(content_stems(claim.text)) - set(
            content_stems(" ".join((quote, self.query.text, *self.query.options)))
        )
        if is_instruction(quote, passage) or beyond & self._ordered:
            return "claims_from_instructions"
        if foreign_codes(claim.text, (quote, self.query.text, *self.query.options)):
            return "claims_with_codes"
        return DraftClaim(claim.text, passage.id, quote)

    def written(self) -> Written:
        """The statements that may stand, in the order of the reply."""
        claims = tuple(claim for claim, _ in self._kept)
        sections = tuple(section for _, section in self._kept)
        return Written(Draft(claims, usage=self.counts()), sections, self.template.title)
