"""The tabular attack on any subset of versions, and figures of subsets.

The splines of every version are made once; a subset is a choice of their columns, with those of
what its versions say together. Fitted as in the rest of an audit: on shadows, or cross-fitted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import PredefinedSplit

from tf_compleak.attacks import features, logistic, splines, tabular
from tf_compleak.leakage import crossfit
from tf_compleak.metrics import advantage, intervals, roc
from tf_compleak.metrics.grammar import Metric
from tf_compleak.metrics.paired_rates import Row, tpr_difference
from tf_compleak.types import Estimate, Release, Version, seeds
from tf_compleak.types.marginal_leakage import Subset
from tf_compleak.types.observations import Observations

LEVEL = 0.95
DRAWS = 20_000  # of the interval of a TPR; more where its tails hold less than ten of them
BOUNDS = {"auc": (0, 1), "accuracy": (0, 1), "tpr": (0, 1), "advantage": (-1, 1)}


class SubsetAttack:
    """The tabular attack on any subset of the versions of a target, original first; each fit once.

    Margins and noise take further fits: they are made where somebody asks.
    """

    def __init__(
        self, target: Observations, shadows: Sequence[Observations], folds: np.ndarray | None
    ):
        """`folds` int[N] for cross-fitting; None where there are shadows (f32[V, N, C] alike)."""
        self.target, self.folds = target, folds
        training = features.join(shadows) if shadows else target
        self._members = training.members
        self._phi = [features.logit(side) for side in (training, target)]
        self._labels = [tabular.one_hot(side) for side in (training, target)]
        self._tables = [self._splines(numbers) for numbers in self._numbers(training)]
        self._results: dict[tuple[str, Release], Any] = {}

    def values(self, release: Release) -> np.ndarray:
        """f64[N] log-odds of membership, in the order of the target's examples."""
        return self._once("values", release, self._fit)

    def margins(self, release: Release) -> np.ndarray:
        """f64[N] values over a threshold from data that does not hold the example."""
        return self._once("margins", release, lambda r: self.values(r) - self._threshold(r))

    def noise(self, release: Release) -> float | None:
        """See `crossfit.noise`; None where there are shadows."""
        return None if self.folds is None else self._once("noise", release, self._disagreement)

    def _once(self, kind: str, release: Release, make: Callable[[Release], Any]) -> Any:
        if (kind, release) not in self._results:
            self._results[kind, release] = make(release)
        return self._results[kind, release]

    def _numbers(self, training: Observations) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of every version: f64[M, 5] of the examples fitted on, f64[N, 5] of those scored."""
        count = len(training.versions)
        sides = [tabular.per_version(side) for side in (training, self.target)]
        return [tuple(side[version::count].T for side in sides) for version in range(count)]

    def _splines(self, numbers: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Columns f32 of both sides, knots from the first; cross-fitted they are the same."""
        basis, fitted_on = splines.fit(numbers[0])
        return fitted_on, fitted_on if self.folds is not None else basis.table(numbers[1])

    def _columns(self, release: Release) -> tuple[np.ndarray, np.ndarray]:
        """The tables of a subset: of the examples fitted on, and of those scored."""
        rows = [self.target.versions.index(name) for name in release]
        parts = [self._tables[row] for row in rows]
        if len(rows) > 1:
            parts.append(
                self._splines(tuple(tabular.across_versions(phi[rows]).T for phi in self._phi))
            )
        fitted_on, scored = (
            [*columns, labels]
            for columns, labels in zip(zip(*parts, strict=True), self._labels, strict=True)
        )
        table = np.column_stack(fitted_on)
        return table, table if self.folds is not None else np.column_stack(scored)

    def _fit(self, release: Release) -> np.ndarray:
        table, scored = self._columns(release)
        if self.folds is None:
            return logistic.log_odds(logistic.fit(table, self._members), scored)
        return logistic.held_out(table, self._members, PredefinedSplit(self.folds))

    def _threshold(self, release: Release) -> float | np.ndarray:
        """From out-of-fold scores of all shadows; cross-fitted f64[N], of all folds but one's own.

        These scores are of fits without that fold, too: the other folds' usual scores have seen it.
        """
        table, _ = self._columns(release)
        if self.folds is None:
            return self._best_threshold(table, slice(None))
        thresholds = np.empty(len(table))
        for fold in np.unique(self.folds):
            left_out = self.folds == fold
            thresholds[left_out] = self._best_threshold(table, ~left_out)
        return thresholds

    def _best_threshold(self, table: np.ndarray, rows: np.ndarray | slice) -> float:
        """Of out-of-fold scores of some rows, by fits on these rows."""
        table, members = table[rows], self._members[rows]
        folds = PredefinedSplit(np.arange(len(table)) % tabular.FOLDS)
        return roc.best_threshold(logistic.held_out(table, members, folds), members)

    def _disagreement(self, release: Release) -> float:
        """As `crossfit.noise`."""
        table, _ = self._columns(release)
        rows = self.folds != 0
        halves = np.cumsum(rows) % 2
        scores = []
        for half in (0, 1):
            chosen = rows & (halves == half)
            regression = logistic.fit(table[chosen], self._members[chosen])
            scores.append(logistic.log_odds(regression, table[~rows]))
        return crossfit.disagreement(*scores)


class Measure:
    """Figures of subsets by one metric; the attack keeps their scores."""

    def __init__(
        self, attack: SubsetAttack, metric: Metric, seed: int, versions: Sequence[Version]
    ):
        self.attack, self.metric, self.seed = attack, metric, seed
        self.versions = {version.name: version for version in versions}
        self.members = attack.target.members

    def by(self, metric: Metric) -> Measure:
        """The same scores by another metric."""
        return Measure(self.attack, metric, self.seed, tuple(self.versions.values()))

    def value(self, release: Release) -> float:
        """The metric without its interval."""
        if self.metric.name == "auc":
            return roc.auc(self.attack.values(release), self.members)
        if self.metric.name == "tpr":
            return roc.tpr_at_fpr(self.attack.values(release), self.members, self.metric.fpr)
        return roc.balanced_accuracy(self.attack.margins(release), self.members, 0.0)

    def figure(self, release: Release, level: float = LEVEL) -> Estimate:
        """The metric with its interval, within the metric's bounds."""
        if self.metric.name == "auc":
            figure = intervals.auc_estimate(self.attack.values(release), self.members, level)
        elif self.metric.name == "tpr":
            figure = self._tpr(release, level)
        else:
            margins = self.attack.margins(release)
            figure = intervals.balanced_accuracy_estimate(margins, self.members, 0.0, level)
            if self.metric.name == "advantage":
                figure = advantage.from_accuracy(figure)
        return self._widened(figure, (release,), BOUNDS[self.metric.name])

    def _tpr(self, release: Release, level: float) -> Estimate:
        rng = seeds.generator(self.seed, "subset", *release)
        draws = max(DRAWS, math.ceil(20 / (1 - level)))
        return intervals.tpr_at_fpr_estimate(
            self.attack.values(release),
            *(self.members, self.metric.fpr),
            rng=rng,
            level=level,
            draws=draws,
        )

    def gain(self, release: Release, before: Release, level: float = LEVEL) -> Estimate:
        """The paired difference to a smaller subset, with its interval."""
        scores = self.attack.margins if self.metric.name in _AT_THRESHOLD else self.attack.values
        pair = scores(release), scores(before), self.members
        if self.metric.name == "auc":
            gain = intervals.auc_difference(*pair, level)
        elif self.metric.name == "tpr":
            rng = seeds.generator(self.seed, "gain", *release)
            rows = (Row.of(values, self.members) for values in pair[:2])
            gain = _stretched(tpr_difference(*rows, self.metric.fpr, rng=rng), level)
        else:
            gain = intervals.balanced_accuracy_difference(*pair, level)
            if self.metric.name == "advantage":
                gain = _doubled(gain)
        low, high = BOUNDS[self.metric.name]
        return self._widened(gain, (release, before), (low - high, high - low))

    def _widened(
        self, estimate: Estimate, releases: Sequence[Release], bounds: tuple[float, float]
    ) -> Estimate:
        """The interval that cross-fitted scores take; the first release is the larger one."""
        if self.attack.folds is None:
            return estimate
        noise = max(self.attack.noise(release) for release in releases)
        auc = roc.auc(self.attack.values(releases[0]), self.members)
        return crossfit.widened(estimate, auc, self.members, noise, bounds)

    def subset(self, release: Release, level: float = LEVEL) -> Subset:
        """A subset with its figure, and what its versions' records say."""
        versions = [self.versions[name] for name in release]
        accuracy = [v.non_member_accuracy.value for v in versions if v.non_member_accuracy]
        return Subset(
            release,
            self.figure(release, level),
            min(accuracy, default=math.nan),
            sum(version.bytes for version in versions),
            sum(version.gzip_bytes for version in versions),
        )


_AT_THRESHOLD = ("accuracy", "advantage")


def _stretched(gain: Estimate, level: float) -> Estimate:
    """An interval made of draws, at a level whose tails hold none of them: as a normal one."""
    factor = intervals.normal_quantile(level) / intervals.normal_quantile(gain.level)
    gain = gain.widened(factor, "several figures", (-1, 1))
    return dataclasses.replace(gain, level=level)


def _doubled(difference: Estimate) -> Estimate:
    """A difference of membership advantages, of one of balanced accuracies."""
    value, low, high = (2 * end for end in (difference.value, difference.low, difference.high))
    return dataclasses.replace(difference, value=value, low=low, high=high)
