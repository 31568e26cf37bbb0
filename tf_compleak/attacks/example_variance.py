"""Variances of examples of their own, where few models were asked: a prior that examples share.

What models of one side say of an example is Gaussian with a mean and a variance of the example's
own; the mean's prior is flat and the variance's an inverse gamma (a normal-inverse-gamma prior:
Gelman et al., Bayesian Data Analysis, section 3.3), freedom nu and scale s^2 as shared by the
examples. Of n models with S squares around their mean the variance is (nu s^2 + S) / (nu + n - 1),
times 1 + 1/n for what the next model says, which is Student-t of nu + n - 1 degrees of freedom.
nu and s^2 are the likeliest ones: S / ((n - 1) s^2) is F-distributed with n - 1 and nu degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from tf_compleak.attacks.references import References

FREEDOMS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0, 100.0)
LOG_SCALES = (-28.0, 12.0)  # bounds of log s^2
LEAST = 1e-12  # variance
UNDERFLOW = 1e-250  # tails below it are taken from the first term of their series


@dataclass(frozen=True, eq=False)
class Prior:
    """Degrees of freedom and s^2 of every number of a statistic, f64[F] each."""

    freedom: np.ndarray
    scale: np.ndarray

    def predict(self, references: References, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Degrees of freedom f64[F, N] and scale (not squared) of what the next model says."""
        squares, counts = squares_of(references, side)
        freedom = self.freedom[:, None] + np.maximum(counts - 1, 0)
        variance = ((self.freedom * self.scale)[:, None] + squares) / freedom
        return freedom, np.sqrt(np.maximum(variance, LEAST) * (1 + 1 / np.maximum(counts, 1)))


def prior(references: References, side: np.ndarray) -> Prior | None:
    """The likeliest one for the models of one side; None where no example has two."""
    squares, counts = squares_of(references, side)
    several = counts > 1
    if not several.any():
        return None
    likeliest = [_likeliest(row, counts[several] - 1.0) for row in squares[:, several]]
    return Prior(*np.array(likeliest).T)


def squares_of(references: References, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f64[F, N] sums of squares around an example's mean, and numbers of models int[N]."""
    mean = np.nan_to_num(references.mean(side))
    squares = np.einsum("kfn,kn->fn", (references.values - mean) ** 2, side, dtype=np.float64)
    return squares, side.sum(axis=0)


def _likeliest(squares: np.ndarray, freedom: np.ndarray) -> tuple[float, float]:
    """nu and s^2, from squares f64[N] of so many degrees of freedom f64[N]."""

    def cost(log_scale: float, nu: float) -> float:
        odds = np.log1p(squares / (nu * np.exp(log_scale)))
        kernel = (freedom + nu) / 2 * odds + freedom / 2 * (log_scale + np.log(nu))
        return (kernel + special.betaln(freedom / 2, nu / 2)).sum()

    fits = {
        nu: optimize.minimize_scalar(cost, bounds=LOG_SCALES, args=(nu,), method="bounded")
        for nu in FREEDOMS
    }
    nu = min(fits, key=lambda freedom: fits[freedom].fun)
    return nu, float(np.exp(fits[nu].x))


def log_tail(t: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """log P(Student-t > t), elementwise; finite for every finite t."""
    tail = stats.t.sf(t, freedom)
    deep = tail < UNDERFLOW
    share = np.log(freedom) - np.logaddexp(np.log(freedom), 2 * np.log(np.where(deep, t, 1)))
    half = freedom / 2
    series = half * share - np.log(2 * half) - special.betaln(half, 0.5)
    return np.where(deep, series, np.log(np.where(deep, 1, tail)))
