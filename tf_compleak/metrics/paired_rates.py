"""Paired differences of TPRs at a fixed FPR between many rows of scores on the same examples.

Nothing is resampled: each row is sorted once, and a pair then takes O(N + draws log N), so that
every row of a report can be held against every other.
Ties are broken at random throughout, as in `roc.tpr_at_fpr`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.metrics import intervals, roc
from tf_compleak.types import Estimate

DRAWS = 1000
_CELLS = 4_000_000  # float64 weights held at a time: 32 MB


@dataclass(frozen=True, eq=False)
class Row:
    """Scores of one row, sorted once: see `roc.step_counts` for `fp` and `tp`.

    Attributes:
      scores: f64[N], higher = member; members: bool[N].
      distinct: f64[K - 1], the scores of the steps after the first, falling.
    """

    scores: np.ndarray
    members: np.ndarray
    fp: np.ndarray
    tp: np.ndarray
    distinct: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, members: np.ndarray) -> Row:
        """ValueError unless the scores are finite and members are of both kinds."""
        fp, tp = roc.step_counts(scores, members)
        return cls(np.asarray(scores, np.float64), members, fp, tp, np.unique(scores)[::-1])

    def caught(self, fpr: float) -> np.ndarray:
        """f64[N]: how likely each example is called a member at `fpr`: 1, 0, or a tie's share."""
        false_positives = roc.allowed(int(self.fp[-1]), fpr)
        step = int(np.searchsorted(self.fp, false_positives, side="right"))
        if step == len(self.fp):
            return np.ones(len(self.scores))
        tied = self.distinct[step - 1]
        share = (false_positives - self.fp[step - 1]) / (self.fp[step] - self.fp[step - 1])
        return (self.scores > tied) + share * (self.scores == tied)

    def rates(self, false_positives: np.ndarray) -> np.ndarray:
        """TPRs at such counts of false positives."""
        return roc.crossing(self.fp, self.tp, false_positives).expected() / self.tp[-1]


def tpr_difference(
    first: Row, second: Row, fpr: float, *, rng: np.random.Generator, level: float = 0.95
) -> Estimate:
    """TPR at `fpr` of `first` less that of `second`, on the same independent examples.

    The paired twin of `intervals.tpr_at_fpr_estimate`. How many non-members lie above the
    population's two thresholds, above both and above either alone, is multinomial; a draw of it
    places both thresholds (one coin for both). The members that one of the two catches alone are
    drawn as gamma counts, with one half more of each, so that two rows that agree throughout are
    not certain to. Not measurable with fewer than 10 / fpr non-members.

    Args:
      first, second: rows of the same members.
      fpr: a rate in (0, 1].
      rng: the source of the draws; level: coverage of the two-sided interval.

    Raises:
      ValueError: `fpr` or `level` out of range.

    Order statistics and pseudo-counts as in `intervals.tpr_at_fpr_estimate`; discordant pairs:
    Bonett & Price, Journal of Educational and Behavioral Statistics 2012.
    """
    intervals.normal_quantile(level)
    members, n = first.members, int(first.fp[-1])
    if (few := intervals.few_non_members(n, fpr)) is not None:
        return Estimate.unmeasurable(few, len(members), level)
    caught = first.caught(fpr), second.caught(fpr)
    value = float((caught[0] - caught[1])[members].mean())
    both = min(float((caught[0] * caught[1])[~members].mean()), fpr)
    shares = [both, fpr - both, fpr - both, max(1 - 2 * fpr + both, 0.0)]
    above = rng.multinomial(n, np.divide(shares, sum(shares)), DRAWS)
    coin = rng.integers(0, 2, DRAWS)
    thresholds = (np.maximum(above[:, 0] + above[:, i] - coin, 0) for i in (1, 2))
    rates = [row.rates(of) for row, of in zip((first, second), thresholds, strict=True)]
    draws = rates[0] - rates[1] + _discordant(caught, members, rng) - value
    return _estimate(value, draws, level, "paired counts", len(members))


def proportion_difference(
    right_a: np.ndarray, right_b: np.ndarray, level: float = 0.95
) -> Estimate:
    """The share of a less that of b on the same examples, paired.

    Args:
      right_a, right_b: bool[N], of the same N independent examples; N is 1 or more.
      level: coverage of the two-sided interval, in (0, 1).

    Raises:
      ValueError: lengths that differ, no example, or `level`.

    Bonett & Price, Journal of Educational and Behavioral Statistics 2012.
    """
    z, n = intervals.normal_quantile(level), len(right_a)
    if n == 0 or n != len(right_b):
        raise ValueError(f"right: one of every example, got {n} and {len(right_b)}.")
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    centre, variance = intervals.bonett_price(only_a, only_b, n)
    value, half = (only_a - only_b) / n, z * math.sqrt(variance)
    low, high = max(min(centre - half, value), -1.0), min(max(centre + half, value), 1.0)
    return Estimate(value, low, high, level, "Bonett-Price, paired", n)


def _discordant(caught: Sequence[np.ndarray], members: np.ndarray, rng) -> np.ndarray:
    """f64[draws] of the share of members caught by the first alone less that by the second."""
    alone = [float((a * (1 - b))[members].sum()) for a, b in (caught, caught[::-1])]
    rest = max(members.sum() - sum(alone), 0.0)
    counts = rng.gamma([alone[0] + 0.5, alone[1] + 0.5, rest], size=(DRAWS, 3))
    return (counts[:, 0] - counts[:, 1]) / counts.sum(axis=1)


def _estimate(value: float, draws: np.ndarray, level: float, method: str, n: int) -> Estimate:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    low, high = max(min(float(low), value), -1.0), min(max(float(high), value), 1.0)
    return Estimate(value, low, high, level, method, n)


class ClusteredRates:
    """TPRs of rows pooled over targets, under the same exponential weights of the examples.

    The Bayesian bootstrap of `clustered.clustered_tpr_at_fpr_estimate`; a row's draws are kept, so
    that those of two rows make their paired difference.

    Args:
      rows: by any key, of the same members.
      clusters: int64[N], the example of every score.
      fprs: rates in (0, 1].
      rng: the source of the weights.
    """

    def __init__(
        self,
        rows: Mapping[Hashable, Row],
        clusters: np.ndarray,
        fprs: Sequence[float],
        rng: np.random.Generator,
    ):
        self._rows, self._fprs = rows, tuple(fprs)
        clusters = np.unique(clusters, return_inverse=True)[1]
        parts = {key: [] for key in rows}
        count = int(clusters.max()) + 1
        for start in range(0, DRAWS, max(1, _CELLS // count)):
            size = min(max(1, _CELLS // count), DRAWS - start)
            weights = rng.standard_exponential((size, count))
            coin = rng.integers(0, 2, size)
            for key, row in rows.items():
                parts[key].append(_weighted(row, clusters, self._fprs, weights, coin))
        self._draws = {key: np.concatenate(of, axis=1) for key, of in parts.items()}
        members = next(iter(rows.values())).members
        # Scores of one member go together: a pseudo-count counts as many as it has.
        effect = members.sum() / len(np.unique(clusters[members]))
        self._pseudo = effect * rng.gamma(0.5, size=(2, DRAWS))

    def difference(
        self, first: Hashable, second: Hashable, fpr: float, level: float = 0.95
    ) -> Estimate:
        """As `tpr_difference`, of two of the rows; whether they are measurable is not looked at."""
        at = self._fprs.index(fpr)
        one, other = self._rows[first], self._rows[second]
        value = float((one.caught(fpr) - other.caught(fpr))[one.members].mean())
        draws = self._draws[first][at] - self._draws[second][at]
        count = one.tp[-1]
        more, less = self._pseudo
        draws = (draws * count + more - less) / (count + more + less)
        return _estimate(value, draws, level, "paired Bayesian bootstrap", len(one.members))


def _weighted(
    row: Row,
    clusters: np.ndarray,
    fprs: Sequence[float],
    weights: np.ndarray,
    coin: np.ndarray,
) -> np.ndarray:
    """f64[F, draws]: a row's TPRs under weights f64[draws, examples]."""
    order = np.argsort(-row.scores, kind="stable")
    is_member, clusters = row.members[order], clusters[order]
    inside, outside = clusters[is_member], clusters[~is_member]
    most = min(len(outside), int(2 * max(fprs) * len(outside)) + 100)
    cumulative = np.cumsum(weights[:, outside[:most]], axis=1)
    total = weights @ np.bincount(outside, minlength=weights.shape[1])
    counts = [
        np.maximum((cumulative <= fpr * total[:, None]).sum(axis=1) - coin, 0) for fpr in fprs
    ]
    crossings = [roc.crossing(row.fp, row.tp, count) for count in counts]
    reach = max(int(crossing.after.max()) for crossing in crossings)
    sums = np.zeros((len(weights), reach + 1))
    np.cumsum(weights[:, inside[:reach]], axis=1, out=sums[:, 1:])
    draws = np.arange(len(weights))
    caught = [
        sums[draws, before] + share * (sums[draws, after] - sums[draws, before])
        for before, after, share in crossings
    ]
    return np.stack(caught) / (weights @ np.bincount(inside, minlength=weights.shape[1]))
