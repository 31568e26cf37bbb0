"""Logistic regression: scikit-learn's by Newton's method, in full and on held-out folds.

With many more rows than columns `newton-cholesky` needs 3 to 6 steps, and gives float32 tables the
log-odds that `lbfgs` gives them in float64 (held to it by a test).
"""

from __future__ import annotations

import functools

import numpy as np
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import BaseCrossValidator, cross_val_predict
from threadpoolctl import ThreadpoolController

from tf_compleak.attacks._threads import threads


def fit(table: np.ndarray, members: np.ndarray) -> LogisticRegression:
    """The regression of bool[N] on standardized columns f32[N, F]; squared weights, C = 1."""
    with _libraries().limit(limits=1, user_api="blas"):  # threads cost more than they give here
        return _regression().fit(table, members)


def held_out(table: np.ndarray, members: np.ndarray, folds: BaseCrossValidator) -> np.ndarray:
    """Log-odds f64[N] of every row of f32[N, F] from a fit without its fold, folds in threads."""
    one_thread = _libraries().limit(limits=1, user_api="blas")
    with one_thread, parallel_config("threading", n_jobs=threads()):
        odds = cross_val_predict(
            _regression(), table, members, cv=folds, method="decision_function"
        )
    return np.float64(odds)


def log_odds(model: LogisticRegression, table: np.ndarray) -> np.ndarray:
    """f64[N] log-odds of rows f32[N, F]."""
    return np.float64(model.decision_function(table))


@functools.cache
def _libraries() -> ThreadpoolController:
    """The thread pools of this process, looked for once: looking takes longer than a small fit."""
    return ThreadpoolController()


def _regression() -> LogisticRegression:
    return LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-5)
