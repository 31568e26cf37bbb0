"""The MR attack: its columns, and that it learns from out-of-fold probabilities."""

import dataclasses

import numpy as np
import planted
import pytest
from scipy.special import expit

from tf_compleak.attacks import blind, classifiers, features, forest, stack
from tf_compleak.metrics import intervals, roc


def test_views_with_and_without_the_original():
    assert stack.views(("original", "a", "b")) == [
        ("original",),
        ("original", "a"),
        ("original", "b"),
    ]
    assert stack.views(("a", "original")) == [("original",), ("original", "a")]
    assert stack.views(("a", "b")) == [("a",), ("b",)]


def test_each_column_is_its_own_versions():
    family = planted.family(1, 1.0, n=100)
    odds = [np.full(100, float(index)) for index in range(3)]
    columns = stack.inputs(family, odds)
    assert columns.shape == (100, 6)
    for index, name in enumerate(family.versions):
        np.testing.assert_allclose(columns[:, index], expit(index))
        expected = features.loss(family.select([name]))[0]
        np.testing.assert_allclose(columns[:, 3 + index], expected)


def test_the_network_is_fed_out_of_fold_probabilities(monkeypatch):
    """What reaches the network equals `out_of_fold`, version by version."""
    from tf_compleak.attacks import networks

    seen = {}

    def spy(build, table, *rest):
        seen["table"] = table
        raise ValueError("stop here")

    monkeypatch.setattr(networks, "fit", spy)
    family = planted.family(1, 1.0)
    with pytest.raises(ValueError, match="stop here"):
        stack.Stack().fit([family], seed=5)
    for column, view in enumerate(stack.views(family.versions)):
        joined = features.join([family.select(view)])
        expected = expit(classifiers.Linear().fit_with_held_out([joined], seed=5).odds)
        assert np.corrcoef(seen["table"][:, column], expected)[0, 1] > 0.9999


@pytest.mark.parametrize("better", ["linear", "forest"])
def test_mr_rf_takes_the_better_base_for_every_version(better, monkeypatch):
    """By the AUC of held-out scores of the shadow; ``mr`` takes the regression throughout."""
    monkeypatch.setattr(forest, "TREES", 20)
    family = planted.family(1, 1.0, n=200).select(planted.VERSIONS[:1])
    odds = np.where(family.members, 1.0, -1.0) * (1 if better == "forest" else -1)
    monkeypatch.setattr(forest, "fit", lambda table, members, seed: (None, odds))
    assert isinstance(stack.linear_or_forest().base, classifiers.LinearOrForest)
    chosen = classifiers.LinearOrForest().fit_with_held_out([family], seed=0)
    kind = type(chosen.fitted.model).__name__
    assert kind == {"linear": "_Linear", "forest": "_Votes"}[better]
    assert isinstance(stack.Stack().base, classifiers.Linear)


@pytest.mark.parametrize("release", [planted.VERSIONS, planted.VERSIONS[1:]])
def test_at_the_target_each_column_comes_from_its_own_version(release, monkeypatch):
    """A version that is replaced by another one moves its own two columns and no others."""
    from tf_compleak.attacks import networks
    from tf_compleak.models.trainer import Optimization

    short = Optimization(epochs=1, batch_size=128, learning_rate=1e-2)
    monkeypatch.setattr(networks, "STACK_SETTINGS", short)
    fitted = stack.Stack().fit([planted.family(1, 1.0).select(release)], seed=0)
    tables = []
    monkeypatch.setattr(networks.Network, "log_odds", lambda self, table: tables.append(table))
    target = planted.family(2, 1.0).select(release).hidden()
    fitted.score(target)
    for index, name in enumerate(release):
        changed = target.probabilities.copy()
        changed[index] = np.roll(changed[index], 1, axis=0)
        fitted.score(dataclasses.replace(target, probabilities=changed))
        moved = set(np.flatnonzero((tables[-1] != tables[0]).any(axis=0)))
        count = len(release)
        if name == "original":  # every membership probability sees it, one loss does
            assert moved == {*range(count), count}
        else:
            assert moved == {index, count + index}


def test_out_of_fold_scores_of_noise_carry_nothing_in_sample_ones_do():
    rng = np.random.default_rng(0)
    family = planted.family(1, 0.0, n=120, classes=20)
    joined = features.join([family])
    seed = int(rng.integers(100))
    held = classifiers.Linear().fit_with_held_out([joined], seed=seed).odds
    inside = classifiers.Linear().fit([family], seed=0).score(family.hidden())
    estimate = intervals.auc_estimate(held, family.members, level=0.99)
    assert estimate.low <= 0.5 <= estimate.high
    assert roc.auc(inside, family.members) > 0.75


def test_the_blind_baseline_holds_on_noise_and_sees_a_shifted_set():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, 8, 8, 1)).astype(np.float32)
    members, labels = np.arange(400) < 200, rng.integers(10, size=400)
    fair = blind.blind_baseline(inputs, labels, members, seed=0)
    estimate = intervals.auc_estimate(fair, members, level=0.999)
    assert estimate.low <= 0.5 <= estimate.high
    inputs[members] += 0.5
    shifted = blind.blind_baseline(inputs, labels, members, seed=0)
    assert intervals.auc_estimate(shifted, members, level=0.999).low > 0.6
