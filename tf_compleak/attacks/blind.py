"""The blind baseline of a report: an attack that must not succeed.

A classifier that sees inputs and labels but no model (Das, Zhang & Tramer, 2024); where it tells
members from non-members, the two sets differ in distribution, and no membership attack on them
means anything.
"""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

FOLDS = 5
FEATURES = 128


def blind_baseline(
    inputs: np.ndarray, labels: np.ndarray, members: np.ndarray, *, seed: int
) -> np.ndarray:
    """Scores f64[N] of members from inputs f32[N, ...] and labels, each from folds without it."""
    return scores(np.column_stack([summary(inputs), labels]), members, seed=seed)


def scores(table: np.ndarray, members: np.ndarray, *, seed: int) -> np.ndarray:
    """Scores f64[N] of members from the rows of `table` f64[N, F], each from folds without it."""
    model = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=seed
    )
    cv = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return cross_val_predict(model, table, members, cv=cv, method="decision_function")


def summary(inputs: np.ndarray) -> np.ndarray:
    """f32[N, F], at most `FEATURES` block averages of the flattened inputs, mean and spread."""
    flat = inputs.reshape(len(inputs), -1)
    blocks = np.array_split(np.arange(flat.shape[1]), min(FEATURES, flat.shape[1]))
    averages = [flat[:, block].mean(axis=1) for block in blocks]
    return np.column_stack([*averages, flat.mean(axis=1), flat.std(axis=1)])
