"""Gains: how far a row lies above those on the versions of its own release, paired.

What further versions add is measured against what the release itself holds: the best row on one of
its versions, by the same attack and by any. Which one is best is seen on the target, and a
difference to the one so chosen would need a level of its own. So the gain is the least of the
differences to all of them, with an interval that holds for the least of the true ones, whichever
row that belongs to:

- its low end is the least of the low ends: below the least true difference whenever the low end of
  that one is (an intersection-union test, Berger, Technometrics 1982: no correction is due);
- its high end is the least of the high ends, each stretched to the level 1 - (1 - level) / k for k
  rows (Bonferroni): any of them could be too low.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist

import numpy as np

from tf_compleak.engine.workdir import slug
from tf_compleak.leakage.plan import Key
from tf_compleak.leakage.pooled_scores import Pooled
from tf_compleak.metrics import clustered, intervals
from tf_compleak.metrics.paired_rates import ClusteredRates, Row, tpr_difference
from tf_compleak.types import ORIGINAL, STRONGEST, Estimate, seeds
from tf_compleak.types.comparisons import Gain
from tf_compleak.types.findings import Result


def with_gains(
    table: Sequence[Result], scores: Mapping[Key, Pooled], seed: int
) -> tuple[Result, ...]:
    """The rows: those of SR and MR with their gains, those of NR with what tells them apart from
    the original."""
    differences = Differences(table, scores, seed)
    singles = [row for row in table if row.tier == "NR"]
    return tuple(_with_gains(row, table, singles, differences) for row in table)


def _combined(row: Result, table: Sequence[Result]) -> list[Result]:
    """The rows that a row of the strongest attacker is combined of."""
    within = [other for other in table if set(other.release) <= set(row.release)]
    return [other for other in within if other.attack != STRONGEST]


def _with_gains(
    row: Result, table: Sequence[Result], singles: Sequence[Result], differences: Differences
) -> Result:
    def gain(references: Sequence[Result]) -> Gain | None:
        return over_best(row, references, differences) if references else None

    same = [single for single in singles if single.attack == row.attack]
    if row.attack == STRONGEST:
        row = dataclasses.replace(row, to_best_attack=gain(_combined(row, table)))
    if row.tier == "NR":
        original = [single for single in same if single.release == (ORIGINAL,)]
        references = original if row.release != (ORIGINAL,) else ()
        return dataclasses.replace(row, to_original=gain(references))
    within = [single for single in singles if single.release[0] in row.release]
    over = gain(within)
    return dataclasses.replace(
        row,
        gain_same=gain([single for single in same if single in within]),
        gain_any=over,
        auc_gain=over and over.auc,
        gain_over=over and (over.release, over.attack),
    )


def over_best(row: Result, references: Sequence[Result], differences: Differences) -> Gain:
    """How far a row lies above the best of some others, figure by figure."""
    best = max(references, key=lambda reference: reference.auc.value)
    auc = _least(row, references, lambda of: of.auc, differences.auc)
    rates = {
        fpr: _least(
            row,
            references,
            lambda of, fpr=fpr: of.tpr_at_fpr[fpr],
            lambda one, other, fpr=fpr: differences.tpr(one, other, fpr),
        )
        for fpr in row.tpr_at_fpr
    }
    return Gain(best.release, best.attack, len(references), auc, rates)


def _least(
    row: Result,
    references: Sequence[Result],
    figure: Callable[[Result], Estimate],
    difference: Callable[[Result, Result], Estimate],
) -> Estimate:
    """The least difference, with its joint interval.

    A reference so far below the best that neither end of its interval can be the least is not
    looked at: a difference varies no more than its two figures together.
    """
    for of in (row, *references):
        if not figure(of).measurable:
            return figure(of)
    estimates: list[Estimate] = []
    low = high = math.inf
    wider = stretch(figure(row).level, len(references))
    for reference in sorted(references, key=lambda of: -figure(of).value):
        gap = figure(row).value - figure(reference).value
        most = _half_width(figure(row)) + _half_width(figure(reference))
        if gap - most >= low and gap >= high:
            continue
        estimate = difference(row, reference)
        if not estimate.measurable:
            return estimate
        estimates.append(estimate)
        low = min(low, estimate.low)
        high = min(high, estimate.value + wider * (estimate.high - estimate.value))
    least = estimates[0]
    if len(references) == 1:
        return least
    method = f"{least.method}; the least of {len(references)}"
    return dataclasses.replace(least, low=low, high=min(high, 1.0), method=method)


def _half_width(estimate: Estimate) -> float:
    return max(estimate.high - estimate.value, estimate.value - estimate.low)


def stretch(level: float, count: int) -> float:
    """How much wider, on the normal scale, an interval is at the level for `count` together."""
    normal, alpha = NormalDist(), (1 - level) / 2
    return normal.inv_cdf(1 - alpha / count) / normal.inv_cdf(1 - alpha)


def auc_difference(first: Pooled, second: Pooled) -> Estimate:
    """AUC of the first scores less that of the second, on the same examples, paired."""
    if first.examples is None:
        return intervals.auc_difference(first.values, second.values, first.members)
    return clustered.clustered_auc_difference(
        first.values, second.values, first.members, first.examples
    )


class Differences:
    """Paired differences of rows, every one made once."""

    def __init__(self, table: Sequence[Result], scores: Mapping[Key, Pooled], seed: int):
        self._scores, self._seed, self._kept = scores, seed, {}
        self._rows: dict[Key, Row] = {}
        self._clustered: ClusteredRates | None = None
        self._fprs = sorted({fpr for row in table for fpr in row.tpr_at_fpr})

    def auc(self, row: Result, reference: Result) -> Estimate:
        """In AUC."""
        return self._once(row, reference, None)

    def tpr(self, row: Result, reference: Result, fpr: float) -> Estimate:
        """In TPR at `fpr`."""
        return self._once(row, reference, fpr)

    def _once(self, row: Result, reference: Result, fpr: float | None) -> Estimate:
        """The difference in TPR at `fpr`, or in AUC where that is None."""
        keys = _key(row), _key(reference)
        if (*keys, fpr) not in self._kept:
            estimate = self._auc(*keys) if fpr is None else self._tpr(*keys, fpr)
            first, second = (self._scores[key] for key in keys)
            self._kept[*keys, fpr] = first.widened_beside(second, estimate, row.auc.value)
        return self._kept[*keys, fpr]

    def _auc(self, key: Key, reference: Key) -> Estimate:
        return auc_difference(self._scores[key], self._scores[reference])

    def _tpr(self, key: Key, reference: Key, fpr: float) -> Estimate:
        if self._scores[key].examples is not None:
            return self._pooled().difference(key, reference, fpr)
        names = [part for attack, release in (key, reference) for part in (attack, slug(release))]
        rng = seeds.generator(self._seed, "gain", *names, str(fpr))
        return tpr_difference(self._row(key), self._row(reference), fpr, rng=rng)

    def _row(self, key: Key) -> Row:
        if key not in self._rows:
            pooled = self._scores[key]
            self._rows[key] = Row.of(pooled.values, pooled.members)
        return self._rows[key]

    def _pooled(self) -> ClusteredRates:
        if self._clustered is None:
            rows = {key: self._row(key) for key in self._scores}
            examples: np.ndarray = next(iter(self._scores.values())).examples
            rng = seeds.generator(self._seed, "gain")
            self._clustered = ClusteredRates(rows, examples, self._fprs, rng)
        return self._clustered


def _key(row: Result) -> Key:
    return row.attack, row.release
