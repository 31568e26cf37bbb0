"""Restricted cubic splines: a number as several columns in which curved relations are linear.

For knots t_1 < ... < t_k the columns are x itself and k - 2 of
[(x - t_j)+^3 - (x - t_k)+^3] / (t_k - t_j) less the same for j = k - 1: cubic between the knots,
linear beyond them (Harrell, Regression Modeling Strategies, section 2.4.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

QUANTILES = (0.005, 0.05, 0.275, 0.5, 0.725, 0.95, 0.995)
BLOCK = 4096  # examples whose columns are made together: they stay in the cache


@dataclass(frozen=True, eq=False)
class Basis:
    """Knots of each number, and the mean and deviation that every column is standardized by."""

    knots: tuple[np.ndarray, ...]
    mean: np.ndarray
    deviation: np.ndarray

    def table(self, numbers: np.ndarray) -> np.ndarray:
        """f32[N, W] columns, standardized, of numbers f64[N, F]."""
        found = np.empty((len(numbers), len(self.mean)), np.float32)
        for start, columns in _blocks(numbers, self.knots):
            found[start : start + len(columns)] = (columns - self.mean) / self.deviation
        return found


def fit(numbers: np.ndarray) -> tuple[Basis, np.ndarray]:
    """The basis with knots at quantiles of numbers f64[N, F], and its table of them."""
    knots = tuple(np.unique(np.quantile(column, QUANTILES)) for column in numbers.T)
    basis = Basis(knots, *_moments(numbers, knots))
    return basis, basis.table(numbers)


def _moments(numbers, knots):
    """Mean and deviation of every column, one where it is constant.

    In one pass, about the mean of the first block: sums of squares about zero would cancel.
    """
    first = next(columns for _, columns in _blocks(numbers, knots)).mean(axis=0)
    sums, squares, largest = (np.zeros(len(first)) for _ in range(3))
    for _, columns in _blocks(numbers, knots):
        off = columns - first
        sums += off.sum(axis=0)
        squares += (off * off).sum(axis=0)
        largest = np.maximum(largest, np.abs(columns).max(axis=0))
    mean = sums / len(numbers)
    deviation = np.sqrt(np.maximum(squares / len(numbers) - mean * mean, 0))
    deviation[deviation < 1e-9 * (1 + largest)] = 1.0
    return first + mean, deviation


def _blocks(numbers: np.ndarray, knots: tuple[np.ndarray, ...]):
    for start in range(0, len(numbers), BLOCK):
        yield start, _columns(numbers[start : start + BLOCK], knots)


def _columns(numbers: np.ndarray, knots: tuple[np.ndarray, ...]) -> np.ndarray:
    found = []
    for column, own in zip(numbers.T, knots, strict=True):
        found.append(column)
        if len(own) >= 3:
            found += _curved(column, own)
    return np.stack(found, axis=1)


def _curved(x: np.ndarray, knots: np.ndarray) -> list[np.ndarray]:
    parts = np.maximum(x - knots[:, None], 0)
    parts = parts * parts * parts  # several times faster than a power
    slopes = (parts[:-1] - parts[-1]) / (knots[-1] - knots[:-1, None])
    return list((slopes[:-1] - slopes[-1]) / (knots[-1] - knots[0]) ** 2)
