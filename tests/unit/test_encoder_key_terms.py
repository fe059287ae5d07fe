from indexers.encoders.terms import definitions
from indexers.sources.page_mentions import mentions
from rag.types import PageLocator, Passage

TEXT = """Tissue membranes

A tissue membrane is a thin layer of cells that covers the outside of the body. It may be wet or dry.

The synovial membrane lines joint cavities. Its fluid lets bones move freely. Other joints have none."""


def page(terms):
    return Passage("p", "page", "book", TEXT, PageLocator(1), meta={"terms": terms})


def test_each_term_comes_with_its_sentence_and_the_next():
    assert definitions(page("tissue membrane; synovial membrane")) == [
        "tissue membrane: A tissue membrane is a thin layer of cells that covers the outside of the body. "
        "It may be wet or dry.",
        "synovial membrane: The synovial membrane lines joint cavities. Its fluid lets bones move freely.",
    ]


def test_terms_of_one_sentence_share_a_row():
    assert [text.split(":")[0] for text in definitions(page("synovial membrane; joint cavities"))] == [
        "synovial membrane; joint cavities"
    ]


def test_no_terms_or_unknown_terms_give_no_row():
    assert definitions(page("")) == []
    assert definitions(page("spleen")) == []


def test_mentions_are_sentences_that_cite_exactly_this_label():
    texts = [
        "Figure 4.3 Skin layers. A caption.\n\nThe skin has layers (Figure 4.3). The rest (Figure 4.31) differs.",
        "As Fig. 4.3 shows, cells flatten. Nothing here.",
    ]
    assert mentions("Figure 4.3", texts) == ("The skin has layers (Figure 4.3).", "As Fig. 4.3 shows, cells flatten.")
    assert mentions("Table 4.3", texts) == ()
