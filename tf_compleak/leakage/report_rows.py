"""From scores to rows of a report: every figure with its interval. Knows no files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.metrics import advantage, clustered, intervals, privacy, roc, slices
from tf_compleak.types import Estimate, Release, Scores, tier
from tf_compleak.types.findings import Findings, Result, Slice
from tf_compleak.types.observations import Observations

FPRS = (0.1, 0.01, 0.001, 0.0001)
LEVEL = 0.95
POINTS = 100

Key = tuple[str, Release]


@dataclass(frozen=True, eq=False)
class Pooled:
    """Scores of one attack on one release over all its targets.

    Attributes:
      values: f64[M] raw scores; members: bool[M].
      margins: f64[M], the scores minus the threshold that belongs to their target.
      examples: int64[M], which example each score is of, where targets share examples; or None.
      num_targets, num_shadows: counts.
    """

    values: np.ndarray
    members: np.ndarray
    margins: np.ndarray
    examples: np.ndarray | None
    num_targets: int
    num_shadows: int


def pool(parts: Sequence[Scores], ids: Sequence[np.ndarray], num_shadows: int) -> Pooled:
    """The scores of several targets as one sample; `ids` are those of every target's examples."""
    examples = None
    if len(parts) > 1:
        examples = np.unique(np.concatenate(ids), return_inverse=True)[1]
    return Pooled(
        values=np.concatenate([part.values for part in parts]),
        members=np.concatenate([part.members for part in parts]),
        margins=np.concatenate([part.values - part.threshold for part in parts]),
        examples=examples,
        num_targets=len(parts),
        num_shadows=num_shadows,
    )


def row(
    attack: str, release: Release, scores: Pooled, rng: np.random.Generator, delta: float = 0.0
) -> Result:
    """The row of one attack on one release, without its gain."""
    members = scores.members
    accuracy = _accuracy(scores)
    return Result(
        tier=tier(release),
        release=release,
        attack=attack,
        n_members=int(members.sum()),
        n_non_members=int((~members).sum()),
        accuracy=accuracy,
        auc=_auc(scores),
        tpr_at_fpr={fpr: _tpr(scores, fpr, rng) for fpr in FPRS},
        roc=roc.thin(*roc.roc_curve(scores.values, members), points=POINTS),
        advantage=advantage.from_accuracy(accuracy),
        epsilon=_epsilon(scores, delta, rng),
        num_shadows=scores.num_shadows,
        num_targets=scores.num_targets,
    )


def _accuracy(scores: Pooled) -> Estimate:
    if scores.examples is None:
        return intervals.balanced_accuracy_estimate(scores.margins, scores.members, 0.0)
    return clustered.clustered_balanced_accuracy_estimate(
        scores.margins, scores.members, 0.0, scores.examples
    )


def _auc(scores: Pooled) -> Estimate:
    if scores.examples is None:
        return intervals.auc_estimate(scores.values, scores.members)
    return clustered.clustered_auc_estimate(scores.values, scores.members, scores.examples)


def _tpr(scores: Pooled, fpr: float, rng: np.random.Generator) -> Estimate:
    if scores.examples is None:
        return intervals.tpr_at_fpr_estimate(scores.values, scores.members, fpr, rng=rng)
    return clustered.clustered_tpr_at_fpr_estimate(
        scores.values, scores.members, scores.examples, fpr, rng=rng
    )


def _epsilon(scores: Pooled, delta: float, rng: np.random.Generator) -> Estimate:
    if scores.examples is not None:
        reason = "needs independent scores, examples repeat over targets"
        return Estimate.unmeasurable(reason, len(scores.values))
    return privacy.epsilon_lower_bound(scores.values, scores.members, delta=delta, rng=rng)


def with_gains(rows: Sequence[Result], scores: Mapping[Key, Pooled]) -> tuple[Result, ...]:
    """The rows, those of SR and MR with the paired gain over the best NR row."""
    best = max((r for r in rows if r.tier == "NR"), key=lambda r: r.auc.value, default=None)
    if best is None:
        return tuple(rows)
    reference = scores[best.attack, best.release]
    return tuple(
        each if each.tier == "NR" else _with_gain(each, scores, best, reference) for each in rows
    )


def _with_gain(each: Result, scores: Mapping[Key, Pooled], best: Result, reference: Pooled):
    own = scores[each.attack, each.release]
    if own.examples is None:
        gain = intervals.auc_difference(own.values, reference.values, own.members)
    else:
        gain = clustered.clustered_auc_difference(
            own.values, reference.values, own.members, own.examples
        )
    return dataclasses.replace(each, auc_gain=gain, gain_over=(best.release, best.attack))


def sliced(
    report: Findings, scores: Mapping[Key, Pooled], target: Observations
) -> tuple[Slice, ...]:
    """The best row of every tier by class and by correctness, at a level that allows for all.

    `scores` must be in the order of the target's examples; with several targets pooled there are
    no slices.
    """
    chosen = [best for name in ("NR", "SR", "MR") if (best := report.best(name)) is not None]
    chosen = [best for best in chosen if scores[best.attack, best.release].examples is None]
    masks = {
        **slices.by_class(target.labels),
        **slices.by_correctness(target.labels, target.probabilities[0]),
    }
    masks, _ = slices.measurable(masks, target.members)
    count = len(chosen) * len(masks)
    found = []
    for best in chosen:
        own = scores[best.attack, best.release]
        for name, mask in masks.items():
            members = own.members[mask]
            level = slices.adjusted_level(LEVEL, count)
            auc = intervals.auc_estimate(own.values[mask], members, level)
            numbers = int(members.sum()), int((~members).sum())
            found.append(Slice(name, best.tier, best.release, best.attack, *numbers, auc, count))
    return tuple(found)
