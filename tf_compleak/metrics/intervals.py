"""Figures with confidence intervals. Scores [N], members bool[N]; `n` of an estimate is N."""

from __future__ import annotations

import numpy as np
from scipy import stats

from tf_compleak import _checks
from tf_compleak.metrics import roc
from tf_compleak.types import Estimate

RULE = 10  # false positives expected below which a rate at fixed FPR is not measurable


def proportion(successes: int, n: int, level: float = 0.95) -> Estimate:
    """A share with its Clopper-Pearson interval (exact, conservative)."""
    _checks.at_least("n", n, 1)
    _checks.between("successes", successes, 0, n)
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, successes, n - successes + 1) if successes else 0.0
    high = stats.beta.ppf(1 - tail, successes + 1, n - successes) if successes < n else 1.0
    return Estimate(successes / n, float(low), float(high), level, "Clopper-Pearson", n)


def placements(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's structural components in O(N log N) (Sun & Xu, IEEE SPL 2014, algorithm 2).

    For every member the share of non-members below it, for every non-member the share of members
    above it (ties count half). The mean of either is the AUC.
    """
    inside, outside = roc.check(scores, members)
    m, n = len(inside), len(outside)
    together = stats.rankdata(np.concatenate([inside, outside]))
    above = (together[:m] - stats.rankdata(inside)) / n
    below = 1 - (together[m:] - stats.rankdata(outside)) / m
    return above, below


def _variance(above: np.ndarray, below: np.ndarray) -> float:
    if min(len(above), len(below)) < 2:
        raise ValueError("members: at least two members and two non-members are needed.")
    return float(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))


def auc_estimate(scores: np.ndarray, members: np.ndarray, level: float = 0.95) -> Estimate:
    """AUC with DeLong's variance and an interval on the logit scale (Pepe, 2003, section 5.2).

    DeLong's variance is zero when the scores separate the two sides or are all equal. The interval
    is then that of as many independent successes as the smaller side has, or Hanley & McNeil's.
    """
    above, below = placements(scores, members)
    value, variance, total = float(above.mean()), _variance(above, below), len(scores)
    if value in (0.0, 1.0):
        least = min(len(above), len(below))
        bound = proportion(round(value * least), least, level)
        return Estimate(value, bound.low, bound.high, level, "separated: Clopper-Pearson", total)
    method = "DeLong, logit"
    if variance == 0:
        variance, method = _hanley_mcneil(value, len(above), len(below)), "Hanley-McNeil, logit"
    z = stats.norm.ppf((1 + level) / 2)
    half = z * np.sqrt(variance) / (value * (1 - value))
    low, high = (1 / (1 + np.exp(-(np.log(value / (1 - value)) + side))) for side in (-half, half))
    return Estimate(value, float(low), float(high), level, method, total)


def _hanley_mcneil(value: float, m: int, n: int) -> float:
    """Variance of an AUC from its value alone (Hanley & McNeil, Radiology 1982)."""
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (m - 1) * (q1 - value**2) + (n - 1) * (q2 - value**2)
    return spread / (m * n)


def auc_difference(
    scores_a: np.ndarray, scores_b: np.ndarray, members: np.ndarray, level: float = 0.95
) -> Estimate:
    """AUC of a minus AUC of b on the same examples, with DeLong's paired variance (1988)."""
    parts = [placements(scores, members) for scores in (scores_a, scores_b)]
    above, below = (parts[0][side] - parts[1][side] for side in (0, 1))
    value = float(above.mean())
    half = float(stats.norm.ppf((1 + level) / 2) * np.sqrt(_variance(above, below)))
    return Estimate(value, value - half, value + half, level, "paired DeLong", len(members))


def _wilson(successes: int, n: int, level: float) -> tuple[float, float]:
    bounds = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return float(bounds.low), float(bounds.high)


def balanced_accuracy_estimate(
    scores: np.ndarray, members: np.ndarray, threshold: float, level: float = 0.95
) -> Estimate:
    """Balanced accuracy at a threshold fixed on other data.

    The interval of the mean of two independent shares by MOVER from Wilson intervals (Newcombe,
    1998; Donner & Zou, 2012).
    """
    inside, outside = roc.check(scores, members)
    half_low = half_high = value = 0.0
    for hits in ((inside >= threshold), (outside < threshold)):
        share = float(hits.mean())
        low, high = _wilson(int(hits.sum()), len(hits), level)
        value += share / 2
        half_low += (share - low) ** 2 / 4
        half_high += (high - share) ** 2 / 4
    low, high = value - np.sqrt(half_low), value + np.sqrt(half_high)
    return Estimate(
        value, float(max(0, low)), float(min(1, high)), level, "MOVER, Wilson", len(scores)
    )


def measurable(n_non_members: int, fpr: float) -> bool:
    """Whether there are 10 / FPR non-members, as few as can show a rate at that FPR."""
    return n_non_members * fpr >= RULE - 1e-9


def tpr_at_fpr_estimate(
    scores: np.ndarray,
    members: np.ndarray,
    fpr: float,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 4000,
) -> Estimate:
    """The step value of TPR at `fpr`, with a stratified percentile bootstrap interval.

    The bootstrap is drawn exactly and without resampling: the threshold of a resample is an order
    statistic of n uniform draws from the sorted non-members, whose rank is Beta distributed, and
    the resample's TPR given that threshold is binomial. Both sources of error are in the interval:
    the threshold's (from the non-members) and the rate's (from the members).
    """
    inside, outside = roc.check(scores, members)
    m, n = len(inside), len(outside)
    if not measurable(n, fpr):
        needed = int(np.ceil(RULE / fpr - 1e-6))
        return Estimate.unmeasurable(f"needs {needed:,} non-members, has {n:,}", m + n, level)
    spare = roc.allowed(n, fpr)
    ranks = np.minimum(n - 1, (n * rng.beta(spare + 1, n - spare, draws)).astype(int))
    cuts = np.sort(outside)[::-1][ranks]
    rates = 1 - np.searchsorted(np.sort(inside), cuts, side="right") / m
    resampled = rng.binomial(m, rates) / m
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    value = roc.tpr_at_fpr(scores, members, fpr)
    return Estimate(
        value,
        float(min(low, value)),
        float(max(high, value)),
        level,
        "bootstrap, percentile",
        m + n,
    )
