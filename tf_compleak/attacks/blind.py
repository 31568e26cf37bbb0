"""The sanity runs of a report: attacks that must not succeed.

Null run: membership is shuffled in the shadows and in the target; any attack must then have AUC 0.5
within its interval. Blind baseline: a classifier that sees inputs and labels but no model (Das,
Zhang & Tramer, 2024); where it tells members from non-members, the two sets differ in distribution,
and no membership attack on them means anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from tf_compleak.observations import Observations
from tf_compleak.types import Attack

FOLDS = 5
FEATURES = 128


def null_run(
    attack: Attack, shadows: Sequence[Observations], target: Observations, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores f64[N] of the attack under shuffled membership, and that membership bool[N]."""
    rng = np.random.default_rng(seed)
    shuffled = [
        dataclasses.replace(shadow, members=rng.permutation(shadow.members)) for shadow in shadows
    ]
    members = rng.permutation(target.members)
    return attack.fit(shuffled, seed=seed).score(target.hidden()), members


def blind_baseline(
    inputs: np.ndarray, labels: np.ndarray, members: np.ndarray, *, seed: int
) -> np.ndarray:
    """Scores f64[N] of members from inputs f32[N, ...] and labels, each from folds without it."""
    model = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=seed
    )
    cv = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    table = np.column_stack([_summary(inputs), labels])
    return cross_val_predict(model, table, members, cv=cv, method="decision_function")


def _summary(inputs: np.ndarray) -> np.ndarray:
    """At most `FEATURES` columns: block averages of the flattened inputs, their mean and spread."""
    flat = inputs.reshape(len(inputs), -1)
    blocks = np.array_split(np.arange(flat.shape[1]), min(FEATURES, flat.shape[1]))
    averages = [flat[:, block].mean(axis=1) for block in blocks]
    return np.column_stack([*averages, flat.mean(axis=1), flat.std(axis=1)])
