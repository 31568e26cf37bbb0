"""What membership scores prove about differential privacy: a lower bound of epsilon.

An (epsilon, delta)-private training obeys, at every threshold, TPR <= exp(epsilon) FPR + delta and
TNR <= exp(epsilon) FNR + delta (Kairouz, Oh & Viswanath, ICML 2015, theorem 2.1). Confidence bounds
of the rates therefore bound epsilon from below (Jagielski, Ullman & Oprea, NeurIPS 2020), as long
as the threshold was not picked on the figures that it is judged by.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from tf_compleak.metrics import intervals, roc
from tf_compleak.types import Estimate

_GRID = 32  # thresholds tried in each direction, at most
_CAUTION = 0.05  # the share of wrong bounds that a choice of threshold may assume, at most
_LEAST = 4  # members, and non-members, so that each half has two


class _Counts(NamedTuple):
    """Hits among the examples that a rule should find, false alarms among the others."""

    hits: np.ndarray
    examples: int
    alarms: np.ndarray
    others: int


_Grid = tuple[int, np.ndarray, _Counts]


def epsilon_lower_bound(
    scores: np.ndarray,
    members: np.ndarray,
    *,
    delta: float = 0.0,
    level: float = 0.95,
    rng: np.random.Generator,
) -> Estimate:
    """A lower confidence bound of epsilon, 0 where the scores prove nothing; one-sided.

    `low` is the bound: with probability `level` or more, no (epsilon, delta)-private training with
    epsilon < `low` made these scores. `value` is the point estimate at the same threshold, half a
    count added to each outcome, never below `low`. `high` is NaN (null in JSON): scores never prove
    that epsilon is small.

    Threshold and direction are picked on a random half and measured on the other half. Ties are
    broken at random. Not measurable with fewer than 4 members or 4 non-members.

    The assumption: every example's membership was drawn independently and before training
    (non-adaptive), and given membership the scores are independent draws. Examples of one training
    run share its randomness, so for a single run this is exact on pure noise and an approximation
    otherwise (Steinke et al., NeurIPS 2023); several scores of one example break it: pass one
    target, or one score an example.

    Args:
      scores: f64[N], higher = member.
      members: bool[N].
      delta: of the (epsilon, delta) guarantee, in [0, 1).
      level: one-sided confidence, in (0, 1).
      rng: the source of the halves and of the order of tied scores.

    Raises:
      ValueError: `delta` or `level` out of range, scores not finite, members of one kind.

    Jagielski et al., NeurIPS 2020, section 4; a Bayesian relative: Zanella-Beguelin et al., ICML
    2023.
    """
    intervals.normal_quantile(level)
    if not 0 <= delta < 1:
        raise ValueError(f"delta: must be at least 0 and below 1, such as 1e-5, got {delta!r}.")
    scores, members = roc.scores_and_members(scores, members)
    if min(members.sum(), (~members).sum()) < _LEAST:
        reason = f"needs {_LEAST} members and {_LEAST} non-members, has "
        reason += f"{members.sum()} and {(~members).sum()}"
        return Estimate.unmeasurable(reason, len(scores), level)
    ranks = untied(scores, rng)
    low, counts = _by_split(ranks, members, delta, 1 - level, rng)
    value = max(low, _point(counts, delta))
    name = "one-sided Clopper-Pearson, split"
    return Estimate(value, low, math.nan, level, name, len(scores))


def _by_split(
    ranks: np.ndarray, members: np.ndarray, delta: float, alpha: float, rng: np.random.Generator
) -> tuple[float, _Counts]:
    """The bound, and the counts of the half that measures."""
    half = _random_half(members, rng)
    tail = min(alpha, _CAUTION) / 2  # a low level must not choose by the noise of few alarms
    sign, cut = _best_rule(_directions(ranks[half], members[half]), delta, tail)
    positives, signed = members[~half] == (sign > 0), sign * ranks[~half]
    hits, alarms = signed[positives] > cut, signed[~positives] > cut
    counts = _Counts(hits.sum(), len(hits), alarms.sum(), len(alarms))
    return max(0.0, float(_log_ratio(counts, delta, alpha / 2))), counts


def _best_rule(grids: list[_Grid], delta: float, tail: float) -> tuple[int, float]:
    """Sign and cut with the largest ratio over the grids."""
    rules = []
    for sign, cuts, counts in grids:
        ratios = _log_ratio(counts, delta, tail)
        best = int(ratios.argmax())
        rules.append((float(ratios[best]), sign, float(cuts[best])))
    _, sign, cut = max(rules, key=lambda rule: rule[0])
    return sign, cut


def _directions(ranks: np.ndarray, members: np.ndarray) -> list[_Grid]:
    """Members above a cut, then non-members below one: sign, cuts (strict), counts at the cuts."""
    grids = []
    for sign, kind in ((1, members), (-1, ~members)):
        positives, others = np.sort(sign * ranks[kind]), np.sort(sign * ranks[~kind])
        alarms = np.unique(np.geomspace(1, len(others), _GRID).astype(np.int64)) - 1
        cuts = others[::-1][alarms]
        hits = len(positives) - np.searchsorted(positives, cuts, side="right")
        grids.append((sign, cuts, _Counts(hits, len(positives), alarms, len(others))))
    return grids


def _log_ratio(counts: _Counts, delta: float, tail: float) -> np.ndarray:
    """log((lower bound of hits - delta) / upper bound of alarms), each wrong at most `tail`."""
    hits, m, alarms, n = counts
    low = np.where(hits > 0, special.betaincinv(np.maximum(hits, 1), m - hits + 1, tail), 0.0)
    high = np.where(
        alarms < n, special.betaincinv(alarms + 1, np.maximum(n - alarms, 1), 1 - tail), 1.0
    )
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(low - delta, 0) / high)


def _point(counts: _Counts, delta: float) -> float:
    rate = (counts.hits + 0.5) / (counts.examples + 1) - delta
    if rate <= 0:
        return 0.0
    return max(0.0, math.log(rate * (counts.others + 1) / (counts.alarms + 0.5)))


def untied(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ranks 0 to N-1, equal scores in random order."""
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[np.lexsort((rng.random(len(scores)), scores))] = np.arange(len(scores))
    return ranks


def _random_half(members: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """bool[N]: half of the members and half of the non-members."""
    half = np.zeros(len(members), dtype=bool)
    for kind in (members, ~members):
        order = rng.permutation(np.flatnonzero(kind))
        half[order[: len(order) // 2]] = True
    return half
