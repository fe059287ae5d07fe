"""Probes: what an answer copies, whether it depends on its evidence, and that other evidence supports it less."""

from dataclasses import replace

import pytest

from rag.generators.scripted import ScriptedGenerator
from rag.grounding.ground import GroundingPolicy, ground
from rag.grounding.judge import LexicalJudge
from rag.grounding.probes import copying, evidence_support, exchanged, reliance
from rag.types import CaseLocator, Citation, Claim, Draft, DraftClaim, Evidence, Hit, Passage, Query

REFERENCE = "The lungs are clear and well expanded. The heart is enlarged with a ratio of 0.6 in this film."
OTHER = "There is a large right pleural effusion. No fracture of the ribs is seen anywhere."
JUDGE = LexicalJudge()
QUERY = Query(text="What is seen?")


def case(name: str, text: str) -> Passage:
    return Passage(name, "case", "clinic", text, CaseLocator(name))


ONE, TWO = (Evidence((Hit(case(name, text), 1.0),)) for name, text in (("a", REFERENCE), ("b", OTHER)))


def test_quoting_openly_is_not_copying() -> None:
    quote = "The lungs are clear and well expanded."
    answer = ground(QUERY, Draft((DraftClaim(quote, "a", quote),), confidence=1.0), ONE, JUDGE, GroundingPolicy())
    found = copying(answer)
    assert (found.quoted, found.copied, found.longest) == (1.0, 0.0, 0)


def test_words_taken_from_a_reference_without_quoting_them_are_copied() -> None:
    citation = Citation(1, ONE.hits[0].passage, "The lungs are clear")
    text = "The heart is enlarged with a ratio of 0.6 in this film."
    answer = ground(QUERY, Draft((), confidence=1.0), ONE, JUDGE, GroundingPolicy())
    answer = replace(answer, claims=(Claim(text, (1,), 1.0, {}),), citations=(citation,))
    found = copying(answer)
    assert found.copied == 1.0
    assert found.longest == len(text.split())
    assert copying(replace(answer, claims=(Claim("All is well here today.", (1,), 1.0, {}),))).copied == 0.0


def test_a_generator_that_reads_follows_its_evidence_and_one_that_does_not_is_stuck() -> None:
    def reads(query: Query, evidence: Evidence) -> Draft:
        passage = evidence.hits[0].passage
        sentence = passage.text.split(". ")[0] + "."
        return Draft((DraftClaim(sentence, passage.id, sentence),), confidence=0.9)

    followed = reliance(ScriptedGenerator(reads), QUERY, ONE, TWO, JUDGE)
    assert followed.kept < 0.3
    assert (followed.follows, followed.stuck) == (1.0, 0.0)
    fixed = Draft((DraftClaim("The lungs are clear.", "a", "The lungs are clear"),), confidence=0.9)
    stuck = reliance(ScriptedGenerator(fixed), QUERY, ONE, TWO, JUDGE)
    assert (stuck.kept, stuck.follows, stuck.stuck) == (1.0, 0.0, 1.0)


def test_evidence_that_says_the_opposite_supports_nothing() -> None:
    draft = Draft((DraftClaim("The heart is enlarged.", "a", "The heart is enlarged"),))
    counter = Evidence((Hit(case("c", "The heart is not enlarged. The lungs are clear."), 1.0),))
    assert evidence_support(draft, ONE, JUDGE) == 1.0
    assert evidence_support(draft, counter, JUDGE) == 0.0
    assert evidence_support(Draft(()), ONE, JUDGE) == 0.0


def test_exchanged_evidence_never_keeps_a_passage_of_its_own_question() -> None:
    both = Evidence((*ONE.hits, *TWO.hits))
    first, second = exchanged([ONE, both])
    assert [hit.passage.id for hit in first.hits] == ["b"]
    assert [hit.passage.id for hit in second.hits] == []


@pytest.mark.usefixtures("forwards_once")
def test_on_the_sample_library_support_drops_when_the_evidence_is_of_other_questions(sample_library, sample) -> None:
    from eval.datasets import load_queries
    from pipelines.gathering import Gatherer

    steps = sample_library.parts.steps()
    gatherer = Gatherer(sample_library, steps.selector, replace(steps.gather, k=3))
    items = [item for item in load_queries([sample.queries / "pages.jsonl"]).items if item.query.text.endswith("?")]
    queries = [item.query for item in items[:8]]
    gathered = [gatherer.gather(query, ("page",)).evidence for query in queries]
    drafts = [steps.generator.generate(query, own) for query, own in zip(queries, gathered, strict=True)]
    own = [evidence_support(draft, mine, steps.judge) for draft, mine in zip(drafts, gathered, strict=True)]
    other = [
        evidence_support(draft, theirs, steps.judge) for draft, theirs in zip(drafts, exchanged(gathered), strict=True)
    ]
    assert min(own) >= 0.99
    assert all(theirs < mine for mine, theirs in zip(own, other, strict=True))
    assert sum(other) / len(other) < 0.5
