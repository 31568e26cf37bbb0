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
BLOCK, MOST = 2**18, 4096  # numbers and rows worked on together: they stay in the cache
NOISE = 1e-6  # relative rounding of an objective computed from float32 margins

Part = tuple[np.ndarray, np.ndarray]  # rows f32[n, F + 1] and their membership bool[n]


def fit(
    table: np.ndarray, members: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights f64[F + 1] (the last is the intercept) and held-out log-odds f64[N].

    Args:
      table: f32[N, F], standardized.
      members: bool[N].
      groups: int[N], the fold of every row; its log-odds come from a fit without that fold.
    """
    if not len(groups):
        with threadpool_limits(1, user_api="blas"):
            return _newton([_part(table, members)], np.zeros(table.shape[1] + 1)), np.empty(0)
    held = np.empty(len(table))
    rows = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    with threadpool_limits(1, user_api="blas"):  # threads cost more than they give at this size
        folds = [_part(table[own], members[own]) for own in rows]
        weights = _newton(folds, np.zeros(table.shape[1] + 1))
        grams = [_gram(fold, weights) for fold in folds]

        def without(index):
            others = folds[:index] + folds[index + 1 :]
            hessian = sum(grams) - grams[index] + _ridge(len(weights))
            held[rows[index]] = margins(folds[index][0], _newton(others, weights, hessian))

        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(without, range(len(folds))))
    return weights, held


def _part(table: np.ndarray, members: np.ndarray) -> Part:
    return np.column_stack([table, np.ones(len(table), np.float32)]), members


def margins(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """f64[N] log-odds of rows f32[N, F + 1] whose last column is one."""
    return np.float64(x @ np.float32(weights))


def _newton(parts: list[Part], weights, hessian=None):
    """Newton steps; the Hessian is kept as long as the decrement halves at every step."""
    value, gradient = _objective(parts, weights)
    last, least, stalled = np.inf, np.inf, 0
    for _ in range(STEPS):
        if hessian is None:
            hessian = sum(_gram(part, weights) for part in parts) + _ridge(len(weights))
            last = np.inf
        step = cho_solve(cho_factor(hessian), gradient)
        decrement = gradient @ step
        stalled = 0 if decrement < least / 2 else stalled + 1
        least = min(least, decrement)
        if decrement < DECREMENT or (decrement < ROUNDED and stalled == PATIENCE):
            break
        hessian = hessian if decrement < last / 2 else None
        last = decrement
        weights, value, gradient = _descend(parts, weights, step, value)
    return weights


def _descend(parts, weights, step, value):
    """The step, halved until the objective does not rise."""
    for _ in range(30):
        tried = weights - step
        new, gradient = _objective(parts, tried)
        if new <= value * (1 + NOISE):
            break
        step = step / 2
    return tried, new, gradient


def _blocks(part: Part):
    """The part in blocks. Sums over them are in float64: over a million rows a float32 sum is off
    by more than what Newton's method stops at, and it would go on without end."""
    x, members = part
    rows = min(max(512, BLOCK // x.shape[1]), MOST)
    for start in range(0, len(x), rows):
        yield x[start : start + rows], members[start : start + rows]


def _objective(parts, weights):
    penalty = np.append(weights[:-1], 0)
    value, gradient = penalty @ penalty / 2, penalty
    for x, members in (block for part in parts for block in _blocks(part)):
        odds = margins(x, weights)
        small = np.exp(-np.abs(odds))  # log(1 + e^z) = max(z, 0) + log(1 + e^-|z|)
        wrong = np.maximum(np.where(members, -odds, odds), 0)
        value += (wrong + np.log1p(small)).sum()
        p = np.where(odds < 0, small, 1) / (1 + small)
        gradient = gradient + np.float32(p - members) @ x
    return value, gradient


def _gram(part, weights):
    """The data's part of the Hessian, sum p (1 - p) x x'."""
    total = np.zeros((len(weights), len(weights)))
    for x, _ in _blocks(part):
        p = expit(x @ np.float32(weights))
        rows = x * np.sqrt(p * (1 - p))[:, None]
        total += rows.T @ rows
    return total


def _ridge(width):
    """The penalty's part; next to none on the intercept."""
    return np.diag(np.append(np.ones(width - 1), 1e-6))
