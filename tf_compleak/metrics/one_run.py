"""What the scores of one training run prove about epsilon where membership was drawn by fair coins.

Where every example was put into the training set by a fair coin of its own, guesses about many
examples of one and the same training count as if each had been made on a training of its own, but
for what `delta` allows (Steinke, Nasr & Jagielski, NeurIPS 2023). No independence of the scores is
assumed, which `metrics.privacy` must assume where the number of members was fixed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
from scipy import optimize, special

from tf_compleak.metrics import intervals, privacy, roc
from tf_compleak.types import Estimate

STEINKE = "one run, coins (Steinke et al. 2023), split"
GAUSSIAN = "one run, coins, Gaussian trade-off (Mahloujifar et al. 2024), split"
_LEAST = 8  # examples, so that each half has four
_SHARES = 12  # numbers of guesses tried for each kind, from all examples down
_MOST = 60.0  # of epsilon; beyond, exp() says nothing more
_GAUSSIAN = statistics.NormalDist()


def p_value(examples: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """How likely, at most, so many correct guesses are under (epsilon, delta)-privacy.

    Args:
      examples: whose membership was drawn by a fair coin each.
      guesses: how many of these coins were guessed, at most `examples`.
      correct: how many guesses were right.

    Steinke, Nasr & Jagielski, NeurIPS 2023, theorem 5.2 and appendix D.
    """
    rate = special.expit(epsilon)
    beta = _at_least(correct, guesses, rate)
    if delta == 0 or correct == 0:
        return beta
    fewer = np.arange(1, correct + 1)
    excess = (_at_least(correct - fewer, guesses, rate) - beta) / fewer
    return float(min(1.0, beta + 2 * examples * delta * max(0.0, excess.max())))


def steinke(examples: int, guesses: int, correct: int, alpha: float, delta: float) -> float:
    """The largest epsilon that so many correct guesses reject, wrong at most `alpha`; 0 for none.

    Arguments as in `p_value`.
    """
    return _largest(lambda epsilon: alpha - p_value(examples, guesses, correct, epsilon, delta))


def gaussian(examples: int, guesses: int, correct: int, alpha: float, delta: float) -> float:
    """As `steinke`, against trainings whose trade-off curve is that of a Gaussian mechanism.

    Such a curve says more than one pair of epsilon and delta, so the bound is larger; it is one of
    epsilon at `delta` of the Gaussian mechanism, and holds for trainings by noise (DP-SGD) only.

    Args:
      delta: above 0 and below 1.

    Mahloujifar, Melis & Chaudhuri, "Auditing f-differential privacy in one run", ICML 2025,
    algorithm 3.
    """

    def rejected(mu: float) -> float:
        right, wrong = alpha * correct / examples, alpha * (guesses - correct) / examples
        for left in range(correct - 1, -1, -1):
            raised = max(wrong, _blown_up(right, mu))
            if raised == wrong:
                break
            right = min(1.0, right + left / (guesses - left) * (raised - wrong))
            wrong = raised
        return right + wrong - guesses / examples

    return gaussian_epsilon(_largest(rejected), delta)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Epsilon at `delta` of a Gaussian mechanism whose means lie `mu` deviations apart.

    Dong, Roth & Su, "Gaussian differential privacy", 2019, corollary 2.13.
    """
    if mu <= 0:
        return 0.0

    def excess(epsilon: float) -> float:
        far = epsilon + special.log_ndtr(-epsilon / mu - mu / 2)
        return special.ndtr(-epsilon / mu + mu / 2) - math.exp(far) - delta

    return _largest(excess)


def epsilon_lower_bound(
    scores: np.ndarray,
    members: np.ndarray,
    *,
    delta: float = 0.0,
    level: float = 0.95,
    rng: np.random.Generator,
    bound: Callable[[int, int, int, float, float], float] = steinke,
) -> Estimate:
    """As `metrics.privacy.epsilon_lower_bound`, of memberships drawn by independent fair coins.

    How many of the highest scores are guessed to be members, and of the lowest to be none, is
    picked on a random half of the examples and judged on the other half, whose coins the first half
    does not tell. Halves are drawn without regard to membership, which would tie the coins.

    Args:
      scores: f64[N], higher = member.
      members: bool[N], each drawn by a fair coin of its own.
      delta: of the (epsilon, delta) guarantee, in [0, 1); above 0 for `gaussian`.
      level: one-sided confidence, in (0, 1).
      rng: the source of the halves and of the order of tied scores.
      bound: `steinke` or `gaussian`.

    Raises:
      ValueError: `delta` or `level` out of range, scores not finite, members of one kind.
    """
    intervals.normal_quantile(level)
    if not 0 <= delta < 1:
        raise ValueError(f"delta: must be at least 0 and below 1, such as 1e-5, got {delta!r}.")
    if bound is gaussian and delta == 0:
        return Estimate.unmeasurable("needs --delta above 0", len(scores), level)
    scores, members = roc.scores_and_members(scores, members)
    if len(scores) < _LEAST:
        reason = f"needs {_LEAST} examples, has {len(scores)}"
        return Estimate.unmeasurable(reason, len(scores), level)
    ranks = privacy.untied(scores, rng)
    half = rng.permutation(len(scores)) < len(scores) // 2
    shares = _shares(ranks[half], members[half], 1 - level, delta)
    measured = _in_order(ranks[~half], members[~half])
    guesses, correct = _guessed(measured, *(round(share * len(measured)) for share in shares))
    low = bound(len(measured), guesses, correct, 1 - level, delta)
    value = max(low, math.log((correct + 0.5) / (guesses - correct + 0.5)))
    method = GAUSSIAN if bound is gaussian else STEINKE
    return Estimate(value, low, math.nan, level, method, len(scores))


def _shares(ranks: np.ndarray, members: np.ndarray, alpha: float, delta: float):
    """The shares of examples guessed to be members, and to be none, whose bound is largest."""
    ordered = _in_order(ranks, members)
    counts = np.unique(np.geomspace(1, len(ordered) // 2, _SHARES).astype(int))
    pairs = [(int(top), 0) for top in counts] + [(0, int(count)) for count in counts]
    pairs += [(int(count), int(count)) for count in counts]
    found = [steinke(len(ordered), *_guessed(ordered, *pair), alpha, delta) for pair in pairs]
    if not any(found):  # nothing is shown: the most guesses, so that little is not lost
        return 0.5, 0.5
    top, bottom = pairs[int(np.argmax(found))]
    return top / len(ordered), bottom / len(ordered)


def _in_order(ranks: np.ndarray, members: np.ndarray) -> np.ndarray:
    """bool[N] members, the lowest score first."""
    return members[np.argsort(ranks)]


def _guessed(ordered: np.ndarray, top: int, bottom: int) -> tuple[int, int]:
    """How many guesses, and how many of them are right."""
    top, bottom = (max(top, 1), bottom) if not bottom else (top, max(bottom, 1))
    bottom = min(bottom, len(ordered) - top)
    right = ordered[len(ordered) - top :].sum() + (~ordered[:bottom]).sum()
    return top + bottom, int(right)


def _at_least(correct, guesses: int, rate: float):
    """How likely a binomial count is `correct` or more."""
    correct = np.asarray(correct)
    inside = special.betainc(np.maximum(correct, 1), guesses - np.maximum(correct, 1) + 1, rate)
    return np.where(correct <= 0, 1.0, inside)[()]


def _blown_up(share: float, mu: float) -> float:
    """What a Gaussian mechanism leaves at least of a set that has `share` under a neighbour."""
    if share <= 0:
        return 0.0
    return 1.0 if share >= 1 else _GAUSSIAN.cdf(_GAUSSIAN.inv_cdf(share) - mu)


def _largest(rejected: Callable[[float], float]) -> float:
    """Up to where `rejected`, which falls, is above 0; 0 where it is nowhere."""
    if rejected(0.0) <= 0:
        return 0.0
    low, high = 0.0, 1.0
    while rejected(high) > 0:
        if high > _MOST:
            return high
        low, high = high, 2 * high
    return float(optimize.brentq(rejected, low, high, xtol=1e-6))
