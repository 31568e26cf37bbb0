"""Classifiers on confidence vectors and the label: Nasr's attack on one version, SR on two.

Nasr et al. (CCS 2018): a classifier on p and the one-hot label. SR (CompLeak, section 4.2): the
same on the vectors of the original and of a compressed version, both in the original's order. They
are one attack whose table is as wide as the release (see `features.table`). The threshold is chosen
on shadow examples that the classifier was not fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tf_compleak.attacks import features
from tf_compleak.metrics import roc
from tf_compleak.observations import Observations

FOLDS = 5
HELD_OUT = 0.2


class Model(Protocol):
    """A fitted classifier of tables."""

    def log_odds(self, table: np.ndarray) -> np.ndarray:
        """f64[N] log-odds of membership for f32[N, F]."""
        ...


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted classifier and its threshold."""

    model: Model
    threshold: float

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] log-odds of membership."""
        return self.model.log_odds(features.table(target))


def folds(seed: int) -> StratifiedKFold:
    """The split that out-of-fold scores are made with."""
    return StratifiedKFold(FOLDS, shuffle=True, random_state=seed)


@dataclass(frozen=True, eq=False)
class _Linear:
    pipeline: object

    def log_odds(self, table: np.ndarray) -> np.ndarray:
        return self.pipeline.decision_function(table)


@dataclass(frozen=True)
class Linear:
    """Logistic regression on standardized features."""

    def out_of_fold(self, shadow: Observations, seed: int) -> np.ndarray:
        """f64[N] log-odds of every shadow example from a fit that did not see it."""
        return cross_val_predict(
            self._pipeline(),
            features.table(shadow),
            shadow.members,
            cv=folds(seed),
            method="decision_function",
        )

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on all shadows; the threshold comes from out-of-fold scores."""
        shadow = features.join(shadows)
        scores = self.out_of_fold(shadow, seed)
        pipeline = self._pipeline().fit(features.table(shadow), shadow.members)
        return Fitted(_Linear(pipeline), roc.best_threshold(scores, shadow.members))

    @staticmethod
    def _pipeline():
        return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))


@dataclass(frozen=True, eq=False)
class _Network:
    network: object
    scaler: StandardScaler

    def log_odds(self, table: np.ndarray) -> np.ndarray:
        return self.network.log_odds(np.float32(self.scaler.transform(table)))


@dataclass(frozen=True)
class Mlp:
    """A Keras perceptron; the epoch and the threshold are chosen on a held-out shadow slice."""

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on 80 % of the shadow examples, choose on the rest."""
        from tf_compleak.attacks import networks

        shadow = features.join(shadows)
        table = features.table(shadow)
        fitted, held = train_test_split(
            np.arange(len(shadow)), test_size=HELD_OUT, stratify=shadow.members, random_state=seed
        )
        scaler = StandardScaler().fit(table[fitted])
        table = np.float32(scaler.transform(table))
        network = networks.fit(
            networks.mlp, table, shadow.members, fitted, held, networks.MLP_SETTINGS, seed
        )
        threshold = roc.best_threshold(network.log_odds(table[held]), shadow.members[held])
        return Fitted(_Network(network, scaler), threshold)


logistic_regression = Linear
mlp = Mlp
