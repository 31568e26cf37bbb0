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
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler

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
    scaler: StandardScaler
    regression: LogisticRegression

    def log_odds(self, table: np.ndarray) -> np.ndarray:
        return logistic.log_odds(self.regression, self.scaler.transform(table))


@dataclass(frozen=True)
class Linear:
    """Logistic regression on standardized features."""

    label: bool = True

    def out_of_fold(self, shadow: Observations, seed: int) -> np.ndarray:
        """f64[N] log-odds of every shadow example from a fit that did not see it."""
        table = StandardScaler().fit_transform(features.table(shadow, self.label))
        return logistic.held_out(table, shadow.members, folds(seed))

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on all shadows; the threshold comes from out-of-fold scores."""
        shadow = features.join(shadows)
        scaler = StandardScaler()
        table = scaler.fit_transform(features.table(shadow, self.label))
        model = _Linear(scaler, logistic.fit(table, shadow.members))
        held_out_odds = logistic.held_out(table, shadow.members, folds(seed))
        return Fitted(model, roc.best_threshold(held_out_odds, shadow.members), self.label)


@dataclass(frozen=True, eq=False)
class _Votes:
    forest: RandomForestClassifier

    def log_odds(self, table: np.ndarray) -> np.ndarray:
        return forest.log_odds(self.forest, table)


@dataclass(frozen=True)
class Forest:
    """A random forest; the threshold comes from out-of-bag votes."""

    label: bool = True

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on all shadows."""
        shadow = features.join(shadows)
        model, out_of_bag_odds = forest.fit(
            features.table(shadow, self.label), shadow.members, seed
        )
        return Fitted(
            _Votes(model), roc.best_threshold(out_of_bag_odds, shadow.members), self.label
        )


@dataclass(frozen=True, eq=False)
class _Network:
    network: object
    scaler: StandardScaler

    def log_odds(self, table: np.ndarray) -> np.ndarray:
        return self.network.log_odds(self.scaler.transform(table))


@dataclass(frozen=True)
class Mlp:
    """A Keras perceptron; the epoch and the threshold are chosen on a held-out shadow slice."""

    label: bool = True

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on 80 % of the shadow examples, choose on the rest."""
        from tf_compleak.attacks import networks

        shadow = features.join(shadows)
        table = features.table(shadow, self.label)
        fit_rows, held_out_rows = train_test_split(
            np.arange(len(shadow)), test_size=HELD_OUT, stratify=shadow.members, random_state=seed
        )
        scaler = StandardScaler().fit(table[fit_rows])
        table = scaler.transform(table)
        settings = networks.mlp_settings(len(fit_rows))
        network = networks.fit(
            networks.mlp, table, shadow.members, fit_rows, held_out_rows, settings, seed
        )
        threshold = roc.best_threshold(
            network.log_odds(table[held_out_rows]), shadow.members[held_out_rows]
        )
        return Fitted(_Network(network, scaler), threshold, self.label)


UnlabelledLinear = partial(Linear, label=False)
UnlabelledForest = partial(Forest, label=False)
UnlabelledMlp = partial(Mlp, label=False)
