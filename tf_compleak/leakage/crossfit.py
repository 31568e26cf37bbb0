"""Cross-fitting: an attack fitted on some of the known examples scores the others.

The examples are dealt into folds, alike in membership; the attack is fitted on all folds but one
and scores the one left out, with the threshold of its own fit. The attacker so measured knows who
was in most of the training set: an auditor's upper view.

Folds must not be made alike in class, too: the share of members in a class, a chance of the draw,
would be the same in the folds fitted on and in the one left out, and labels alone would tell
members (null AUC 0.516, n = 4,000).

Intervals that take the scores as given are too narrow here where little or nothing leaks. Write
the fitted score as w x, with w = sum of s_j x_j over the other folds (s = +-1, membership): what it
attains on the left-out examples is the sum of s_i s_j x_i x_j over pairs of different folds, each
of which counts twice, once each way. Without a leak its variance is twice what it is for a given w.
So `noise`, the share of a score that is its fit's chance, is measured (two fits on halves of the
data, and how far they agree), and `widening` stretches intervals by the square root of one plus
2.5 times it, at most two: in simulation the variance needs 1.4 times the share where nothing leaks,
2.1 at an AUC of 0.64, 2.8 at 0.81, for the fit's chance and the left-out examples' are one draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tf_compleak.attacks import features
from tf_compleak.attacks.contract import Attack, FittedAttack
from tf_compleak.types import Estimate, seeds
from tf_compleak.types.observations import Observations
from tf_compleak.types.progress import Progress

CROSS = "cross-fitting"
COUNTED = 2.5  # times that the noise of a fit counts in the variance of what it attains


def folds_of(members: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """int[N] folds, equal to within one in size, in members, and in non-members."""
    order = np.lexsort((rng.random(len(members)), members))
    folds = np.empty(len(members), np.int64)
    folds[order] = np.arange(len(members)) % count
    return folds


def check_sides(members: np.ndarray, count: int) -> None:
    """ValueError where a side has too few examples to be dealt into `count` folds, two each."""
    sides = int(members.sum()), int((~members).sum())
    if min(sides) < 2 * count:
        raise ValueError(
            f"{sides[0]} members and {sides[1]} non-members: without shadows each side is dealt "
            f"into {count} folds (--folds) and needs {2 * count} examples; give more, or shadows."
        )


def cross_fitted(
    progress: Progress,
    target: Observations,
    folds: np.ndarray,
    attack: Attack,
    seed: int,
    with_margins: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores f64[N] of each example by the attack fitted without its fold, and their margins.

    Args:
      with_margins: else they are NaN, and no threshold is chosen.
    """
    values, margins = np.empty(len(target)), np.full(len(target), np.nan)
    numbers = np.unique(folds)
    for done, fold in enumerate(numbers):
        progress(done, len(numbers) + 1, "fitting")
        left_out, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        fitted = attack.fit([target.take(others)], seed=seed)
        values[left_out] = fitted.score(target.take(left_out).hidden())
        if with_margins:
            margins[left_out] = values[left_out] - fitted.threshold
        del fitted  # it may hold its table, for the threshold
    return values, margins


def held_out(
    fitted: FittedAttack, attack: Attack, shadows: Sequence[Observations], seed: int
) -> np.ndarray | None:
    """Scores f32[M] of the shadows' examples, one shadow after the other, by fits without them.

    The attack's own where it has them (`FittedAttack`); else of fits on either half of the examples
    of all shadows, an example in the same half whichever shadow was asked about it. None where the
    attack cannot be fitted on these.
    """
    own = getattr(fitted, "held_out", None)
    if own is not None:
        return np.float32(own)
    try:
        return np.float32(_by_halves(attack, shadows, seed))
    except ValueError:
        return None


def _by_halves(attack: Attack, shadows: Sequence[Observations], seed: int) -> np.ndarray:
    joined = features.join(shadows)
    halves = _halves(shadows, joined.members, seeds.generator(seed, "held out"))
    scores = np.empty(len(joined))
    for half in (0, 1):
        left_out, others = np.flatnonzero(halves == half), np.flatnonzero(halves != half)
        half_fitted = attack.fit([joined.take(others)], seed=seed)
        scores[left_out] = half_fitted.score(joined.take(left_out).hidden())
    return scores


def _halves(
    shadows: Sequence[Observations], members: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """int[M]: 0 or 1, alike in membership, or by example where shadows share examples."""
    if all(shadow.ids is not None for shadow in shadows):
        ids = np.concatenate([shadow.ids for shadow in shadows])
        distinct, examples = np.unique(ids, return_inverse=True)
        if len(distinct) < len(ids):
            return (rng.permutation(len(distinct)) % 2)[examples]
    return folds_of(members, 2, rng)


def noise(target: Observations, folds: np.ndarray, attack: Attack, seed: int) -> float:
    """Share in [0, 1] of a cross-fitted score that is chance of the fit; 0 where nothing is fitted.

    From the rank correlation r of the scores, on the first fold, of fits on two halves of the
    others: a fit on both has noise (1 - r) / (1 + r) (Spearman-Brown).
    """
    first, others = np.flatnonzero(folds == 0), np.flatnonzero(folds != 0)
    halves = folds_of(target.members[others], 2, seeds.generator(seed, "halves"))
    scores = []
    for half in (0, 1):
        fitted = attack.fit([target.take(others[halves == half])], seed=seed)
        scores.append(fitted.score(target.take(first).hidden()))
    return disagreement(*scores)


def disagreement(first: np.ndarray, second: np.ndarray) -> float:
    """The share of noise in a score, from scores f64[N] of fits on two halves of its data."""
    from scipy.stats import rankdata  # half a second to import

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 1.0
    r = max(0.0, float(np.corrcoef(rankdata(first), rankdata(second))[0, 1]))
    return 0.0 if r > 1 - 1e-9 else (1 - r) / (1 + r)


def widened(
    estimate: Estimate,
    auc: float,
    members: np.ndarray,
    noise: float | None,
    bounds: tuple[float, float],
) -> Estimate:
    """An estimate of cross-fitted scores with the interval that they take, within `bounds`.

    Args:
      auc: of these scores; members: bool[N].
      noise: see `noise`; None of scores that were fitted on shadows, which need no widening.
    """
    if noise is None or not estimate.measurable:
        return estimate
    inside = int(members.sum())
    factor = widening(auc, inside, len(members) - inside, noise)
    return estimate.widened(factor, CROSS, bounds)


def widening(auc: float, members: int, others: int, noise: float) -> float:
    """How much wider than for given scores an interval of a cross-fitted figure must be.

    Where little leaks the two fits may agree by chance; so the noise counts as at least
    exp(-z^2 / 8), z being how far the AUC is from 1/2 in its standard deviations without a leak.
    A score that no fit changes (noise 0) needs no widening.
    """
    if noise == 0:
        return 1.0
    z = (auc - 0.5) / math.sqrt((members + others + 1) / (12 * members * others))
    return math.sqrt(1 + max(min(COUNTED * noise, 1.0), math.exp(-(z**2) / 8)))
