"""The record of a version: what its answers say of it, with what is known of its file."""

from __future__ import annotations

import numpy as np

from tf_compleak.metrics import intervals
from tf_compleak.types import ORIGINAL, Estimate, Version
from tf_compleak.types.observations import Observations

STEPS = 10_000  # of the shares that the interval of a loss is looked for in
NO_BETTER = "the original is no better than guessing"


def record(name: str, target: Observations | None, **facts) -> Version:
    """A `Version`, with its accuracies and its agreement with the original.

    Args:
      target: what the versions say about the target's examples, the original with them where it is
        known; None where this one was not asked.
      facts: other fields of `Version`. Without a `relative_loss` that of the non-members is taken.
    """
    if target is None:
        return Version(name=name, **facts)
    beside = [version for version in (ORIGINAL, name) if version in target.versions]
    classes = {of: target.select([of]).probabilities[0].argmax(axis=1) for of in set(beside)}
    members, right = target.members, {of: classes[of] == target.labels for of in classes}
    compared = {}
    if ORIGINAL in classes and name != ORIGINAL:
        before, after = (_share(right[of][~members]) for of in (ORIGINAL, name))
        compared["agreement"] = _share(classes[ORIGINAL] == classes[name])
        compared["relative_loss"] = relative_loss(before, after, guessing(target.labels[members]))
    return Version(
        name=name,
        member_accuracy=_share(right[name][members]),
        non_member_accuracy=_share(right[name][~members]),
        **compared | facts,
    )


def guessing(labels: np.ndarray) -> float:
    """The accuracy of always answering the most frequent class of these labels int64[N]."""
    return float(np.bincount(labels).max() / len(labels))


def relative_loss(before: Estimate, after: Estimate, guess: float) -> Estimate:
    """What a version lost of its original's accuracy above guessing: a share from 0 to 1.

    0 where it lost nothing, 1 where it is no better than guessing. Not measurable where the
    original is not. The two accuracies are taken as independent, which is conservative where they
    are of the same examples.

    Args:
      before, after: accuracies of the original and of the version, each with its interval.
      guess: the accuracy of guessing.

    The shares for which the interval of after - guess - (1 - share) (before - guess) holds 0:
    Donner & Zou, Statistical Methods in Medical Research 2012 (MOVER-R).
    """
    above = before.value - guess
    if above <= 0:
        return Estimate.unmeasurable(NO_BETTER, before.n, before.level)
    shares = np.linspace(0.0, 1.0, STEPS + 1)
    left = after.value - guess - shares * above
    below = np.hypot(after.value - after.low, shares * (before.high - before.value))
    beyond = np.hypot(after.high - after.value, shares * (before.value - before.low))
    losses = 1 - shares[(left - below <= 0) & (left + beyond >= 0)]
    value = float(np.clip(1 - (after.value - guess) / above, 0.0, 1.0))
    low, high = (float(end(losses, initial=value)) for end in (np.min, np.max))
    return Estimate(value, low, high, before.level, "MOVER-R, Clopper-Pearson", before.n)


def _share(holds: np.ndarray) -> Estimate:
    return intervals.proportion(int(holds.sum()), len(holds))
