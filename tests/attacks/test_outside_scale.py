"""A family's own scale: closed forms, a naive twin, and how often alike families differ."""

import numpy as np
import planted
import pytest
from scipy.special import logit

from tf_compleak.attacks import outside_scale
from tf_compleak.attacks.outside_scale import OutsideScale, measures


def of_numbers(numbers):
    """A scale of one measure of one version."""
    return OutsideScale(np.sort(numbers)[None, None])


def test_numbers_become_log_odds_of_their_ranks():
    outside = np.array([1.0, 2.0, 2.0, 5.0])
    scale = of_numbers(outside)
    for number in (1.0, 1.5, 2.0, 3.0, 5.0):
        rank = (outside < number).sum() + (outside == number).sum() / 2
        assert scale(np.array([[[number]]]))[0, 0, 0] == pytest.approx(logit((rank + 0.5) / 5))
    ends = scale(np.array([[[5.0, 5.0 + outside.std(), 1.0, 1.0 - outside.std()]]]))[0, 0]
    assert ends[1] - logit(4.5 / 5) == pytest.approx(1)
    assert ends[3] - logit(0.5 / 5) == pytest.approx(-1)


def test_units_do_not_matter():
    rng = np.random.default_rng(0)
    outside, numbers = rng.standard_normal(300), rng.uniform(-1, 1, 50)
    plain = of_numbers(outside)(numbers[None, None])
    turned = of_numbers(3 * outside + 7)(3 * numbers[None, None] + 7)
    np.testing.assert_allclose(plain, turned, atol=1e-9)


def test_it_is_of_every_measure_of_every_version():
    family = planted.halves(0, 1.0, 1)[0]
    scale = OutsideScale.of([family.aside])
    whole = scale(measures(family))
    assert whole.shape == (5, len(family.versions), len(family)) and np.isfinite(whole).all()
    np.testing.assert_array_equal(scale(measures(family, 3)), whole[:3])
    members = whole[0][:, family.members].mean()
    assert members > 0.3 > abs(whole[0][:, ~family.members].mean())


def test_too_few_examples_leave_numbers_as_they_are():
    family = planted.halves(0, 1.0, 1)[0]
    few = family.aside.take(np.arange(outside_scale.LEAST - 1))
    for scale in (OutsideScale.of([few]), OutsideScale.of([None]), OutsideScale.of([])):
        np.testing.assert_array_equal(scale(measures(family)), measures(family))
        assert not scale.differs(OutsideScale.of([family.aside]))


def test_alike_families_differ_as_seldom_as_the_test_says():
    rng, draws = np.random.default_rng(1), 1500
    differing = 0
    for _ in range(draws):
        first, second = (
            OutsideScale(np.sort(rng.standard_normal((1, 2, 60)), axis=2)) for _ in "ab"
        )
        differing += first.differs(second)
    assert differing <= draws * outside_scale.LEVEL + 3 * np.sqrt(draws * outside_scale.LEVEL)


def test_a_shift_is_seen():
    rng = np.random.default_rng(2)
    first = OutsideScale(np.sort(rng.standard_normal((1, 2, 500)), axis=2))
    shift = np.array([[[0.0], [0.5]]])
    second = OutsideScale(np.sort(rng.standard_normal((1, 2, 500)) + shift, axis=2))
    assert first.differs(second)
