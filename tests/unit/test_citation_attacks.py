"""The citation attack set on the sample library, a smaller one with a fixed seed: floors for what must be caught."""

import pytest

from benchmarks.attack_making import CITATION_KINDS, FLIP_KINDS, TRUE_KINDS, make_cases
from benchmarks.citation_attacks import figures, judged


@pytest.fixture
def passages(sample_library):
    return [*sample_library.passages("page"), *sample_library.passages("case")]


@pytest.mark.parametrize("seed", [1, 2])
def test_forged_citations_never_pass_and_changed_facts_hardly_ever(passages, seed) -> None:
    cases = make_cases(passages, 30, seed)
    found = figures(judged(cases))
    assert {case.kind for case in cases} >= {*CITATION_KINDS, *FLIP_KINDS, "verbatim", "reordered", "synonym", "merged"}
    assert found["attacks"] >= 200
    assert found["true_claims"] >= 100
    assert found["forged_past_first_three"] == 0
    assert found["flips_caught"] >= 0.95
    assert found["true_refused"] <= 0.05


def test_cases_are_the_same_for_a_seed_and_attacks_differ_from_the_truth(passages) -> None:
    first, again = make_cases(passages, 10, 3), make_cases(passages, 10, 3)
    assert first == again
    flips = [case for case in first if case.kind in FLIP_KINDS]
    assert all(case.claim.text != " ".join(case.claim.quote.split()) for case in flips)
    assert all(case.true == (case.kind in TRUE_KINDS) for case in first)
