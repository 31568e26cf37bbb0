"""QMIA: how far above what non-members of its kind reach, by quantile regression.

For each version two quantiles of phi, the logit of the label's probability, are regressed on known
non-members, by what tells how hard an example is: its input in summary where there is one, its
label, and how the version spreads the rest over the other classes. The score is by how many times
the distance of the two an example is above the lower one, the mean over versions. Members are never
fitted on, so that nothing is told of them: made for audits without shadows, where other attacks are
cross-fitted on members too (Bertran et al., "Scalable membership inference attacks via quantile
regression", NeurIPS 2023, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from tf_compleak.attacks import features
from tf_compleak.types import seeds
from tf_compleak.types.observations import Observations

QUANTILES = (0.5, 0.9)
LEAST = 20  # non-members, so that a quantile of 0.9 is one of something
TOP = 5  # other classes that are told apart, the likeliest first
NARROWEST = 1e-3  # of the distance of the quantiles, in units of phi's spread
Regressions = tuple[HistGradientBoostingRegressor, HistGradientBoostingRegressor]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Both quantiles of every version, and the spread of its phi over non-members."""

    regressions: tuple[Regressions, ...]
    spreads: np.ndarray
    threshold: float = 0.0  # half of the non-members lie above it

    def score(self, target: Observations) -> np.ndarray:
        """f64[N], 0 at the median of non-members of the kind, 1 at their 90th percentile."""
        phi = features.logit(target)
        scores = np.empty(phi.shape)
        for version, regressions in enumerate(self.regressions):
            table = numbers(target, version)
            middle, upper = (regression.predict(table) for regression in regressions)
            distance = np.maximum(upper - middle, NARROWEST * self.spreads[version])
            scores[version] = (phi[version] - middle) / distance
        return scores.mean(axis=0)


@dataclass(frozen=True)
class Qmia:
    """Quantiles of non-members, regressed on how hard an example is."""

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on the non-members of all shadows; ValueError where there are fewer than 20."""
        shadow = features.join(shadows)
        outside = shadow.take(np.flatnonzero(~shadow.members))
        if len(outside) < LEAST:
            raise ValueError(f"qmia: {len(outside)} non-members to fit on, needs {LEAST}.")
        phi = np.float64(features.logit(outside))
        regressions = tuple(
            _quantiles(numbers(outside, version), phi[version], seeds.integer(seed, name))
            for version, name in enumerate(outside.versions)
        )
        return Fitted(regressions, np.maximum(phi.std(axis=1), 1e-6))


def numbers(observations: Observations, version: int) -> np.ndarray:
    """f32[N, F] of one version: what tells how hard an example is, and not whether it was seen."""
    logs = features.log(observations)[version].copy()
    rows = np.arange(len(logs))
    logs[rows, observations.labels] = -np.inf
    others = -np.sort(-logs, axis=1)[:, :-1]
    others -= np.logaddexp.reduce(others, axis=1, keepdims=True)
    entropy = -(np.exp(others) * others).sum(axis=1)
    columns = [others[:, :TOP], entropy, np.argmax(logs, axis=1), observations.labels]
    return np.float32(np.column_stack(columns))


def _quantiles(table: np.ndarray, phi: np.ndarray, seed: int) -> Regressions:
    lower, upper = (
        HistGradientBoostingRegressor(
            loss="quantile",
            quantile=quantile,
            max_iter=60,
            max_leaf_nodes=8,
            min_samples_leaf=50,
            early_stopping=False,
            random_state=seed,
        ).fit(table, phi)
        for quantile in QUANTILES
    )
    return lower, upper
