"""Splines: a number as several columns in which curved relations are linear.

Cubic B-splines with knots at the quantiles of each number, straight beyond the outer ones
(scikit-learn's `SplineTransformer`), standardized.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import SplineTransformer, StandardScaler

KNOTS = 3  # least, median, greatest: with more, nine versions lose AUC to the number of columns
BLOCK = 4096  # examples whose columns are float64 at a time


@dataclass(frozen=True, eq=False)
class Basis:
    """The splines of every number, and the scaler of their columns."""

    splines: SplineTransformer
    scaler: StandardScaler

    def table(self, numbers: np.ndarray) -> np.ndarray:
        """f32[N, W] columns, standardized, of numbers f64[N, F]."""
        return self.scaler.transform(_columns(self.splines, numbers))


def fit(numbers: np.ndarray) -> tuple[Basis, np.ndarray]:
    """The basis with knots at quantiles of numbers f64[N, F], and its table of them."""
    splines = SplineTransformer(
        KNOTS, knots="quantile", extrapolation="linear", include_bias=False
    ).fit(numbers)
    basis = Basis(splines, StandardScaler(copy=False))
    return basis, basis.scaler.fit_transform(_columns(splines, numbers))


def _columns(splines: SplineTransformer, numbers: np.ndarray) -> np.ndarray:
    columns = np.empty((len(numbers), splines.n_features_out_), np.float32)
    for start in range(0, len(numbers), BLOCK):
        columns[start : start + BLOCK] = splines.transform(numbers[start : start + BLOCK])
    return columns
