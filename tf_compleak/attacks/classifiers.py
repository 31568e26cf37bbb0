"""Classifiers on confidence vectors: Shokri's and Nasr's attack on one version, SR1 and SR2 on two.

Shokri et al. (S&P 2017): a classifier on the sorted confidences. Nasr et al. (CCS 2018): on p and
the one-hot label. SR1 and SR2 (CompLeak, section 4.2): the same two on the vectors of the original
and of a compressed version, both in the original's order. They are one attack whose table is as
wide as the release (see `features.table`), with three classifiers: logistic regression, random
forest, perceptron. The threshold is chosen on shadow examples that the classifier was not fitted
on: held-out folds, out-of-bag votes, a held-out slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split

from tf_compleak.attacks import features, forest, logistic
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations

FOLDS = 5
HELD_OUT = 0.2


class Model(Protocol):
    """A fitted classifier of tables."""

    def log_odds(self, table: np.ndarray) -> np.ndarray:
        """f64[N] log-odds of membership for f32[N, F]."""
        ...


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted classifier, its threshold, and whether its table holds the label."""

    model: Model
    threshold: float
    label: bool

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] log-odds of membership."""
        return self.model.log_odds(features.table(target, self.label))


def folds(seed: int) -> StratifiedKFold:
    """The split that out-of-fold scores are made with."""
    return StratifiedKFold(FOLDS, shuffle=True, random_state=seed)


@dataclass(frozen=True, eq=False)
class _Linear:
    scaler: features.Scaler
    weights: np.ndarray

    def log_odds(self, table: np.ndarray) -> np.ndarray:
        rows = self.scaler(table)
        return logistic.margins(rows, self.weights[:-1]) + self.weights[-1]


@dataclass(frozen=True)
class Linear:
    """Logistic regression on standardized features."""

    label: bool = True

    def out_of_fold(self, shadow: Observations, seed: int) -> np.ndarray:
        """f64[N] log-odds of every shadow example from a fit that did not see it."""
        return self._fit(shadow, seed)[1]

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on all shadows; the threshold comes from out-of-fold scores."""
        shadow = features.join(shadows)
        model, held = self._fit(shadow, seed)
        return Fitted(model, roc.best_threshold(held, shadow.members), self.label)

    def _fit(self, shadow: Observations, seed: int) -> tuple[_Linear, np.ndarray]:
        table = features.table(shadow, self.label)
        scaler = features.Scaler.of(table)
        groups = np.empty(len(table), np.int64)
        for group, (_, rows) in enumerate(folds(seed).split(table, shadow.members)):
            groups[rows] = group
        weights, held = logistic.fit(scaler(table), shadow.members, groups)
        return _Linear(scaler, weights), held


@dataclass(frozen=True)
class Forest:
    """A random forest; the threshold comes from out-of-bag votes."""

    label: bool = True

    def out_of_fold(self, shadow: Observations, seed: int) -> np.ndarray:
        """f64[N] log-odds of every shadow example from the trees that did not see it."""
        return forest.fit(features.table(shadow, self.label), shadow.members, seed)[1]

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on all shadows."""
        shadow = features.join(shadows)
        model, held = forest.fit(features.table(shadow, self.label), shadow.members, seed)
        return Fitted(model, roc.best_threshold(held, shadow.members), self.label)


@dataclass(frozen=True, eq=False)
class _Network:
    network: object
    scaler: features.Scaler

    def log_odds(self, table: np.ndarray) -> np.ndarray:
        return self.network.log_odds(self.scaler(table))


@dataclass(frozen=True)
class Mlp:
    """A Keras perceptron; the epoch and the threshold are chosen on a held-out shadow slice."""

    label: bool = True

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on 80 % of the shadow examples, choose on the rest."""
        from tf_compleak.attacks import networks

        shadow = features.join(shadows)
        table = features.table(shadow, self.label)
        fitted, held = train_test_split(
            np.arange(len(shadow)), test_size=HELD_OUT, stratify=shadow.members, random_state=seed
        )
        scaler = features.Scaler.of(table[fitted])
        table = scaler(table)
        settings = networks.mlp_settings(len(fitted))
        network = networks.fit(networks.mlp, table, shadow.members, fitted, held, settings, seed)
        threshold = roc.best_threshold(network.log_odds(table[held]), shadow.members[held])
        return Fitted(_Network(network, scaler), threshold, self.label)


UnlabelledLinear = partial(Linear, label=False)
UnlabelledForest = partial(Forest, label=False)
UnlabelledMlp = partial(Mlp, label=False)
