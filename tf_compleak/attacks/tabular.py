"""The tabular attack: for few shadows, any release, fitted in a second or two.

Every version gives five numbers that say how sure it is of the label: the logit phi, the margin to
the best other class, entropy, modified entropy, loss. With several versions come the differences of
phi to the first one, and the mean, deviation, least and greatest phi. Splines of these (`splines`)
and the one-hot label go into a logistic regression: what members and non-members differ in is
curved (too sure is as telling as unsure), and the classes differ in level.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from tf_compleak.attacks import features, logistic, splines
from tf_compleak.metrics import roc
from tf_compleak.types import seeds
from tf_compleak.types.observations import Observations

FOLDS = 3
DEALS = 8  # times that the folds are dealt anew; the threshold is the mean of theirs
ENOUGH = 80_000  # scores of all dealings together: of more examples the best cut jumps less


@dataclass(frozen=True, eq=False)
class Fitted:
    """The splines, the regression, and what comes from other dealings of its examples.

    `deal` gives out-of-fold log-odds f64[N] of the shadows' examples, members bool[N], for the
    number of a dealing of the folds.
    """

    basis: splines.Basis
    regression: LogisticRegression
    deal: Callable[[int], np.ndarray]
    members: np.ndarray

    @functools.cached_property
    def held_out(self) -> np.ndarray:
        """f64[N] log-odds of the shadows' examples, each by a fit without it."""
        return self.deal(0)

    @functools.cached_property
    def threshold(self) -> float:
        """The mean of the best ones on out-of-fold scores, folds dealt anew; null runs do without.

        The best cut jumps from one example to another: that of a single dealing moves balanced
        accuracy by up to a point with the seed.
        """
        deals = max(1, min(DEALS, ENOUGH // len(self.members)))
        held_out_odds = [self.held_out, *(self.deal(number) for number in range(1, deals))]
        return float(np.mean([roc.best_threshold(odds, self.members) for odds in held_out_odds]))

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] log-odds of membership."""
        columns = self.basis.table(np.concatenate([per_version(target), joint(target)]).T)
        return logistic.log_odds(self.regression, np.column_stack([columns, one_hot(target)]))


def per_version(observations: Observations) -> np.ndarray:
    """f64[5 V, N]: five numbers of every version, number by number."""
    measures = (
        *(features.logit, features.margin, features.entropy),
        *(features.modified_entropy, features.loss),
    )
    return np.concatenate([measure(observations) for measure in measures])


def joint(observations: Observations) -> np.ndarray:
    """f64[V + 3, N]: what several versions say together; of one version nothing."""
    return across_versions(features.logit(observations))


def across_versions(phi: np.ndarray) -> np.ndarray:
    """Differences of phi f64[V, N] to the first version's, and mean, deviation, least, greatest."""
    if len(phi) == 1:
        return np.empty((0, phi.shape[1]))
    summaries = [phi.mean(axis=0), phi.std(axis=0), phi.min(axis=0), phi.max(axis=0)]
    return np.concatenate([phi[1:] - phi[0], summaries])


def one_hot(observations: Observations) -> np.ndarray:
    """f32[N, C], the labels."""
    return np.float32(observations.labels[:, None] == np.arange(observations.classes))


@dataclass(frozen=True)
class Tabular:
    """Splines of a few numbers a version into a logistic regression."""

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on all shadows; the threshold comes from out-of-fold scores, folds dealt anew."""
        shadow = features.join(shadows)
        basis, columns = splines.fit(np.concatenate([per_version(shadow), joint(shadow)]).T)
        table = np.column_stack([columns, one_hot(shadow)])
        regression = logistic.fit(table, shadow.members)
        deal = functools.partial(_deal, table, shadow.members, seed)
        return Fitted(basis, regression, deal, shadow.members)


def _deal(table: np.ndarray, members: np.ndarray, seed: int, number: int) -> np.ndarray:
    """Log-odds f64[N] by fits without the example's fold, in one dealing of the folds."""
    state = seeds.integer(seed, "folds", str(number))
    return logistic.held_out(table, members, KFold(FOLDS, shuffle=True, random_state=state))
