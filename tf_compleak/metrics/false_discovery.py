"""False discovery rates: who calls the highest scores members is wrong about what share of them?

Non-members stand for those whom an attacker would name in error: scores of members are held
against theirs, as knockoffs or decoys are counted.
"""

from __future__ import annotations

import numpy as np

from tf_compleak.metrics import roc


def false_discovery_rates(scores: np.ndarray, members: np.ndarray) -> np.ndarray:
    """f64[N] in (0, 1]: the least rate of false discoveries at which an example is named.

    Who names all that score at least t, among these members and as many other non-members as
    there are here, names A members and V' others. V of the non-members here reach t, too: the
    expected share V' / (A + V') is at most (1 + V) / (A + 1 + V), t being the lowest threshold at
    which that is below a rate chosen beforehand. An example's value is the least over all
    thresholds that name it. It holds for one row of scores: the least over rows holds for none.

    Args:
      scores: f64[N], higher = member; equal scores are named together.
      members: bool[N].

    Raises:
      ValueError: scores not finite, or members of one kind.

    Barber & Candes, Annals of Statistics 2015 (E[V' / (1 + V)] is at most 1 at such a threshold,
    and x / (1 + x) is concave); Zhao et al., ICCV 2025, for membership inference.
    """
    scores, members = roc.scores_and_members(scores, members)
    inside, outside = np.sort(scores[members]), np.sort(scores[~members])
    thresholds, inverse = np.unique(scores, return_inverse=True)
    named = len(inside) - np.searchsorted(inside, thresholds)
    errors = 1 + len(outside) - np.searchsorted(outside, thresholds)
    return np.minimum.accumulate(errors / (named + errors))[inverse]
