"""Differences of independent samples: closed forms, coverage, what has none."""

import math

import numpy as np
import pytest

from tf_compleak.metrics import intervals, two_samples
from tf_compleak.types import Estimate


def test_even_intervals_add_as_squares_and_the_order_changes_the_sign():
    first = Estimate(0.7, 0.67, 0.73, 0.95, "x", 100)
    second = Estimate(0.6, 0.56, 0.64, 0.95, "x", 50)
    there, back = two_samples.difference(first, second), two_samples.difference(second, first)
    assert (there.value, there.low, there.high) == pytest.approx((0.1, 0.05, 0.15))
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low)) and there.n == 150


def test_an_uneven_interval_stays_uneven():
    first, second = Estimate(0.01, 0.0, 0.1, 0.95, "x", 9), Estimate(0.0, 0.0, 0.0, 0.95, "x", 9)
    made = two_samples.difference(first, second)
    assert (made.low, made.high) == pytest.approx((0.0, 0.1))


def test_what_has_no_two_sided_interval_has_no_difference():
    good = Estimate(0.7, 0.6, 0.8, 0.95, "x", 9)
    few = Estimate.unmeasurable("too few", 9)
    assert two_samples.difference(good, few).method == "too few"
    assert not two_samples.difference(Estimate(1, 1, math.nan, 0.95, "x", 9), good).measurable
    with pytest.raises(ValueError, match=r"0.95 and 0.9 differ"):
        two_samples.difference(good, Estimate(0.7, 0.6, 0.8, 0.9, "x", 9))


def test_coverage_of_a_difference_of_aucs():
    members, held = np.arange(300) < 150, 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        aucs = [
            intervals.auc_estimate(rng.standard_normal(300) + gap * members, members)
            for gap in (1.0, 0.4)
        ]
        made = two_samples.difference(*aucs)
        held += made.low <= 0.7602499 - 0.6113513 <= made.high  # Phi(gap / sqrt 2)
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400) <= held / 400
