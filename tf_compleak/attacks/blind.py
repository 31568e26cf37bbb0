"""The blind baseline of a report: an attack that must not succeed.

A classifier that sees inputs and labels but no model (Das, Zhang & Tramer, 2024); where it tells
members from non-members, the two sets differ in distribution, and no membership attack on them
means anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import hstack
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

FOLDS = 5
FEATURES = 128
HASHES = 2**15


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


def blind_texts(
    texts: Sequence[str], labels: np.ndarray, members: np.ndarray, *, seed: int
) -> np.ndarray:
    """As `blind_baseline` for texts: words and pairs of words, hashed, into a linear classifier.

    It reads the texts themselves: token ids of a vocabulary learned from members would give the
    members away by the vocabulary, which is part of the model.
    """
    words = HashingVectorizer(n_features=HASHES, ngram_range=(1, 2), alternate_sign=False)
    table = hstack([words.transform(texts), np.eye(labels.max() + 1)[labels]]).tocsr()
    model = LogisticRegression(max_iter=200, random_state=seed)
    cv = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return cross_val_predict(model, table, members, cv=cv, method="decision_function")


def summary(inputs: np.ndarray) -> np.ndarray:
    """f32[N, F], at most `FEATURES` block averages of the flattened inputs, mean and spread."""
    flat = inputs.reshape(len(inputs), -1)
    blocks = np.array_split(np.arange(flat.shape[1]), min(FEATURES, flat.shape[1]))
    averages = [flat[:, block].mean(axis=1) for block in blocks]
    return np.column_stack([*averages, flat.mean(axis=1), flat.std(axis=1)])
