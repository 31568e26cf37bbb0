"""The bootstrap, for figures of independent examples that have no interval in closed form."""

from __future__ import annotations

import numpy as np

from tf_compleak.metrics import intervals, roc
from tf_compleak.types import Estimate, validators


def paired_tpr_difference(
    first: np.ndarray,
    second: np.ndarray,
    members: np.ndarray,
    fpr: float,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 1000,
) -> Estimate:
    """TPR at `fpr` of `first` less that of `second`, on the same examples; percentile bootstrap.

    Ties are broken at random, as in `roc.tpr_at_fpr`.

    Members and non-members are resampled apart, both scores together. Conservative: resampling
    overstates how far the quantile of a tail moves, so 95 % intervals cover 95 to 99 % (the more,
    the fewer non-members lie above the threshold and the rarer the two disagree). A pseudo-count
    of one half for either being the only one to catch a member keeps two that agree throughout
    from certainty. Not measurable with fewer than 10 / fpr non-members.

    Args:
      first, second: f64[N] scores, higher = member.
      members: bool[N].
      fpr: a rate in (0, 1].
      rng: the source of resamples; level: coverage; draws: 100 or more.

    Raises:
      ValueError: `fpr`, `level` or `draws` out of range, scores not finite, members of one kind.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; variance of resampled
    quantiles: Hall & Martin, Statistics & Probability Letters 1988; pseudo-counts as in
    `intervals.tpr_at_fpr_estimate`.
    """
    validators.at_least("draws", draws, intervals.LEAST_DRAWS)
    intervals.normal_quantile(level)
    first, members = roc.scores_and_members(first, members)
    second, _ = roc.scores_and_members(second, members)
    inside, outside = np.flatnonzero(members), np.flatnonzero(~members)
    if (few := intervals.few_non_members(len(outside), fpr)) is not None:
        return Estimate.unmeasurable(few, len(members), level)
    value = roc.tpr_at_fpr(first, members, fpr) - roc.tpr_at_fpr(second, members, fpr)
    allowed = roc.allowed(len(outside), fpr)
    differences = np.empty(draws)
    for draw in range(draws):
        draw_inside = inside[rng.integers(len(inside), size=len(inside))]
        draw_outside = outside[rng.integers(len(outside), size=len(outside))]
        rates = [
            _expected_tpr(scores[draw_inside], scores[draw_outside], allowed)
            for scores in (first, second)
        ]
        differences[draw] = rates[0] - rates[1]
    pseudo = rng.gamma(0.5, size=(2, draws))  # counts: caught by the first, by the second only
    totals = len(inside) + pseudo.sum(axis=0)
    differences = (differences * len(inside) + pseudo[0] - pseudo[1]) / totals
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    low, high = min(float(low), value), max(float(high), value)
    return Estimate(float(value), low, high, level, "paired bootstrap", len(members))


def _expected_tpr(inside: np.ndarray, outside: np.ndarray, allowed: int) -> float:
    """TPR of scores of members and non-members, of which `allowed` may be false positives.

    As `roc.tpr_at_fpr`, without a sort.
    """
    rank = len(outside) - 1 - allowed
    if rank < 0:
        return 1.0
    cut = np.partition(outside, rank)[rank]
    share = (allowed - np.count_nonzero(outside > cut)) / np.count_nonzero(outside == cut)
    return float(np.mean(inside > cut) + share * np.mean(inside == cut))
