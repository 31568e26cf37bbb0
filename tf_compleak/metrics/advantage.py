"""Membership advantage: true minus false positive rate, 0 for a coin and 1 for an oracle.

It is twice the balanced accuracy minus one, and so is its interval (Yeom et al., CSF 2018,
definition 4).
"""

from __future__ import annotations

import dataclasses

from tf_compleak.types import Estimate


def from_accuracy(accuracy: Estimate) -> Estimate:
    """The membership advantage that belongs to a balanced accuracy, pooled over targets or not."""
    value, low, high = (2 * rate - 1 for rate in (accuracy.value, accuracy.low, accuracy.high))
    return dataclasses.replace(accuracy, value=value, low=low, high=high)
