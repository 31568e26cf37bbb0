"""The bootstrap, for statistics of independent examples that have no interval in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from tf_compleak.metrics import intervals, roc
from tf_compleak.types import Estimate, validators

_GROUPS = 200  # of the jackknife, in members and in non-members


def stratified_bca(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    scores: np.ndarray,
    members: np.ndarray,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 2000,
) -> Estimate:
    """Any smooth statistic, with the bias-corrected accelerated bootstrap of independent examples.

    Members and non-members are resampled apart. The acceleration comes from a jackknife that
    leaves out one of at most 200 random groups of members, then of non-members, at a time: 400
    evaluations at any N, and the exact jackknife up to 200 of each. Not measurable with fewer than
    two members or two non-members, or where no resample changes the value.

    Args:
      statistic: takes scores f64[n] and members bool[n], returns a float; called draws + 400 times.
      scores: f64[N], higher = member.
      members: bool[N].
      rng: the source of resamples and groups.
      level: coverage of the two-sided interval, in (0, 1).
      draws: 100 or more.

    Raises:
      ValueError: `level` or `draws` out of range, scores not finite, members all of one kind.

    Efron, JASA 1987; several samples: Davison & Hinkley, Bootstrap Methods, 1997, section 5.3.
    """
    z = intervals.normal_quantile(level)
    validators.at_least("draws", draws, intervals.LEAST_DRAWS)
    scores, members = roc.checked(scores, members)
    if (few := intervals.too_few(members)) is not None:
        return Estimate.unmeasurable(few, len(scores), level)
    scores, sizes = _members_first(scores, members)
    kinds = np.arange(len(scores)) < sizes[0]
    value = float(statistic(scores, kinds))
    replicates = np.array(
        [statistic(scores[_resample(sizes, rng)], kinds) for _ in range(draws)], dtype=np.float64
    )
    if not np.ptp(replicates):
        return Estimate.unmeasurable("no resample changes the value", len(scores), level)
    skew = _acceleration(statistic, scores, kinds, rng)
    low, high = np.quantile(replicates, _bca_levels(value, replicates, skew, z))
    low, high = min(float(low), value), max(float(high), value)
    return Estimate(value, low, high, level, "stratified BCa bootstrap", len(scores))


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
    first, members = roc.checked(first, members)
    second, _ = roc.checked(second, members)
    inside, outside = np.flatnonzero(members), np.flatnonzero(~members)
    if (few := intervals.few_non_members(len(outside), fpr)) is not None:
        return Estimate.unmeasurable(few, len(members), level)
    value = roc.tpr_at_fpr(first, members, fpr) - roc.tpr_at_fpr(second, members, fpr)
    place = len(outside) - 1 - roc.allowed(len(outside), fpr)
    found = np.empty(draws)
    for draw in range(draws):
        caught = inside[rng.integers(len(inside), size=len(inside))]
        others = outside[rng.integers(len(outside), size=len(outside))]
        rates = [_share_above(scores, caught, others, place) for scores in (first, second)]
        found[draw] = rates[0] - rates[1]
    only = rng.gamma(0.5, size=(2, draws))
    found = (found * len(inside) + only[0] - only[1]) / (len(inside) + only.sum(axis=0))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    low, high = min(float(low), value), max(float(high), value)
    return Estimate(float(value), low, high, level, "paired bootstrap", len(members))


def _share_above(scores: np.ndarray, caught: np.ndarray, others: np.ndarray, place: int) -> float:
    """Share of `caught` above the score that all but the allowed of `others` are at or below."""
    if place < 0:
        return 1.0
    return float(np.mean(scores[caught] > np.partition(scores[others], place)[place]))


def _members_first(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    inside, outside = scores[members], scores[~members]
    return np.concatenate([inside, outside]), (len(inside), len(outside))


def _resample(sizes: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    m, n = sizes
    return np.concatenate([rng.integers(0, m, m), m + rng.integers(0, n, n)])


def _bca_levels(value: float, replicates: np.ndarray, skew: float, z: float) -> np.ndarray:
    """The two quantiles of the replicates that end the interval."""
    draws = len(replicates)
    below = ((replicates < value).mean() + (replicates <= value).mean()) / 2
    bias = special.ndtri(np.clip(below, 0.5 / draws, 1 - 0.5 / draws))
    ends = bias + np.array([-z, z])
    return special.ndtr(bias + ends / (1 - skew * ends))


def _acceleration(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    scores: np.ndarray,
    kinds: np.ndarray,
    rng: np.random.Generator,
) -> float:
    """A sixth of the skewness of the estimate, from the influence of groups left out in turn."""
    squares = cubes = 0.0
    for of in (kinds, ~kinds):
        where = rng.permutation(np.flatnonzero(of))
        groups = np.array_split(where, min(len(where), _GROUPS))
        without = np.empty(len(groups))
        for i, group in enumerate(groups):
            keep = np.ones(len(scores), dtype=bool)
            keep[group] = False
            without[i] = statistic(scores[keep], kinds[keep])
        pull = (1 - 1 / len(groups)) * (without.mean() - without)
        squares, cubes = squares + (pull**2).sum(), cubes + (pull**3).sum()
    return float(cubes / (6 * squares**1.5)) if squares else 0.0
