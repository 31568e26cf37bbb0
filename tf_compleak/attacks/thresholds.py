"""Threshold attacks on one version: a statistic of the confidences, one cut or one per class.

Confidence: p_y. Loss: log p_y (Yeom et al., CSF 2018, section 3.3). Entropy: sum p log p (Salem et
al., NDSS 2019). Modified entropy: see `features.modified_entropy` (Song & Mittal, USENIX Security
2021, section 4; so are thresholds per class). A threshold is the one with the best balanced
accuracy on the shadow; the attack's score is the margin to it, so that accuracy and AUC speak of
one and the same attack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tf_compleak.attacks import features
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations

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
    """An attack that compares one statistic f64[V, N] with one threshold, or one per class."""

    statistic: Score
    per_class: bool = True

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Choose the thresholds; a class with too few examples gets the one of all classes."""
        shadow = features.join(shadows)
        values = self.statistic(shadow)[0]
        common = roc.best_threshold(values, shadow.members)
        thresholds = np.full(shadow.classes, common)
        for label, rows in enumerate(_rows(shadow) if self.per_class else ()):
            members = shadow.members[rows]
            if min(members.sum(), (~members).sum()) >= LEAST:
                thresholds[label] = roc.best_threshold(values[rows], members)
        return Fitted(self.statistic, thresholds)


def _rows(observations: Observations) -> list[np.ndarray]:
    """The examples of every class, from one sort by label."""
    order = np.argsort(observations.labels, kind="stable")
    ends = np.searchsorted(observations.labels[order], np.arange(1, observations.classes))
    return np.split(order, ends)


def _negative_loss(observations: Observations) -> np.ndarray:
    return -features.loss(observations)


confidence = partial(Threshold, features.confidence)
confidence_global = partial(Threshold, features.confidence, per_class=False)
loss = partial(Threshold, _negative_loss)
loss_global = partial(Threshold, _negative_loss, per_class=False)
entropy = partial(Threshold, features.entropy)
entropy_global = partial(Threshold, features.entropy, per_class=False)
modified_entropy = partial(Threshold, features.modified_entropy)
modified_entropy_global = partial(Threshold, features.modified_entropy, per_class=False)
