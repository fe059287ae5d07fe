"""What holds for the linker on any text."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from knowledge.linking import Linker
from knowledge.linking.words import hyphenated_words, singular, spelling, words_of
from knowledge.triples import Concept, key_of

LINKER = Linker(
    [Concept(key_of(name), name) for name in ("Pneumothorax", "Carcinoma, ductal", "Naïve cell (disorder)")]
)
WORDS = (
    "pneumothorax Effusion, pleural right lower lobe RLL GGOs ground-glass opacities Crohn’s disease micro-aneurysms "
    "PE pe ALL the disc cup-to-disc ratio . ; ( ) œdema ﬁbrosis ductal carcinoma, E. coli H&E -"
)
PIECES = st.sampled_from([*WORDS.split(), "\n\n"])
TEXTS = st.one_of(st.text(max_size=80), st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=14).map(" ".join))
NAMES = st.sampled_from(
    ["pneumothorax", "pleural effusions", "RLL", "ground-glass opacity", "drusen", "keratin pearls"]
)


@given(TEXTS, st.sampled_from(["", "radiology", "dermatology", "unknown"]))
@settings(max_examples=300, deadline=None)
def test_spans_are_in_order_inside_the_text_and_say_what_stands_there(text, domain):
    links = LINKER.link(text, domain)
    position = 0
    for link in links:
        assert position <= link.start < link.end <= len(text)
        assert text[link.start : link.end] == link.text
        assert link.candidates[0] == link.concept
        assert len(set(link.candidates)) == len(link.candidates)
        assert 0 < link.score <= 1
        position = link.end
    assert Linker.of_tables(LINKER.tables).link(text, domain) == links


@given(
    NAMES, st.text("()[]{}.,;:!?\"'“”„*/\\|<>#~ \t\n", max_size=4), st.text("()[]{}.,;:!?\"'“”*/|<> \t\n", max_size=4)
)
@settings(max_examples=200, deadline=None)
def test_punctuation_around_changes_nothing(name, before, after):
    alone = LINKER.link(name)
    around = LINKER.link(before + name + after)
    assert [(link.text, link.concept, link.score) for link in around] == [
        (link.text, link.concept, link.score) for link in alone
    ]
    assert around[0].start == len(before)


@given(st.lists(TEXTS, max_size=4))
@settings(max_examples=60, deadline=None)
def test_what_was_read_before_changes_nothing(texts):
    fresh = Linker.of_tables(LINKER.tables)
    for text in texts:
        LINKER.link(text)
    assert [fresh.link(text) for text in reversed(texts)] == [LINKER.link(text) for text in reversed(texts)]


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_words_can_be_found_again_in_the_text(text):
    for words in (words_of(text), hyphenated_words(text, lambda _: True), hyphenated_words(text, lambda _: False)):
        position = 0
        for word in words:
            start = text.find(word, position)
            assert start >= position
            assert not any(char.isalnum() for char in text[position:start])
            position = start + len(word)
        assert not any(char.isalnum() for char in text[position:])


@given(st.text(max_size=80))
@example("AOE0")
@settings(max_examples=300, deadline=None)
def test_a_normal_spelling_is_its_own_normal_spelling(word):
    for part in words_of(word):
        once = spelling(part)
        assert spelling(once) == once or not once.isascii()
        assert singular(once, {once}) == once or len(singular(once, {once})) >= 3
