"""Logistic regression with scores of held-out folds, by Newton's method.

Minimizes sum_i log(1 + exp(-s_i (x_i w + b))) + |w|^2 / 2 with s = +-1, the objective of
scikit-learn's `LogisticRegression(C=1)` (held to it by a test). Its K folds cost K more fits there;
here they start at the solution of all rows, with its Hessian less the fold's own part (one Gram
matrix in all), and need a few gradients each. Each fit goes on until its Newton decrement, twice
what the objective can still fall, says that the weights are within 0.1 % of a standard error.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit
from threadpoolctl import threadpool_limits

from tf_compleak.attacks._threads import threads

DECREMENT = 1e-6
ROUNDED = 1e-3  # a decrement that counts as none where rounding keeps it from falling further
PATIENCE = 4  # steps without halving it
STEPS = 100
BLOCK = 4096
NOISE = 1e-6  # relative rounding of an objective computed from float32 margins


def fit(
    table: np.ndarray, members: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights f64[F + 1] (the last is the intercept) and held-out log-odds f64[N].

    Args:
      table: f32[N, F], standardized.
      members: bool[N].
      groups: int[N], the fold of every row; its log-odds come from a fit without that fold.
    """
    x = np.column_stack([table, np.ones(len(table), np.float32)])
    held = np.empty(len(x))
    with threadpool_limits(1, user_api="blas"):  # threads cost more than they give at this size
        weights = _newton(x, members, np.zeros(x.shape[1]))
        folds = [groups == group for group in np.unique(groups)]
        parts = [_gram(x[fold], weights) for fold in folds]

        def without(fold, part):
            hessian = sum(parts) - part + _ridge(x.shape[1])
            held[fold] = margins(x[fold], _newton(x[~fold], members[~fold], weights, hessian))

        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(without, folds, parts))
    return weights, held


def margins(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """f64[N] log-odds of rows f32[N, F + 1] whose last column is one."""
    return np.float64(x @ np.float32(weights))


def _newton(x, members, weights, hessian=None):
    """Newton steps; the Hessian is kept as long as the decrement halves at every step."""
    value, gradient = _objective(x, members, weights)
    last, least, stalled = np.inf, np.inf, 0
    for _ in range(STEPS):
        if hessian is None:
            hessian, last = _gram(x, weights) + _ridge(x.shape[1]), np.inf
        step = cho_solve(cho_factor(hessian), gradient)
        decrement = gradient @ step
        stalled = 0 if decrement < least / 2 else stalled + 1
        least = min(least, decrement)
        if decrement < DECREMENT or (decrement < ROUNDED and stalled == PATIENCE):
            break
        hessian = hessian if decrement < last / 2 else None
        last = decrement
        weights, value, gradient = _descend(x, members, weights, step, value)
    return weights


def _descend(x, members, weights, step, value):
    """The step, halved until the objective does not rise."""
    for _ in range(30):
        tried = weights - step
        new, gradient = _objective(x, members, tried)
        if new <= value * (1 + NOISE):
            break
        step = step / 2
    return tried, new, gradient


def _objective(x, members, weights):
    odds = margins(x, weights)
    value = np.logaddexp(0, np.where(members, -odds, odds)).sum() + weights[:-1] @ weights[:-1] / 2
    gradient = np.float64(np.float32(expit(odds) - members) @ x)
    gradient[:-1] += weights[:-1]
    return value, gradient


def _gram(x, weights):
    """The data's part of the Hessian, sum p (1 - p) x x', in blocks added up in float64."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK]
        p = expit(rows @ np.float32(weights))
        rows = rows * np.sqrt(p * (1 - p))[:, None]
        total += rows.T @ rows
    return total


def _ridge(width):
    """The penalty's part; next to none on the intercept."""
    return np.diag(np.append(np.ones(width - 1), 1e-6))
