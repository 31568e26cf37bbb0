"""Figures with their intervals, ROC curves, and the scores that they come from."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_compleak.types import validators


@dataclass(frozen=True)
class Estimate:
    """A figure with its two-sided confidence interval; NaN throughout where not measurable."""

    value: float
    low: float
    high: float
    level: float
    method: str
    n: int
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

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values; NaN becomes None."""
        values = dataclasses.asdict(self)
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in values.items()
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Estimate:
        """The inverse of `to_json`; TypeError for a measurable figure that is no number."""
        figure = cls(**{key: math.nan if value is None else value for key, value in values.items()})
        if figure.measurable and not math.isfinite(figure.value):
            raise TypeError(f"a measurable figure cannot be {figure.value}")
        return figure

    def __str__(self) -> str:
        if not self.measurable:
            return "n/a"
        if math.isnan(self.high):  # a lower bound
            return f"at least {self.low:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic as steps: false and true positive rates, ascending."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]


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
