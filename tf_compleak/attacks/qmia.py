"""QMIA: how far above what non-members of its kind reach, by quantile regression.

Two quantiles of phi, the logit of the label's probability, are regressed on known non-members; the
score is by how many times the distance of the two an example is above the lower one. Members are
never fitted on, so that nothing is told of them: made for audits without shadows, where other
attacks are cross-fitted on members too (Bertran et al., "Scalable membership inference attacks via
quantile regression", NeurIPS 2023, section 3).

An example's kind is its label here; theirs is its input, which attacks do not see. How the version
spreads the rest over the other classes was tried for it and left out: it tells membership itself,
so that less is left above the quantiles (CIFAR-10, 4,000 members: AUC 0.861, with the label 0.877,
with block averages of the images 0.883). Of one version only: without members nobody knows how much
each of several counts, and the mean over versions is weaker than the best of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from tf_compleak.attacks import features
from tf_compleak.types.observations import Observations

QUANTILES = (0.5, 0.9)
LEAST = 20  # non-members, so that a quantile of 0.9 is one of something
NARROWEST = 1e-3  # of the distance of the quantiles, in units of phi's spread


@dataclass(frozen=True, eq=False)
class Fitted:
    """Both quantiles by label, and the spread of phi over non-members."""

    middle: HistGradientBoostingRegressor
    upper: HistGradientBoostingRegressor
    spread: float
    threshold: float = 0.0  # half of the non-members lie above it

    def score(self, target: Observations) -> np.ndarray:
        """f64[N], 0 at the median of non-members of the kind, 1 at their 90th percentile."""
        kinds = _kinds(target)
        middle = self.middle.predict(kinds)
        distance = np.maximum(self.upper.predict(kinds) - middle, NARROWEST * self.spread)
        return (features.logit(target)[0] - middle) / distance


@dataclass(frozen=True)
class Qmia:
    """Quantiles of non-members, regressed on the label."""

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Fit on the non-members of all shadows; ValueError where there are fewer than 20."""
        shadow = features.join(shadows)
        outside = shadow.take(np.flatnonzero(~shadow.members))
        if len(outside) < LEAST:
            raise ValueError(f"qmia: {len(outside)} non-members to fit on, needs {LEAST}.")
        phi = np.float64(features.logit(outside)[0])
        middle, upper = (
            HistGradientBoostingRegressor(
                loss="quantile",
                quantile=quantile,
                max_iter=60,
                max_leaf_nodes=8,
                min_samples_leaf=50,
                early_stopping=False,
                random_state=seed,
            ).fit(_kinds(outside), phi)
            for quantile in QUANTILES
        )
        return Fitted(middle, upper, max(float(phi.std()), 1e-6))


def _kinds(observations: Observations) -> np.ndarray:
    """f32[N, 1]: the label."""
    return np.float32(observations.labels[:, None])
