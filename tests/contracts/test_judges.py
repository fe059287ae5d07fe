import hashlib

import numpy as np

from pipelines.checking import answer_judge
from rag.chat import Prompt, ScriptedModel, Wanted
from rag.grounding.checks import disagreements
from rag.grounding.judge import CombinedJudge, LexicalJudge
from rag.grounding.model_judges import ChatJudge, EmbeddingJudge, EntailmentJudge
from rag.protocols import Judge
from rag.sentences import content_stems
from rag.testing.judge import JudgeContract


def hashed(texts):
    """Unit vectors of word counts: a stand-in for an encoder, similar where words are shared."""
    rows = np.full((len(texts), 64), 1e-6, dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        for stem in content_stems(text):
            row[hashlib.sha256(stem.encode()).digest()[0] % 64] += 1
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def read_parts(prompt: Prompt) -> tuple[str, str]:
    """The quote and the claim of a judge's prompt."""
    _, quote, between = prompt.text.split("\n", 1)[0], *prompt.text.split("\n</quote", 1)
    return quote.split("\n", 1)[1], between.split("\n<claim", 1)[1].split("\n", 1)[1].rsplit("\n</claim", 1)[0]


def honest(prompt: Prompt, wanted: Wanted) -> str:
    """A model that judges as the rules do."""
    quote, claim = read_parts(prompt)
    share = LexicalJudge().support(claim, quote)
    verdict = "contradicted" if disagreements(claim, quote) else "supported" if share > 0.6 else "unsupported"
    return f'{{"reason": "as it stands", "verdict": "{verdict}"}}'


class TestLexicalJudge(JudgeContract):
    def make_judge(self) -> Judge:
        return LexicalJudge()


class TestCombinedJudge(JudgeContract):
    def make_judge(self) -> Judge:
        return CombinedJudge((LexicalJudge(), EmbeddingJudge(hashed)))


class TestAnswerJudge(JudgeContract):
    """Lexical and finding-level, as the assistant uses them."""

    def make_judge(self) -> Judge:
        return answer_judge()


class TestEmbeddingJudge(JudgeContract):
    def make_judge(self) -> Judge:
        return EmbeddingJudge(hashed)


class TestEntailmentJudge(JudgeContract):
    def make_judge(self) -> Judge:
        return EntailmentJudge(lambda premise, hypothesis: LexicalJudge({}).support(hypothesis, premise))


class TestChatJudge(JudgeContract):
    def make_judge(self) -> Judge:
        return ChatJudge(ScriptedModel([honest]), LexicalJudge())
