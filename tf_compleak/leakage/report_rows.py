"""From scores to rows of a report: every figure with its interval. Knows no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tf_compleak.engine import executors
from tf_compleak.engine.workdir import slug
from tf_compleak.leakage import crossfit
from tf_compleak.leakage.gains import with_gains
from tf_compleak.leakage.plan import Key
from tf_compleak.leakage.pooled_scores import Pooled
from tf_compleak.metrics import advantage, clustered, intervals, one_run, privacy, roc, slices
from tf_compleak.types import Estimate, seeds, tier
from tf_compleak.types.findings import Findings, Result, Scored, Slice
from tf_compleak.types.observations import Observations
from tf_compleak.types.progress import Tell, silent

FPRS = (0.1, 0.01, 0.001, 0.0001)
LEVEL = 0.95
POINTS = 100
TIERS = ("NR", "SR", "MR")
INTERVALS = "figures with intervals"  # what making rows is called on the terminal
SHADOWS_ONLY = "needs an attack fitted on shadows: cross-fitted scores are not independent"


def rows(
    scores: Mapping[Key, Pooled],
    seed: int,
    delta: float = 0.0,
    tell: Tell = silent,
    *,
    coins: bool = False,
) -> tuple[Result, ...]:
    """One row for each attack and release; those of SR and MR with their gains.

    `delta` and `coins` (whether independent fair coins drew the members) are for epsilon's bounds.
    """

    def row_of(key: Key) -> Result:
        rng = seeds.generator(seed, "intervals", key[0], slug(key[1]))
        return row(key, scores[key], rng, delta, coins)

    table = []
    with ThreadPoolExecutor(executors.workers_of(0, 1)) as pool:  # numpy's loops run side by side
        for measured in pool.map(row_of, scores):
            table.append(measured)
            tell(INTERVALS, len(table), len(scores) + 1, measured.attack)
    tell(INTERVALS, len(table), len(scores) + 1, "gains")
    rows_with_gains = with_gains(table, scores, seed)
    tell(INTERVALS, 1, 1, "")
    return rows_with_gains


def row(
    key: Key,
    scores: Pooled,
    rng: np.random.Generator,
    delta: float = 0.0,
    coins: bool = False,
) -> Result:
    """The row of one attack on one release, without its gain."""
    members, (attack, release) = scores.members, key
    auc, accuracy = _auc(scores), _accuracy(scores, scores.margins)

    def wide(estimate: Estimate, low: float = 0.0) -> Estimate:
        return scores.widened(estimate, auc.value, (low, 1))

    return Result(
        tier=tier(release),
        release=release,
        attack=attack,
        n_members=int(members.sum()),
        n_non_members=int((~members).sum()),
        accuracy=wide(accuracy),
        accuracy_matched=_matched(scores),
        auc=wide(auc),
        tpr_at_fpr={fpr: wide(_tpr(scores, fpr, rng)) for fpr in FPRS},
        roc=roc.thin(*roc.roc_curve(scores.values, members), points=POINTS),
        advantage=wide(advantage.from_accuracy(accuracy), -1),
        **_epsilons(scores, delta, coins, rng),
        num_shadows=scores.num_shadows,
        num_targets=scores.num_targets,
        shadow_auc=scores.shadow_auc,
    )


def _matched(scores: Pooled) -> Estimate | None:
    return None if scores.matched_margins is None else _accuracy(scores, scores.matched_margins)


def _accuracy(scores: Pooled, margins: np.ndarray) -> Estimate:
    if scores.examples is None:
        return intervals.balanced_accuracy_estimate(margins, scores.members, 0.0)
    return clustered.clustered_balanced_accuracy_estimate(
        margins, scores.members, 0.0, scores.examples
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


def _epsilons(
    scores: Pooled, delta: float, coins: bool, rng: np.random.Generator
) -> dict[str, Estimate]:
    """The lower bounds of epsilon; that of Gaussian mechanisms where coins drew the members."""
    reason = ""
    if scores.noise is not None:
        reason = SHADOWS_ONLY
    elif scores.examples is not None:
        reason = "needs independent scores, examples repeat over targets"
    if reason:
        return {"epsilon": Estimate.unmeasurable(reason, len(scores.values))}
    arguments = {"delta": delta, "rng": rng}
    if not coins:
        bound = privacy.epsilon_lower_bound(scores.values, scores.members, **arguments)
        return {"epsilon": bound}
    bounds = {"epsilon": one_run.steinke}
    if delta:
        bounds["epsilon_gaussian"] = one_run.gaussian
    return {
        name: one_run.epsilon_lower_bound(scores.values, scores.members, **arguments, bound=bound)
        for name, bound in bounds.items()
    }


def sliced(
    report: Findings, scores: Mapping[Key, Pooled], target: Observations
) -> tuple[Slice, ...]:
    """The leading row of every tier by class and by correctness, at a level that allows for all.

    Where a leading row was chosen on the target, the slices of all its candidates count: any of
    them could have been shown. `scores` must be in the order of the target's examples; with several
    targets pooled there are no slices.
    """
    if any(pooled.examples is not None for pooled in scores.values()):
        return ()
    tiers = [name for name in TIERS if report.leading(name)]
    masks = {
        **slices.by_class(target.labels),
        **slices.by_correctness(target.labels, target.probabilities[0]),
    }
    masks, _ = slices.measurable(masks, target.members)
    count = sum(map(report.candidates, tiers)) * len(masks)
    return tuple(
        _slice(name, mask, row, scores[row.attack, row.release], count)
        for row in map(report.leading, tiers)
        for name, mask in masks.items()
    )


def _slice(name: str, mask: np.ndarray, row: Result, pooled: Pooled, count: int) -> Slice:
    values, members = pooled.values[mask], pooled.members[mask]
    auc = intervals.auc_estimate(values, members, slices.adjusted_level(LEVEL, count))
    auc = crossfit.widened(auc, auc.value, members, pooled.noise, (0, 1))
    sizes = int(members.sum()), int((~members).sum())
    return Slice(name, row.tier, row.release, row.attack, *sizes, auc, count)


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
