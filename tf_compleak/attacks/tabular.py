"""The tabular attack: for few shadows, any release, fitted in about a second.

Every version gives five numbers that say how sure it is of the label: the logit phi, the margin to
the best other class, entropy, modified entropy, loss. With several versions come the differences of
phi to the first one, and the mean, deviation, least and greatest phi. Splines of these and the
one-hot label go into a logistic regression: what members and non-members differ in is curved (too
sure is as telling as unsure), and the classes differ in level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from tf_compleak.attacks import features
from tf_compleak.metrics import roc
from tf_compleak.observations import Observations

KNOTS = 4
FOLDS = 3


@dataclass(frozen=True, eq=False)
class Fitted:
    """The fitted regression and its threshold."""

    model: object
    threshold: float

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] log-odds of membership."""
        return self.model.decision_function(columns(target))


def columns(observations: Observations) -> np.ndarray:
    """f64[N, F]: five numbers for every version, four over all, the one-hot label."""
    phi = features.logit(observations)
    parts = [phi, features.margin(observations), features.entropy(observations)]
    parts += [features.modified_entropy(observations), features.loss(observations)]
    if len(phi) > 1:
        parts += [phi[1:] - phi[0], [phi.mean(axis=0), phi.std(axis=0)]]
        parts += [[phi.min(axis=0), phi.max(axis=0)]]
    label = np.arange(observations.classes)[:, None] == observations.labels
    return np.concatenate([*parts, label]).T


@dataclass(frozen=True)
class Tabular:
    """Splines of a few numbers a version into a logistic regression."""

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on all shadows; the threshold comes from out-of-fold scores."""
        shadow = features.join(shadows)
        table = columns(shadow)
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        held = cross_val_predict(
            _pipeline(), table, shadow.members, cv=folds, method="decision_function"
        )
        model = _pipeline().fit(table, shadow.members)
        return Fitted(model, roc.best_threshold(held, shadow.members))


def _pipeline():
    return make_pipeline(
        SplineTransformer(KNOTS, knots="quantile", extrapolation="linear"),
        StandardScaler(),
        LogisticRegression(C=0.1, tol=1e-3, max_iter=1000),
    )
