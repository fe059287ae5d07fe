"""Judges that ask a model: an encoder's similarity, a classifier of entailment, or a chat model of the user's own.

None of them is trusted alone: put them into a `CombinedJudge`, whose gates see what models overlook. They take plain
functions, so this module loads no library.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files

from rag.chat import ChatError, ChatModel, Deadline, Prompt, PromptTooLong, Wanted
from rag.errors import ConfigError
from rag.grounding.checks import GATES, Gate, disagreements
from rag.protocols import Judge
from rag.types import Matrix

Embed = Callable[[Sequence[str]], Matrix]
"""Unit vectors of some texts, shape (n_texts, dim)."""
Entailment = Callable[[str, str], float]
"""The probability in [0, 1] that a premise (first) entails a hypothesis (second)."""


class EmbeddingJudge:
    """Cosine of claim and quote, from `unrelated` (support 0) to `same` (support 1), under the gates.

    Similarity is no entailment: a denial is as similar as what it denies, so the gates belong to it. The two anchors
    depend on the encoder; the defaults are for bge-small-en-v1.5, whose unrelated medical sentences lie around 0.5.
    """

    def __init__(
        self, embed: Embed, *, unrelated: float = 0.55, same: float = 0.95, gates: Mapping[str, Gate] = GATES
    ) -> None:
        if not -1.0 <= unrelated < same <= 1.0:
            raise ConfigError(f"grounding: cosines unrelated {unrelated} and same {same} are no range within [-1, 1]")
        self._embed, self._unrelated, self._same, self._gates = embed, unrelated, same, gates

    def support(self, claim: str, quote: str) -> float:
        """The rescaled cosine, in [0, 1]; 0 for an empty text or a disagreement."""
        if not claim.strip() or not quote.strip() or disagreements(claim, quote, self._gates):
            return 0.0
        first, second = self._embed([claim, quote])
        share = (float(first @ second) - self._unrelated) / (self._same - self._unrelated)
        return min(1.0, max(0.0, share))


class EntailmentJudge:
    """The probability that the quote entails the claim, by a classifier of natural language inference, gated."""

    def __init__(self, entailment: Entailment, gates: Mapping[str, Gate] = GATES) -> None:
        self._entailment, self._gates = entailment, gates

    def support(self, claim: str, quote: str) -> float:
        """P(quote entails claim), in [0, 1]; 0 for an empty text or a disagreement."""
        if not claim.strip() or not quote.strip() or disagreements(claim, quote, self._gates):
            return 0.0
        return min(1.0, max(0.0, self._entailment(quote, claim)))


VERDICTS: Mapping[str, float] = {"supported": 1.0, "partly": 0.5, "unsupported": 0.0, "contradicted": 0.0}
SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "maxLength": 300},
        "verdict": {"type": "string", "enum": list(VERDICTS)},
    },
    "required": ["reason", "verdict"],
    "additionalProperties": False,
}
"""The reason stands first, so that a model that thinks while it writes does so before it judges."""
_VERDICT = re.compile(r'"verdict"\s*:\s*"(\w+)"')


class ChatJudge:
    """Asks a chat model for a verdict under a JSON schema. What the model says is data: it can only choose a verdict.

    When no answer comes, or none that can be read, `fallback` decides; `fallen_back` counts how often. One call per
    claim, of at most `seconds`.
    """

    def __init__(self, model: ChatModel, fallback: Judge, *, seconds: float = 20.0) -> None:
        self._model, self._fallback, self._seconds = model, fallback, seconds
        self._instructions = files("rag.grounding").joinpath("judge_prompt.txt").read_text(encoding="utf-8").strip()
        self.fallen_back = 0

    def support(self, claim: str, quote: str) -> float:
        """1 for supported, 0.5 for partly, else 0; an empty text is 0 without asking."""
        if not claim.strip() or not quote.strip():
            return 0.0
        try:
            wanted = Wanted(max_tokens=200, schema=SCHEMA)
            reply = self._model.reply(self._prompt(claim, quote), wanted, Deadline.after(self._seconds))
        except (ChatError, PromptTooLong):
            return self._fall_back(claim, quote)
        verdict = _verdict(reply.text)
        return self._fall_back(claim, quote) if verdict is None else VERDICTS[verdict]

    def _fall_back(self, claim: str, quote: str) -> float:
        self.fallen_back += 1
        return self._fallback.support(claim, quote)

    def _prompt(self, claim: str, quote: str) -> Prompt:
        # A mark that depends on both texts cannot be foreseen by whoever wrote the quoted one.
        mark = hashlib.sha256(f"{claim}\0{quote}".encode()).hexdigest()[:12]
        part = f"<quote {mark}>\n{quote}\n</quote {mark}>\n\n<claim {mark}>\n{claim}\n</claim {mark}>"
        return Prompt(self._instructions, (part,), "judge-1")


def _verdict(text: str) -> str | None:
    """The verdict of a reply; one that was cut off behind it, or has text around it, is still read."""
    try:
        data = json.loads(text)
    except ValueError:
        found = _VERDICT.search(text)
        return found[1] if found and found[1] in VERDICTS else None
    verdict = data.get("verdict") if isinstance(data, dict) else None
    return verdict if isinstance(verdict, str) and verdict in VERDICTS else None
