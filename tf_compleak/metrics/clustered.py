"""Intervals of figures pooled over several targets, where each example has one score a target.

Examples, not scores, are the independent draws. All hold for the targets at hand; what other
targets would give is not in them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from tf_compleak.metrics import intervals, roc
from tf_compleak.types import Estimate, validators

_LEAST_CLUSTERS = 30  # with members, and with non-members
_CELLS = 4_000_000  # float64 weights held at a time: 32 MB


class _Pool(NamedTuple):
    """Checked input: scores f64[N], members bool[N], clusters int64[N] from 0 to count - 1;
    `occupied`: clusters with at least one member, with at least one non-member."""

    scores: np.ndarray
    members: np.ndarray
    clusters: np.ndarray
    count: int
    occupied: tuple[int, int]

    @property
    def few(self) -> str | None:
        """Why the clusters are too few to show anything, or None."""
        inside, outside = self.occupied
        if min(inside, outside) >= _LEAST_CLUSTERS:
            return None
        least = f"{_LEAST_CLUSTERS} examples as members and {_LEAST_CLUSTERS} as non-members"
        return f"needs {least}, has {inside} and {outside}"

    @property
    def small(self) -> bool:
        """Whether the variance of an AUC is too small too often."""
        return min(self.occupied) < intervals.SMALL

    def quantile(self, level: float) -> float:
        """Of the two-sided interval: Student's t where the variance is that of few examples."""
        if not self.small:
            return intervals.normal_quantile(level)
        return float(special.stdtrit(min(self.occupied) - 1, (1 + level) / 2))

    @property
    def pairs(self) -> int:
        """Pairs of a member's and a non-member's cluster, no cluster used twice."""
        return min(*self.occupied, self.count // 2)


def clustered_auc_estimate(
    scores: np.ndarray, members: np.ndarray, clusters: np.ndarray, level: float = 0.95
) -> Estimate:
    """AUC pooled over targets, DeLong's variance summed over examples, in O(N log N).

    The interval is taken on the logit scale. Where the variance is zero the rule of three takes
    over, counted in examples. With fewer than 100 examples that are a member, or that are a
    non-member, of some target the interval also holds Newcombe's, of as many independent scores as
    the pooled ones are worth; with fewer than 30 the AUC is not measurable. With one score an
    example, of 100 or more, it is `intervals.auc_estimate`.

    Args:
      scores: f64[N], higher = member.
      members: bool[N], of the target that gave the score.
      clusters: int64[N], the id of the example.
      level: coverage of the two-sided interval, in (0, 1).

    Raises:
      ValueError: scores not finite, members all of one kind, `clusters` no N integers, or `level`.

    Obuchowski, Biometrics 1997, formula 5; few examples: Newcombe, Statistics in Medicine 2006,
    method 5, with the design effect of Rao & Scott, Biometrics 1992.
    """
    intervals.normal_quantile(level)
    pool = _pool(scores, members, clusters)
    if pool.few is not None:
        return Estimate.unmeasurable(pool.few, len(scores), level)
    return _auc(_placements(pool.scores, pool.members), pool, level)


def clustered_auc_difference(
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    members: np.ndarray,
    clusters: np.ndarray,
    level: float = 0.95,
) -> Estimate:
    """AUC of a minus AUC of b, pooled over the same targets, paired.

    The interval is normal, but with fewer than 100 examples that are a member, or that are a
    non-member, of some target it is made of those of the two AUCs, and where few examples differ
    it is wider than the variance says, both as in `intervals.auc_difference`.

    Args:
      scores_a: f64[N], higher = member.
      scores_b: f64[N] of the same examples and targets.
      members: bool[N], of the target that gave the score.
      clusters: int64[N], the id of the example.
      level: coverage of the two-sided interval, in (0, 1).

    Raises:
      ValueError: as `clustered_auc_estimate`.

    Obuchowski, Biometrics 1997, section 3; few examples: Zou, Psychological Methods 2007 (MOVER).
    """
    intervals.normal_quantile(level)
    pool = _pool(scores_a, members, clusters)
    scores_b, _ = roc.scores_and_members(scores_b, members)
    if pool.few is not None:
        return Estimate.unmeasurable(pool.few, len(scores_b), level)
    a, b = _placements(pool.scores, pool.members), _placements(scores_b, pool.members)
    value = float(a[0].mean() - b[0].mean())
    variance = _variance(a[0] - b[0], a[1] - b[1], pool)
    if variance == 0:
        low, high = intervals.rule_of_three(value, (-1, 1), pool.pairs, level)
        return Estimate(value, low, high, level, "rule of three, clustered", len(scores_b))
    variance = intervals.more_variance(variance, *pool.occupied)
    if pool.small:
        aucs = [_auc(placed, pool, level) for placed in (a, b)]
        shared = intervals.correlation(_variance(*a, pool), _variance(*b, pool), variance)
        low, high = intervals.mover(*aucs, shared)
        return Estimate(value, low, high, level, "MOVER, clustered", len(scores_b))
    half = pool.quantile(level) * math.sqrt(variance)
    low, high = max(value - half, -1.0), min(value + half, 1.0)
    return Estimate(value, low, high, level, "paired DeLong, clustered", len(scores_b))


def clustered_balanced_accuracy_estimate(
    scores: np.ndarray,
    members: np.ndarray,
    threshold: float,
    clusters: np.ndarray,
    level: float = 0.95,
) -> Estimate:
    """Balanced accuracy pooled over targets, at a threshold chosen on other data.

    The variance is summed over examples (TPR and TNR of one example go together), the interval
    taken on the logit scale, below 100 examples with Student's t. Scores of targets with thresholds
    of their own: pass the scores minus their target's threshold, and 0. `advantage.from_accuracy`
    makes an advantage of it.

    Args:
      scores: f64[N], higher = member.
      members: bool[N], of the target that gave the score.
      threshold: in the unit of the scores; member where score >= threshold.
      clusters: int64[N], the id of the example.
      level: coverage of the two-sided interval, in (0, 1).

    Raises:
      ValueError: threshold not finite, or as `clustered_auc_estimate`.

    Linearization of a ratio: Rao & Scott, Biometrics 1992.
    """
    intervals.normal_quantile(level)
    pool = _pool(scores, members, clusters)
    value = roc.balanced_accuracy(pool.scores, pool.members, threshold)
    if pool.few is not None:
        return Estimate.unmeasurable(pool.few, len(scores), level)
    right = (pool.scores >= threshold) == pool.members
    halves = right[pool.members] / 2, right[~pool.members] / 2
    return _rate(value, _variance(*halves, pool), pool, level, "linearized")


def clustered_tpr_at_fpr_estimate(
    scores: np.ndarray,
    members: np.ndarray,
    clusters: np.ndarray,
    fpr: float,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 1000,
) -> Estimate:
    """TPR at `fpr`, ties broken at random, pooled over targets; Bayesian bootstrap of examples.

    Each draw gives every example one exponential weight, which all its scores share, and reads the
    weighted TPR at the weighted FPR; the threshold lies between two non-members (either side, by a
    coin), and a pseudo-count of one half keeps a TPR of 0 or 1 from certainty, counted in members
    times their design effect. With one score an example this is the law of
    `intervals.tpr_at_fpr_estimate`. In O(N (log N + draws)), with at most 32 MB of weights.

    Measurable where the non-member scores are 10 / fpr or more, and the 10 or more at and above the
    threshold are worth 10 examples: (sum f)^2 / sum f^2 >= 10, f being each example's number of
    them. So an example counts once however often it is a false positive, and the same ten
    scores of three hard examples do not count as ten.

    Args:
      scores: f64[N], higher = member.
      members: bool[N], of the target that gave the score.
      clusters: int64[N], the id of the example.
      fpr: a rate in (0, 1].
      rng: the source of the weights.
      level: coverage of the two-sided interval, in (0, 1).
      draws: 100 or more.

    Raises:
      ValueError: `fpr` or `draws` out of range, or as `clustered_auc_estimate`.

    Rubin, Annals of Statistics 1981; clusters as units: Davison & Hinkley 1997, section 3.8; design
    effect: Kish, Survey Sampling, 1965; the rest as in `intervals.tpr_at_fpr_estimate`.
    """
    intervals.normal_quantile(level)
    validators.at_least("draws", draws, intervals.LEAST_DRAWS)
    pool = _pool(scores, members, clusters)
    if (few := _few_false_positives(pool, fpr)) is not None:
        return Estimate.unmeasurable(few, len(scores), level)
    fp, tp = roc.step_counts(pool.scores, pool.members)
    allowed = roc.allowed(int(fp[-1]), fpr)
    crossing = roc.crossing(fp, tp, allowed)
    rates = _weighted_rates(pool, fp, tp, fpr, _design_effect(pool, crossing), draws, rng)
    value = float(crossing.expected() / tp[-1])
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    low, high = min(float(low), value), max(float(high), value)
    method = "Bayesian bootstrap of examples" + intervals.tie_words(roc.tie(fp, tp, allowed))
    return Estimate(value, low, high, level, method, len(scores))


def _pool(scores: np.ndarray, members: np.ndarray, clusters: np.ndarray) -> _Pool:
    scores, members = roc.scores_and_members(scores, members)
    clusters = np.asarray(clusters)
    if clusters.shape != scores.shape or clusters.dtype.kind not in "iu":
        raise ValueError(
            f"clusters: must be {len(scores)} integers, the id of each score's example, "
            f"got {clusters.dtype} of shape {clusters.shape}."
        )
    ids, clusters = np.unique(clusters, return_inverse=True)
    occupied = (np.count_nonzero(np.bincount(clusters[side])) for side in (members, ~members))
    return _Pool(scores, members, clusters, len(ids), tuple(occupied))


def _placements(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's: the share of non-members each member beats, of members that beat each other."""
    by_member, by_non_member = intervals.wins(scores, members)
    return by_member / len(by_non_member), by_non_member / len(by_member)


def _variance(by_member: np.ndarray, by_non_member: np.ndarray, pool: _Pool) -> float:
    """Of the mean over members plus the mean over non-members, summed over clusters."""
    if not np.ptp(by_member) and not np.ptp(by_non_member):
        return 0.0  # exactly, which rounding would hide
    inside, outside = (
        np.bincount(pool.clusters[side], (share - share.mean()) / len(share), minlength=pool.count)
        for side, share in ((pool.members, by_member), (~pool.members, by_non_member))
    )
    terms = np.array([inside @ inside, outside @ outside, 2 * inside @ outside])
    counts = np.array([*pool.occupied, pool.count])
    variance = float(terms @ (counts / (counts - 1)))
    return variance if variance > 1e-12 * terms[:2].sum() else 0.0  # they cancel but for rounding


def _auc(placements: tuple[np.ndarray, np.ndarray], pool: _Pool, level: float) -> Estimate:
    value, variance = float(placements[0].mean()), _variance(*placements, pool)
    delong = _rate(value, variance, pool, level, "DeLong")
    if variance == 0 or not pool.small:
        return delong
    counts = [len(shares) for shares in placements]
    effect = variance / sum(shares.var(ddof=1) / len(shares) for shares in placements)
    ends = intervals.newcombe(value, *(count / effect for count in counts), pool.quantile(level))
    low, high = min(delong.low, ends[0]), max(delong.high, ends[1])
    method = "DeLong or Newcombe, the wider, clustered"
    return Estimate(value, low, high, level, method, delong.n)


def _rate(value: float, variance: float, pool: _Pool, level: float, method: str) -> Estimate:
    if variance == 0:
        low, high = intervals.rule_of_three(value, (0, 1), pool.pairs, level)
        return Estimate(value, low, high, level, "rule of three, clustered", len(pool.scores))
    low, high = intervals.logit_interval(value, variance, pool.quantile(level))
    return Estimate(value, low, high, level, f"{method}, clustered, logit", len(pool.scores))


def _few_false_positives(pool: _Pool, fpr: float) -> str | None:
    """Why the TPR at `fpr` cannot be measured, or None."""
    outside = pool.scores[~pool.members]
    if (few := intervals.few_non_members(len(outside), fpr)) is not None:
        return few
    if pool.few is not None:
        return pool.few
    rank = -roc.allowed(len(outside), fpr)
    threshold = np.partition(outside, rank)[rank]
    counts = np.bincount(pool.clusters[~pool.members][outside >= threshold])
    effective = counts.sum() ** 2 / (counts @ counts)
    if effective >= intervals.LEAST_FALSE_POSITIVES * (1 - 1e-9):
        return None
    least = intervals.LEAST_FALSE_POSITIVES
    return f"needs false positives worth {least} examples, has {counts.sum()} worth {effective:.1f}"


def _design_effect(pool: _Pool, crossing: roc.Crossing) -> float:
    """Variance of the share caught, clustered, over the variance of independent members; >= 1."""
    largest = pool.members.sum() / pool.occupied[0]
    order = np.argsort(-pool.scores[pool.members], kind="stable")
    hit = np.zeros(len(order))
    hit[order[: crossing.before]] = 1
    hit[order[crossing.before : crossing.after]] = crossing.share
    share = float(crossing.expected() / len(order))
    if share in (0, 1):
        return float(largest)
    excess = np.bincount(pool.clusters[pool.members], hit - share)
    return float(np.clip(excess @ excess / (len(order) * share * (1 - share)), 1, largest))


def _weighted_rates(
    pool: _Pool,
    fp: np.ndarray,
    tp: np.ndarray,
    fpr: float,
    effect: float,
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """f64[draws]: the TPR at `fpr` under exponential weights of the clusters."""
    order = np.argsort(-pool.scores, kind="stable")
    is_member, clusters = pool.members[order], pool.clusters[order]
    inside, outside = clusters[is_member], clusters[~is_member]
    chunk = max(1, _CELLS // len(clusters))
    rates = []
    for start in range(0, draws, chunk):
        weights = rng.standard_exponential((min(chunk, draws - start), pool.count))
        allowed = fpr * (weights @ np.bincount(outside, minlength=pool.count))
        false_positives = _reached(weights, outside, allowed, int(2 * fpr * len(outside)) + 100)
        false_positives -= rng.integers(0, 2, len(weights))
        before, after, share = roc.crossing(fp, tp, np.maximum(false_positives, 0))
        sums = _cumulative(weights, inside[: after.max()])
        rows = np.arange(len(weights))
        hits = sums[rows, before] + share * (sums[rows, after] - sums[rows, before])
        total = weights @ np.bincount(inside, minlength=pool.count)
        pseudo_counts = effect * rng.gamma(0.5, size=(2, len(hits)))
        rates.append((hits + pseudo_counts[0]) / (total + pseudo_counts.sum(axis=0)))
    return np.concatenate(rates)


def _reached(
    weights: np.ndarray, columns: np.ndarray, allowed: np.ndarray, most: int
) -> np.ndarray:
    """int64[draws]: of how many of the first `columns` the weights stay within what is allowed.

    The first `most` are looked at, more of them where those of a draw are not enough.
    """
    cumulative = np.cumsum(weights[:, columns[:most]], axis=1)
    if most < len(columns) and (cumulative[:, -1] <= allowed).any():
        return _reached(weights, columns, allowed, 2 * most)
    return (cumulative <= allowed[:, None]).sum(axis=1)


def _cumulative(weights: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """f64[draws, n + 1]: per row the sums of its weights in the first 0 .. n of `columns`."""
    sums = np.zeros((len(weights), len(columns) + 1))
    np.cumsum(weights[:, columns], axis=1, out=sums[:, 1:])
    return sums
