"""From scores to rows of a report: every figure with its interval. Knows no files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.engine.workdir import slug
from tf_compleak.leakage import crossfit
from tf_compleak.leakage.plan import Key
from tf_compleak.leakage.scoring import RunScores
from tf_compleak.metrics import advantage, clustered, intervals, privacy, roc, slices
from tf_compleak.types import Estimate, seeds, tier
from tf_compleak.types.findings import Findings, Result, Scored, Slice
from tf_compleak.types.observations import Observations
from tf_compleak.types.progress import Tell, silent

FPRS = (0.1, 0.01, 0.001, 0.0001)
LEVEL = 0.95
POINTS = 100
CROSS = "cross-fitting"
SHADOWS_ONLY = "needs an attack fitted on shadows: cross-fitted scores are not independent"


@dataclass(frozen=True, eq=False)
class Pooled:
    """Scores of one attack on one release over all its targets.

    Attributes:
      values: f64[M] raw scores; members: bool[M].
      margins: f64[M], the scores minus the threshold that belongs to their target.
      examples: int64[M], which example each score is of, where targets share examples; or None.
      num_targets, num_shadows: counts.
      noise: of cross-fitted scores, whose intervals must be wider (see `crossfit`); None of others.
    """

    values: np.ndarray
    members: np.ndarray
    margins: np.ndarray
    examples: np.ndarray | None
    num_targets: int
    num_shadows: int
    noise: float | None = None

    def widened(self, estimate: Estimate, auc: float, bounds: tuple[float, float]) -> Estimate:
        """An estimate of these scores, whose AUC is given, with the interval that they take."""
        return estimate if self.noise is None else self.wider(estimate, auc, bounds, self.noise)

    def wider(self, estimate: Estimate, auc: float, bounds, noise: float) -> Estimate:
        """The same for scores of that noise."""
        inside = int(self.members.sum())
        factor = crossfit.widening(auc, inside, len(self.members) - inside, noise)
        return estimate.widened(factor, CROSS, bounds)


def pool(parts: Sequence[RunScores], ids: Sequence[np.ndarray], num_shadows: int) -> Pooled:
    """The scores of several targets as one sample; `ids` are those of every target's examples."""
    examples = None
    if len(parts) > 1:
        examples = np.unique(np.concatenate(ids), return_inverse=True)[1]
    return Pooled(
        values=np.concatenate([part.values for part in parts]),
        members=np.concatenate([part.members for part in parts]),
        margins=np.concatenate([part.margins for part in parts]),
        examples=examples,
        num_targets=len(parts),
        num_shadows=num_shadows,
        noise=parts[0].noise,
    )


def rows(
    scores: Mapping[Key, Pooled], seed: int, delta: float = 0.0, tell: Tell = silent
) -> tuple[Result, ...]:
    """One row for each attack and release; those of SR and MR with their gains."""
    table = []
    for key, pooled in scores.items():
        tell("figures with intervals", len(table), len(scores) + 1, key[0])
        rng = seeds.generator(seed, "intervals", key[0], slug(key[1]))
        table.append(row(key, pooled, rng, delta))
    tell("figures with intervals", 1, 1, "")
    return with_gains(table, scores)


def row(key: Key, scores: Pooled, rng: np.random.Generator, delta: float = 0.0) -> Result:
    """The row of one attack on one release, without its gain."""
    members, (attack, release) = scores.members, key
    auc, accuracy = _auc(scores), _accuracy(scores)

    def wide(estimate: Estimate, low: float = 0.0) -> Estimate:
        return scores.widened(estimate, auc.value, (low, 1))

    return Result(
        tier=tier(release),
        release=release,
        attack=attack,
        n_members=int(members.sum()),
        n_non_members=int((~members).sum()),
        accuracy=wide(accuracy),
        auc=wide(auc),
        tpr_at_fpr={fpr: wide(_tpr(scores, fpr, rng)) for fpr in FPRS},
        roc=roc.thin(*roc.roc_curve(scores.values, members), points=POINTS),
        advantage=wide(advantage.from_accuracy(accuracy), -1),
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
    if scores.noise is not None:
        return Estimate.unmeasurable(SHADOWS_ONLY, len(scores.values))
    if scores.examples is not None:
        reason = "needs independent scores, examples repeat over targets"
        return Estimate.unmeasurable(reason, len(scores.values))
    return privacy.epsilon_lower_bound(scores.values, scores.members, delta=delta, rng=rng)


def with_gains(table: Sequence[Result], scores: Mapping[Key, Pooled]) -> tuple[Result, ...]:
    """The rows, those of SR and MR with the paired gain over the best NR row."""
    best = max((r for r in table if r.tier == "NR"), key=lambda r: r.auc.value, default=None)
    if best is None:
        return tuple(table)
    return tuple(row if row.tier == "NR" else _with_gain(row, scores, best) for row in table)


def _with_gain(row: Result, scores: Mapping[Key, Pooled], best: Result) -> Result:
    pooled, reference = scores[row.attack, row.release], scores[best.attack, best.release]
    if pooled.examples is None:
        gain = intervals.auc_difference(pooled.values, reference.values, pooled.members)
    else:
        gain = clustered.clustered_auc_difference(
            pooled.values, reference.values, pooled.members, pooled.examples
        )
    if pooled.noise is not None:
        noise = max(pooled.noise, reference.noise)
        gain = pooled.wider(gain, row.auc.value, (-1, 1), noise)
    return dataclasses.replace(row, auc_gain=gain, gain_over=(best.release, best.attack))


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
    level = slices.adjusted_level(LEVEL, count) if count else LEVEL
    return tuple(
        _slice(name, mask, best, scores[best.attack, best.release], level, count)
        for best in chosen
        for name, mask in masks.items()
    )


def _slice(
    name: str, mask: np.ndarray, best: Result, pooled: Pooled, level: float, count: int
) -> Slice:
    part = dataclasses.replace(pooled, values=pooled.values[mask], members=pooled.members[mask])
    auc = intervals.auc_estimate(part.values, part.members, level)
    inside = int(part.members.sum())
    sizes = inside, len(part.members) - inside
    auc = part.widened(auc, auc.value, (0, 1))
    return Slice(name, best.tier, best.release, best.attack, *sizes, auc, count)


def scored(scores: Mapping[Key, Pooled], targets: Sequence[Observations]) -> Scored:
    """What the rows of `scores` say of the examples of every target.

    Args:
      scores: rows whose scores are those of all targets, one after the other.
      targets: in that order, with members known.
    """
    return Scored(
        ids=np.concatenate([np.asarray(target.ids) for target in targets]),
        labels=np.concatenate([target.labels for target in targets]),
        members=np.concatenate([target.members for target in targets]),
        values=np.stack([pooled.values for pooled in scores.values()]),
        targets=np.repeat(np.arange(len(targets)), [len(target) for target in targets]),
    )
