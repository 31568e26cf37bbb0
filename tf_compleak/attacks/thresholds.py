"""Threshold attacks on one version: a score of the confidence vector, cut per class.

Entropy: score = sum p log p (Salem et al., NDSS 2019; per class: Song & Mittal, USENIX Security
2021, section 4). Modified entropy: see `features.modified_entropy`. The threshold of every class is
the one with the best balanced accuracy on the shadow; the attack's score is the margin to it, so
that accuracy and AUC speak of one and the same attack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.attacks import features
from tf_compleak.metrics import roc
from tf_compleak.observations import Observations

LEAST = 10  # members and non-members that a class must have for a threshold of its own

Score = Callable[[Observations], np.ndarray]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A threshold for every class, f64[C]."""

    statistic: Score
    thresholds: np.ndarray
    threshold: float = 0.0

    def score(self, target: Observations) -> np.ndarray:
        """f64[N]: the statistic of the (first) version minus the threshold of the label's class."""
        return self.statistic(target)[0] - self.thresholds[target.labels]


@dataclass(frozen=True)
class Threshold:
    """An attack that compares one statistic f64[V, N] with a threshold per class."""

    statistic: Score

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Choose the thresholds; a class with too few examples gets the one of all classes."""
        shadow = features.join(shadows)
        values = self.statistic(shadow)[0]
        common = roc.best_threshold(values, shadow.members)
        thresholds = np.full(shadow.classes, common)
        for label in range(shadow.classes):
            here = shadow.labels == label
            if min(shadow.members[here].sum(), (~shadow.members[here]).sum()) >= LEAST:
                thresholds[label] = roc.best_threshold(values[here], shadow.members[here])
        return Fitted(self.statistic, thresholds)


def entropy() -> Threshold:
    """The prediction-entropy attack."""
    return Threshold(features.entropy)


def modified_entropy() -> Threshold:
    """The modified-entropy attack."""
    return Threshold(features.modified_entropy)
