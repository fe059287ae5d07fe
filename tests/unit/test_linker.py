"""The linker on single cases: forms, spellings, abbreviations, ambiguity, and what it must not link."""

import time

import pytest

from knowledge.linking import Linker, lexicon, linkable_keys, load_tables, read_lexicon, save_tables
from knowledge.triples import Concept, Triple, key_of
from rag.errors import SourceError


def concept(name, *forms, key="", domain=""):
    return Concept(key or key_of(name), name, forms, domain)


def keys(linker, text, domain=""):
    return [link.concept for link in linker.link(text, domain)]


def plain(*concepts, **options):
    """A linker without the shipped lexicon."""
    return Linker(concepts, lexicon=(), **options)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("hemorrhage", "haemorrhages"),
        ("esophagus", "Oesophagus"),
        ("tumor", "TUMOURS"),
        ("edema", "oedema"),
        ("diarrhea", "diarrhoea"),
        ("localized fibrosis", "localised fibrosis"),
        ("muscle fiber", "muscle fibres"),
        ("bronchus", "bronchi"),
        ("vertebra", "vertebrae"),
        ("septum", "septa"),
        ("cortex", "cortices"),
        ("metastasis", "metastases"),
        ("pneumothorax", "pneumothoraces"),
        ("meninx", "meninges"),
        ("ganglion", "ganglia"),
        ("stigma", "stigmata"),
        ("iris", "irides"),
        ("foramen", "foramina"),
        ("biopsy", "biopsies"),
        ("abscess", "abscesses"),
        ("Crohn disease", "Crohn's disease"),
        ("Sjögren syndrome", "Sjogren’s syndrome"),
        ("ground-glass opacity", "ground glass opacities"),
        ("microaneurysm", "micro-aneurysms"),
        ("non-small cell cancer", "nonsmall cell cancer"),
        ("β-thalassemia", "beta thalassaemia"),
        ("type 2 diabetes", "Type II diabetes"),
        ("squamous cell carcinoma", "carcinoma, squamous cell"),
        ("Carcinoma, squamous cell", "squamous cell carcinoma"),
        ("fibrosis", "ﬁbrosis"),
        ("fibrosis", "fi\u00adbrosis"),
        ("naïve cell", "nai\u0308ve cells"),
        ("CT scan", "ＣＴ scan"),
    ],
)
def test_other_spellings_numbers_and_orders_of_a_name_are_found(name, written):
    links = plain(concept(name)).link(f"There is {written}.")
    assert [(link.text, link.concept) for link in links] == [(written, key_of(name))]
    assert links[0].score == 0.8 or written.casefold() == name.casefold()


def test_a_terminologys_qualifier_is_no_part_of_a_name():
    (link,) = plain(concept("Subluxation of lens (disorder)")).link("a subluxation of lens")
    assert (link.text, link.score) == ("subluxation of lens", 1.0)


def test_the_score_tells_how_the_form_fits():
    linker = plain(
        concept("Pleural effusion", "hydrothorax"),
        concept("pulmonary embolism", "PE"),
        concept("optic disc", "disc", domain="ophthalmology"),
        concept("spinal disc", "disc", domain="radiology"),
    )
    scores = {
        link.text: link.score for link in linker.link("pleural Effusion, pleural effusions, hydrothorax, PE, disc")
    }
    assert scores == {"pleural Effusion": 1.0, "pleural effusions": 0.8, "hydrothorax": 0.9, "PE": 0.7, "disc": 0.4}
    assert linker.link("disc", "radiology")[0].score == 0.6


def test_abbreviations_are_found_only_as_written():
    linker = plain(
        concept("pulmonary embolism", "PE"), concept("ground-glass opacity", "GGO"), concept("leukemia", "ALL")
    )
    assert keys(linker, "PE and GGOs, all seen in pe class; Pe too") == ["pulmonary embolism", "ground-glass opacity"]
    assert keys(linker, "ALL was diagnosed.") == ["leukemia"]
    assert keys(linker, "NOT ALL OF THE LUNG IS SEEN") == []


def test_the_longest_form_wins_and_the_rest_is_read_on():
    linker = plain(
        concept("effusion"), concept("pleural effusion"), concept("pleural effusion cytology test"), concept("lobe")
    )
    assert keys(linker, "pleural effusion of a lobe; effusion") == ["pleural effusion", "lobe", "effusion"]


def test_no_form_reaches_over_the_end_of_a_sentence():
    linker = plain(concept("lung cancer"), concept("lung"), concept("cancer"), concept("E. coli infection"))
    for text in ("the lung. Cancer is", "the lung; cancer", "the lung, cancer", "the lung\n\ncancer", "lung (cancer)"):
        assert keys(linker, text) == ["lung", "cancer"]
    assert keys(linker, "lung\ncancer and E. coli infection") == ["lung cancer", "e. coli infection"]


def test_an_inverted_name_ends_with_its_phrase():
    linker = plain(concept("pleural effusion"), concept("pleural thickening"), concept("effusion"))
    assert keys(linker, "effusion, pleural.") == ["pleural effusion"]
    assert keys(linker, "effusion, pleural thickening.") == ["effusion", "pleural thickening"]


def test_modifiers_and_plain_words_are_not_linked_alone():
    words = ("left", "right", "stable", "mild", "acute", "chronic", "bilateral", "disease", "onset", "all", "severe")
    linker = plain(*map(concept, words), concept("left lung"), concept("acute hepatitis"))
    assert keys(linker, "Left and right stable mild acute chronic bilateral disease, all severe.") == []
    assert keys(linker, "left lung, acute hepatitis") == ["left lung", "acute hepatitis"]


def test_definitions_and_pieces_of_sentences_are_not_linked():
    long = "a chronic infection of the upper airways in young children and adults"
    linker = plain(concept(long), concept("formation of bone lesions which"), concept("of the lung"), concept("12"))
    assert keys(linker, f"{long}; formation of bone lesions which 12 of the lung") == []


def test_linkable_keys_leave_out_tails_that_describe():
    triples = [
        Triple("gallstone", "treatment", "surgery of the gallbladder"),
        Triple("gallstone", "Definition", "a stone"),
        Triple("gallstone", "located_in", "gallbladder"),
        Triple("pain", "cause", "gallstone"),
    ]
    assert linkable_keys(triples) == {"gallstone", "gallbladder", "pain"}


def test_the_domain_is_given_or_told_by_the_other_links():
    linker = plain(
        concept("geographic atrophy", "GA", domain="ophthalmology"),
        concept("granuloma annulare", "GA", domain="dermatology"),
        concept("drusen", domain="ophthalmology"),
        concept("papule", domain="dermatology"),
    )
    assert keys(linker, "drusen and GA") == ["drusen", "geographic atrophy"]
    assert keys(linker, "a papule, GA?") == ["papule", "granuloma annulare"]
    assert keys(linker, "drusen and GA", "dermatology") == ["drusen", "granuloma annulare"]
    tied = linker.link("drusen, papule, GA")[2]
    assert (tied.concept, tied.score) == ("geographic atrophy", 0.4)
    assert tied.candidates == ("geographic atrophy", "granuloma annulare")


def test_namespaces_rank_what_no_domain_decides():
    given = [
        concept("ataxia", key="DOID:1", domain=""),
        concept("Ataxia", key="HP:2"),
        concept("gait disorder", "ataxia", key="ZZ:3"),
    ]
    assert plain(*given).link("ataxia")[0].candidates == ("DOID:1", "HP:2", "ZZ:3")
    assert plain(*given, namespaces=("HP",)).link("ataxia")[0].candidates == ("HP:2", "DOID:1", "ZZ:3")
    assert plain(*given).link("ataxia")[0].score == 1.0  # named alike, so one thing in two registers


def test_a_concept_given_twice_is_one_with_the_forms_of_both():
    linker = plain(concept("gallstone", "biliary stone"), concept("Gallstone", "cholelith"))
    assert len(linker) == 1
    assert keys(linker, "biliary stone, cholelith, gallstones") == ["gallstone"] * 3


def test_a_lexicon_entry_leads_to_the_concept_of_the_graph_that_shares_a_form():
    graph = [concept("Lung collapse", key="HP:9"), concept("opacity", "polyp of the womb")]
    entries = [
        concept("atelectasis", "lung collapse", "ATX", domain="radiology"),
        concept("carina"),
        concept("PX", "disc"),
        concept("QX", "disc"),
    ]
    linker = Linker(graph, lexicon=entries)
    assert keys(linker, "Atelectases, ATX, lung collapse at the carina") == ["HP:9", "HP:9", "HP:9", "carina"]
    assert linker.link("lung collapse")[0].score == 1.0
    assert len(linker) == 5


def test_a_wider_lexicon_entry_does_not_lead_to_a_narrower_concept():
    linker = Linker([concept("polyp of the womb", "polyp")], lexicon=[concept("polyp", "polypoid growth")])
    assert keys(linker, "polyp; polypoid growth") == ["polyp", "polyp"]
    assert linker.link("polyp")[0].candidates == ("polyp", "polyp of the womb")


def test_the_shipped_lexicon_is_large_and_every_form_finds_its_entry():
    entries = lexicon()
    assert len({entry.key for entry in entries}) >= 1000
    assert {entry.domain for entry in entries} == {"radiology", "pathology", "ophthalmology", "dermatology"}
    linker = Linker(())
    for entry in entries:
        for form in (entry.name, *entry.forms):
            links = linker.link(form, entry.domain)
            assert [(link.start, link.end) for link in links] == [(0, len(form))], form
            assert entry.key in links[0].candidates, form


def test_a_lexicon_is_read_from_toml():
    (entry,) = read_lexicon('[radiology.lung]\n"Air bronchogram" = ["bronchogram"]\n')
    assert entry == Concept("air bronchogram", "Air bronchogram", ("bronchogram",), "radiology")


def test_saved_tables_link_as_the_compiled_ones(tmp_path):
    built = Linker([concept("Pneumothorax"), concept("optic cup", domain="ophthalmology")])
    save_tables(built.tables, tmp_path / "linker.json")
    loaded = Linker.of_tables(load_tables(tmp_path / "linker.json"))
    text = "Pneumothoraces, GGO, cup-to-disc ratio, disc, PE; RCC of the right kidney"
    assert loaded.link(text) == built.link(text)
    assert len(loaded) == len(built)


@pytest.mark.parametrize(
    "damage", [lambda t: t[:40], lambda t: t.replace('"version":"', '"version":"x'), lambda t: "[]"]
)
def test_damaged_or_foreign_tables_are_refused(tmp_path, damage):
    path = tmp_path / "linker.json"
    save_tables(Linker([], lexicon=()).tables, path)
    path.write_text(damage(path.read_text("utf-8")), "utf-8")
    with pytest.raises(SourceError, match="build them again"):
        load_tables(path)


def test_missing_tables_are_a_source_error(tmp_path):
    with pytest.raises(SourceError, match="build them again"):
        load_tables(tmp_path / "none.json")


@pytest.mark.parametrize(
    "unit",
    ["a", "a-", "a\u0301", "\u0301", "x. ", "(", "a, b ", "right lower ", "carcinoma, ", "’", "-", "\x00", "🩻 "],
)
def test_time_is_linear_in_the_text(unit):
    linker = Linker(())

    def seconds(size):
        text = unit * (size // len(unit))
        started = time.process_time()
        linker.link(text)
        return time.process_time() - started

    seconds(1000)
    small, large = min(seconds(50_000) for _ in range(3)), seconds(500_000)
    assert large < 40 * small + 0.5


@pytest.mark.parametrize("text", ["", " ", "\x00\x1f", "\ufeff", "....", "\ud800", "12 34", "’s", "ﷺ", "½ ㎜"])
def test_texts_without_words_have_no_links(text):
    assert Linker(()).link(text) == ()


def test_offsets_stay_right_where_normal_forms_change_length():
    linker = plain(concept("fibrosis"), concept("edema"))
    text = "ﷺ ½ ㎏ ǆ ﬁbrosis \u200bœdema ﬃ oe\u0308dema OEDEMA"
    links = linker.link(text)
    assert [text[link.start : link.end] for link in links] == [link.text for link in links]
    assert links[0].text == "ﬁbrosis"
    assert links[-1].text == "OEDEMA"
