"""Domains by words, records and tags; partitions and corpora by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.domains.names import DOMAINS, IMAGE_DOMAINS, most_probable, normalised, parse_domain
from rag.domains.partitions import (
    PARTITIONS,
    choose_corpora,
    choose_partition,
    parse_corpus,
    parse_partition,
    partition_terms,
)
from rag.domains.records import caption_domain, domain_of, named_domain
from rag.domains.tags import tag_domain
from rag.domains.terms import MOST, compile_rules, domain_scores, shipped_terms, text_posterior
from rag.errors import QueryError
from rag.types import CaseLocator, PageLocator, Passage


def case(text="a case", **meta):
    return Passage("c", "case", "set", text, CaseLocator("1"), meta=meta)


def figure(caption):
    return Passage("f", "figure", "book", caption, PageLocator(1))


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("Is there a pleural effusion on this chest X-ray?", "radiograph"),
        ("What does the CT show in the liver?", "cross-section"),
        ("T2-weighted image with a hyperintense lesion", "cross-section"),
        ("Transvaginal ultrasound: an anechoic area", "ultrasound"),
        ("H&E section with mitoses and nuclear atypia", "pathology"),
        ("Fundus photograph, pale optic disc", "ophthalmology"),
        ("Dermoscopy of a pigmented skin lesion", "clinical-photo"),
        ("Colonoscopy: a pedunculated polyp in the cecum", "endoscopy"),
        ("What is the dose of warfarin?", "text"),
        ("The heart pumps blood.", "text"),
    ],
)
def test_words_point_to_a_domain(text, domain):
    assert most_probable(text_posterior(shipped_terms().match(text))) == domain


def test_codes_keep_their_case_and_words_do_not():
    rules = shipped_terms()
    assert [match.domain for match in rules.match("a CT")] == ["cross-section"]
    assert rules.match("he said so; act") == ()
    assert rules.match("FUNDUS")[0].domain == "ophthalmology"


def test_the_longest_phrase_at_a_place_counts_once_and_plurals_are_forgiven():
    found = shipped_terms().match("Squamous cell carcinoma of the skin; two radiographs, and radiographs again")
    assert [match.term for match in found] == ["squamous cell carcinoma of the skin", "radiograph"]


def test_one_hint_is_weaker_than_the_prior_of_text():
    assert most_probable(text_posterior(shipped_terms().match("a cell"))) == "text"


@given(st.text())
def test_any_text_gives_a_distribution(text):
    matches = shipped_terms().match(text)
    posterior = text_posterior(matches)
    assert sum(posterior.values()) == pytest.approx(1)
    assert all(score <= MOST for score in domain_scores(matches).values())


def test_word_lists_refuse_doubles_unknown_sorts_and_unknown_domains():
    with pytest.raises(ValueError, match="two lists"):
        compile_rules({"pathology": {"names": ["cell"]}, "endoscopy": {"hints": ["Cell"]}})
    with pytest.raises(ValueError, match="none of"):
        compile_rules({"pathology": {"nouns": ["cell"]}})
    with pytest.raises(QueryError, match="did you mean 'pathology'"):
        compile_rules({"patology": {"names": ["cell"]}})


@pytest.mark.parametrize(
    ("meta", "domain"),
    [
        ({"domain": "radiology", "modality": "X-ray"}, "radiograph"),
        ({"domain": "radiology", "modality": "MRI"}, "cross-section"),
        ({"domain": "pathology", "modality": "whole-slide image"}, "pathology"),
        ({"domain": "histology"}, "pathology"),
        ({"domain": "ophthalmology", "modality": "color fundus photograph"}, "ophthalmology"),
        ({"domain": "clinical_photo"}, "clinical-photo"),
        ({"domain": "Cross-Section"}, "cross-section"),
        ({"domain": "other"}, "unknown"),
        ({"domain": "botany"}, None),
        ({"domain": "radiology"}, None),
        ({}, None),
    ],
)
def test_a_record_tells_its_domain(meta, domain):
    assert domain_of(case(**meta)) == domain


def test_the_caption_decides_within_a_specialty_and_for_figures_only():
    assert domain_of(case("The fracture on this radiograph", domain="radiology")) == "radiograph"
    assert domain_of(case("A micrograph", domain="radiology")) is None
    assert domain_of(case("A micrograph of skin")) is None
    assert domain_of(figure("Figure 4.3 Light microscopy of skin")) == "pathology"
    assert domain_of(figure("Figure 4.3 The layers of skin")) is None
    assert caption_domain("an MRI beside an X-ray") is None
    assert named_domain("ultrasound and MRI") is None


def test_tags_name_the_domain():
    assert tag_domain({"Modality": " dx "}) == "radiograph"
    assert tag_domain({"Modality": "SM"}) == "pathology"
    assert tag_domain({"Modality": "OT"}) is None
    assert tag_domain({}) is None


def test_a_domain_is_asked_for_by_its_exact_name():
    assert [parse_domain(name) for name in IMAGE_DOMAINS] == list(IMAGE_DOMAINS)
    with pytest.raises(QueryError, match="did you mean 'ophthalmology'"):
        parse_domain("Opthalmology")


def test_weights_become_a_distribution_in_the_order_of_the_domains():
    assert normalised({"unknown": 1.0, "pathology": 3.0, "text": 0.0}) == {"pathology": 0.75, "unknown": 0.25}
    for bad in ({}, {"text": 0.0}, {"text": 2.0, "unknown": -1.0}):
        with pytest.raises(ValueError, match="must not be negative"):
            normalised(bad)
    assert most_probable({"pathology": 0.5, "radiograph": 0.5}) == min("pathology", "radiograph", key=DOMAINS.index)


def test_there_are_nineteen_partitions_each_with_words():
    assert len(set(PARTITIONS)) == 19
    assert set(partition_terms()) == set(PARTITIONS)
    assert all(partition_terms().values())


@pytest.mark.parametrize("name", PARTITIONS)
def test_a_partition_is_chosen_by_its_own_words(name):
    assert parse_partition(name) == name
    own = max(partition_terms()[name], key=len)
    assert choose_partition(f"What is seen in {own}?").partition == name


def test_a_partition_outside_the_list_is_refused_with_the_nearest():
    with pytest.raises(QueryError, match="did you mean 'Central nervous system'"):
        parse_partition("central nervous system")
    with pytest.raises(QueryError, match="did you mean 'Breast'"):
        parse_partition("breasts")


def test_without_tissue_or_between_two_the_search_is_global():
    assert choose_partition("Which stain is best?").partition is None
    tie = choose_partition("brain or breast?")
    assert tie.partition is None
    assert set(tie.terms) == {"brain", "breast"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("What does Anatomy Physiology say about bone?", ("anatomy_physiology",)),
        ("According to the Anatomy-Physiology textbook, what is bone?", ("anatomy_physiology",)),
        ("warfarin (anatomy_physiology)", ("anatomy_physiology",)),
        ('in "Pharmacology" and set2', ("pharmacology", "set2")),
        ("the pharmacology book on warfarin", ("pharmacology",)),
        ("cases from set2 with effusion", ("set2",)),
        ("pharmacology of warfarin", ()),
        ("Which anatomy and physiology matters in lung cancer?", ()),
        ("What causes lung cancer, and what is the prognosis of lung cancer?", ()),
        ("set23 and aset2", ()),
    ],
)
def test_a_corpus_is_chosen_by_name(text, named):
    assert choose_corpora(text, ("anatomy_physiology", "pharmacology", "set2", "lung_cancer", " ")) == named


def test_a_corpus_that_is_not_there_is_refused_with_the_nearest():
    assert parse_corpus("set2", ("pharmacology", "set2")) == "set2"
    with pytest.raises(QueryError, match="did you mean 'pharmacology'"):
        parse_corpus("farmacology", ("pharmacology", "set2"))
