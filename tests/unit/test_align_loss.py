"""The contrastive loss, its targets and its gradients."""

import numpy as np
import pytest

from indexers.encoders.aligned.loss import contrastive_loss, make_targets
from indexers.encoders.aligned.network import AdamOptions, start_network
from indexers.encoders.unit_rows import unit_rows

RNG = np.random.default_rng(0)
N = 7
ALIKE = np.eye(N, dtype=bool)
ALIKE[1, 2] = ALIKE[2, 1] = True
LIKENESS = RNG.uniform(-1, 1, (N, N)).astype(np.float32)
STRATA = np.array([0, 0, 0, 1, 1, 1, 1])
TARGETS = make_targets(ALIKE, LIKENESS, STRATA, 0.3, 2.0)


def rows(seed):
    return unit_rows(np.random.default_rng(seed).standard_normal((N, 5)))


def test_targets_are_shares_and_nearly_equal_texts_share_evenly():
    np.testing.assert_allclose(TARGETS.shares.sum(axis=1), 1, rtol=1e-5)
    hard = make_targets(ALIKE, LIKENESS, STRATA, 0.0, 2.0).shares
    assert hard[1].tolist() == [0, 0.5, 0.5, 0, 0, 0, 0]
    assert hard[0].tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_only_negatives_of_the_same_domain_weigh_more():
    assert TARGETS.offsets[0, 1] == pytest.approx(np.log(2))
    assert TARGETS.offsets[0, 4] == 0
    assert TARGETS.offsets[0, 0] == 0
    assert TARGETS.offsets[1, 2] == 0


def test_gradients_agree_with_differences():
    images, texts = rows(1).astype(np.float64), rows(2).astype(np.float64)
    loss = contrastive_loss(images, texts, TARGETS, 0.2)
    for matrix, gradient in ((images, loss.by_images), (texts, loss.by_texts)):
        for place in ((0, 0), (2, 3), (6, 4)):
            matrix[place] += 1e-5
            above = contrastive_loss(images, texts, TARGETS, 0.2).value
            matrix[place] -= 2e-5
            below = contrastive_loss(images, texts, TARGETS, 0.2).value
            matrix[place] += 1e-5
            assert gradient[place] == pytest.approx((above - below) / 2e-5, rel=1e-3, abs=1e-6)


def test_a_perfect_match_costs_less_than_a_wrong_one():
    right = np.eye(N, dtype=np.float32)
    wrong = np.roll(right, 1, axis=0)
    plain = make_targets(np.eye(N, dtype=bool), LIKENESS, STRATA, 0.0, 1.0)
    assert contrastive_loss(right, right, plain, 0.1).value < 0.01
    assert contrastive_loss(right, wrong, plain, 0.1).value > 5


def test_a_batch_of_targets_sums_to_one_again():
    batch = TARGETS.take(np.array([1, 4, 6]))
    np.testing.assert_allclose(batch.shares.sum(axis=1), 1, rtol=1e-5)
    assert batch.offsets.shape == (3, 3)


@pytest.mark.parametrize("width", [0, 6])
def test_steps_lower_the_loss(width):
    rng = np.random.default_rng(5)
    inputs, texts = rng.standard_normal((N, 9)).astype(np.float32), rows(4)
    network = start_network(rng.standard_normal((9, 5)).astype(np.float32), width, rng)
    losses = []
    for _ in range(60):
        loss = contrastive_loss(network.forward(inputs), texts, TARGETS, 0.2)
        losses.append(loss.value)
        network.step(loss.by_images, AdamOptions(0.02, 0.0))
    assert losses[-1] < losses[0] - 0.5


def test_backward_agrees_with_differences():
    rng = np.random.default_rng(6)
    network = start_network(rng.standard_normal((4, 3)), 5, rng)
    network.correction[:] = rng.standard_normal((5, 3))
    network.hidden = network.hidden.astype(np.float64)
    network.correction = network.correction.astype(np.float64)
    inputs, towards = rng.standard_normal((6, 4)), rng.standard_normal((6, 3))
    network.forward(inputs)
    gradients = network._backward(towards)
    for weight, gradient in zip((network.linear, network.hidden, network.correction), gradients, strict=True):
        weight[1, 2] += 1e-6
        above = (network.forward(inputs) * towards).sum()
        weight[1, 2] -= 2e-6
        below = (network.forward(inputs) * towards).sum()
        weight[1, 2] += 1e-6
        assert gradient[1, 2] == pytest.approx((above - below) / 2e-6, rel=1e-3, abs=1e-7)
