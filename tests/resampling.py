"""A naive twin: the percentile bootstrap of a paired difference of TPRs, every pair resampled."""

import numpy as np

from tf_compleak.metrics import roc


def paired_tpr_difference(
    first: np.ndarray,
    second: np.ndarray,
    members: np.ndarray,
    fpr: float,
    rng: np.random.Generator,
    draws: int = 300,
) -> tuple[float, float]:
    """Low and high end of 95 % of the TPR at `fpr` of `first` less that of `second`.

    Members and non-members are resampled apart, both scores together. Conservative: resampling
    overstates how far the quantile of a tail moves (Hall & Martin, Statistics & Probability
    Letters 1988).
    """
    inside, outside = np.flatnonzero(members), np.flatnonzero(~members)
    differences = []
    for _ in range(draws):
        rows = np.concatenate([rng.choice(inside, len(inside)), rng.choice(outside, len(outside))])
        rates = [roc.tpr_at_fpr(scores[rows], members[rows], fpr) for scores in (first, second)]
        differences.append(rates[0] - rates[1])
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)
