"""RMIA (Zarifzadeh, Liu & Shokri, ICML 2024), over one or several versions.

ratio_x = p_y(x) / ((mean_out(x) + mean_in(x)) / 2), the means over the shadows that did not see x
and those that did (online); where none saw x, a mean_out + 1 - a stands for mean_in (offline).
ratio_z = p_y(z) / mean(z) for population examples z, which are in no model's training set.
Score: the share of z with ratio_x / ratio_z > gamma. The paper takes gamma = 2, and for a, which
stands in for the answers of models that saw x, a value tuned for each data set on a pair of shadows
(offline on CIFAR-10: 0.3). Here a = 0.5 throughout, since nothing is tuned, and gamma = 1: x counts
as the more exposed of two by any margin, so that the threshold on the share alone decides.

Several versions: the weighted geometric mean of the ratios, with weights that the shadows teach
(`version_weights`); a plain product is worse than one good version alone. One shadow has no
reference of its own unless the target answered on its examples: else its ratios to the average
answer only tell which versions to leave out.

z are examples aside that no shadow was trained on and that are not the target's own. Where a shadow
plays the target, other shadows' known non-members are taken: what it was asked aside holds the
target's examples too, members among them. One shadow takes its own non-members, which the target
answered on.

One sort of the population and one binary search for each x: O((N + Z) log Z), no N x Z array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.attacks import features, version_weights
from tf_compleak.attacks.references import Panel
from tf_compleak.metrics import roc
from tf_compleak.types.observations import Observations

EVEN = 0.5  # the threshold where no second shadow can play the target: x beats half of the z
LEAST = 100  # other shadows' non-members that a shadow's population must hold to be of these alone


@dataclass(frozen=True, eq=False)
class _References:
    """The shadows as reference models, what they answer on average, f64[V], and their non-members.

    Attributes:
      non_members: ids of all examples that some shadow has as non-members.
    """

    panel: Panel
    average: np.ndarray
    non_members: np.ndarray

    @classmethod
    def of(cls, shadows: Sequence[Observations]) -> _References:
        """ValueError where no shadow was asked about an example that it was not trained on."""
        panel = Panel(shadows, features.floored_confidence)
        references = panel.at(panel.ids)
        if not references.outside.any():
            raise ValueError(
                "rmia: no shadow was asked about an example that it was not trained on; give the "
                "shadows' answers on the target's examples and the population (Observations.aside)."
            )
        average = np.nanmean(references.mean(references.outside), axis=1)
        non_members = np.concatenate([shadow.ids[~shadow.members] for shadow in shadows])
        return cls(panel, average, non_members)

    @property
    def alone(self) -> bool:
        """Whether a shadow in the target's place has no reference."""
        return len(self.panel) == 1 and not self.panel.has_target

    def mean_out(self, observations: Observations, without: int | None) -> np.ndarray:
        """f64[V, N] mean p_y over the models that did not see the example; the average if none."""
        if without is not None and self.alone:
            return self._known(np.full((len(self.average), len(observations)), np.nan))
        family = self.panel.target if without is None else without  # no reference of itself
        references = self.panel.at(observations.ids, family)
        return self._known(references.mean(references.outside))

    def mean_of_both(self, observations: Observations, without: int | None, a: float) -> np.ndarray:
        """f64[V, N] half mean_out and half mean_in; see `a` above; mean_in where all saw it."""
        if without is not None and self.alone:
            return _offline(self.mean_out(observations, without), a)
        references = self.panel.at(observations.ids, without)
        outside, inside = references.mean(references.outside), references.mean(references.inside)
        either = np.where(np.isnan(outside), inside, outside)
        online = np.maximum((either + inside) / 2, features.FLOOR)
        return np.where(np.isnan(inside), _offline(self._known(outside), a), online)

    def _known(self, mean_out: np.ndarray) -> np.ndarray:
        mean_out = np.where(np.isnan(mean_out), self.average[:, None], mean_out)
        return np.maximum(mean_out, features.FLOOR)

    def population(self, family: Observations, without: int | None) -> Observations:
        """The z of a family: of the target, or of the shadow number `without` in its place."""
        if without is not None and len(self.panel) == 1 and self.panel.has_target:
            return family.take(np.flatnonzero(~family.members))
        aside = family.aside
        if aside is None or not len(aside):
            raise ValueError(
                "rmia: needs the answers on population examples (Observations.aside); "
                "raise --num_population."
            )
        trained_on = self.panel.at(aside.ids).inside.any(axis=0)
        usable = ~trained_on & ~np.isin(aside.ids, family.ids)
        if without is not None:
            held_out = usable & np.isin(aside.ids, self.non_members)
            usable = held_out if held_out.sum() >= LEAST else usable
        if not usable.any():
            raise ValueError(
                "rmia: every example aside is one that a shadow was trained on, or the target's "
                "own; give answers on examples that are in no training set (--num_population)."
            )
        return aside.take(np.flatnonzero(usable))


@dataclass(frozen=True, eq=False)
class Fitted:
    """The reference models, weights of the versions f64[V], and the threshold.

    `held_out` holds the scores f64[N] of the shadows' examples, each shadow in the target's place.
    """

    attack: Rmia
    references: _References
    weights: np.ndarray
    held_out: np.ndarray
    threshold: float

    def score(self, target: Observations) -> np.ndarray:
        """f64[N] shares in [0, 1]; ties between x and z count half."""
        ratios = self.attack.ratios(target, self.references, None)
        return self.attack.shares(ratios, target, self.references, self.weights, None)


@dataclass(frozen=True)
class Rmia:
    """RMIA on a release of any number of versions; online where shadows saw the example."""

    a: float = 0.5
    gamma: float = 1.0

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> Fitted:
        """Weights and threshold are the best ones for shadows that play the target in turn."""
        references = _References.of(shadows)
        ratios = [self.ratios(shadow, references, index) for index, shadow in enumerate(shadows)]
        members = np.concatenate([shadow.members for shadow in shadows])
        ids = np.concatenate([shadow.ids for shadow in shadows])
        together = np.concatenate(ratios, axis=1)
        if references.alone:
            weights = version_weights.telling(together, members)
        else:
            weights = version_weights.fit(together, members, ids, seed)
        shares = [
            self.shares(ratio, shadow, references, weights, index)
            for index, (ratio, shadow) in enumerate(zip(ratios, shadows, strict=True))
        ]
        held_out = np.concatenate(shares)
        threshold = EVEN if references.alone else roc.best_threshold(held_out, members)
        return Fitted(self, references, weights, held_out, threshold)

    def ratios(
        self, family: Observations, references: _References, without: int | None
    ) -> np.ndarray:
        """f64[V, N] log ratio_x of a target, or of the shadow number `without` in its place."""
        return _log_ratios(family, references.mean_of_both(family, without, self.a))

    def shares(
        self,
        ratios: np.ndarray,
        family: Observations,
        references: _References,
        weights: np.ndarray,
        without: int | None,
    ) -> np.ndarray:
        """f64[N] shares of the family's population that its log ratios f64[V, N] beat."""
        population = references.population(family, without)
        z_ratios = _log_ratios(population, references.mean_out(population, without))
        z, cuts = np.sort(weights @ z_ratios), weights @ ratios - np.log(self.gamma)
        return (np.searchsorted(z, cuts, "left") + np.searchsorted(z, cuts, "right")) / (2 * len(z))


def _offline(mean_out: np.ndarray, a: float) -> np.ndarray:
    return ((1 + a) * mean_out + 1 - a) / 2


def _log_ratios(observations: Observations, reference_mean: np.ndarray) -> np.ndarray:
    return np.log(features.floored_confidence(observations)) - np.log(reference_mean)
