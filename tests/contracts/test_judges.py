from rag.grounding.judge import LexicalJudge
from rag.protocols import Judge
from rag.testing.judge import JudgeContract


class TestLexicalJudge(JudgeContract):
    def make_judge(self) -> Judge:
        return LexicalJudge()
