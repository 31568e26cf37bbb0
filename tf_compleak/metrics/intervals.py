"""Confidence intervals: every figure with the range that its sample size allows.

All examples are taken as independent draws; a figure pooled over several targets that share
examples needs another method.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, special

from tf_compleak.metrics import roc
from tf_compleak.types import Estimate, validators

LEAST_FALSE_POSITIVES = 10  # expected ones that a TPR at fixed FPR needs to mean something
LEAST_DRAWS = 100
SMALL = 100  # members or non-members below which DeLong's variance is too small too often


def auc_estimate(scores: np.ndarray, members: np.ndarray, level: float = 0.95) -> Estimate:
    """AUC with DeLong's variance, the interval taken on the logit scale, in O(N log N).

    Where the variance is zero (all pairs won, all lost, or all tied) the rule of three takes over:
    if each of k disjoint pairs went the same way, few pairs can go another. With fewer than 100
    members or non-members the interval also holds Newcombe's, whose variance is that of the AUC at
    its ends: of 20 members against 200, DeLong's alone covers a high AUC in 90 % of draws. Not
    measurable with fewer than two members or two non-members.

    Args:
      scores: f64[N], higher = member.
      members: bool[N].
      level: coverage of the two-sided interval, in (0, 1).

    Raises:
      ValueError: scores not finite, members all of one kind, or `level` outside (0, 1).

    DeLong et al., Biometrics 1988; fast form: Sun & Xu, IEEE SPL 2014; logit: Pepe 2003, 5.2;
    few examples: Newcombe, Statistics in Medicine 2006, method 5.
    """
    z = normal_quantile(level)
    scores, members = roc.scores_and_members(scores, members)
    if (few := too_few(members)) is not None:
        return Estimate.unmeasurable(few, len(scores), level)
    value, variance = _delong(*wins(scores, members))
    if variance == 0:
        low, high = rule_of_three(value, (0, 1), _pairs(members), level)
        return Estimate(value, low, high, level, "rule of three", len(scores))
    low, high = logit_interval(value, variance, z)
    if (pairs := _pairs(members)) >= SMALL:
        return Estimate(value, low, high, level, "DeLong, logit", len(scores))
    ends = newcombe(value, pairs, len(members) - pairs, z)
    low, high = min(low, ends[0]), max(high, ends[1])
    return Estimate(value, low, high, level, "DeLong or Newcombe, the wider", len(scores))


def auc_difference(
    scores_a: np.ndarray, scores_b: np.ndarray, members: np.ndarray, level: float = 0.95
) -> Estimate:
    """AUC of a minus AUC of b on the same examples, by DeLong's paired variance, normal interval.

    Where the variance is zero (two rankings that agree throughout) the rule of three takes over;
    else it has that of one more member and one more non-member, half the scale apart in the two:
    where few examples differ, DeLong's alone covers 80 to 90 % (see `more_variance`). With fewer
    than 100 members or non-members the interval is made of those of the two AUCs, which are
    lopsided where an AUC is high: DeLong's alone covers as little as 89 % at 20 of each. Not
    measurable with fewer than two members or two non-members.

    Args:
      scores_a: f64[N], higher = member.
      scores_b: f64[N] of the same examples.
      members: bool[N].
      level: coverage of the two-sided interval, in (0, 1).

    Raises:
      ValueError: scores not finite, lengths that differ, members all of one kind, or `level`.

    DeLong et al., Biometrics 1988; fast form: Sun & Xu, IEEE SPL 2014; few examples: Zou,
    Psychological Methods 2007 (the method of variance estimates recovery, MOVER).
    """
    z = normal_quantile(level)
    scores_a, members = roc.scores_and_members(scores_a, members)
    scores_b, members = roc.scores_and_members(scores_b, members)
    if (few := too_few(members)) is not None:
        return Estimate.unmeasurable(few, len(members), level)
    a, b = wins(scores_a, members), wins(scores_b, members)
    value, variance = _delong(a[0] - b[0], a[1] - b[1])
    if variance == 0:
        low, high = rule_of_three(value, (-1, 1), _pairs(members), level)
        return Estimate(value, low, high, level, "rule of three", len(members))
    variance = more_variance(variance, int(members.sum()), int((~members).sum()))
    if _pairs(members) < SMALL:
        aucs = [auc_estimate(scores, members, level) for scores in (scores_a, scores_b)]
        low, high = mover(*aucs, correlation(_delong(*a)[1], _delong(*b)[1], variance))
        return Estimate(value, low, high, level, "MOVER", len(members))
    half = z * math.sqrt(variance)
    low, high = max(value - half, -1.0), min(value + half, 1.0)
    return Estimate(value, low, high, level, "paired DeLong", len(members))


def proportion(successes: int, n: int, level: float = 0.95) -> Estimate:
    """The share of `successes` among `n` independent trials, by Clopper-Pearson: never too narrow.

    Args:
      successes: a count in [0, n].
      n: trials, 1 or more.
      level: coverage of the two-sided interval, in (0, 1).

    Raises:
      ValueError: `n` below 1, `successes` no count in [0, n], or `level` outside (0, 1).

    Clopper & Pearson, Biometrika 1934.
    """
    normal_quantile(level)
    validators.at_least("n", n, 1)
    validators.between("successes", successes, 0, n)
    if successes != int(successes):
        raise ValueError(f"successes: must be a whole count, not a share, got {successes!r}.")
    tail, failures = (1 - level) / 2, n - successes
    low = special.betaincinv(successes, failures + 1, tail) if successes else 0.0
    high = special.betaincinv(successes + 1, failures, 1 - tail) if failures else 1.0
    return Estimate(successes / n, float(low), float(high), level, "Clopper-Pearson", n)


def bonett_price(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    """Centre and variance of a paired difference of shares, one more of each kind counted in."""
    p, q = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    return p - q, (p + q - (p - q) ** 2) / (n + 2)


def balanced_accuracy_estimate(
    scores: np.ndarray, members: np.ndarray, threshold: float, level: float = 0.95
) -> Estimate:
    """Balanced accuracy at a threshold chosen on other data, from the Wilson intervals of TPR, TNR.

    Args:
      scores: f64[N], higher = member.
      members: bool[N].
      threshold: in the unit of the scores; member where score >= threshold.
      level: coverage of the two-sided interval, in (0, 1).

    Raises:
      ValueError: scores or threshold not finite, members all of one kind, or `level`.

    Wilson, JASA 1927, combined as in Newcombe, Statistics in Medicine 1998 (method 10).
    """
    z = normal_quantile(level)
    scores, members = roc.scores_and_members(scores, members)
    value = roc.balanced_accuracy(scores, members, threshold)
    positive = scores >= threshold
    tpr, tpr_low, tpr_high = _wilson(positive[members], z)
    tnr, tnr_low, tnr_high = _wilson(~positive[~members], z)
    low = value - math.hypot(tpr - tpr_low, tnr - tnr_low) / 2
    high = value + math.hypot(tpr_high - tpr, tnr_high - tnr) / 2
    return Estimate(value, max(low, 0.0), min(high, 1.0), level, "MOVER, Wilson", len(scores))


def balanced_accuracy_difference(
    margins_a: np.ndarray, margins_b: np.ndarray, members: np.ndarray, level: float = 0.95
) -> Estimate:
    """Balanced accuracy of a minus that of b on the same examples, each at threshold 0, paired.

    The interval is Bonett and Price's, of the shares in which one is right and the other wrong,
    with one more of each: it is not empty where a and b agree throughout.

    Args:
      margins_a: f64[N], scores less a's threshold, chosen on other data.
      margins_b: f64[N], the same of b.
      members: bool[N].
      level: coverage of the two-sided interval, in (0, 1).

    Raises:
      ValueError: scores not finite, lengths that differ, members all of one kind, or `level`.

    Bonett & Price, Journal of Educational and Behavioral Statistics 2012; of two kinds: Newcombe,
    Statistics in Medicine 1998.
    """
    z = normal_quantile(level)
    margins_a, members = roc.scores_and_members(margins_a, members)
    margins_b, members = roc.scores_and_members(margins_b, members)
    right_a, right_b = ((margins >= 0) == members for margins in (margins_a, margins_b))
    value = centre = variance = 0.0
    for kind in (members, ~members):
        n = int(kind.sum())
        only_a, only_b = (
            int((x & ~y)[kind].sum()) for x, y in ((right_a, right_b), (right_b, right_a))
        )
        value += (only_a - only_b) / n / 2
        kind_centre, kind_variance = bonett_price(only_a, only_b, n)
        centre += kind_centre / 2
        variance += kind_variance / 4
    half = z * math.sqrt(variance)
    low, high = max(min(centre - half, value), -1.0), min(max(centre + half, value), 1.0)
    return Estimate(value, low, high, level, "Bonett-Price, paired", len(members))


def tpr_at_fpr_estimate(
    scores: np.ndarray,
    members: np.ndarray,
    fpr: float,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 2000,
) -> Estimate:
    """TPR at `fpr`, ties broken at random; the interval counts the noise of threshold and TPR.

    The number of non-members above the population's threshold is Binomial(n, fpr). A draw of it
    places the threshold among the non-members (between two of them: either side, by a coin), and
    Beta(c + 1/2, m - c + 1/2) is the TPR of the c of m members above. The interval is a range of
    quantiles of such draws: O(N log N + draws log N), nothing is resampled. Within a tie, c grows
    in a straight line, as in `roc.tpr_at_fpr`, so nothing jumps where few scores are distinct; the
    interval then holds the chance of the coins, too, and is wide rather than narrow. The method
    names the tie, if any. Not measurable with fewer than 10 / fpr non-members.

    Args:
      scores: f64[N], higher = member.
      members: bool[N].
      fpr: a rate in (0, 1].
      rng: the source of the draws.
      level: coverage of the two-sided interval, in (0, 1).
      draws: 100 or more.

    Raises:
      ValueError: `fpr`, `level` or `draws` out of range, scores not finite, members of one kind.

    Binomial count of order statistics: David & Nagaraja, Order Statistics, 7.1; Beta(1/2, 1/2)
    prior: Brown, Cai & DasGupta, Statistical Science 2001.
    """
    normal_quantile(level)
    validators.at_least("draws", draws, LEAST_DRAWS)
    fp, tp = roc.step_counts(scores, members)
    n_non_members, n_members = int(fp[-1]), int(tp[-1])
    n = n_non_members + n_members
    if (few := few_non_members(n_non_members, fpr)) is not None:
        return Estimate.unmeasurable(few, n, level)
    allowed = roc.allowed(n_non_members, fpr)
    value = float(roc.crossing(fp, tp, allowed).expected() / n_members)
    false_positives = rng.binomial(n_non_members, fpr, draws) - rng.integers(0, 2, draws)
    caught = roc.crossing(fp, tp, np.maximum(false_positives, 0)).expected()
    rates = rng.beta(caught + 0.5, n_members - caught + 0.5)
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    low, high = min(float(low), value), max(float(high), value)
    method = "binomial threshold, Beta rate" + tie_words(roc.tie(fp, tp, allowed))
    return Estimate(value, low, high, level, method, n)


def tie_words(tie: roc.Tie | None) -> str:
    """What a method says of the tie that was broken at random: nothing where there is none."""
    if tie is None:
        return ""
    return (
        f"; a tie of {tie.members:,} members and {tie.non_members:,} non-members broken at random"
    )


def measurable(n_non_members: int, fpr: float) -> bool:
    """Whether `n_non_members` are 10 / fpr or more; ValueError when `fpr` is not in (0, 1]."""
    if not 0 < fpr <= 1:
        raise ValueError(f"fpr: must be above 0 and at most 1, got {fpr!r}.")
    return n_non_members * fpr >= LEAST_FALSE_POSITIVES * (1 - 1e-9)


def few_non_members(n_non_members: int, fpr: float) -> str | None:
    """Why the TPR at `fpr` is not measurable with `n_non_members`, or None where it is."""
    if measurable(n_non_members, fpr):
        return None
    needed = math.ceil(LEAST_FALSE_POSITIVES / fpr * (1 - 1e-9))
    return f"needs {needed:,} non-members, has {n_non_members:,}"


def normal_quantile(level: float) -> float:
    """The z of a two-sided interval, 1.96 for 0.95; ValueError when `level` is not in (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level: must lie between 0 and 1, such as 0.95, got {level!r}.")
    return float(special.ndtri((1 + level) / 2))


def too_few(members: np.ndarray) -> str | None:
    """Why these members and non-members show nothing: less than two of a kind; else None."""
    n_members, n = int(members.sum()), len(members)
    if min(n_members, n - n_members) >= 2:
        return None
    return f"needs 2 members and 2 non-members, has {n_members} and {n - n_members}"


def wins(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per member: non-members it beats; per non-member: members that beat it. Ties are halves."""
    inside, outside = scores[members], scores[~members]
    below = _below(outside, inside)
    return below, len(inside) - _below(inside, outside)


def logit_interval(value: float, variance: float, z: float) -> tuple[float, float]:
    """The normal interval of a rate in (0, 1), taken on the logit scale (Pepe 2003, 5.2)."""
    half = z * math.sqrt(variance) / (value * (1 - value))
    low, high = special.expit(special.logit(value) + np.array([-half, half]))
    return float(low), float(high)


def newcombe(value: float, few: float, many: float, z: float) -> tuple[float, float]:
    """Where the AUC lies z standard errors off, these of exponential scores (Newcombe 2006)."""
    half = (few + many) / 2 - 1

    def off(auc):
        spread = 1 + half * ((1 - auc) / (2 - auc) + auc / (1 + auc))
        return (auc - value) ** 2 - z * z * auc * (1 - auc) * spread / (few * many)

    edge = 1e-12
    low = optimize.brentq(off, edge, value) if off(edge) > 0 else 0.0
    high = optimize.brentq(off, value, 1 - edge) if off(1 - edge) > 0 else 1.0
    return float(low), float(high)


def correlation(variance_a: float, variance_b: float, variance_of_difference: float) -> float:
    """Of two estimates; 0 where one of them does not vary."""
    if not variance_a * variance_b:
        return 0.0
    covariance = (variance_a + variance_b - variance_of_difference) / 2
    return float(np.clip(covariance / math.sqrt(variance_a * variance_b), -1, 1))


def mover(a: Estimate, b: Estimate, correlation: float) -> tuple[float, float]:
    """The interval of a - b from those of two correlated estimates (Zou 2007, equation 10)."""

    def reach(first, second):
        return math.sqrt(max(first**2 - 2 * correlation * first * second + second**2, 0.0))

    value = a.value - b.value
    low = value - reach(a.value - a.low, b.high - b.value)
    high = value + reach(a.high - a.value, b.value - b.low)
    return max(low, -1.0), min(high, 1.0)


def more_variance(variance: float, n_members: float, n_non_members: float) -> float:
    """Of a paired difference of AUCs, with one more of each kind in which the two disagree.

    A difference that rests on a few examples would else seem surer than that no other example
    differs: the idea of Bonett & Price (2012), who add one to each count of disagreements.
    """
    return variance + (1 / n_members**2 + 1 / n_non_members**2) / 4


def rule_of_three(
    value: float, bounds: tuple[float, float], k: int, level: float
) -> tuple[float, float]:
    """Range of a mean within `bounds` after `k` independent draws gave `value`, all of them.

    The exact form of the rule (Hanley & Lippman-Hand, JAMA 1983): at most a share q of all draws
    gives something else.
    """
    q = 1 - ((1 - level) / 2) ** (1 / k)
    return value - q * (value - bounds[0]), value + q * (bounds[1] - value)


def _pairs(members: np.ndarray) -> int:
    """Disjoint pairs of a member and a non-member."""
    return int(min(members.sum(), (~members).sum()))


def _below(reference: np.ndarray, values: np.ndarray) -> np.ndarray:
    ordered = np.sort(reference)
    below, at_or_below = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return (below + at_or_below) / 2


def _delong(by_member: np.ndarray, by_non_member: np.ndarray) -> tuple[float, float]:
    """Mean over all pairs and its variance, from the sums over each example's pairs."""
    m, n = len(by_member), len(by_non_member)
    value = float(by_member.sum()) / (m * n)
    if not np.ptp(by_member) and not np.ptp(by_non_member):
        return value, 0.0  # exactly, which rounding in the variance would hide
    return value, by_member.var(ddof=1) / (m * n**2) + by_non_member.var(ddof=1) / (n * m**2)


def _wilson(hits: np.ndarray, z: float) -> tuple[float, float, float]:
    """Share of `hits` with its Wilson score interval."""
    n, p = len(hits), float(hits.mean())
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return p, min(centre - half, p), max(centre + half, p)
