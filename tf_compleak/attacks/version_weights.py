"""How much every version counts where an attack adds up what the versions say.

A plain sum harms: a version that tells little (heavily pruned) drowns the others in its noise. So
weights are learned from the shadows' examples alone: all alike, the non-negative logistic
regression of membership, and each version by itself are held against one another on held-out
examples. The first of these that is within one standard error of the best is taken: a target is not
quite like its shadows, and the more versions count, the less does one that differs. A weight may be
0: that version is left out.

The one-standard-error rule: Breiman, Friedman, Olshen & Stone 1984, section 3.4.3.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import optimize, special

from tf_compleak.metrics import intervals, roc
from tf_compleak.types import seeds

FOLDS = 5
ONE_ERROR = 0.683  # level of an interval of one standard error on either side
TELLING = 0.5  # share of the best version's AUC above 1/2 that `telling` asks for
SHRINKAGE = 1e-4  # of squared weights of standardized terms, per example

Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]


def fit(terms: np.ndarray, members: np.ndarray, ids: np.ndarray, seed: int) -> np.ndarray:
    """Weights f64[V], none negative, of sum 1.

    Args:
      terms: f64[V, N], what every version says of the shadows' examples, higher = member.
      members: bool[N].
      ids: [N], which example each column is; one example is held out as a whole.
      seed: of the folds.
    """
    if len(terms) == 1:
        return np.ones(1)
    rules = [alike, regression, *(_alone(version) for version in range(len(terms)))]
    folds = folds_of(ids, seed)
    sums = [held_out_sums(rule, terms, members, folds) for rule in rules]
    best = max(sums, key=lambda scores: roc.auc(scores, members))
    gaps = (intervals.auc_difference(best, scores, members, ONE_ERROR) for scores in sums)
    return next(
        rule
        for rule, gap in zip(rules, gaps, strict=True)
        if not gap.low > 0  # NaN where it is not measurable
    )(terms, members)


def telling(terms: np.ndarray, members: np.ndarray) -> np.ndarray:
    """f64[V]: alike for the versions that tell half as much as the best one or more, else 0.

    For terms that differ from the target's, so that they show which versions tell little and no
    more than that.
    """
    advantages = np.array([roc.auc(version, members) - 0.5 for version in terms])
    if advantages.max() <= 0:
        return alike(terms, members)
    telling = advantages >= TELLING * advantages.max()
    return telling / telling.sum()


def folds_of(ids: np.ndarray, seed: int) -> np.ndarray:
    """int[N]: the fold of every column; all columns of one example are in one fold."""
    examples = np.unique(ids, return_inverse=True)[1]
    dealt = seeds.generator(seed, "version weights").permutation(examples.max() + 1) % FOLDS
    return dealt[examples]


def regression(terms: np.ndarray, members: np.ndarray) -> np.ndarray:
    """f64[V]: weights of the logistic regression of membership, none negative, of sum 1.

    All alike where none of the versions tells members by higher terms.
    """
    scales = np.maximum(terms.std(axis=1), 1e-12)
    columns = ((terms - terms.mean(axis=1, keepdims=True)) / scales[:, None]).T
    signs = np.where(members, 1.0, -1.0)

    def cost(parameters):
        weights = parameters[:-1]
        margins = signs * (columns @ weights + parameters[-1])
        slopes = -signs * special.expit(-margins) / len(signs)
        value = np.logaddexp(0, -margins).mean() + SHRINKAGE * weights @ weights
        return value, np.append(columns.T @ slopes + 2 * SHRINKAGE * weights, slopes.sum())

    bounds = [*[(0, None)] * len(terms), (None, None)]
    start = np.zeros(len(terms) + 1)
    fitted = optimize.minimize(cost, start, jac=True, bounds=bounds, method="L-BFGS-B")
    weights = fitted.x[:-1] / scales
    return weights / weights.sum() if weights.any() else alike(terms, members)


def _alone(version: int) -> Rule:
    return lambda terms, members: np.eye(len(terms))[version]


def alike(terms: np.ndarray, members: np.ndarray) -> np.ndarray:
    """f64[V]: equal weights."""
    return np.full(len(terms), 1 / len(terms))


def held_out_sums(
    rule: Rule, terms: np.ndarray, members: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """f64[N]: the sum of every example by weights that were found without its fold."""
    sums = np.empty(len(members))
    for fold in np.unique(folds):
        rows = folds == fold
        sums[rows] = rule(terms[:, ~rows], members[~rows]) @ terms[:, rows]
    return sums
