"""Membership advantage: true minus false positive rate, 0 for a coin and 1 for an oracle.

It is twice the balanced accuracy minus one, and so is its interval.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tf_compleak.metrics import intervals
from tf_compleak.types import Estimate


def membership_advantage_estimate(
    scores: np.ndarray, members: np.ndarray, threshold: float, level: float = 0.95
) -> Estimate:
    """TPR - FPR at a threshold chosen on other data, from the Wilson intervals of the two rates.

    Args:
      scores: f64[N], higher = member.
      members: bool[N].
      threshold: in the unit of the scores; member where score >= threshold.
      level: coverage of the two-sided interval, in (0, 1).

    Raises:
      ValueError: scores or threshold not finite, members all of one kind, or `level`.

    Yeom et al., CSF 2018, definition 4; interval: Newcombe, Statistics in Medicine 1998.
    """
    return from_accuracy(intervals.balanced_accuracy_estimate(scores, members, threshold, level))


def from_accuracy(accuracy: Estimate) -> Estimate:
    """The membership advantage that belongs to a balanced accuracy, pooled over targets or not."""
    value, low, high = (2 * rate - 1 for rate in (accuracy.value, accuracy.low, accuracy.high))
    return dataclasses.replace(accuracy, value=value, low=low, high=high)
