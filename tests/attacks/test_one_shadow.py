"""Attacks that compare, with one shadow: the target is the reference of the shadow's examples."""

import dataclasses

import numpy as np
import planted
import pytest
from scipy import stats

from tf_compleak import attacks
from tf_compleak.attacks import features, lira, rmia
from tf_compleak.metrics import intervals, roc

ATTACKS = ["rmia", "lira-offline", "lira-boosted"]


def apart(leak, seed=5, n=900):
    """A target and a shadow with data of their own, each asked about the other's and 200 more.

    The shadow comes with the target's answers on its examples.
    """
    target, shadow = planted.halves(seed, leak, 2, n=n)
    none = np.zeros(n // 2, bool)
    halves = np.split(np.random.default_rng(seed).permutation(n), 2)
    families = []
    for family, own, other in zip((target, shadow), halves, halves[::-1], strict=True):
        # nobody was trained on what it is asked aside: the same answers without the leak
        outside = planted.halves(seed, 0.0, 2, n=n)[len(families)]
        beside = dataclasses.replace(outside.take(other), members=none, aside=None)
        aside = planted.together(beside, family.aside)
        families.append(dataclasses.replace(family.take(own), aside=aside))
    target, shadow = families
    return target, shadow.with_answers_of(target)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_leak_is_found_and_the_threshold_holds_on_the_target(name):
    target, shadow = apart(2.0)
    assert shadow.target_probabilities is not None
    fitted = attacks.load(name).fit([shadow], seed=0)
    scores = fitted.score(target.hidden())
    assert intervals.auc_estimate(scores, target.members).low > 0.75
    best = roc.balanced_accuracy(scores, target.members, roc.best_threshold(scores, target.members))
    assert roc.balanced_accuracy(scores, target.members, fitted.threshold) > best - 0.05
    shadow_auc = roc.auc(fitted.held_out, shadow.members)
    assert abs(shadow_auc - roc.auc(scores, target.members)) < 0.08


@pytest.mark.parametrize("name", ATTACKS)
def test_noise_is_noise(name):
    target, shadow = apart(0.0)
    fitted = attacks.load(name).fit([shadow], seed=0)
    for scores, members in (
        (fitted.score(target.hidden()), target.members),
        (fitted.held_out, shadow.members),
    ):
        auc = intervals.auc_estimate(scores, members, 0.999)
        assert auc.low <= 0.5 <= auc.high


def test_lira_offline_equals_the_tail_beyond_the_only_reference():
    target, shadow = apart(2.0)
    target, shadow = (family.select(("original",)) for family in (target, shadow))
    fitted = lira.offline().fit([shadow], seed=0)
    own, by_target = features.logit(shadow)[0], features.logit(shadow.by_the_target())[0]
    deviation = fitted.shared.outside[0]
    expected = -stats.norm.logsf(own, by_target, deviation)
    np.testing.assert_allclose(fitted.held_out, expected, rtol=1e-4, atol=1e-4)
    place = {name: column for column, name in enumerate(shadow.aside.ids)}
    aside = features.logit(shadow.aside)[0]
    by_shadow = np.array([aside[place[name]] for name in target.ids])
    expected = -stats.norm.logsf(features.logit(target)[0], by_shadow, deviation)
    np.testing.assert_allclose(fitted.score(target.hidden()), expected, rtol=1e-4, atol=1e-4)


def test_rmia_takes_the_shadows_own_non_members_for_its_population():
    target, shadow = apart(2.0)
    target, shadow = (family.select(("original",)) for family in (target, shadow))
    fitted = rmia.Rmia().fit([shadow], seed=0)
    own = features.floored_confidence(shadow)[0]
    reference = features.floored_confidence(shadow.by_the_target())[0]
    ratio = own / ((1.5 * reference + 0.5) / 2)
    z = (own / reference)[~shadow.members]
    for column in range(0, len(shadow), 9):
        wins = (ratio[column] > z).mean() + 0.5 * (ratio[column] == z).mean()
        assert fitted.held_out[column] == pytest.approx(wins, abs=1 / len(z))


@pytest.mark.parametrize("name", ["lira-offline", "lira-boosted", "lira-online"])
def test_without_the_targets_answers_there_is_one_line(name):
    _, shadow = apart(1.0)
    bare = dataclasses.replace(shadow, target_probabilities=None, target_resolutions=())
    with pytest.raises(ValueError, match=f"{name}: one shadow needs a model that was") as told:
        attacks.load(name).fit([bare], seed=0)
    assert "raise --num_shadows" in str(told.value) and "\n" not in str(told.value)


def test_answers_of_the_target_bring_nothing_else_of_the_shadow():
    """Its copies and sensitivities are the shadow's own, not what the target says of them."""
    _, shadow = apart(1.0)
    rich = dataclasses.replace(
        shadow,
        sensitivities=np.float32(shadow.probabilities),
        augmented=np.zeros((len(shadow.versions), 2, len(shadow)), np.float32),
    )
    answers = rich.by_the_target()
    assert answers.sensitivities is None and answers.augmented is None and answers.aside is None


def test_rmia_names_as_many_non_members_of_the_target_as_of_the_shadow():
    """The target is no reference of its own population: its z would be too near their mean."""
    rates = []
    for seed in range(10):
        target, shadow = apart(0.0, seed, n=1600)
        fitted = rmia.Rmia().fit([shadow], seed=0)
        cut = np.quantile(fitted.held_out, 0.99)
        rates.append(np.mean(fitted.score(target.hidden()) > cut))
    assert np.mean(rates) < 0.022  # 0.01 of those of the shadow; 0.037 with itself as a reference
