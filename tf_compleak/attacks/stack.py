"""MR: all released versions combined by a Keras network (CompLeak, section 4.3).

Branch 1 sees, for every version, a membership probability: SR's (original and that version) when
the original is in the release, NR's otherwise and for the original itself. Branch 2 sees every
version's cross-entropy. The probabilities that the network learns from are out-of-fold: those of a
classifier scored on its own training examples are near 0 and 1 even on noise, and teach the network
to trust them. Model selection looks at a held-out slice of the shadow only.

The paper's probabilities are those of the better of logistic regression and random forest. `mr`
takes logistic regression throughout: a forest for every version costs seconds each. `mr-rf` is the
paper's: for every version the one with the higher AUC on held-out examples of the shadow (folds of
the regression, out-of-bag votes of the forest).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from tf_compleak.attacks import classifiers, features
from tf_compleak.metrics import roc
from tf_compleak.types import ORIGINAL, Release
from tf_compleak.types.observations import Observations


def views(release: Release) -> list[Release]:
    """For every version of the release, the versions that its membership probability sees."""
    others = [name for name in release if name != ORIGINAL]
    if ORIGINAL not in release:
        return [(name,) for name in others]
    return [(ORIGINAL,), *((ORIGINAL, name) for name in others)]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The fitted base classifiers (one for every view), the network and its threshold."""

    bases: tuple[classifiers.Fitted, ...]
    scaler: StandardScaler
    network: object
    threshold: float

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] log-odds of membership."""
        bases_with_views = zip(self.bases, views(target.versions), strict=True)
        odds = [base.score(target.select(view)) for base, view in bases_with_views]
        return self.network.log_odds(np.float32(self.scaler.transform(inputs(target, odds))))


def inputs(observations: Observations, odds: Sequence[np.ndarray]) -> np.ndarray:
    """f64[N, 2V]: the membership probability from log-odds V x [N], then every version's loss."""
    ordered = observations.select([view[-1] for view in views(observations.versions)])
    return np.column_stack([expit(np.stack(odds, axis=1)), features.loss(ordered).T])


@dataclass(frozen=True)
class Stack:
    """The MR attack for any release of two or more versions."""

    base: classifiers.Base = field(default_factory=classifiers.Linear)

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit the base classifiers, in full and out-of-fold, then the network on the latter."""
        from tf_compleak.attacks import networks

        shadow = features.join(shadows)
        selections = [shadow.select(view) for view in views(shadow.versions)]
        fits = [self.base.fit_with_held_out([selection], seed=seed) for selection in selections]
        fit_rows, held_out_rows = train_test_split(
            np.arange(len(shadow)),
            test_size=classifiers.HELD_OUT,
            stratify=shadow.members,
            random_state=seed,
        )
        columns = inputs(shadow, [fit.odds for fit in fits])
        scaler = StandardScaler().fit(columns[fit_rows])
        table = np.float32(scaler.transform(columns))
        network = networks.fit(
            networks.two_branches,
            table,
            shadow.members,
            fit_rows,
            held_out_rows,
            networks.stack_settings(len(fit_rows)),
            seed,
        )
        threshold = roc.best_threshold(
            network.log_odds(table[held_out_rows]), shadow.members[held_out_rows]
        )
        return Fitted(tuple(fit.fitted for fit in fits), scaler, network, threshold)


def linear_or_forest() -> Stack:
    """With the better base for every version, as in the paper."""
    return Stack(classifiers.LinearOrForest())
