"""Epsilon of DP-SGD, against closed forms and the package's own accountants."""

import importlib.util

import dp_accounting
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from tf_compleak.metrics import accountant, one_run


def test_one_step_of_all_is_the_gaussian_mechanism():
    for noise in (0.8, 2.0):
        exact = one_run.gaussian_epsilon(1 / noise, 1e-4)
        assert exact <= accountant.epsilon(noise, 1.0, 1, 1e-4) <= exact + 0.01


def test_epsilon_is_that_of_the_package():
    step = dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.GaussianDpEvent(1.5))
    event = dp_accounting.SelfComposedDpEvent(step, 100)
    spent = accountant.epsilon(1.5, 0.1, 100, 1e-4)
    assert spent == pytest.approx(PLDAccountant().compose(event).get_epsilon(1e-4), rel=0.01)
    assert spent < RdpAccountant().compose(event).get_epsilon(1e-4)


def test_the_noise_is_the_least_that_suffices():
    noise = accountant.noise_multiplier(4.0, 0.1, 100, 1e-4)
    assert accountant.epsilon(noise, 0.1, 100, 1e-4) <= 4.0
    assert accountant.epsilon(noise - 0.005, 0.1, 100, 1e-4) > 4.0


@pytest.mark.parametrize("wrong", [(0.0, 1, 1e-4), (1.5, 1, 1e-4), (0.1, 0, 1e-4), (0.1, 1, 0.0)])
def test_values_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match="must"):
        accountant.epsilon(1.0, *wrong)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"tf-compleak\[dp\]"):
        accountant.epsilon(1.25, 0.5, 3, 1e-3)


def test_delta_is_below_one_in_as_many_as_there_are():
    assert 1e-4 < accountant.default_delta(1000) < 1e-3
