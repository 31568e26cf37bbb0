"""What a remedy changes: the same examples' scores and answers, with and without it, paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.engine.workdir import slug
from tf_compleak.leakage.gains import auc_difference
from tf_compleak.leakage.plan import Key
from tf_compleak.leakage.pooled_scores import Pooled
from tf_compleak.metrics import intervals
from tf_compleak.metrics.paired_rates import (
    ClusteredRates,
    Row,
    proportion_difference,
    tpr_difference,
)
from tf_compleak.types import Estimate, seeds
from tf_compleak.types.comparisons import RemedyChange
from tf_compleak.types.findings import Result, leading
from tf_compleak.types.observations import Observations

TIERS = ("MR", "SR", "NR")  # the widest first


@dataclass(frozen=True, eq=False)
class Side:
    """A study without a remedy, or under it.

    Attributes:
      rows: its rows; scores: those of each.
      target: what its usable versions say of the target's examples, members known.
    """

    rows: Sequence[Result]
    scores: Mapping[Key, Pooled]
    target: Observations


def changes(plain: Side, remedied: Side, name: str, seed: int) -> tuple[RemedyChange, ...]:
    """What a remedy of that name changes, for every version of both and for the strongest release.

    The examples and their memberships are those of one split, so that every difference is paired.
    Attackers are chosen by the shadows of either study, never on the target.
    """
    both = [name for name in plain.target.versions if name in remedied.target.versions]
    changed = []
    for version in both:
        pair = [_leading(side.rows, (version,)) for side in (plain, remedied)]
        if None not in pair:
            change = _change("version", pair, plain, remedied, name, seed)
            accuracy = _accuracies(plain.target, remedied.target, version)
            changed.append(RemedyChange(**change, **accuracy))
    for tier in TIERS:
        pair = [leading(side.rows, tier) for side in (plain, remedied)]
        if None not in pair:
            change = _change("strongest", pair, plain, remedied, name, seed)
            return (*changed, RemedyChange(**change))
    return tuple(changed)


def _leading(rows: Sequence[Result], release: tuple[str, ...]) -> Result | None:
    return leading([row for row in rows if row.release == release], "NR")


def _change(of: str, pair: list, plain: Side, remedied: Side, name: str, seed: int) -> dict:
    before, after = pair
    first = remedied.scores[after.attack, after.release]
    second = plain.scores[before.attack, before.release]
    words = (name, of, after.attack, slug(after.release))

    def wide(estimate: Estimate) -> Estimate:
        return first.widened_beside(second, estimate, after.auc.value)

    return {
        "of": of,
        "plain": (before.release, before.attack),
        "remedied": (after.release, after.attack),
        "plain_auc": before.auc,
        "remedied_auc": after.auc,
        "auc": wide(auc_difference(first, second)),
        "tpr_at_fpr": {
            fpr: wide(_tpr(first, second, fpr, seeds.generator(seed, "remedy", *words, str(fpr))))
            for fpr in after.tpr_at_fpr
        },
    }


def _tpr(first: Pooled, second: Pooled, fpr: float, rng: np.random.Generator) -> Estimate:
    rows = [Row.of(scores.values, scores.members) for scores in (first, second)]
    if first.examples is None:
        return tpr_difference(*rows, fpr, rng=rng)
    few = intervals.few_non_members(int(rows[0].fp[-1]), fpr)
    if few is not None:
        return Estimate.unmeasurable(few, len(first.members))
    rates = ClusteredRates(dict(enumerate(rows)), first.examples, [fpr], rng)
    return rates.difference(0, 1, fpr)


def _accuracies(plain: Observations, remedied: Observations, version: str) -> dict[str, Estimate]:
    """Of a version on the target's non-members, and the change."""
    right = [_right(target, version)[~target.members] for target in (plain, remedied)]
    before, after = (intervals.proportion(int(of.sum()), len(of)) for of in right)
    return {
        "accuracy": proportion_difference(right[1], right[0]),
        "plain_accuracy": before,
        "remedied_accuracy": after,
    }


def _right(target: Observations, version: str) -> np.ndarray:
    return target.select([version]).probabilities[0].argmax(axis=1) == target.labels
