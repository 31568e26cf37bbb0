"""Receiver operating characteristics, exactly, ties included. A higher score means a member.

Every curve here is a set of steps: examples with the same score change sides together. A rate at a
fixed false positive rate is that of an attacker who breaks ties at random.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tf_compleak.types import Roc, Scores, validators

_SLACK = 1e-12  # relative: a rate of 0.3 written as 0.1 * 3 stays the same rate


class Tie(NamedTuple):
    """Examples with one and the same score: how many members, how many non-members."""

    members: int
    non_members: int


class Crossing(NamedTuple):
    """True positives (counts) before and after the tie that a count of false positives falls into,
    and the share of the tie's non-members that this count still holds."""

    before: np.ndarray
    after: np.ndarray
    share: np.ndarray

    def expected(self) -> np.ndarray:
        """True positives where the tie is broken at random, f64."""
        return self.before + self.share * (self.after - self.before)


def scores_and_members(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f64[N] and bool[N]; ValueError unless finite, of one length, with both kinds of examples."""
    values, members = np.asarray(scores, dtype=np.float64), np.asarray(members)
    valid = Scores(values, members, 0.0)
    return valid.values, valid.members


def balanced_accuracy(scores: np.ndarray, members: np.ndarray, threshold: float) -> float:
    """Mean of true positive and true negative rate, predicting member where score >= threshold.

    Args:
      scores: f64[N], higher = member.
      members: bool[N].
      threshold: in the unit of the scores, chosen on other data.

    Raises:
      ValueError: scores not finite, or members not bool or all of one kind.
    """
    scores, members = scores_and_members(scores, members)
    positive = scores >= _threshold(threshold)
    return float((positive[members].mean() + (~positive[~members]).mean()) / 2)


def best_threshold(scores: np.ndarray, members: np.ndarray) -> float:
    """The threshold with the largest balanced accuracy on these examples, in O(N log N).

    It lies midway between two neighbouring distinct scores, or just above the largest score when
    no cut beats predicting "member" for nobody. Of several best cuts the highest is taken.

    Args:
      scores: f64[N], higher = member.
      members: bool[N].

    Raises:
      ValueError: scores not finite, or members not bool or all of one kind.
    """
    scores, members = scores_and_members(scores, members)
    fp, tp = _counts(scores, members)
    gain = tp * fp[-1] - fp * tp[-1]  # (TPR - FPR) times members times non-members: exact
    cut = int(gain.argmax())
    values = np.unique(scores)[::-1]
    if cut == 0:
        return float(min(np.nextafter(values[0], np.inf), np.finfo(np.float64).max))
    return _midway(float(values[cut]), float(values[cut - 1]))


def roc_curve(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates, f64[K] each, at every distinct score from the highest down.

    The first point is (0, 0) and the last (1, 1); tied scores move as one step.

    Args:
      scores: f64[N], higher = member.
      members: bool[N].

    Raises:
      ValueError: scores not finite, or members not bool or all of one kind.
    """
    fp, tp = step_counts(scores, members)
    return fp / fp[-1], tp / tp[-1]


def tpr_at_fpr(scores: np.ndarray, members: np.ndarray, fpr: float) -> float:
    """The largest true positive rate whose false positive rate does not exceed `fpr`.

    A step value, no chord between scores. Where the next step is a tie of several non-members, some
    of which `fpr` still allows, the share of its members that goes with them is added: what an
    attacker who breaks ties at random attains on average. Without it a saturated score, whose tie
    lies above `fpr`, would look safe.

    Args:
      scores: f64[N], higher = member.
      members: bool[N].
      fpr: a rate in [0, 1].

    Raises:
      ValueError: `fpr` outside [0, 1], scores not finite, or members all of one kind.

    The randomized test of Neyman & Pearson, 1933 (Lehmann & Romano 2005, section 3.2).
    """
    fp, tp = step_counts(scores, members)
    return float(crossing(fp, tp, allowed(int(fp[-1]), fpr)).expected() / tp[-1])


def tie_at_fpr(scores: np.ndarray, members: np.ndarray, fpr: float) -> Tie | None:
    """The tie that is broken at random in `tpr_at_fpr`; None where no tie of members and several
    non-members is cut by `fpr`. Arguments and errors are those of `tpr_at_fpr`."""
    fp, tp = step_counts(scores, members)
    return tie(fp, tp, allowed(int(fp[-1]), fpr))


def tie(fp: np.ndarray, tp: np.ndarray, false_positives: int) -> Tie | None:
    """The same from the steps of `step_counts` and a count of false positives."""
    step = int(np.searchsorted(fp, false_positives, side="right"))
    if step == len(fp):
        return None
    size = Tie(int(tp[step] - tp[step - 1]), int(fp[step] - fp[step - 1]))
    return size if size.members and size.non_members > 1 else None


def auc(scores: np.ndarray, members: np.ndarray) -> float:
    """Probability that a member outscores a non-member, a tie counting half, in O(N log N).

    Args:
      scores: f64[N], higher = member.
      members: bool[N].

    Raises:
      ValueError: scores not finite, or members not bool or all of one kind.

    The Mann-Whitney statistic (Hanley & McNeil, Radiology 1982), summed over the steps in integers.
    """
    fp, tp = step_counts(scores, members)
    twice = int((np.diff(fp) * (tp[1:] + tp[:-1])).sum())
    return twice / (2 * int(fp[-1]) * int(tp[-1]))


def thin(fpr: np.ndarray, tpr: np.ndarray, points: int = 200) -> Roc:
    """At most `points` of the steps that look the same, on linear and on log-log axes.

    The corners of the steps, evenly spaced along the drawn line; first and last point are kept.
    Every point is one of the given ones, so that steps drawn through them never overstate the TPR.

    Args:
      fpr: f64[K] rates from 0 to 1, ascending, as `roc_curve` gives them.
      tpr: f64[K] beside it.
      points: the most points to keep, 2 or more. Rates keep 6 significant digits.

    Raises:
      ValueError: `points` below 2, shapes that differ, or a curve not from (0, 0) to (1, 1).
    """
    validators.at_least("points", points, 2)
    fpr, tpr = np.asarray(fpr, dtype=np.float64), np.asarray(tpr, dtype=np.float64)
    if fpr.shape != tpr.shape or fpr.ndim != 1:
        raise ValueError(f"fpr, tpr: must be vectors of one length, got {fpr.shape}, {tpr.shape}.")
    if len(fpr) < 2 or (fpr[0], tpr[0], fpr[-1], tpr[-1]) != (0, 0, 1, 1):
        raise ValueError("fpr, tpr: must go from (0, 0) to (1, 1); take them from roc_curve.")
    corners = _corners(fpr, tpr)
    if len(corners) > points:
        curve_length = _length(fpr[corners]) + _length(tpr[corners])
        positions = np.linspace(0, curve_length[-1], points)
        corners = corners[np.unique(np.searchsorted(curve_length, positions))]
    return Roc(_digits(fpr[corners]), _digits(tpr[corners]))


def step_counts(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positives, int64[K] each, of the steps of `roc_curve`; raises as it does."""
    return _counts(*scores_and_members(scores, members))


def allowed(n_non_members: int, fpr: float) -> int:
    """How many of the non-members may be false positives at `fpr`; ValueError outside [0, 1]."""
    validators.between("fpr", fpr, 0, 1)
    return int(np.floor(n_non_members * fpr * (1 + _SLACK)))


def crossing(fp: np.ndarray, tp: np.ndarray, false_positives: int | np.ndarray) -> Crossing:
    """Where that many false positives (>= 0) lie among the steps of `step_counts`."""
    step = np.searchsorted(fp, false_positives, side="right") - 1
    following = np.minimum(step + 1, len(fp) - 1)
    share = (false_positives - fp[step]) / np.maximum(fp[following] - fp[step], 1)
    return Crossing(tp[step], tp[following], share)


def _counts(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    tp = np.cumsum(members[order], dtype=np.int64)[ends]
    return np.append(0, ends + 1 - tp), np.append(0, tp)


def _threshold(threshold: float) -> float:
    if not np.isfinite(threshold):
        raise ValueError(f"threshold: must be finite, got {threshold!r}; choose it on the shadow.")
    return threshold


def _midway(low: float, high: float) -> float:
    middle = low / 2 + high / 2
    return middle if low < middle <= high else high


def _corners(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """Indices of the ends of all horizontal and vertical runs, first and last included."""
    across, up = np.diff(fpr), np.diff(tpr)
    straight = ((across[1:] == 0) & (across[:-1] == 0)) | ((up[1:] == 0) & (up[:-1] == 0))
    return np.concatenate([[0], np.flatnonzero(~straight) + 1, [len(fpr) - 1]])


def _length(rates: np.ndarray) -> np.ndarray:
    """Length along one axis up to each point: half in decades, half linear; 1 in total each."""
    floor = rates[rates > 0].min() / 2
    decades = np.log10(np.maximum(rates, floor))
    return (decades - decades[0]) / (decades[-1] - decades[0]) + rates


def _digits(rates: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{rate:.6g}") for rate in rates)
