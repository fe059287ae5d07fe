"""Pairs of one patient, case or near-duplicate stay on one side of every split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexers.encoders.aligned.features import nearly_equal
from indexers.encoders.aligned.groups import assign_folds, group_pairs, split_off
from indexers.encoders.aligned.terms import BUCKETS, fit_terms, term_counts
from rag.errors import UsageError

FAR = np.eye(6, dtype=np.float32)
DIFFERENT = term_counts(["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"])


def test_pairs_of_one_owner_are_one_group():
    groups = group_pairs(["p1", "p2", "p1", None, "p2", None], FAR, DIFFERENT)
    assert groups.tolist() == [0, 1, 0, 2, 1, 3]


def test_pairs_without_owner_are_joined_by_image_or_text_and_the_rest_is_not():
    images = FAR.copy()
    images[1] = images[0]
    terms = DIFFERENT.copy()
    terms[2] = terms[1]
    assert group_pairs([None] * 6, images, terms).tolist() == [0, 0, 0, 1, 2, 3]
    assert group_pairs(["a", "b", "c", "d", "e", "f"], images, terms).tolist() == [0, 1, 2, 3, 4, 5]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=20, max_size=80), st.integers(0, 99))
def test_folds_never_split_a_group(rows, seed):
    names = {name: number for number, name in enumerate(dict.fromkeys(group for group, _ in rows))}
    groups = np.array([names[group] for group, _ in rows])
    strata = np.array([stratum for _, stratum in rows])
    n_folds = min(4, len(names))
    folds = assign_folds(groups, strata, n_folds, seed)
    assert all(len(set(folds[groups == group])) == 1 for group in names.values())
    assert set(folds) == set(range(n_folds))
    assert np.array_equal(folds, assign_folds(groups, strata, n_folds, seed))


def test_every_domain_is_spread_over_the_folds():
    groups, strata = np.arange(60), np.repeat([0, 1, 2], 20)
    folds = assign_folds(groups, strata, 5, 0)
    counts = [np.bincount(folds[strata == stratum], minlength=5).tolist() for stratum in range(3)]
    assert counts == [[4] * 5] * 3


def test_held_back_pairs_are_whole_groups_of_about_the_share():
    groups, strata = np.arange(100) // 2, np.zeros(100, dtype=int)
    held = split_off(groups, strata, 0.2, 3)
    assert held.sum() == 20
    assert not set(groups[held]) & set(groups[~held])


def test_one_patient_cannot_be_split():
    with pytest.raises(UsageError, match="40 pairs form 1 groups"):
        assign_folds(np.zeros(40, dtype=int), np.zeros(40, dtype=int), 5, 0)


def test_nearly_equal_knows_a_typing_error_from_another_report():
    texts = [
        "Moderate haze over the disc, vessels blurred, severe cataract of the right eye.",
        "Moderate haze over the disc, vessels blured, severe cataract of the right eye.",
        "The disc is sharp, the vessels are clear and there is no sign of a cataract.",
    ]
    assert nearly_equal(term_counts(texts)).tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_terms_bring_texts_that_share_rare_words_together():
    texts = ["adenocarcinoma of colon", "adenocarcinoma of stomach", "lipoma of skin", "naevus of skin"]
    counts = term_counts(texts)
    assert counts.shape == (4, BUCKETS)
    rows = fit_terms(counts, 3)(term_counts([*texts, "adenocarcinoma", "naevi of the skin"]))
    scores = rows[4:] @ rows[:4].T
    assert scores[0, :2].min() > scores[0, 2:].max()
    assert scores[1].argmax() == 3


def test_a_text_without_words_is_a_row_of_zeros():
    assert not term_counts(["— …"]).any()
    assert not fit_terms(DIFFERENT, 4)(term_counts([""])).any()
