"""What the extractor promises: sides are never lost, every statement can be traced, no text breaks it."""

import time
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.extraction import gold
from knowledge.extraction import RuleExtractor, Source, SpanLinker, TripleExtractor, extract
from knowledge.linking import Linker
from knowledge.triples import Concept, Triple

SOURCE = Source("book", "p1", "report", name="ours", license="CC0")


def triples(text, style="report", linker=None, **source):
    found = RuleExtractor(linker).extract(text, Source("d", "p", style, **source))
    return {statement.triple for statement in found}


class Span(NamedTuple):
    start: int
    end: int
    concept: str
    name: str


class Words:
    """A linker that knows some words."""

    def __init__(self, **concepts):
        self.concepts = {name.replace("_", " "): key for name, key in concepts.items()}

    def link(self, text):
        folded = text.lower()
        places = ((name, folded.find(name)) for name in self.concepts)
        return [Span(at, at + len(name), self.concepts[name], name) for name, at in places if at >= 0]


def test_the_protocols_are_played():
    assert isinstance(RuleExtractor(), TripleExtractor)
    assert isinstance(Words(), SpanLinker)


def test_a_report_sentence_in_full():
    assert triples("Small left effusion is unchanged. No mass in the right upper lobe.") == {
        Triple("study", "has_finding", "effusion", "present", "stable"),
        Triple("effusion", "change", "stable", "present", "stable"),
        Triple("small", "modify", "effusion"),
        Triple("left", "modify", "effusion"),
        Triple("study", "has_finding", "mass", "absent"),
        Triple("mass", "located_at", "right upper lobe", "absent"),
    }


@pytest.mark.parametrize(
    "text",
    [
        "Left pleural effusion.", "There is a pleural effusion on the left.", "Opacity in the left lower lobe.",
        "The left lung is clear.", "Left lower lobe nodule.", "In the left eye there are drusen.",
        "Drusen in the macula of the left eye.", "Left breast: fibroadenoma.", "Left-sided pneumothorax.",
        "Effusion, left, small.", "The left hilum is prominent.", "No effusion on the left.",
    ],
)  # fmt: skip
def test_a_side_is_never_lost_or_turned(text):
    said = " ".join(f"{one.head} {one.tail}" for one in triples(text))
    assert "left" in said
    turned = text.replace("left", "right").replace("Left", "Right")
    mirrored = {
        Triple(
            one.head.replace("left", "right"), one.relation, one.tail.replace("left", "right"), one.polarity, one.change
        )
        for one in triples(text)
    }
    assert triples(turned) == mirrored


def test_support_points_at_the_sentence_and_quotes_its_words():
    text = "FINDINGS: The heart is enlarged.\nThere is a small nodule in the left lung."
    found = RuleExtractor().extract(text, SOURCE)
    assert len(found) >= 5
    for statement in found:
        support = statement.support
        sentence = text[support.start : support.end]
        assert sentence in ("The heart is enlarged.", "There is a small nodule in the left lung.")
        assert support.head_text in sentence
        assert support.tail_text in sentence
        assert (support.document, support.passage, support.source, support.license) == ("book", "p1", "ours", "CC0")
        assert support.method == "rules-1"
        assert 0 < support.confidence <= 1


def test_only_sections_that_assert_are_read_in_reports():
    text = "INDICATION: Evaluate for pneumonia.\nHISTORY: lung cancer.\nFINDINGS: No effusion.\n"
    assert {one.tail for one in triples(text)} == {"effusion"}
    assert triples("Evaluate for pneumonia.") == set()


def test_a_finding_that_went_is_absent_and_its_going_a_fact():
    assert triples("The effusion has resolved.") == {
        Triple("study", "has_finding", "effusion", "absent", "resolved"),
        Triple("effusion", "change", "resolved", "present", "resolved"),
    }


def test_captions_may_have_a_subject_of_their_own_and_none():
    assert Triple("histology", "has_finding", "necrosis") in triples("Necrosis.", "caption", subject="histology")
    assert triples("Necrosis.", "caption", subject="") == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tinea is caused by dermatophytes.", Triple("dermatophytes", "causes", "tinea")),
        ("Tinea is not caused by mites.", Triple("mites", "causes", "tinea", "absent")),
        ("Tinea may be caused by mites.", Triple("mites", "causes", "tinea", "uncertain")),
        ("Uveitis is inflammation of the uvea.", Triple("uveitis", "located_at", "uvea")),
        ("The iris is part of the uvea.", Triple("iris", "part_of", "uvea")),
        ("Endothelium lines the blood vessels.", Triple("endothelium", "located_at", "blood vessels")),
        ("Iritis: inflammation of the iris.", Triple("iritis", "is_a", "inflammation")),
        ("Acne is treated with isotretinoin.", Triple("acne", "treated_by", "isotretinoin")),
        ("Isotretinoin is used to treat acne.", Triple("acne", "treated_by", "isotretinoin")),
        ("Mumps presents with fever and headache.", Triple("mumps", "has_finding", "headache")),
        ("A keratosis is a form of dermatosis.", Triple("keratosis", "is_a", "dermatosis")),
    ],
)  # fmt: skip
def test_definitions(text, expected):
    assert expected in triples(text, "definition")


def test_a_definition_without_a_subject_says_nothing():
    assert triples("It is caused by bacteria.", "definition") == set()
    assert triples("In the liver, bile is made.", "definition") == set()


def test_it_and_the_disease_mean_what_was_defined_just_before():
    text = "Scabies is an infestation of the skin. It is caused by mites. The disease presents with itching. Done."
    found = RuleExtractor().extract(text, Source("d", "p", "definition"))
    pointed = {one.triple: one.support for one in found if one.support.start > 0}
    assert pointed[Triple("mites", "causes", "scabies")].tail_text == "It"
    assert pointed[Triple("scabies", "has_finding", "itching")].head_text == "The disease"
    assert all(
        support.confidence < 0.8 for triple, support in pointed.items() if "scabies" in (triple.head, triple.tail)
    )
    assert triples("It rained. It is caused by mites.", "definition") == set()


def test_linked_concepts_give_keys_and_longer_words_stay_tied_to_them():
    linker = Words(lower_lobe="UBERON:1", effusion="HP:1")
    found = triples("Effusion in the left lower lobe. Hepatic effusion.", linker=linker)
    assert Triple("HP:1", "located_at", "left lower lobe") in found
    assert Triple("left lower lobe", "is_a", "UBERON:1") in found


def test_a_concept_never_swallows_a_denial_a_hedge_or_a_change():
    linker = Words(no_retinopathy="X:1", possible_retinopathy="X:2", new_retinopathy="X:3", retinopathy="X:4")
    assert triples("There is no retinopathy.", linker=linker) == {Triple("study", "has_finding", "X:4", "absent")}
    assert triples("Possible retinopathy.", linker=linker) == {Triple("study", "has_finding", "X:4", "uncertain")}
    assert Triple("study", "has_finding", "X:4", "present", "new") in triples("New retinopathy.", linker=linker)


def test_a_concept_of_a_part_in_a_state_is_a_finding():
    linker = Words(pale_optic_disc="HP:2")
    assert triples("No pale optic disc.", linker=linker) == {Triple("study", "has_finding", "HP:2", "absent")}


def test_a_concept_can_be_of_a_known_category():
    linker = Words(zorgon="X:1")
    assert triples("A zorgon in the lung.", linker=linker) == set()
    extractor = RuleExtractor(linker, category_of=lambda key: "observation")
    found = {one.triple for one in extractor.extract("No zorgon in the lung.", SOURCE)}
    assert Triple("X:1", "located_at", "lung", "absent") in found


def test_the_graphs_own_linker_fits():
    concepts = [Concept("HP:0002202", "Pleural effusion"), Concept("UBERON:0002048", "lung")]
    found = triples("No pleural effusion in the lung.", linker=Linker(concepts, lexicon=()))
    assert Triple("HP:0002202", "located_at", "UBERON:0002048", "absent") in found


def test_the_function_and_the_class_agree():
    text = "No mass in the liver."
    one = extract(text, style="report", document="d", passage="p", tier="report")
    assert {statement.triple for statement in one} == triples(text)


WORDS = [
    "no", "possible", "left", "mass", "lung", "and", "or", ",", ".", ":", "(", "is", "of", "in", "with", "not",
    "without", "/", "3", "cm", "lesions", "The", "likely", "new", "é", "effusion", "shows", "may", "caused by",
    "which", "mild", "-", "normal", "enlarged", "non", ";", "\n",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=25), st.sampled_from(["report", "caption", "definition"]))
def test_no_text_breaks_it(words, style):
    text = " ".join(words)
    for statement in RuleExtractor().extract(text, Source("d", "p", style)):
        assert 0 <= statement.support.start < statement.support.end <= len(text)
        assert statement.triple.head
        assert statement.triple.tail


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=150), st.sampled_from(["report", "caption", "definition"]))
def test_no_characters_break_it(text, style):
    assert isinstance(RuleExtractor().extract(text, Source("d", "p", style)), list)


def test_a_megabyte_without_a_stop_is_passed_over_quickly():
    start = time.process_time()
    assert triples("lung mass " * 100_000) == set()
    assert time.process_time() - start < 5


def test_it_reads_a_thousand_sentences_a_second():
    extractor = RuleExtractor()
    texts = [(one.row["text"], one.row["style"]) for one in gold()]
    for text, style in texts[:20]:
        extractor.extract(text, Source("d", "p", style))
    start = time.process_time()
    for text, style in texts:
        extractor.extract(text, Source("d", "p", style))
    assert len(texts) / (time.process_time() - start) > 700  # measured at 3,000 and more; slow shared machines pass
