"""BASE (Lassila et al., arXiv 2505.24089): a model's loss against that of reference models.

score = -l(x) - log mean_k exp(-l_k(x)), with the mean over the reference models k: the likelihood
that the target gives the label, over the average of those that the references give. Against `rmia`
it needs no population. Offline the references are models that did not see x. Where some shadows
saw it the mean is that of both sides, either counting for one half, as many shadows of random
halves come to.

Several versions: the weighted sum of their scores, with weights that the shadows teach
(`version_weights`), each playing the target in turn; the threshold comes from these scores, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.attacks import features, version_weights
from tf_compleak.attacks.references import Panel, References
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations


@dataclass(frozen=True, eq=False)
class Fitted:
    """The reference models, how sure they are on average f64[V], weights f64[V], the threshold.

    `held_out` holds the scores f64[N] of the shadows' examples, each shadow in the target's place.
    """

    panel: Panel
    average: np.ndarray
    weights: np.ndarray
    held_out: np.ndarray
    threshold: float

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] logarithms of likelihood ratios; of versions the weighted sum."""
        return self.weights @ terms(target, self.panel.at(target.ids), self.average)


@dataclass(frozen=True)
class Base:
    """The attack on a release of any number of versions."""

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Weights and threshold are the best ones for shadows that play the target in turn."""
        panel = Panel(shadows, features.loss)
        panel.check_references("base")
        average = average_surety(panel.at(panel.ids))
        parts = [
            terms(shadow, panel.at(shadow.ids, without=index), average)
            for index, shadow in enumerate(shadows)
        ]
        together = np.concatenate(parts, axis=1)
        members = np.concatenate([shadow.members for shadow in shadows])
        ids = np.concatenate([shadow.ids for shadow in shadows])
        weights = version_weights.fit(together, members, ids, seed)
        held_out = weights @ together
        return Fitted(panel, average, weights, held_out, roc.best_threshold(held_out, members))


def average_surety(references: References) -> np.ndarray:
    """f64[V]: what log mean_k exp(-l_k) is on average, for examples that no reference was asked.

    Every shadow has non-members, so there is one.
    """
    return np.nanmean(log_mean(references.values, references.outside), axis=1)


def terms(family: Observations, references: References, average: np.ndarray) -> np.ndarray:
    """f64[V, N]: score of every version, for references on the family's examples."""
    return -features.loss(family) - reference_surety(references, average)


def reference_surety(references: References, average: np.ndarray) -> np.ndarray:
    """f64[V, N]: log mean_k exp(-l_k), both sides alike; the average where none was asked."""
    outside = log_mean(references.values, references.outside)
    inside = log_mean(references.values, references.inside)
    either = np.where(np.isnan(outside), inside, outside)
    either = np.where(np.isnan(either), average[:, None], either)
    sides = (np.where(np.isnan(side), either, side) for side in (outside, inside))
    return np.logaddexp(*sides) - np.log(2)


def log_mean(losses: np.ndarray, side: np.ndarray) -> np.ndarray:
    """log mean exp(-l), f64[V, N], of l f32[K, V, N] over the models in bool[K, N]; NaN for none.

    Relative to the least loss, so that differences of losses near zero are kept.
    """
    mask = side[:, None]
    least = np.where(mask, losses, np.inf).min(axis=0).astype(np.float64)
    known = np.isfinite(least)
    least = np.where(known, least, 0)
    shares = np.expm1(np.where(mask, least - losses, 0)).sum(axis=0)
    mean = shares / np.maximum(side.sum(axis=0), 1)
    return np.where(known, np.log1p(mean) - least, np.nan)
