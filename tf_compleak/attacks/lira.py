"""The likelihood-ratio attack (LiRA; Carlini et al., S&P 2022, sections 4 and 5) over versions.

phi = log p_y - log(1 - p_y) of every released version. The shadows' phi of an example are Gaussian
around the example's own mean, with variances shared over examples (their section 6.3, for few
shadows): mean over the shadows that saw it (in), and over those that did not (out).

Where the shadows' scores show that it is better, an example has a variance of its own instead, and
Student-t tails and densities stand for Gaussian ones (`example_variance`).

Where no shadow saw an example, its in-mean is the out-mean and the gap of the class's examples
whose out-mean is nearest (`like_examples`).

Online: every version gives log N(phi; mean_in, s_in) - log N(phi; mean_out, s_out). Offline,
without shadows that saw the example: -log P(out answers phi or more).

Several versions are added up with weights that shadows which play the target in turn teach
(`version_weights`); the threshold comes from these, too. A plain sum counts versions as independent
given the example, and one that tells little costs more than it brings. A full covariance over
versions does worse still, the tails are too heavy for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from tf_compleak.attacks import example_variance, features, like_examples, version_weights
from tf_compleak.attacks.example_variance import Prior
from tf_compleak.attacks.like_examples import Gaps
from tf_compleak.attacks.references import Panel, References
from tf_compleak.metrics import intervals, roc
from tf_compleak.types.observations import Observations


@dataclass(frozen=True, eq=False)
class Shape:
    """What examples share, f64[F] each: deviations of in and out models around an example's mean,
    the average out-mean and gap between the means, and the gaps of examples that have both."""

    inside: np.ndarray
    outside: np.ndarray
    center: np.ndarray
    gap: np.ndarray
    gaps: Gaps | None


def shape(references: References) -> Shape:
    """The shared numbers from all that the references were asked; NaN where there is no in model.

    Raises:
      ValueError: no model was asked about an example that it was not trained on.
    """
    mean_out, mean_in = references.mean(references.outside), references.mean(references.inside)
    if np.isnan(mean_out).all():
        raise ValueError(
            "no shadow was asked about an example that it was not trained on; give the shadows' "
            "answers on the target's examples (Observations.aside, or --split=halves)."
        )
    gap = mean_in - mean_out
    undefined = np.full(len(gap), np.nan)
    return Shape(
        references.spread(references.inside) if references.inside.any() else undefined,
        references.spread(references.outside),
        np.nanmean(mean_out, axis=1),
        undefined if np.isnan(gap).all() else np.nanmean(gap, axis=1),
        like_examples.gaps(references.labels, mean_out, gap),
    )


def without(shared: Shape, references: References) -> Shape:
    """For a shadow that plays the target: gaps of like examples from the other models alone.

    `references`: those on all examples. Which examples have both means would tell what the shadow
    itself was trained on.
    """
    mean_out = references.mean(references.outside)
    gap = references.mean(references.inside) - mean_out
    gaps = like_examples.gaps(references.labels, mean_out, gap)
    return dataclasses.replace(shared, gaps=gaps)


def centers(references: References, shared: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Out-mean and gap to the in-mean of every example, f64[F, N] each.

    Where unknown, the average out-mean, and the gap of like examples or, where too few are known,
    the average one.
    """
    mean_out = references.mean(references.outside)
    gap = references.mean(references.inside) - mean_out
    mean_out = np.where(np.isnan(mean_out), shared.center[:, None], mean_out)
    unknown = np.flatnonzero(np.isnan(gap).any(axis=0))
    if len(unknown) and shared.gaps is not None:
        gap[:, unknown] = shared.gaps.like(references.labels[unknown], mean_out[:, unknown])
    return mean_out, np.where(np.isnan(gap), shared.gap[:, None], gap)


@dataclass(frozen=True, eq=False)
class Priors:
    """Of the variances that examples have of their own, inside and outside (see `Prior`)."""

    inside: Prior | None
    outside: Prior


@dataclass(frozen=True, eq=False)
class Fitted:
    """The reference models, what their answers share, weights f64[V], and the threshold.

    `priors` are None where all examples share one variance. `held_out` holds the scores f64[N] of
    the shadows' examples, each shadow in the target's place.
    """

    attack: Lira
    panel: Panel
    shared: Shape
    priors: Priors | None
    weights: np.ndarray
    held_out: np.ndarray
    threshold: float

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] likelihood ratios, or tail probabilities, as logarithms; of versions the mean."""
        phi, references = features.logit(target), self.panel.at(target.ids)
        return self.weights @ self.attack.terms(phi, references, self.shared, self.priors)


@dataclass(frozen=True)
class Lira:
    """LiRA on a release of any number of versions; `online` uses the shadows that saw x too."""

    online: bool

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Find what examples share; weights and threshold come from the shadows as targets."""
        panel = Panel(shadows, features.logit)
        panel.check_references("lira-online" if self.online else "lira-offline")
        everything = panel.at(panel.ids)
        shared, priors = shape(everything), self._priors(everything)
        fitted = self._fit(shadows, panel, shared, None, seed)
        if priors is None:
            return fitted
        members = np.concatenate([shadow.members for shadow in shadows])
        rival = self._fit(shadows, panel, shared, priors, seed)
        level = version_weights.ONE_ERROR
        gap = intervals.auc_difference(rival.held_out, fitted.held_out, members, level)
        return rival if gap.low > 0 else fitted

    def _priors(self, everything: References) -> Priors | None:
        """None where too few models were asked about the same example."""
        outside = example_variance.prior(everything, everything.outside)
        inside = example_variance.prior(everything, everything.inside) if self.online else None
        missing = outside is None or (self.online and inside is None)
        return None if missing else Priors(inside, outside)

    def _fit(
        self,
        shadows: Sequence[Observations],
        panel: Panel,
        shared: Shape,
        priors: Priors | None,
        seed: int,
    ) -> Fitted:
        terms = np.concatenate(
            [
                self.terms(
                    features.logit(shadow),
                    panel.at(shadow.ids, without=index),
                    without(shared, panel.at(panel.ids, without=index)),
                    priors,
                )
                for index, shadow in enumerate(shadows)
            ],
            axis=1,
        )
        members = np.concatenate([shadow.members for shadow in shadows])
        ids = np.concatenate([shadow.ids for shadow in shadows])
        weights = version_weights.fit(terms, members, ids, seed)
        held_out = weights @ terms
        threshold = roc.best_threshold(held_out, members)
        return Fitted(self, panel, shared, priors, weights, held_out, threshold)

    def terms(
        self, phi: np.ndarray, references: References, shared: Shape, priors: Priors | None = None
    ) -> np.ndarray:
        """f64[V, N] of every version, for the target's phi f64[V, N]."""
        center, gap = centers(references, shared)
        if self.online and np.isnan(gap).any():
            raise ValueError(
                "lira-online: no shadow was trained on an example of the target; the online form "
                "needs --split=halves."
            )
        if priors is not None:
            return self._terms_by_example(phi, references, (center, gap), priors)
        if not self.online:
            return -special.log_ndtr((center - phi) / shared.outside[:, None])
        ratio = _log_normal(phi, center + gap, shared.inside)
        return ratio - _log_normal(phi, center, shared.outside)

    def _terms_by_example(
        self,
        phi: np.ndarray,
        references: References,
        known: tuple[np.ndarray, np.ndarray],
        priors: Priors,
    ) -> np.ndarray:
        center, gap = known
        freedom, scale = priors.outside.predict(references, references.outside)
        if not self.online:
            return -example_variance.log_tail((phi - center) / scale, freedom)
        outside = stats.t.logpdf(phi, freedom, center, scale)
        freedom, scale = priors.inside.predict(references, references.inside)
        return stats.t.logpdf(phi, freedom, center + gap, scale) - outside


def _log_normal(x: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """log N(x; mean, deviation) [V, N] without the constant."""
    return -(((x - mean) / deviation[:, None]) ** 2) / 2 - np.log(deviation)[:, None]


def online() -> Lira:
    """With the shadows that saw the example and those that did not."""
    return Lira(online=True)


def offline() -> Lira:
    """With the shadows that did not see the example only."""
    return Lira(online=False)
