"""Thresholds by the share rule: the share called members is the shadows', the unit the target's."""

import dataclasses

import numpy as np
import planted
import pytest

import tf_compleak
from tf_compleak.leakage import scoring


def test_the_share_is_that_of_the_best_threshold_on_the_shadows():
    held_out = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    members = np.array([False, False, False, False, False, True, True, True])
    values = np.arange(100.0)
    cut = scoring.matched(values, held_out, members)
    assert np.mean(values >= cut) == pytest.approx(3 / 8, abs=0.01)


def test_it_does_not_depend_on_the_unit_of_the_targets_scores():
    rng = np.random.default_rng(0)
    held_out, members = rng.standard_normal(200), rng.random(200) < 0.5
    values = rng.standard_normal(300)
    called = values >= scoring.matched(values, held_out, members)
    for turned in (values + 7, 100 * values, np.exp(values)):
        cut = scoring.matched(turned, held_out, members)
        np.testing.assert_array_equal(turned >= cut, called)


def surer(family, by):
    """All log-odds of a family's answers times a factor: it is surer of members and others."""
    powers = family.probabilities**by
    return dataclasses.replace(
        family, probabilities=np.float32(powers / powers.sum(axis=2, keepdims=True))
    )


def test_a_target_that_is_surer_than_its_shadows_has_its_accuracy_back():
    target, shadow = planted.family(0, 2.0), planted.family(1, 2.0)
    names = ("loss-global", "tabular")
    release = (("original",),)
    reports = [
        tf_compleak.run_attacks(family, [shadow], names, releases=release, marginal="none")
        for family in (target, surer(target, 5.0))
    ]
    for alike, other in zip(*(report.results for report in reports), strict=True):
        assert abs(alike.accuracy.value - alike.accuracy_matched.value) < 0.03
        assert other.accuracy_matched.value > alike.accuracy.value - 0.05
    loss_global = reports[1].results[0]
    assert loss_global.accuracy.value < loss_global.accuracy_matched.value - 0.05


def test_nothing_of_the_targets_membership_is_used():
    target, shadow = planted.family(0, 1.0), planted.family(1, 1.0)
    turned = dataclasses.replace(target, members=~target.members)
    first, second = (
        tf_compleak.run_attacks(family, [shadow], ["loss"], releases=(("original",),))
        for family in (target, turned)
    )
    (row,), (other,) = first.results, second.results
    assert row.accuracy_matched.value == pytest.approx(1 - other.accuracy_matched.value)
