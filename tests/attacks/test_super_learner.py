"""The super learner: what it weighs, what it is held against, and how often it is misled."""

import numpy as np
import pytest
from scipy.special import expit, logit

from tf_compleak.attacks import super_learner
from tf_compleak.attacks.super_learner import Scale, combine
from tf_compleak.metrics import intervals, roc


def examples(rng, n, leaks, common=0.0):
    """Scores f64[A, n] that lie `leaks` higher for members, errors partly in common; members."""
    members = rng.permutation(n) < n // 2
    errors = rng.standard_normal((len(leaks), n)) + common * rng.standard_normal(n)
    return np.array(leaks)[:, None] * members + errors, members


def combined(rng, n, leaks, common=0.0):
    """The combination, and scores and members of a target like the shadows."""
    held_out, members = examples(rng, n, leaks, common)
    values, target_members = examples(rng, n, leaks, common)
    return combine(held_out, members, np.arange(n), 0), values, target_members


def test_a_scale_is_the_log_odds_of_mean_ranks():
    """A naive twin; beyond the shadows' scores it goes on by their standard deviation."""
    held_out = np.array([3.0, 1.0, 1.0, 5.0, 2.0])
    scale = Scale.of(held_out)
    for value in held_out:
        below, equal = (held_out < value).sum(), (held_out == value).sum()
        assert scale(np.array([value]))[0] == pytest.approx(logit((below + equal / 2) / 5))
    assert scale(np.array([2.5]))[0] == pytest.approx((scale(np.array([2.0, 3.0]))).mean())
    beyond = scale(np.array([5.0, 5.0 + held_out.std(), 1.0 - 2 * held_out.std()]))
    assert beyond[1] - beyond[0] == pytest.approx(1)
    assert scale(np.array([1.0]))[0] - beyond[2] == pytest.approx(2)


def test_neither_units_nor_tails_count():
    rng = np.random.default_rng(0)
    held_out, members = examples(rng, 400, (1.0, 0.8))
    turned = np.stack([np.exp(3 * held_out[0]), 1e-6 * held_out[1]])
    plain, other = (combine(scores, members, np.arange(400), 0) for scores in (held_out, turned))
    np.testing.assert_allclose(plain.weights, other.weights, atol=1e-6)
    np.testing.assert_allclose(plain.score(held_out), other.score(turned), atol=1e-6)


def test_attacks_that_know_different_things_add_up():
    """Two of equal strength with errors of their own: AUC as that of their sum, Phi(leak)."""
    aucs = []
    for seed in range(5):
        combination, values, members = combined(np.random.default_rng(seed), 4000, (1.0, 1.0))
        aucs.append(roc.auc(combination.score(values), members))
        np.testing.assert_allclose(combination.weights, [0.5, 0.5], atol=0.12)
    assert np.mean(aucs) == pytest.approx(0.841, abs=0.008)  # Phi(1); one alone: Phi(0.707) = 0.760


def test_noise_beside_a_strong_attack_costs_next_to_nothing():
    losses = []
    for seed in range(10):
        leaks = (1.0, *[0.0] * 9)
        combination, values, members = combined(np.random.default_rng(seed), 1000, leaks)
        losses.append(roc.auc(values[0], members) - roc.auc(combination.score(values), members))
    assert np.mean(losses) < 0.01


@pytest.mark.parametrize("count", [1, 12])
def test_where_nothing_tells_the_sum_tells_nothing(count):
    """AUCs of sums on another sample are 0.5 within their intervals as often as these say."""
    outside = 0
    for seed in range(200):
        combination, values, members = combined(np.random.default_rng(seed), 200, [0.0] * count)
        auc = intervals.auc_estimate(combination.score(values), members)
        outside += not auc.low <= 0.5 <= auc.high
    assert outside <= 10 + 3 * np.sqrt(200 * 0.05 * 0.95)


def test_held_out_scores_are_by_weights_without_the_example():
    """On noise with many attacks the weights fit the sample; held-out sums must not."""
    held_out_aucs, own_aucs = [], []
    for seed in range(20):
        held_out, members = examples(np.random.default_rng(seed), 100, [0.0] * 20)
        combination = combine(held_out, members, np.arange(100), 0)
        held_out_aucs.append(roc.auc(combination.held_out, members))
        own_aucs.append(roc.auc(combination.score(held_out), members))
    assert abs(np.mean(held_out_aucs) - 0.5) < 0.04 < np.mean(own_aucs) - 0.5


def test_the_threshold_is_at_home_on_the_target():
    combination, values, members = combined(np.random.default_rng(1), 4000, (1.5, 1.0))
    scores = combination.score(values)
    best = roc.balanced_accuracy(scores, members, roc.best_threshold(scores, members))
    assert roc.balanced_accuracy(scores, members, combination.threshold) > best - 0.01


def test_a_strong_attack_among_many_weak_ones_is_taken_alone_where_the_sum_harms():
    """Few examples and many attacks that tell nothing: the weights of a sum are chance."""
    kept, losses = [], []
    for seed in range(12):
        leaks = (2.0, *[0.0] * 30)
        combination, values, members = combined(np.random.default_rng(seed), 80, leaks)
        weights = combination.all_weights(31)
        assert (weights >= 0).all() and weights.sum() == pytest.approx(1)
        kept.append(weights[0])
        losses.append(roc.auc(values[0], members) - roc.auc(combination.score(values), members))
    assert 1.0 in kept and np.mean(losses) < 0.02


def test_only_the_best_of_very_many_are_combined():
    rng = np.random.default_rng(4)
    leaks = np.linspace(1, 0, super_learner.MOST + 20)
    held_out, members = examples(rng, 500, leaks)
    combination = combine(held_out, members, np.arange(500), 0)
    assert len(combination.parts) <= super_learner.MOST
    aucs = np.array([roc.auc(scores, members) for scores in held_out])
    assert aucs[combination.parts].min() >= np.sort(aucs)[-super_learner.MOST]


def test_examples_of_several_shadows_are_held_out_together():
    """Scores that tell examples apart, each known to two shadows with the other membership."""
    rng = np.random.default_rng(5)
    which = rng.standard_normal((15, 60))
    held_out = np.concatenate([which, which], axis=1)
    members = np.append(rng.permutation(60) < 30, np.zeros(60, bool))
    members[60:] = ~members[:60]
    combination = combine(held_out, members, np.tile(np.arange(60), 2), 0)
    assert abs(roc.auc(combination.held_out, members) - 0.5) < 0.15
    assert np.all(expit(combination.held_out) > 0)


def test_an_attack_that_says_the_same_of_all_shadows_examples_says_nothing_of_a_target():
    """Else the target's rounding, in units of no deviation, would drown all others."""
    rng = np.random.default_rng(6)
    held_out, members = examples(rng, 40, (0.0, -3.0))
    held_out[0] = 0.0
    values = rng.standard_normal((2, 40))
    assert np.abs(combine(held_out, members, np.arange(40), 0).score(values)).max() < 10
