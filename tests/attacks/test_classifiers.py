"""Logistic regression in float32 and in float64, out-of-bag votes, the SAMIA network's inputs."""

import dataclasses
import warnings

import numpy as np
import planted
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import StandardScaler

from tf_compleak import attacks
from tf_compleak.attacks import _threads, classifiers, features, forest, logistic, samia
from tf_compleak.metrics import intervals, roc


def table(leak, n=600, classes=8, seed=3):
    """A standardized table and membership."""
    family = planted.family(seed, leak, n=n, classes=classes)
    return StandardScaler().fit_transform(features.table(family)), family.members


@pytest.mark.parametrize("leak", [0.0, 1.0, 8.0])
def test_logistic_regression_converges_in_full_and_out_of_fold(leak):
    x, members = table(leak)
    slow = LogisticRegression(C=1.0, tol=1e-10, max_iter=10000)
    expected = cross_val_predict(
        slow, np.float64(x), members, cv=classifiers.folds(0), method="decision_function"
    )
    held = logistic.held_out(x, members, classifiers.folds(0))
    np.testing.assert_allclose(held, expected, atol=2e-3, rtol=2e-3)
    slow.fit(np.float64(x), members)
    model = logistic.fit(x, members)
    np.testing.assert_allclose(model.coef_, slow.coef_, atol=2e-3)
    np.testing.assert_allclose(logistic.log_odds(model, x), slow.decision_function(x), atol=2e-3)


def test_a_regression_of_many_rows_in_float32_converges():
    """Columns off their mean and a gradient summed over 300,000 rows, where rounding would show."""
    n = 300_000
    x = np.float32(np.random.default_rng(0).normal(size=(n, 4))) + np.float32([5, 0, 0, 0])
    members = np.random.default_rng(1).random(n) < 1 / (1 + np.exp(1 - 0.3 * x[:, 0]))
    slow = LogisticRegression(solver="newton-cholesky", tol=1e-10).fit(np.float64(x), members)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = logistic.fit(x, members)
    np.testing.assert_allclose(model.coef_, slow.coef_, atol=1e-4)
    np.testing.assert_allclose(model.intercept_, slow.intercept_, atol=1e-3)


def test_held_out_scores_of_noise_carry_nothing_even_with_many_columns():
    areas = []
    for seed in range(10):
        x, members = table(0.0, n=300, classes=30, seed=seed)
        areas.append(roc.auc(logistic.held_out(x, members, classifiers.folds(0)), members))
    assert abs(np.mean(areas) - 0.5) < 0.06  # the scores of one draw vary by 0.05


def test_out_of_bag_votes_of_noise_carry_nothing_in_sample_ones_do(monkeypatch):
    monkeypatch.setattr(forest, "TREES", 100)
    x, members = table(0.0)
    model, held = forest.fit(x, members, seed=0)
    estimate = intervals.auc_estimate(held, members, level=0.99)
    assert estimate.low <= 0.5 <= estimate.high
    assert roc.auc(forest.log_odds(model, x), members) > 0.75


def test_a_forest_of_smaller_draws_is_as_good_as_one_of_whole_samples(monkeypatch):
    """The paper's: as many draws as examples, leaves of 30, raw confidences."""
    monkeypatch.setattr(forest, "TREES", 60)
    monkeypatch.setattr(forest, "LEAST", 500)
    shadow, target = (
        planted.family(seed, 2.0, n=6000, classes=10).select(planted.VERSIONS[:2])
        for seed in (1, 2)
    )
    raw, raw_of_target = (np.exp(features.table(family)) for family in (shadow, target))
    whole = RandomForestClassifier(60, min_samples_leaf=30, random_state=0, n_jobs=2)
    whole.fit(raw, shadow.members)
    paper = roc.auc(whole.predict_proba(raw_of_target)[:, 1], target.members)
    model, _ = forest.fit(features.table(shadow), shadow.members, seed=0)
    ours = roc.auc(forest.log_odds(model, features.table(target)), target.members)
    assert ours > paper - 0.002


def test_scores_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(forest, "TREES", 60)
    monkeypatch.setattr(forest, "BLOCK", 70)
    x, members = table(1.0)
    scores = {}
    for count in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", count)
        assert _threads.threads() == int(count)
        model, held = forest.fit(x, members, seed=0)
        folds = logistic.held_out(x, members, classifiers.folds(0))
        scores[count] = [held, forest.log_odds(model, x), folds]
    for one, three in zip(*scores.values(), strict=True):
        np.testing.assert_array_equal(one, three)
    votes = model.predict_proba(x)[:, 1]
    np.testing.assert_allclose(1 / (1 + np.exp(-scores["1"][1])), votes, atol=2e-6)


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
