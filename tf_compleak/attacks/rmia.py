"""RMIA, offline (Zarifzadeh, Liu & Shokri, ICML 2024), over one or several versions.

ratio_x = p_y(x) / (((1 + a) mean_out(x) + 1 - a) / 2) with a = 0.5 and mean_out over the shadows
that did not see x; ratio_z = p_y(z) / mean(z) for population examples z, which are in no model's
training set. Several versions: the ratios are multiplied. Score: the share of z with
ratio_x / ratio_z > gamma.

One sort of the population and one binary search for each x: O((N + Z) log Z), no N x Z array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.attacks import features
from tf_compleak.attacks.references import Panel
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations

EVEN = 0.5  # the threshold where no second shadow can play the target: x beats half of the z


@dataclass(frozen=True, eq=False)
class Fitted:
    """The reference models, their average answer f64[V], and the threshold."""

    attack: Rmia
    panel: Panel
    average: np.ndarray
    threshold: float

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] shares in [0, 1]; ties between x and z count half."""
        return self.attack.scores(target, self.panel, self.average, None)


@dataclass(frozen=True)
class Rmia:
    """Offline RMIA on a release of any number of versions."""

    a: float = 0.5
    gamma: float = 1.0

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """The threshold is the best one for shadows that play the target in turn."""
        panel = Panel(shadows, features.floored_confidence)
        references = panel.at(panel.ids)
        if not references.outside.any():
            raise ValueError(
                "rmia: no shadow was asked about an example that it was not trained on; give the "
                "shadows' answers on the target's examples and the population (Observations.aside)."
            )
        average = np.nanmean(references.mean(references.outside), axis=1)
        if len(panel) < 2:
            return Fitted(self, panel, average, EVEN)
        shadow_scores = [
            self.scores(shadow, panel, average, index) for index, shadow in enumerate(shadows)
        ]
        members = np.concatenate([shadow.members for shadow in shadows])
        return Fitted(
            self, panel, average, roc.best_threshold(np.concatenate(shadow_scores), members)
        )

    def scores(
        self, target: Observations, panel: Panel, average: np.ndarray, without: int | None
    ) -> np.ndarray:
        """f64[N] of a target, or of the shadow number `without` in its place."""
        if target.aside is None or not len(target.aside):
            raise ValueError(
                "rmia: needs the answers on population examples (Observations.aside); "
                "raise --num_population."
            )
        mean_out = _mean_out(target, panel, average, without)
        x = _log_ratios(target, ((1 + self.a) * mean_out + 1 - self.a) / 2)
        z = np.sort(_log_ratios(target.aside, _mean_out(target.aside, panel, average, without)))
        cut = x - np.log(self.gamma)
        return (np.searchsorted(z, cut, "left") + np.searchsorted(z, cut, "right")) / (2 * len(z))


def _mean_out(
    observations: Observations, panel: Panel, average: np.ndarray, without: int | None
) -> np.ndarray:
    """f64[V, N] mean p_y over the models that did not see the example; the average if none."""
    references = panel.at(observations.ids, without)
    mean_out = references.mean(references.outside)
    return np.maximum(np.where(np.isnan(mean_out), average[:, None], mean_out), features.FLOOR)


def _log_ratios(observations: Observations, reference_mean: np.ndarray) -> np.ndarray:
    return (np.log(features.floored_confidence(observations)) - np.log(reference_mean)).sum(axis=0)
