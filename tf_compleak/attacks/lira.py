"""The likelihood-ratio attack (LiRA; Carlini et al., S&P 2022, sections 4 and 5) over versions.

phi = log p_y - log(1 - p_y) of every released version. The shadows' phi of an example are Gaussian
around the example's own mean, with variances shared over examples (their section 6.3, for few
shadows): mean over the shadows that saw it (in), and over those that did not (out).

Online: score = sum over versions of log N(phi; mean_in, s_in) - log N(phi; mean_out, s_out).
Offline, without shadows that saw the example: score = sum over versions of
-log P(out answers phi or more).

Versions count as independent given the example; a full covariance over versions does worse, the
tails are too heavy for it. The threshold comes from shadows that play the target in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from tf_compleak.attacks import features
from tf_compleak.attacks.references import Panel, References
from tf_compleak.metrics import roc
from tf_compleak.observations import Observations


@dataclass(frozen=True, eq=False)
class Fitted:
    """The reference models and the threshold."""

    attack: Lira
    panel: Panel
    threshold: float

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] likelihood ratios, or tail probabilities, as logarithms."""
        return self.attack.scores(features.logit(target), self.panel.at(target.ids))


@dataclass(frozen=True)
class Lira:
    """LiRA on a release of any number of versions; `online` uses the shadows that saw x too."""

    online: bool

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Look nothing up yet; the threshold is the best one for the shadows as targets."""
        panel = Panel(shadows, features.logit)
        if len(panel) < 2:
            raise ValueError("lira: needs two shadows or more, has 1; raise --num_shadows.")
        played = [
            self.scores(features.logit(shadow), panel.at(shadow.ids, without=index))
            for index, shadow in enumerate(shadows)
        ]
        members = np.concatenate([shadow.members for shadow in shadows])
        return Fitted(self, panel, roc.best_threshold(np.concatenate(played), members))

    def scores(self, phi: np.ndarray, references: References) -> np.ndarray:
        """f64[N] for the target's phi f64[V, N]."""
        center, spread = out(references)
        if not self.online:
            return -special.log_ndtr((center - phi) / spread[:, None]).sum(axis=0)
        gap, near = inside(references, center)
        return (_log_normal(phi, center + gap, near) - _log_normal(phi, center, spread)).sum(axis=0)


def out(references: References) -> tuple[np.ndarray, np.ndarray]:
    """Mean f64[V, N] and deviation f64[V] of the models that did not see the example."""
    mean = references.mean(references.outside)
    if np.isnan(mean).all():
        raise ValueError(
            "lira: no shadow was asked about an example that it was not trained on; give the "
            "shadows' answers on the target's examples (Observations.aside, or --split=halves)."
        )
    overall = np.nanmean(mean, axis=1, keepdims=True)
    return np.where(np.isnan(mean), overall, mean), references.spread(references.outside)


def inside(references: References, center: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the models that saw the example minus `center` f64[V, N], and deviation f64[V].

    Where no model saw an example, the average over the others stands in.
    """
    gap = references.mean(references.inside) - center
    if np.isnan(gap).all():
        raise ValueError(
            "lira: no shadow was trained on an example of the target; the online form needs "
            "--split=halves."
        )
    usual = np.nanmean(gap, axis=1, keepdims=True)
    return np.where(np.isnan(gap), usual, gap), references.spread(references.inside)


def _log_normal(x: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """log N(x; mean, deviation) [V, N] without the constant."""
    return -(((x - mean) / deviation[:, None]) ** 2) / 2 - np.log(deviation)[:, None]


def online() -> Lira:
    """With the shadows that saw the example and those that did not."""
    return Lira(online=True)


def offline() -> Lira:
    """With the shadows that did not see the example only."""
    return Lira(online=False)
