"""What every generator promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag.protocols import Generator
from rag.types import CaseLocator, Draft, Evidence, FactLocator, Hit, PageLocator, Passage, Query

_PAGE = Passage(
    "page-1", "page", "handbook",
    "Tendons\nA tendon joins a muscle to a bone. It is made of dense regular tissue.\n\n"
    "Ligaments\nA ligament joins two bones. Torn ligaments heal slowly, e.g. after 6.5 weeks.",
    PageLocator(1),
)  # fmt: skip
_CASE = Passage(
    "case-1", "case", "clinic", "Small effusion of the left knee. No fracture is seen.", CaseLocator("r1", patient="p1")
)
_FACT = Passage("fact-1", "fact", "graph", "tendon joins muscle to bone", FactLocator("tendon", "joins", "muscle"))
_BLANK = Passage("page-2", "page", "handbook", " \n ", PageLocator(2), images=("page-2.png",))  # type: ignore[arg-type]
EVIDENCE = Evidence(tuple(Hit(passage, 1.0 - 0.1 * i) for i, passage in enumerate((_PAGE, _CASE, _FACT, _BLANK))))
QUESTION = Query(text="What does a tendon join to a bone?")
CHOICE = Query(text="A ligament joins ________.", options=("two bones", "a muscle and a bone", "two muscles"))


class GeneratorContract:
    """Inherit, and give the fixture `generator`."""

    @pytest.fixture
    def generator(self) -> Generator:
        raise NotImplementedError

    def test_plays_the_role(self, generator: Generator) -> None:
        assert isinstance(generator, Generator)

    @pytest.mark.parametrize("query", [QUESTION, CHOICE, replace(QUESTION, text="Größe der Sehne — 腱?")])
    def test_every_claim_quotes_the_passage_it_names(self, generator: Generator, query: Query) -> None:
        draft = generator.generate(query, EVIDENCE)
        texts = {hit.passage.id: hit.passage.text for hit in EVIDENCE.hits}
        assert draft.claims
        for claim in draft.claims:
            assert claim.quote.strip()
            assert claim.quote in texts[claim.passage_id]
            assert claim.text.strip()

    def test_confidence_is_a_probability(self, generator: Generator) -> None:
        assert 0.0 <= generator.generate(QUESTION, EVIDENCE).confidence <= 1.0

    def test_a_choice_is_one_of_the_options_and_is_argued_for(self, generator: Generator) -> None:
        draft = generator.generate(CHOICE, EVIDENCE)
        assert draft.choice in range(len(CHOICE.options))
        assert draft.claims

    def test_a_question_without_options_has_no_choice(self, generator: Generator) -> None:
        assert generator.generate(QUESTION, EVIDENCE).choice is None

    @pytest.mark.parametrize("evidence", [Evidence(()), Evidence((Hit(_BLANK, 1.0),))])
    @pytest.mark.parametrize("query", [QUESTION, CHOICE])
    def test_without_text_to_quote_it_claims_nothing(
        self, generator: Generator, query: Query, evidence: Evidence
    ) -> None:
        draft = generator.generate(query, evidence)
        assert draft.claims == ()
        assert draft.confidence == 0.0

    def test_an_image_alone_is_a_question(self, generator: Generator) -> None:
        draft = generator.generate(Query(images=("knee.png",)), EVIDENCE)  # type: ignore[arg-type]
        assert draft.claims

    def test_same_input_same_draft(self, generator: Generator) -> None:
        first: Draft = generator.generate(QUESTION, EVIDENCE)
        assert generator.generate(QUESTION, EVIDENCE) == first
