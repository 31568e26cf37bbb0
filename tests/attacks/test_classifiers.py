"""Logistic regression against scikit-learn's, out-of-bag votes, the SAMIA network's inputs."""

import dataclasses

import numpy as np
import planted
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from tf_compleak import attacks
from tf_compleak.attacks import _threads, classifiers, features, forest, logistic, samia
from tf_compleak.metrics import intervals, roc


def table(leak, n=600, classes=8, seed=3):
    """A standardized table, membership, and the fold of every row."""
    family = planted.family(seed, leak, n=n, classes=classes)
    rows = features.table(family)
    groups = np.empty(n, np.int64)
    for group, (_, held) in enumerate(classifiers.folds(0).split(rows, family.members)):
        groups[held] = group
    return features.Scaler.of(rows)(rows), family.members, groups


@pytest.mark.parametrize("leak", [0.0, 1.0, 8.0])
def test_logistic_regression_equals_scikit_learns_in_full_and_out_of_fold(leak):
    x, members, groups = table(leak)
    weights, held = logistic.fit(x, members, groups)
    slow = LogisticRegression(C=1.0, tol=1e-10, max_iter=10000)
    expected = cross_val_predict(
        slow, np.float64(x), members, cv=classifiers.folds(0), method="decision_function"
    )
    np.testing.assert_allclose(held, expected, atol=2e-3, rtol=2e-3)
    slow.fit(np.float64(x), members)
    np.testing.assert_allclose(weights, [*slow.coef_[0], *slow.intercept_], atol=2e-3)


def test_a_gradient_of_many_rows_is_as_exact_as_of_few():
    """Summed in float32 it was off by 4 here, and Newton's method took twice the steps."""
    n = 1_000_000
    x = np.float32(np.random.default_rng(0).normal(size=(n, 4))) + np.float32([5, 0, 0, 0])
    x[:, -1] = 1
    members, weights = np.arange(n) < n // 2, np.array([0.125, -0.25, 0.5, -0.5])
    value, gradient = logistic._objective([(x, members)], weights)
    odds = np.float64(x) @ weights
    penalty = np.append(weights[:-1], 0)
    expected = (1 / (1 + np.exp(-odds)) - members) @ np.float64(x) + penalty
    np.testing.assert_allclose(gradient, expected, atol=0.3, rtol=1e-6)
    loss = np.logaddexp(0, np.where(members, -odds, odds)).sum() + penalty @ penalty / 2
    np.testing.assert_allclose(value, loss, rtol=1e-8)


def test_held_out_scores_of_noise_carry_nothing_even_with_many_columns():
    found = []
    for seed in range(10):
        x, members, groups = table(0.0, n=300, classes=30, seed=seed)
        _, held = logistic.fit(x, members, groups)
        found.append(roc.auc(held, members))
    assert abs(np.mean(found) - 0.5) < 0.06  # the scores of one draw vary by 0.05


def test_out_of_bag_votes_of_noise_carry_nothing_in_sample_ones_do(monkeypatch):
    monkeypatch.setattr(forest, "TREES", 100)
    x, members, _ = table(0.0)
    model, held = forest.fit(x, members, seed=0)
    estimate = intervals.auc_estimate(held, members, level=0.99)
    assert estimate.low <= 0.5 <= estimate.high
    assert roc.auc(model.log_odds(x), members) > 0.75


def test_votes_equal_scikit_learns_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(forest, "TREES", 60)
    x, members, _ = table(1.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    model, held = forest.fit(x, members, seed=0)
    votes = model.model.predict_proba(forest._encode(x, model.edges))[:, 1]
    np.testing.assert_allclose(1 / (1 + np.exp(-model.log_odds(x))), votes, atol=1e-9)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert _threads.threads() == 3
    again, held_again = forest.fit(x, members, seed=0)
    np.testing.assert_array_equal(held, held_again)
    np.testing.assert_array_equal(model.log_odds(x), again.log_odds(x))


def test_codes_keep_the_order_of_every_column():
    x = np.float32(np.random.default_rng(0).normal(size=(5000, 3)))
    x[:, 2] = x[:, 2] > 0
    codes = forest._encode(x, forest._edges(x))
    assert codes.max() < forest.CODES and len(np.unique(codes[:, 0])) == forest.CODES
    assert len(np.unique(codes[:, 2])) == 2
    order = np.argsort(x[:, 0])
    assert (np.diff(codes[order, 0]) >= 0).all()


def test_samia_sees_confidence_sensitivity_and_label_and_refuses_to_go_without():
    family = planted.family(1, 1.0, n=60).select(["original"])
    seen = samia.inputs(family)
    assert seen.shape == (60, 15) and seen.dtype == np.float32
    np.testing.assert_array_equal(seen[:, :5], family.probabilities[0])
    np.testing.assert_array_equal(seen[:, 5:10], family.sensitivities[0])
    np.testing.assert_array_equal(seen[:, 10:].argmax(axis=1), family.labels)
    bare = dataclasses.replace(family, sensitivities=None)
    with pytest.raises(ValueError, match="samia: needs sensitivities"):
        attacks.load("samia").fit([bare], seed=0)


def test_the_samia_network_is_the_papers():
    """Parameters of a PyTorch encoder of the same sizes, counted by hand; tokens are classes."""
    from tf_compleak.attacks import networks

    classes = 10
    model = networks.attention(3 * classes)
    norm, embed = 2 * 3 * classes, 3 * 64 + 64
    layer = 64 * 192 + 192 + 64 * 64 + 64 + 64 * 128 + 128 + 128 * 64 + 64 + 4 * 64
    head = 64 * classes * 64 + 64 + 64 * 2 + 2
    count = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert count == norm + embed + 3 * layer + head
