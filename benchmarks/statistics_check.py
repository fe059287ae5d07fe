"""Do the intervals cover and the tests keep their level? Simulated, with questions that share patients.

Run: python -m benchmarks.statistics_check [--simulations 1000]

Coverage should be 0.95 and the type-I error at most 0.05; the figures without clusters show what
ignoring patients does.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from benchmarks.history import record
from eval.statistics import BootstrapOptions, Method, mean_interval
from eval.statistics_families import all_pairs_test, benjamini_hochberg, holm
from eval.statistics_tests import RandomisationOptions, mcnemar_test, sign_flip_test, wilson_interval


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    figures = {
        "simulations": args.simulations,
        "standard_error": round((0.05 * 0.95 / args.simulations) ** 0.5, 4),
        "coverage_of_a_skewed_mean": bootstrap_coverage(args.simulations, 80, args.seed),
        "coverage_with_patients": cluster_coverage(args.simulations, 40, 4, args.seed),
        "coverage_of_a_proportion": wilson_coverage(args.simulations, 60, args.seed),
        "type_1_error_sign_flip": sign_flip_error(args.simulations, 30, 4, args.seed),
        "type_1_error_mcnemar": mcnemar_error(args.simulations, 80, args.seed),
        "family_error_of_10": family_error(args.simulations, args.seed),
        "family_error_all_pairs_of_5": all_pairs_error(max(50, args.simulations // 5), args.seed),
        "power_sign_flip": sign_flip_power(args.simulations, 60, args.seed),
    }
    print(json.dumps(record("statistics_check", figures), indent=2))


def bootstrap_coverage(simulations: int, questions: int, seed: int) -> dict[str, float]:
    """How often the 95 % interval of the mean of an exponential (mean 1) holds 1, by method."""
    rng = np.random.default_rng(seed)
    samples = rng.exponential(size=(simulations, questions))
    methods: tuple[Method, ...] = ("bca", "percentile")
    return {
        method: _share(mean_interval(row, BootstrapOptions(1000, seed=number, method=method)) for number, row in
                       enumerate(samples))
        for method in methods
    }  # fmt: skip


def cluster_coverage(simulations: int, patients: int, per_patient: int, seed: int) -> dict[str, float]:
    """As above for answers that share a patient (half of the variance is the patient's)."""
    rng = np.random.default_rng(seed)
    names = np.repeat(np.arange(patients), per_patient).tolist()
    rows = [1 + np.repeat(rng.normal(size=patients), per_patient) + rng.normal(size=patients * per_patient)
            for _ in range(simulations)]  # fmt: skip
    options = [BootstrapOptions(1000, seed=number) for number in range(simulations)]
    pairs = list(zip(rows, options, strict=True))
    return {
        "clustered": _share(mean_interval(row, option, names) for row, option in pairs),
        "clusters_ignored": _share(mean_interval(row, option) for row, option in pairs),
    }


def wilson_coverage(simulations: int, questions: int, seed: int) -> dict[str, float]:
    """How often Wilson's interval holds the true share."""
    rng = np.random.default_rng(seed)
    found = {}
    for share in (0.5, 0.9):
        intervals = [wilson_interval(int(right), questions) for right in rng.binomial(questions, share, simulations)]
        found[str(share)] = float(np.mean([one.low <= share <= one.high for one in intervals]))
    return found


def sign_flip_error(simulations: int, patients: int, per_patient: int, seed: int) -> dict[str, float]:
    """How often two equal systems are called different at 0.05, with and without knowing the patients."""
    rng = np.random.default_rng(seed)
    names = np.repeat(np.arange(patients), per_patient).tolist()
    options = RandomisationOptions(999, seed)
    calls: dict[str, list[bool]] = {"clustered": [], "clusters_ignored": []}
    for _ in range(simulations):
        gap = np.repeat(rng.normal(size=patients), per_patient) + rng.normal(size=patients * per_patient)
        for name, clusters in (("clustered", names), ("clusters_ignored", None)):
            calls[name].append(sign_flip_test(gap, np.zeros_like(gap), clusters, options).p <= 0.05)
    return {name: float(np.mean(called)) for name, called in calls.items()}


def mcnemar_error(simulations: int, questions: int, seed: int) -> float:
    """How often two systems, each right on 7 of 10 questions at random, are called different; exact, so below 0.05."""
    rng = np.random.default_rng(seed)
    draws = rng.random((simulations, 2, questions)) < 0.7
    return float(np.mean([mcnemar_test(first, second).p <= 0.05 for first, second in draws]))


def family_error(simulations: int, seed: int) -> dict[str, float]:
    """How often any of ten true null hypotheses is rejected."""
    draws = np.random.default_rng(seed).uniform(size=(simulations, 10))
    return {
        "uncorrected": float(np.mean(draws.min(axis=1) <= 0.05)),
        "holm": float(np.mean([holm(row).min() <= 0.05 for row in draws])),
        "benjamini_hochberg": float(np.mean([benjamini_hochberg(row).min() <= 0.05 for row in draws])),
    }


def all_pairs_error(simulations: int, seed: int) -> float:
    """How often any pair of five equal systems is called different by the joint permutation."""
    rng = np.random.default_rng(seed)
    options = RandomisationOptions(199, seed)
    tables = rng.normal(size=(simulations, 30, 5)) + rng.normal(size=(simulations, 30, 1))
    return float(np.mean([all_pairs_test(table, options=options).min() <= 0.05 for table in tables]))


def sign_flip_power(simulations: int, questions: int, seed: int) -> dict[str, float]:
    """How often a true difference of so many standard deviations is found."""
    rng = np.random.default_rng(seed)
    options = RandomisationOptions(999, seed)
    zeros = np.zeros(questions)
    return {
        str(effect): float(np.mean([sign_flip_test(row, zeros, options=options).p <= 0.05
                                    for row in rng.normal(effect, 1, size=(simulations, questions))]))
        for effect in (0.2, 0.4, 0.6)
    }  # fmt: skip


def _share(intervals) -> float:  # noqa: ANN001 - an iterator of Estimate
    """The share of intervals that hold 1."""
    return float(np.mean([one.low <= 1.0 <= one.high for one in intervals]))


if __name__ == "__main__":
    main()
