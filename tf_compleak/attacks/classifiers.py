"""Classifiers on confidence vectors: Shokri's and Nasr's attack on one version, SR1 and SR2 on two.

Shokri et al. (S&P 2017): a classifier on the sorted confidences. Nasr et al. (CCS 2018): on p and
the one-hot label. SR1 and SR2 (CompLeak, section 4.2): the same two on the vectors of the original
and of a compressed version, both in the original's order. They are one attack whose table is as
wide as the release (see `features.table`), with three classifiers: logistic regression, random
forest, perceptron. The threshold is chosen on shadow examples that the classifier was not fitted
on: held-out folds, out-of-bag votes, a held-out slice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
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
    """A fitted classifier, whether its table holds the label, and what it says of held-out rows.

    `tell_held_out` gives log-odds f64[N] by fits without the example, and members bool[N]: of all
    of the shadows' examples where `complete`, else of some.
    """

    model: Model
    label: bool
    tell_held_out: Callable[[], tuple[np.ndarray, np.ndarray]]
    complete: bool = True

    @functools.cached_property
    def _told(self) -> tuple[np.ndarray, np.ndarray]:
        return self.tell_held_out()

    @property
    def held_out(self) -> np.ndarray | None:
        """f64[N] log-odds of the shadows' examples by fits without them; None: of some only."""
        return self._told[0] if self.complete else None

    @property
    def threshold(self) -> float:
        """The best one on held-out scores; null runs do without."""
        return roc.best_threshold(*self._told)

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] log-odds of membership."""
        return self.model.log_odds(features.table(target, self.label))


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A fitted classifier, and what fits without an example say of it.

    Attributes:
      odds: f64[N] log-odds of the shadows' examples; members: bool[N].
    """

    fitted: Fitted
    odds: np.ndarray
    members: np.ndarray

    @classmethod
    def of(cls, model: Model, odds: np.ndarray, members: np.ndarray, label: bool) -> HeldOut:
        """With a fitted attack that knows the held-out scores."""
        return cls(Fitted(model, label, lambda: (odds, members)), odds, members)


class Base(Protocol):
    """A classifier that other attacks are built on."""

    def fit_with_held_out(self, shadows: Sequence[Observations], *, seed: int) -> HeldOut:
        """Fit on all shadows, and score each of their examples by a fit without it."""
        ...


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

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on all shadows; the threshold comes from out-of-fold scores."""
        model, table, members = self._fitted(shadows)

        def tell_held_out() -> tuple[np.ndarray, np.ndarray]:
            return logistic.held_out(table, members, folds(seed)), members

        return Fitted(model, self.label, tell_held_out)

    def fit_with_held_out(self, shadows: Sequence[Observations], *, seed: int) -> HeldOut:
        """The same, and the out-of-fold scores."""
        model, table, members = self._fitted(shadows)
        odds = logistic.held_out(table, members, folds(seed))
        return HeldOut.of(model, odds, members, self.label)

    def _fitted(self, shadows: Sequence[Observations]) -> tuple[_Linear, np.ndarray, np.ndarray]:
        """The model, its standardized table f32[N, F] and members bool[N]."""
        shadow, scaler = features.join(shadows), StandardScaler()
        table = scaler.fit_transform(features.table(shadow, self.label))
        model = _Linear(scaler, logistic.fit(table, shadow.members))
        return model, table, shadow.members


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
        return self.fit_with_held_out(shadows, seed=seed).fitted

    def fit_with_held_out(self, shadows: Sequence[Observations], *, seed: int) -> HeldOut:
        """The same, and the out-of-bag scores."""
        shadow = features.join(shadows)
        model, odds = forest.fit(features.table(shadow, self.label), shadow.members, seed)
        return HeldOut.of(_Votes(model), odds, shadow.members, self.label)


@dataclass(frozen=True)
class LinearOrForest:
    """Logistic regression or random forest, whichever tells held-out shadow examples better."""

    label: bool = True

    def fit_with_held_out(self, shadows: Sequence[Observations], *, seed: int) -> HeldOut:
        """The better one by the AUC of its held-out scores, regression where they are equal."""
        fits = [kind(self.label).fit_with_held_out(shadows, seed=seed) for kind in (Linear, Forest)]
        return max(fits, key=lambda fit: roc.auc(fit.odds, fit.members))


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
        odds, members = network.log_odds(table[held_out_rows]), shadow.members[held_out_rows]
        return Fitted(
            _Network(network, scaler), self.label, lambda: (odds, members), complete=False
        )


UnlabelledLinear = partial(Linear, label=False)
UnlabelledForest = partial(Forest, label=False)
UnlabelledMlp = partial(Mlp, label=False)
