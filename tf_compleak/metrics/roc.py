"""ROC quantities as steps. Higher score = more likely a member; `members` is bool[N] throughout."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from tf_compleak import _checks
from tf_compleak.types import Roc


def check(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores f64 of the members and of the non-members; ValueError for NaN or a missing side."""
    scores, members = np.asarray(scores, np.float64), np.asarray(members)
    if scores.shape != members.shape or scores.ndim != 1 or members.dtype != bool:
        raise ValueError(
            f"scores, members: equally long [N] and bool[N] expected, got {scores.shape}, "
            f"{members.dtype}{members.shape}."
        )
    _checks.finite("scores", scores)
    if members.all() or not members.any():
        raise ValueError("members: both members and non-members are needed.")
    return scores[members], scores[~members]


def balanced_accuracy(scores: np.ndarray, members: np.ndarray, threshold: float) -> float:
    """Mean of the true positive and true negative rate of "member if score >= threshold"."""
    inside, outside = check(scores, members)
    return float(((inside >= threshold).mean() + (outside < threshold).mean()) / 2)


def _steps(scores, members) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct scores, descending, with the members and non-members at or above each."""
    check(scores, members)
    scores = np.asarray(scores, np.float64)
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.asarray(members)[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return ordered[last], np.cumsum(hits)[last], np.cumsum(~hits)[last]


def best_threshold(scores: np.ndarray, members: np.ndarray) -> float:
    """The finite threshold with the largest balanced accuracy, in O(N log N).

    It lies half-way between two distinct neighbouring scores, or beyond the last one; of equally
    good thresholds it is the highest.
    """
    values, positives, negatives = _steps(scores, members)
    gain = np.append(0, positives / positives[-1] - negatives / negatives[-1])
    best = int(gain.argmax())
    if best == 0:
        return float(np.nextafter(values[0], np.inf))
    if best == len(values):
        return float(values[-1])
    middle = values[best] + (values[best - 1] - values[best]) / 2
    return float(middle if middle > values[best] else values[best - 1])


def roc_curve(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates f64[K] from (0, 0) to (1, 1); tied scores are one step."""
    _, positives, negatives = _steps(scores, members)
    return (
        np.append(0.0, negatives / negatives[-1]),
        np.append(0.0, positives / positives[-1]),
    )


def tpr_at_fpr(scores: np.ndarray, members: np.ndarray, fpr: float) -> float:
    """The largest true positive rate whose false positive rate does not exceed `fpr`: a step."""
    inside, outside = check(scores, members)
    _checks.between("fpr", fpr, 0, 1)
    return float((inside > _cut(outside, fpr)).mean())


def allowed(count: int, fpr: float) -> int:
    """How many of `count` non-members may be called members at that false positive rate."""
    return min(count, int(np.floor(count * fpr + 1e-9)))


def _cut(outside: np.ndarray, fpr: float) -> float:
    """Scores above this are called members: the first non-member score that must not be."""
    spare = allowed(len(outside), fpr)
    return -np.inf if spare == len(outside) else np.sort(outside)[::-1][spare]


def auc(scores: np.ndarray, members: np.ndarray) -> float:
    """Probability that a member scores above a non-member, ties counting half."""
    inside, outside = check(scores, members)
    ranks = rankdata(np.concatenate([inside, outside]))[: len(inside)]
    m, n = len(inside), len(outside)
    return float((ranks.sum() - m * (m + 1) / 2) / (m * n))


def thin(fpr: np.ndarray, tpr: np.ndarray, points: int = 200) -> Roc:
    """At most about `points` of the steps, spread evenly on log-log axes; both ends are kept."""
    keep = {0, len(fpr) - 1}
    for rates in (fpr, tpr):
        positive = rates[rates > 0]
        wanted = np.geomspace(positive[0], 1, points // 2)
        keep.update(np.searchsorted(rates, wanted * (1 + 1e-12), side="right") - 1)
    rows = sorted(int(row) for row in keep)
    return Roc(tuple(np.round(fpr[rows], 6).tolist()), tuple(np.round(tpr[rows], 6).tolist()))
