import pytest

from rag.generators.extractive import LEXICAL_OPTIONS, ExtractiveGenerator
from rag.generators.scoring import LexicalScorer, SentenceScorer
from rag.generators.scripted import ScriptedGenerator
from rag.protocols import Generator
from rag.testing.generator import GeneratorContract


class TestExtractiveWithOverlap(GeneratorContract):
    @pytest.fixture
    def generator(self) -> Generator:
        return ExtractiveGenerator(LexicalScorer(), LEXICAL_OPTIONS)


class TestExtractiveWithLogits(GeneratorContract):
    """A scorer on the scale of a cross-encoder: large numbers of either sign."""

    @pytest.fixture
    def generator(self) -> Generator:
        class Logits:
            def score(self, question: str, sentences: list[str]) -> list[float]:
                return [18.0 * share - 11.0 for share in LexicalScorer().score(question, sentences)]

        scorer: SentenceScorer = Logits()  # type: ignore[assignment]
        return ExtractiveGenerator(scorer)


class TestScripted(GeneratorContract):
    @pytest.fixture
    def generator(self) -> Generator:
        return ScriptedGenerator()
