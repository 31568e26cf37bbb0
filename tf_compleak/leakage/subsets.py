"""The tabular attack on any subset of versions, and figures of subsets.

The splines of every version are made once; a subset is a choice of their columns, with those of
what its versions say together. Fitted as in the rest of an audit: on shadows, or cross-fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import PredefinedSplit

from tf_compleak.attacks import features, logistic, splines, tabular
from tf_compleak.leakage import crossfit
from tf_compleak.metrics import advantage, bootstrap, intervals, roc
from tf_compleak.metrics.grammar import Metric
from tf_compleak.types import Estimate, Release, Version, seeds
from tf_compleak.types.marginal_leakage import Subset
from tf_compleak.types.observations import Observations

LEVEL = 0.95
CROSS = "cross-fitting"


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of a subset on the target: values, margins over the threshold, and their noise."""

    values: np.ndarray
    margins: np.ndarray
    noise: float


class Engine:
    """The tabular attack on any subset of the versions of a target."""

    def __init__(
        self, target: Observations, shadows: Sequence[Observations], folds: np.ndarray | None
    ):
        """`folds` int[N] for cross-fitting; None where there are shadows (f32[V, N, C] alike)."""
        self.target, self.folds = target, folds
        self._known = features.join(shadows) if shadows else target
        self._phi = [features.logit(each) for each in (self._known, target)]
        numbers = [tabular.per_version(each) for each in (self._known, target)]
        count = len(target.versions)
        self._tables: list[list[np.ndarray]] = []
        for version in range(count):
            basis, known = splines.fit(numbers[0][version::count].T)
            asked = known if folds is not None else basis.table(numbers[1][version::count].T)
            self._tables.append([known, asked])
        self._labels = [tabular.one_hot(each) for each in (self._known, target)]

    def scores(self, release: Release, with_noise: bool = False) -> Scored:
        """The attack on some versions, original first, fitted anew."""
        places = [self.target.versions.index(name) for name in release]
        known, asked = self._columns(places)
        if self.folds is None:
            groups = PredefinedSplit(np.arange(len(known)) % tabular.FOLDS)
            held = logistic.held_out(known, self._known.members, groups)
            values = logistic.log_odds(logistic.fit(known, self._known.members), asked)
            return Scored(values, values - roc.best_threshold(held, self._known.members), 0.0)
        members = self.target.members
        values = logistic.held_out(known, members, PredefinedSplit(self.folds))
        margins = np.empty_like(values)
        for fold in np.unique(self.folds):
            own = self.folds == fold
            margins[own] = values[own] - roc.best_threshold(values[~own], members[~own])
        return Scored(values, margins, self._noise(known) if with_noise else 1.0)

    def _columns(self, places: list[int]) -> tuple[np.ndarray, np.ndarray]:
        parts = [[self._tables[place][side] for place in places] for side in (0, 1)]
        if len(places) > 1:
            basis, together = splines.fit(tabular.combined(self._phi[0][places]).T)
            parts[0].append(together)
            parts[1].append(
                together
                if self.folds is not None
                else basis.table(tabular.combined(self._phi[1][places]).T)
            )
        known = np.column_stack([*parts[0], self._labels[0]])
        asked = known if self.folds is not None else np.column_stack([*parts[1], self._labels[1]])
        return known, asked

    def _noise(self, table: np.ndarray) -> float:
        """As `crossfit.noise`."""
        rows = self.folds != 0
        halves = np.cumsum(rows) % 2
        found = []
        for half in (0, 1):
            chosen = rows & (halves == half)
            regression = logistic.fit(table[chosen], self.target.members[chosen])
            found.append(logistic.log_odds(regression, table[~rows]))
        return crossfit.disagreement(*found)


class Measure:
    """Figures of subsets by one metric."""

    def __init__(self, engine: Engine, metric: Metric, seed: int, facts: Sequence[Version]):
        self.engine, self.metric, self.seed = engine, metric, seed
        self._facts = {version.name: version for version in facts}
        self._kept: dict[Release, Scored] = {}
        self.members = engine.target.members

    def by(self, metric: Metric) -> Measure:
        """The same scores by another metric."""
        other = Measure(self.engine, metric, self.seed, tuple(self._facts.values()))
        other._kept = self._kept
        return other

    def scored(self, release: Release) -> Scored:
        """Scores of a subset, fitted once."""
        if release not in self._kept:
            self._kept[release] = self.engine.scores(release, with_noise=True)
        return self._kept[release]

    def value(self, release: Release) -> float:
        """The metric without its interval."""
        scored = self.scored(release)
        if self.metric.name == "auc":
            return roc.auc(scored.values, self.members)
        if self.metric.name == "tpr":
            return roc.tpr_at_fpr(scored.values, self.members, self.metric.fpr)
        return roc.balanced_accuracy(scored.margins, self.members, 0.0)

    def figure(self, release: Release, level: float = LEVEL) -> Estimate:
        """The metric with its interval."""
        scored = self.scored(release)
        if self.metric.name == "auc":
            found = intervals.auc_estimate(scored.values, self.members, level)
        elif self.metric.name == "tpr":
            rng = seeds.generator(self.seed, "subset", *release)
            found = intervals.tpr_at_fpr_estimate(
                scored.values, self.members, self.metric.fpr, rng=rng, level=level, draws=20_000
            )
        else:
            found = intervals.balanced_accuracy_estimate(scored.margins, self.members, 0.0, level)
            if self.metric.name == "advantage":
                found = advantage.from_accuracy(found)
        return found.widened(self._factor([scored]), CROSS, (-1, 1))

    def gain(self, release: Release, before: Release) -> Estimate:
        """The paired difference to a smaller subset, with its interval."""
        own, other = self.scored(release), self.scored(before)
        if self.metric.name == "auc":
            found = intervals.auc_difference(own.values, other.values, self.members)
        else:
            rng = seeds.generator(self.seed, "gain", *release)
            rate, first, second = self.metric.fpr, own.values, other.values
            if self.metric.name == "tpr":
                found = bootstrap.paired_tpr_difference(first, second, self.members, rate, rng=rng)
            else:
                found = intervals.balanced_accuracy_difference(
                    own.margins, other.margins, self.members
                )
                if self.metric.name == "advantage":
                    found = _doubled(found)
        return found.widened(self._factor([own, other]), CROSS, (-1, 1))

    def _factor(self, scored: Sequence[Scored]) -> float:
        if self.engine.folds is None:
            return 1.0
        inside = int(self.members.sum())
        auc = roc.auc(scored[0].values, self.members)
        noise = max(each.noise for each in scored)
        return crossfit.widening(auc, inside, len(self.members) - inside, noise)

    def subset(self, release: Release, level: float = LEVEL) -> Subset:
        """A subset with its figure, and what is known of its versions."""
        known = [self._facts[name] for name in release]
        accuracy = [each.non_member_accuracy.value for each in known if each.non_member_accuracy]
        return Subset(
            release,
            self.figure(release, level),
            min(accuracy, default=math.nan),
            sum(each.bytes for each in known),
            sum(each.gzip_bytes for each in known),
        )


def _doubled(found: Estimate) -> Estimate:
    value, low, high = (2 * each for each in (found.value, found.low, found.high))
    return Estimate(value, low, high, found.level, found.method, found.n)
