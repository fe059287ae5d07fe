"""The rules that a claim and its quote are held against: numbers, sides, scales, denial, doubt, and their places."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.grounding.alignment import places_agree, tiles
from rag.grounding.checks import (
    certainty_agrees,
    disagreements,
    numbers_agree,
    polarity_agrees,
    qualifiers_agree,
    sides_agree,
)
from rag.grounding.modifiers import tokens, values_of
from rag.grounding.quantities import quantities, with_digits
from rag.grounding.scope import polarity_of


@pytest.mark.parametrize(
    ("claim", "quote", "agrees"),
    [
        ("2.5 cm", "25 mm", True),
        ("twenty-five mm", "25 mm", True),
        ("a 25-mm nodule", "a 2.5 cm nodule", True),
        ("three hundred", "300", True),
        ("5 million", "5,000,000", True),
        ("98.6 °F", "37 °C", True),
        ("5 g/dL", "50 g/L", True),
        ("70 beats per minute", "70 bpm", True),
        ("120/80 mmHg", "120/80 mm Hg", True),
        ("5 to 10 mg", "5–10 mg", True),
        ("7 mg", "5–10 mg", False),
        ("2.5 mm", "25 mm", False),
        ("more than 5 mm", "less than 5 mm", False),
        ("at least 5 mm", "more than 5 mm", True),
        ("5 mm", "5 nodules of 3 mm", False),
        ("6 hours", "6 days", False),
        ("vitamin B6", "vitamin B12", False),
        ("thyroxine (T4)", "thyroxine (T4)", True),
        ("1 inch", "2.5 cm", True),
    ],
)
def test_numbers_are_compared_by_what_they_measure(claim: str, quote: str, agrees: bool) -> None:
    assert numbers_agree(claim, quote) is agrees


def test_a_number_in_the_place_of_another_is_seen_though_the_quote_has_both() -> None:
    quote = "Adults breathe 12 times per minute at rest, infants breathe 40 times per minute at rest."
    assert numbers_agree("Infants breathe 40 times per minute at rest.", quote)
    assert not numbers_agree("Adults breathe 40 times per minute at rest.", quote)


def test_one_stays_a_word_and_spelled_numbers_become_digits() -> None:
    assert with_digits("one of twenty-one or two hundred") == "one of 21 or 200"
    assert [row.value for row in quantities("between 5 and 10 mm")] == [5, 10]
    assert {row.dimension for row in quantities("between 5 and 10 mm")} == {"length"}


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5000), st.sampled_from([("mm", "cm", 10), ("mg", "g", 1000), ("mL", "L", 1000)]))
def test_a_converted_quantity_agrees_and_an_exchanged_unit_does_not(n: int, units: tuple[str, str, int]) -> None:
    small, large, factor = units
    assert numbers_agree(f"{n / factor:.6g} {large}", f"{n} {small}")
    assert not numbers_agree(f"{n} {large}", f"{n} {small}")


@pytest.mark.parametrize(
    ("claim", "quote", "agrees"),
    [
        ("RUL consolidation", "Consolidation of the right upper lobe", True),
        ("The right ventricle pumps blood to the aorta.",
         "The left ventricle pumps blood to the aorta, the right ventricle pumps blood to the lungs.", False),
        ("The right ventricle pumps blood to the lungs.",
         "The left ventricle pumps blood to the aorta, the right ventricle pumps blood to the lungs.", True),
        ("The right and right bronchi enter the lungs.", "The left and right bronchi enter the lungs.", False),
        ("The right and left bronchi enter the lungs.", "The left and right bronchi enter the lungs.", True),
        ("Both: bilateral effusions", "Left and right effusions", True),
        ("OD cataract", "cataract of the left eye", False),
    ],
)  # fmt: skip
def test_sides_hold_in_their_places(claim: str, quote: str, agrees: bool) -> None:
    assert sides_agree(claim, quote) is agrees


@pytest.mark.parametrize(
    ("claim", "quote", "agrees"),
    [
        ("severe effusion", "mild effusion", False),
        ("severe effusion", "effusion", False),
        ("effusion", "mild effusion", True),
        ("slight effusion", "mild effusion", True),
        ("The pressure falls.", "The pressure rises.", False),
        ("The pressure increases.", "The pressure rises.", True),
        ("chronic bronchitis", "acute bronchitis", False),
        ("hypertension", "hypotension", False),
        ("normal heart", "abnormal heart", False),
        ("keratinized epithelium", "nonkeratinized epithelium", False),
        ("The valve closes.", "The valve opens.", False),
        ("The union is stable.", "The ion channel is stable.", True),
        ("The fluid was drained before the film was taken.", "The fluid was drained after the film was taken.", False),
    ],
)  # fmt: skip
def test_scales_and_opposites_are_not_exchanged(claim: str, quote: str, agrees: bool) -> None:
    assert qualifiers_agree(claim, quote) is agrees


@pytest.mark.parametrize(
    ("claim", "quote", "agrees"),
    [
        ("Effusion is not seen.", "No effusion is seen.", True),
        ("Effusion is absent.", "No effusion is seen.", True),
        ("Effusion is present.", "Effusion was excluded.", False),
        ("A fracture is seen.", "No pneumothorax, effusion or fracture.", False),
        ("The heart is enlarged and no fracture is seen.", "No fracture is seen and the heart is enlarged.", True),
        ("The heart is not enlarged.", "No pneumothorax is seen and the heart is enlarged.", False),
        ("Smooth muscle does not line it.", "It is not lined by smooth muscle.", True),
        ("It is lined by smooth muscle.", "It is not lined by smooth muscle.", False),
        ("Residual volume is not the air left in the lungs.", "Residual volume is the air left in the lungs.", False),
        ("It not only filters but also secretes.", "It filters and secretes.", True),
        ("Cells release nitric oxide, which widens vessels.",
         "Cells release nitric oxide (NO), which widens vessels.", True),
        ("EFFUSION IS SEEN.", "NO EFFUSION IS SEEN.", False),
    ],
)  # fmt: skip
def test_denials_are_read_by_their_reach_and_their_place(claim: str, quote: str, agrees: bool) -> None:
    assert polarity_agrees(claim, quote) is agrees


@pytest.mark.parametrize(
    ("claim", "quote", "agrees"),
    [
        ("Pneumonia of the left lung.", "Possible pneumonia of the left lung.", False),
        ("Possible pneumonia.", "Pneumonia is seen.", True),
        ("Smoking causes cancer.", "Smoking may cause cancer.", False),
        ("If these clients bleed, they will likely need surgery.",
         "They will likely need surgery if these clients bleed.", True),
    ],
)  # fmt: skip
def test_what_is_only_thought_possible_is_not_stated(claim: str, quote: str, agrees: bool) -> None:
    assert certainty_agrees(claim, quote) is agrees


def test_what_stands_far_from_a_denial_counts_as_either() -> None:
    states = polarity_of("The valve does not open during the contraction of the ventricle.")
    assert states["open"] == {False}
    assert states["contract"] == {True, False}


def test_a_text_agrees_with_itself_in_every_check() -> None:
    text = "No 5 mm nodule lies in the left upper lobe; a mild effusion may be seen on the right, without fracture."
    assert disagreements(text, text) == []


WORDS = (
    "left right no not mild severe 5 mm 12 % nodule effusion lung is may increased , . and or without the heart T4 "
    "bilateral 3.5 cm"
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS.split()), max_size=24))
def test_any_words_agree_with_themselves(parts: list[str]) -> None:
    text = " ".join(parts)
    assert disagreements(text, text) == []


def test_tokens_hold_modifiers_beside_stems() -> None:
    keys = [token.key for token in tokens("The left and right lungs show two small 5 mm nodules.")]
    assert keys == ["side", "lung", "show", "number", "size", "number", "nodul"]
    assert values_of("bilateral and mild") == {"side": {"left", "right"}, "severity": {"mild"}}


def test_reordered_clauses_are_still_laid_over_each_other() -> None:
    claim = "The heart is mildly enlarged today; a small nodule lies in the left lung base."
    quote = "A small nodule lies in the right lung base. The heart is mildly enlarged today."
    assert len(tiles(claim, quote)) == 2
    assert not places_agree(claim, quote, frozenset(["side"]))
    assert places_agree(claim, quote, frozenset(["severity"]))
