"""Figures with their intervals, ROC curves, and the scores that they come from."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from tf_compleak.types import validators
from tf_compleak.types.records import Count, Figure, Items, Record, Share


@dataclass(frozen=True)
class Estimate(Record):
    """A figure with its confidence interval; NaN throughout where not measurable.

    Two-sided at `level`, by `method`, from `n` examples or scores. A lower bound, such as that of
    epsilon, is one-sided and has a `high` of NaN.
    """

    value: Figure
    low: Figure
    high: Figure
    level: Share
    method: str
    n: Count
    measurable: bool = True

    @classmethod
    def unmeasurable(cls, reason: str, n: int, level: float = 0.95) -> Estimate:
        """The estimate of a figure that `n` examples cannot show; `reason` becomes its method."""
        return cls(math.nan, math.nan, math.nan, level, reason, n, measurable=False)

    def widened(self, factor: float, why: str, bounds: tuple[float, float]) -> Estimate:
        """The same with an interval `factor` times as wide on either side, within `bounds`."""
        if not self.measurable or factor == 1:
            return self
        low = max(bounds[0], self.value - factor * (self.value - self.low))
        high = min(bounds[1], self.value + factor * (self.high - self.value))
        method = f"{self.method}, {factor:.2f} times as wide for {why}"
        return dataclasses.replace(self, low=low, high=high, method=method)

    def contradiction(self) -> str:
        if self.measurable and math.isnan(self.value):
            return "a measurable figure needs a value"
        if not self.measurable and not all(map(math.isnan, (self.value, self.low, self.high))):
            return "a figure that is not measurable has no value, low or high"
        return ""

    def __str__(self) -> str:
        return self._text(".3f")

    def beside(self, bound: float, signed: bool = False) -> str:
        """The figure as text, with as many decimals as show on which side of `bound` its ends lie.

        Three where that is enough. Wherever a decision about a bound is said beside a figure:
        0.49996 would else read 0.500, and a sentence contradict itself.
        """
        decimals = decimals_beside(bound, self.value, self.low, self.high)
        return self._text(f"{'+z' if signed else ''}.{decimals}f")

    def _text(self, form: str) -> str:
        if not self.measurable:
            return "n/a"
        if math.isnan(self.high):  # a lower bound
            return f"at least {self.low:{form}}"
        return f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]"


def decimals_beside(bound: float, *figures: float) -> int:
    """The least decimals, 3 or more, that show on which side of a bound the figures lie."""

    def tells(decimals: int) -> bool:
        shown = (round(figure, decimals) for figure in figures)
        return all(
            _side(rounded, bound) == _side(figure, bound)
            for rounded, figure in zip(shown, figures, strict=True)
        )

    return next(filter(tells, range(3, 17)), 17)


def _side(value: float, bound: float) -> int:
    """-1 below the bound, 0 on it (and of NaN), 1 above."""
    return (value > bound) - (value < bound)


@dataclass(frozen=True)
class Roc(Record):
    """A receiver operating characteristic as steps: false and true positive rates, ascending."""

    fpr: Items[Share]
    tpr: Items[Share]

    def contradiction(self) -> str:
        if len(self.fpr) != len(self.tpr):
            return f"{len(self.fpr)} false and {len(self.tpr)} true positive rates"
        return ""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores f64[N] of one attack on one release, members bool[N], threshold from the shadow."""

    values: np.ndarray
    members: np.ndarray
    threshold: float

    def __post_init__(self):
        if self.values.shape != self.members.shape or self.values.ndim != 1:
            raise ValueError(
                f"scores: values {self.values.shape} and members {self.members.shape} differ."
            )
        if self.members.dtype != bool or self.members.all() or not self.members.any():
            raise ValueError("scores: members must be bool and hold members and non-members.")
        validators.finite("scores", self.values)
