"""How the domain router is judged, and domain-aware against domain-blind retrieval."""

import numpy as np
import pytest

from eval.routing import JudgedImages, calibration_error, f1_of, figures_table, judge_images, router_figures
from eval.routing_retrieval import Systems, compare, comparison_table, query_of
from indexers.domains.examples import Examples
from indexers.domains.fitting import fit_prototypes
from indexers.encoders.unit_rows import unit_rows
from rag.errors import UsageError
from rag.routing import Route, weigh
from rag.types import CaseLocator, Hit, Passage

TRUTH = ("pathology", "pathology", "radiograph", "unknown")
CALLED = ("pathology", "radiograph", "radiograph", "unknown")


def judged(truth, called, own=None):
    shares = tuple({name: 1.0} for name in called)
    return JudgedImages(own or truth, truth, called, shares, (0,) * len(truth), ("radiograph", "pathology", "unknown"))


def test_figures_by_hand():
    figures = router_figures(judged(TRUTH, CALLED, ("pathology", "pathology", "radiograph", "endoscopy")))
    assert figures.names == ("radiograph", "pathology", "unknown")
    assert figures.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert figures.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert figures.strict_macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert figures.unknown_recall == 1.0
    assert figures.false_unknown == 0.0
    assert figures.calibration_error == pytest.approx(0.25)
    assert figures.as_json()["confusion"]["pathology"] == {"radiograph": 1, "pathology": 1}
    assert "| pathology | 1 | 1 | 0 | 0.667 |" in figures_table(figures)


def test_f1_of_a_domain_never_called_is_zero():
    assert f1_of(("pathology",), ("unknown",)) == {"pathology": 0.0}


def test_honest_probabilities_have_no_calibration_error():
    rows = [{"pathology": 0.8, "unknown": 0.2}] * 5
    assert calibration_error(("pathology",) * 4 + ("unknown",), rows) == pytest.approx(0.0)
    assert calibration_error(("unknown",) * 5, rows) == pytest.approx(0.8)


def images(rare=0, **sizes):
    rng = np.random.default_rng(0)
    domains = tuple(name for name, n in sizes.items() for _ in range(n)) + ("endoscopy",) * rare
    centre = {name: place for place, name in enumerate(dict.fromkeys(domains))}
    rows = unit_rows([np.eye(12)[centre[domain]] + rng.normal(0, 0.15, 12) for domain in domains])
    return Examples(rows, domains, domains, tuple(f"p{place // 2}" for place in range(len(domains))))


def test_images_are_judged_by_prototypes_that_never_saw_their_patient():
    examples = images(pathology=60, radiograph=60, rare=16)
    seen = []

    def fit(some):
        seen.append(set(some.groups))
        return fit_prototypes(some)

    found = judge_images(examples, fit)
    assert len(seen) == 5
    for fold, groups in enumerate(seen):
        assert not groups & {group for group, own in zip(examples.groups, found.folds, strict=True) if own == fold}
    assert found.served == ("radiograph", "pathology", "unknown")
    assert found.truth.count("unknown") == 16
    assert router_figures(found).macro_f1 > 0.95


def test_a_library_without_labelled_cases_is_refused_in_words():
    with pytest.raises(UsageError, match="nothing to judge"):
        judge_images(Examples(np.empty((0, 0), np.float32), (), (), ()), fit_prototypes)
    with pytest.raises(UsageError, match="enough labelled images"):
        judge_images(images(pathology=12), fit_prototypes)


def case(name, domain, patient=None):
    return Passage(name, "case", "set", f"text of {name}", CaseLocator(name, patient=patient), meta={"domain": domain})


CASES = [case("a", "pathology", "p"), case("b", "pathology", "p"), case("c", "ophthalmology"), case("d", "other")]


def systems():
    ranked = [Hit(CASES[place], 1.0 / rank) for rank, place in enumerate((2, 3, 1, 0), start=1)]
    return Systems(
        lambda query: ranked,
        lambda query, passage: Route({}, {passage.meta["domain"]: 1.0} if passage.meta["domain"] != "other" else {}),
        lambda hits, route: weigh(hits, route)[0],
    )


def test_aware_and_blind_are_compared_on_the_same_lists():
    found = compare(CASES, "text", systems())
    assert (found.n_ndcg, found.n_wrong) == (2, 3)
    blind, aware, ratio = found.ndcg
    assert blind.value == pytest.approx(1 / 2)
    assert aware.value == pytest.approx(1.0)
    assert ratio.value == pytest.approx(2.0)
    assert found.wrong[0].value == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.by_domain["ophthalmology"] == (1, 1.0, 1.0)
    assert "| text | nDCG@10 | 2 | 0.500" in comparison_table([found])
    assert found.as_json()["wrong_domain@10"]["n"] == 3


def test_cases_without_an_image_ask_no_image_query():
    assert query_of(CASES[0], "image") is None
    empty = compare(CASES, "image", systems())
    assert (empty.n_ndcg, empty.ndcg[0].value) == (0, None)
    assert "undefined" in comparison_table([empty])
