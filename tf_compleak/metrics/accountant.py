"""What DP-SGD spends: epsilon of Poisson-sampled Gaussian noise, by the package dp-accounting.

Epsilon is for the presence of one example (add or remove), by the accountant of privacy loss
distributions, whose answer is an upper bound (Doroshenko et al., PoPETs 2022).
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable
from typing import Any

from tf_compleak.types import validators

MISSING = (
    "dp-sgd: epsilon is found by the package dp-accounting, which is not installed; install "
    "'tf-compleak[dp]'."
)
TOLERANCE = 1e-3  # of the noise multiplier
GRID = 1e-3  # of privacy losses, rounded up to it; ten times the package's own, a tenth of its time


def check_installed() -> None:
    """ValueError without the package."""
    if importlib.util.find_spec("dp_accounting") is None:
        raise ValueError(MISSING)


def default_delta(members: int) -> float:
    """members ** -1.1: below one in as many examples as there are."""
    return float(members**-1.1)


@functools.lru_cache(maxsize=32)
def epsilon(noise_multiplier: float, rate: float, steps: int, delta: float) -> float:
    """An upper bound of epsilon at `delta` of so many steps.

    Args:
      noise_multiplier: deviation of the noise over the norm that gradients are clipped to.
      rate: how likely an example is in a step, in (0, 1].
      steps: 1 or more.
      delta: in (0, 1).

    Raises:
      ValueError: for a value out of range, or without the package.
    """
    _check(rate, steps, delta)
    validators.between("noise multiplier", noise_multiplier, 1e-3, 1e6)
    accounting, accountant = _package()
    event = _event(accounting, noise_multiplier, rate, steps)
    return float(accountant().compose(event).get_epsilon(delta))


@functools.lru_cache(maxsize=32)
def noise_multiplier(epsilon: float, rate: float, steps: int, delta: float) -> float:
    """The least noise, up to a thousandth, whose `epsilon` at `delta` is no larger.

    Arguments and errors as of `epsilon`.
    """
    _check(rate, steps, delta)
    validators.between("eps", epsilon, 1e-3, 1e3)
    accounting, accountant = _package()
    least = accounting.calibrate_dp_mechanism(
        accountant,
        lambda noise: _event(accounting, noise, rate, steps),
        epsilon,
        delta,
        accounting.LowerEndpointAndGuess(0.0, 1.0),
        tol=TOLERANCE,
    )
    return math.ceil(float(least) / TOLERANCE) * TOLERANCE


def _check(rate: float, steps: int, delta: float) -> None:
    validators.between("rate", rate, 1e-12, 1)
    validators.at_least("steps", steps, 1)
    validators.between("delta", delta, 1e-12, 0.5)


def _package() -> tuple[Any, Callable[[], Any]]:
    """The package, and what makes an accountant."""
    check_installed()
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    return dp_accounting, lambda: PLDAccountant(value_discretization_interval=GRID)


def _event(dp_accounting: Any, noise: float, rate: float, steps: int) -> Any:
    """What is counted."""
    step = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
    return dp_accounting.SelfComposedDpEvent(step, steps)
