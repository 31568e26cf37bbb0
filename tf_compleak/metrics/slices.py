"""Parts of a target's examples that are measured alone: every class, the right, the wrong.

Several slices are several chances of a false alarm: measure each at `adjusted_level`, so that all
their intervals hold together, and say so beside the figures.
"""

from __future__ import annotations

import numpy as np

from tf_compleak.metrics import intervals
from tf_compleak.types import Failure, validators


def by_class(labels: np.ndarray) -> dict[str, np.ndarray]:
    """{"class=3": its examples, ...}, bool[N], for every label that occurs, in their order.

    Args:
      labels: int[N].

    Raises:
      ValueError: labels that are not integers.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels: must be integers, got dtype {labels.dtype}.")
    return {f"class={label}": labels == label for label in np.unique(labels)}


def by_correctness(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """{"correct": ..., "wrong": ...}, bool[N]: whether one version's most likely class is right.

    Args:
      labels: int[N] in [0, C).
      probabilities: f32[N, C] of one version; of equal ones the first class counts.

    Raises:
      ValueError: shapes that differ, or labels outside [0, C).
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    if probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise ValueError(
            f"probabilities: must be [{len(labels)}, classes] of one version, "
            f"got {probabilities.shape}."
        )
    validators.labels("labels", labels, probabilities.shape[1])
    correct = probabilities.argmax(axis=1) == labels
    return {"correct": correct, "wrong": ~correct}


def measurable(
    slices: dict[str, np.ndarray], members: np.ndarray, least: int = 20
) -> tuple[dict[str, np.ndarray], tuple[Failure, ...]]:
    """The slices with at least `least` members and non-members, and why the others are left out.

    Args:
      slices: name -> bool[N].
      members: bool[N].
      least: members, and non-members, that a slice needs; 2 or more.

    Raises:
      ValueError: `least` below 2, or a slice that is no bool[N].
    """
    validators.at_least("least", least, 2)
    measured, failures = {}, []
    for name, mask in slices.items():
        if mask.shape != members.shape or mask.dtype != bool:
            raise ValueError(
                f"slices: {name} must be bool{members.shape}, got {mask.dtype}{mask.shape}."
            )
        inside, outside = int((mask & members).sum()), int((mask & ~members).sum())
        if min(inside, outside) >= least:
            measured[name] = mask
        else:
            reason = f"needs {least} members and {least} non-members, has {inside} and {outside}"
            failures.append(Failure(name, reason))
    return measured, tuple(failures)


def adjusted_level(level: float, count: int) -> float:
    """The level of each of `count` intervals that makes all of them hold with `level`: Bonferroni.

    0.95 for 10 slices is 0.995. Holm's steps gain on p-values only, not on intervals.

    Args:
      level: of all intervals together, in (0, 1).
      count: intervals, 1 or more.

    Raises:
      ValueError: `level` or `count` out of range.
    """
    intervals.normal_quantile(level)
    validators.at_least("count", count, 1)
    return 1 - (1 - level) / count
