"""The difference of two figures, each with its interval, of independent samples."""

from __future__ import annotations

import math

from tf_compleak.types import Estimate

METHOD = "independent samples, from both intervals"


def difference(first: Estimate, second: Estimate) -> Estimate:
    """`first` less `second`; not measurable where one of them is not, or is one-sided.

    Either end lies as far from the difference as the two ends of the figures that make it, added
    as squares (MOVER: Zou & Donner, Statistics in Medicine 2008), so that uneven intervals stay so.

    Raises:
      ValueError: for intervals of different levels.
    """
    n = first.n + second.n
    for of in (first, second):
        if not of.measurable:
            return Estimate.unmeasurable(of.method, n, of.level)
        if math.isnan(of.high):
            return Estimate.unmeasurable("a lower bound has no interval", n, of.level)
    if first.level != second.level:
        raise ValueError(f"levels: {first.level:g} and {second.level:g} differ; give equal ones.")
    value = first.value - second.value
    low = value - math.hypot(first.value - first.low, second.high - second.value)
    high = value + math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, low, high, first.level, METHOD, n)
