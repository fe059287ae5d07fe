"""Answer metrics: the published worked values of every preset's rules, and the clean default."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.choices import (
    choice_scores,
    macro_over_sets,
    medevalkit_choice,
    mirage_choice,
    parse_choice,
    set_scores,
    standard_error,
)
from eval.metrics.classes import auroc, class_scores, cohen_kappa
from eval.metrics.closed import (
    decision,
    final_answer,
    llava_med_closed,
    medevalkit_closed,
    strict_category,
    strict_closed,
    temmed_closed,
)
from eval.metrics.normalise import challenge, clean
from eval.metrics.pairs import (
    PairReply,
    accuracy_by,
    intersection_over_union,
    mean_iou,
    pair_scores,
    pair_scores_by_category,
)
from eval.metrics.scores import Score, mean_score, share
from eval.metrics.words import (
    candidate_answer,
    exact_match,
    llava_med_exact,
    llava_med_overlap,
    set_overlap,
    token_f1,
    token_overlap,
)

OPTIONS = {"A": "pleural effusion", "B": "pneumothorax", "C": "effusion", "D": "none of these"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The left lung.", "left lung"), ("None", "0"), ("two", "2"), ("X-ray", "x ray"), ("1,000 mL", "1000 ml"),
        ("T2-weighted/FLAIR", "t2 weighted flair"), ("isnt", "isn't"), ("3.5 cm", "3.5 cm"), ("A", ""),
        ("Option A.", "option"),
    ],
)  # fmt: skip
def test_published_values_of_the_challenge_normaliser(text, expected):
    assert challenge(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Left Lung.", "left lung"), ("A", "a"), ("1,000 mL", "1000 ml"), ("3.5 cm", "3.5 cm"), ("two", "2"),
        ("none", "none"), ("X-ray", "x ray"), ("ＭＲＩ", "mri"), ("doesn’t", "doesn't"), ("", ""), ("50%", "50%"),
        ("T2-weighted", "t2 weighted"), ("-20 mV", "-20 mv"), ("−20", "-20"), ("3-5 cm", "3 5 cm"), ("<5 cm", "< 5 cm"),
        ("≥-2", "≥ -2"), ("Crohn's", "crohn"), ("pH 7.4", "ph 7.4"), ("post-op", "post op"),
    ],
)  # fmt: skip
def test_the_clean_normaliser(text, expected):
    assert clean(text) == expected


@given(st.text())
def test_the_clean_normaliser_is_idempotent(text):
    assert clean(clean(text)) == clean(text)


def test_exact_match_and_token_f1():
    assert exact_match("The left lung", ["right lung", "Left lung."]) == 1.0
    assert exact_match("lung", ["left lung"]) == 0.0
    assert token_f1("left left lung", ["left lung opacity"]) == pytest.approx(2 / 3)
    overlap = token_overlap("left left lung", "left lung opacity")
    assert (overlap.precision, overlap.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert token_f1("anything", []) == 0.0
    assert token_overlap("", "").f1 == 1.0
    assert token_overlap("", "x").f1 == 0.0


def test_published_values_of_llava_meds_bag_of_words():
    repeated = llava_med_overlap("left left lung", "left lung opacity")
    assert (repeated.precision, repeated.recall) == (1.0, 0.75)
    assert repeated.f1 == pytest.approx(0.857, abs=5e-4)
    raw = llava_med_overlap("the mass is in right lung", "right lung", str.lower)
    assert (raw.precision, raw.recall, raw.f1) == (pytest.approx(1 / 3), 1.0, 0.5)
    assert llava_med_exact("left left lung", "left lung opacity") == pytest.approx(2 / 3)
    assert llava_med_overlap("", "x").recall == 0.0


def test_the_candidate_with_the_largest_share_is_the_open_answer():
    assert candidate_answer("it is in the left lung", ["right lung", "left lung", "brain"]) == "left lung"
    assert candidate_answer("nothing known", ["right lung"]) is None


def test_medevalkits_figures_stand_under_their_right_names():
    found = set_overlap("left left lung mass", "left lung")
    assert (found.precision, found.recall, found.f1) == (pytest.approx(2 / 3), 1.0, pytest.approx(0.8))
    assert set_overlap("", "x").f1 == 0.0


@pytest.mark.parametrize(
    ("reply", "gold", "llava", "strict"),
    [
        ("Normal", "no", 1.0, 0.0),
        ("The eyes are shown", "yes", 1.0, 0.0),
        ("I am not sure", "no", 1.0, 0.0),
        ("No, there is none.", "No", 1.0, 1.0),
        ("yes or no", "yes", 1.0, 0.0),
        ("Left", "left", 0.0, 1.0),
        ("Yes.", "yes", 1.0, 1.0),
        ("", "yes", 0.0, 0.0),
    ],
)
def test_substring_and_whole_word_rules_differ_where_they_should(reply, gold, llava, strict):
    assert llava_med_closed(reply, gold) == llava
    assert strict_closed(reply, gold) == strict


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("Yes, there is no effusion.", "yes"), ("No. Yes was wrong.", "no"), ("yes/no", None), ("Yes or no", None),
        ("No and yes", None), ("There is no doubt: yes", None), ("no, no effusion", "no"),
    ],
)  # fmt: skip
def test_a_leading_yes_or_no_decides(reply, said):
    scores = {gold: strict_closed(reply, gold) for gold in ("yes", "no")}
    assert scores == {gold: float(gold == said) for gold in scores}
    if "Yes, there" in reply:
        assert strict_closed(reply, "yes", leading_word=False) == 0.0


def test_categories_match_by_whole_words_and_the_longest():
    lungs = ("left lung", "right lung", "lung", "both")
    assert strict_category("It is the LEFT lung.", lungs) == "left lung"
    assert strict_category("left lung and right lung", lungs) is None
    assert strict_category("lungs", lungs) is None
    assert strict_category("left lung, a lung", lungs) is None
    assert strict_closed("left lung", "lung or both", lungs) is None


def test_medevalkits_closed_rule():
    assert medevalkit_closed(r"so \boxed{Yes}", "yes") == 1.0
    assert medevalkit_closed("The answer is: no.", "yes") == 0.0
    assert medevalkit_closed("yes and no", "yes") == 0.0
    assert medevalkit_closed("<answer>left</answer>", "left") == 1.0
    assert final_answer("first <answer>a</answer> then <answer> b </answer>") == "b"


def test_temmed_reads_the_first_letters():
    assert temmed_closed("Yes, it grew", "yes") == 1.0
    assert temmed_closed("none", "No") == 1.0
    assert temmed_closed("It grew", "yes") is None


def test_decisions_of_pubmedqa():
    assert decision("There is some doubt, so the answer is maybe.") == "maybe"
    assert decision("Yes.") == "yes"
    assert decision("yes or maybe") is None


def test_macro_f1_by_hand():
    gold = ["yes", "yes", "no", "maybe"]
    found = class_scores(gold, ["yes", "no", "no", None], ("yes", "no", "maybe"))
    assert found.accuracy == Score(0.5, 4)
    # yes: P 1, R 1/2; no: P 1/2, R 1; maybe: 0.
    assert found.macro_f1.value == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert (found.macro_precision.value, found.macro_recall.value) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (found.unparsed, found.macro_f1.n) == (1, 3)
    assert [one.support for one in found.classes] == [2, 1, 1]
    with pytest.raises(ValueError, match="1 replies for 4"):
        class_scores(gold, ["yes"])


def test_kappa_by_hand():
    first, second = ["a"] * 25 + ["b"] * 25, ["a"] * 20 + ["b"] * 5 + ["a"] * 10 + ["b"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)  # 0.7 observed, 0.5 expected
    assert cohen_kappa(["a", "b"], ["a", "b"]) == 1.0
    assert cohen_kappa([], []) is None
    assert cohen_kappa(["a"], ["a"]) is None


def test_auroc_with_ties_and_one_class():
    assert auroc([1, 1, 0, 0], [0.9, 0.4, 0.4, 0.1]).value == pytest.approx(0.875)
    hard = auroc([1, 1, 1, 0], [1, 1, 0, 0])
    assert hard.value == pytest.approx((2 / 3 + 1) / 2)  # balanced accuracy
    assert auroc([1, 1], [0.5, 0.6]) == Score(None, 2)


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"), ("(b)", "B"), ("**B**", "B"), ("B. pneumothorax", "B"), ("The answer is B.", "B"),
        ("Option B is right", "B"), ("A or B", None), ("Answer: B", "B"), ("It shows a pneumothorax.", "B"),
        ("a pleural effusion", "A"), ("an effusion", "C"), ("pneumothorax and effusion", None), ("", None),
        ("I cannot tell", None), ("A patient has a pneumothorax", "B"), ("(A) and (B)", None),
        ("Considering (A) first. The answer is B", "B"), ("answer: Both", None),
    ],
)  # fmt: skip
def test_a_letter_is_read_from_a_reply(reply, letter):
    assert parse_choice(reply, OPTIONS) == letter


def test_an_option_spelled_out_is_not_read_for_letters_within():
    options = {"A": "vitamin (B) only", "B": "vitamin (A) only"}
    assert parse_choice("vitamin (B) only", options) == "A"
    assert parse_choice("A. vitamin (B) only", options) == "A"
    assert parse_choice("(B) vitamin (A) only", options) == "B"
    assert parse_choice("Most likely it is Rh(D) disease of the lung.", {"A": "disease of the lung", "D": "x"}) == "A"


def test_the_sign_of_a_number_is_part_of_it():
    signed = {"A": "20", "B": "-20", "C": "< 5", "D": "> 5"}
    assert [parse_choice(f"It is {text} mV, clearly", signed) for text in signed.values()] == ["A", "B", "C", "D"]
    assert exact_match("-20", ["20"]) == 0.0


def test_equal_options_are_no_choice():
    assert parse_choice("edema", {"A": "edema", "B": "edema"}) is None
    assert parse_choice("A", {}) is None


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ('{"step": "x", "answer_choice": "C"}', "C"), ("B or C", "B"), ("A/B", "A"), ("think. Option D it is", "D"),
        ("answer: B", "B"), ("C.", "C"), ("none", None), ("E", None),
    ],
)  # fmt: skip
def test_mirages_patterns_in_order(reply, letter):
    assert mirage_choice(reply) == letter


def test_medevalkit_always_finds_an_option():
    assert medevalkit_choice("b.", OPTIONS) == "B"
    assert medevalkit_choice("Effusion", OPTIONS) == "C"
    assert medevalkit_choice("pneumothorx", OPTIONS) == "B"


def test_choice_scores_count_letters_and_what_could_not_be_read():
    found = choice_scores(["A", "A", "B", "C"], ["A", "B", None, "C"])
    assert (found.accuracy, found.unparsed, found.most_frequent) == (Score(0.5, 4), 1, Score(0.5, 4))
    assert [(one.letter, one.recall.value, one.recall.n, one.chosen) for one in found.letters] == [
        ("A", 0.5, 2, 1), ("B", 0.0, 1, 1), ("C", 1.0, 1, 1),
    ]  # fmt: skip
    assert choice_scores([], []).accuracy.value is None
    with pytest.raises(ValueError, match="1 replies for 0"):
        choice_scores([], ["A"])


def test_the_published_standard_error_and_the_macro_over_sets():
    assert standard_error(0.7714, 1273) == pytest.approx(0.0118, abs=5e-5)
    assert macro_over_sets({"a": Score(0.5, 10), "b": Score(1.0, 1000), "c": Score(None, 0)}) == Score(0.75, 2, 1)


def test_sets_of_letters():
    exact, f1 = set_scores([{"A", "B"}, {"C"}], [{"A"}, {"C"}])
    assert (exact, f1.value) == (Score(0.5, 2), pytest.approx((2 / 3 + 1) / 2))


def test_the_published_toy_of_mediconfusion():
    chosen = [("A", "B"), ("A", "A"), (None, "B"), ("B", "A")]
    found = pair_scores([PairReply(("A", "B"), one) for one in chosen])
    assert found.set_accuracy == Score(0.25, 4)
    assert found.individual_accuracy == Score(0.5, 8)
    assert (found.confusion.value, found.confusion.n) == (pytest.approx(1 / 3), 3)
    assert found.invalid == Score(0.125, 8)
    assert found.precision == Score(0.5, 2)


def test_a_pair_counts_once_per_category():
    pair = PairReply(("A", "B"), ("A", "B"))
    found = pair_scores_by_category([pair, pair], [("x", "x", "y"), ("x",)])
    assert {name: one.set_accuracy.n for name, one in found.items()} == {"x": 2, "y": 1}


def test_accuracy_by_number_of_frames_is_largest_first():
    assert accuracy_by([1, 0, 1], [2, 3, 3]) == {"3": Score(0.5, 2), "2": Score(1.0, 1)}


def test_boxes():
    assert intersection_over_union((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert intersection_over_union((0, 0, 1, 1), (2, 2, 3, 3)) == 0.0
    assert intersection_over_union((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0
    found = mean_iou([[(0, 0, 2, 2), (5, 5, 6, 6)], []], [[(0, 0, 2, 2)], [(0, 0, 1, 1)]])
    assert found == Score(0.5, 1, 1)


def test_scores_keep_their_denominator():
    assert mean_score([1, None, 0]) == Score(0.5, 2, 1)
    assert share(0, 0) == Score(None, 0)
    assert Score(1 / 3, 3).as_json() == {"value": 0.333333, "n": 3, "left_out": 0}


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=20))
def test_auroc_is_the_share_of_pairs_in_order(rows):
    positive, trust = zip(*rows, strict=True)
    pairs = [(a > b) + (a == b) / 2 for p, a in rows if p for q, b in rows if not q]
    found = auroc(positive, trust).value
    assert found == (pytest.approx(np.mean(pairs)) if pairs else None)
