"""The record of a version: what its answers say of it, with what is known of its file."""

from __future__ import annotations

import numpy as np

from tf_compleak.metrics import intervals
from tf_compleak.types import ORIGINAL, Estimate, Version
from tf_compleak.types.observations import Observations


def record(name: str, target: Observations | None, **facts) -> Version:
    """A `Version`, with its accuracies and its agreement with the original.

    Args:
      target: what the versions say about the target's examples, the original with them where it is
        known; None where this one was not asked.
      facts: other fields of `Version`.
    """
    if target is None:
        return Version(name=name, **facts)
    beside = [other for other in (ORIGINAL, name) if other in target.versions]
    classes = {of: target.select([of]).probabilities[0].argmax(axis=1) for of in set(beside)}
    right, members = classes[name] == target.labels, target.members
    agreement = None
    if ORIGINAL in classes and name != ORIGINAL:
        agreement = _share(classes[ORIGINAL] == classes[name])
    return Version(
        name=name,
        member_accuracy=_share(right[members]),
        non_member_accuracy=_share(right[~members]),
        agreement=agreement,
        **facts,
    )


def _share(holds: np.ndarray) -> Estimate:
    return intervals.proportion(int(holds.sum()), len(holds))
