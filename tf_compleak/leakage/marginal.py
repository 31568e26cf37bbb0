"""What each version adds: singles, pairs with the original, greedy order, a leakage budget."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_compleak.leakage import crossfit, exposures
from tf_compleak.leakage.provider import Provider
from tf_compleak.leakage.question import check_measurable
from tf_compleak.leakage.subsets import LEVEL, Engine, Measure
from tf_compleak.metrics import slices
from tf_compleak.metrics.grammar import Condition, Metric
from tf_compleak.types import ORIGINAL, Release, Version, seeds
from tf_compleak.types.marginal_leakage import Addition, Marginal, Subset
from tf_compleak.types.observations import Observations
from tf_compleak.types.progress import Progress, Tell, silent

MOST = 400  # subsets that are looked at for a budget
ALL = 6  # versions up to which all their subsets are looked at
LARGEST = 100_000  # examples; of more, a random part is measured
TITLE = "what each version adds"


def write(
    progress: Progress, provider: Provider, declared: Any, folder: os.PathLike, facts: dict
) -> None:
    """The stage of what each version adds (`stages.WhatEachAdds`), in its facts."""
    question, usable = provider.question, declared.usable
    metric, budget = question.order_by(), question.budget()
    target, *shadows = (
        exposures.shown(provider.observations(family, usable), question.exposure[0])
        for family in declared.families
    )
    facts["marginal"] = marginal(
        target,
        shadows,
        metric=metric or budget.metric,
        versions=provider.versions(usable),
        folds=question.folds,
        budget=budget,
        seed=question.seed,
        tell=lambda _, done, total, text: progress(done, total, text),
    ).to_json()


def marginal(
    target: Observations,
    shadows: Sequence[Observations],
    *,
    metric: Metric,
    versions: Sequence[Version],
    folds: int = 5,
    budget: Condition | None = None,
    seed: int = 0,
    tell: Tell = silent,
) -> Marginal:
    """Leakage of singles, of pairs with the original, in greedy order, and within a budget.

    Args:
      target: with members known; shadows: of the same versions, none for cross-fitting.
      metric: auc, accuracy, advantage or tpr at a rate.
      versions: records of the target's versions: accuracy and sizes.
      folds: of cross-fitting.
      budget: such as tpr@0.01<=0.05, or None.

    Raises:
      ValueError: when the metric is not one of these, or not measurable with so few non-members.
    """
    others = int((~target.members).sum())
    check_measurable(metric, others, "--marginal")
    if budget:
        check_measurable(budget.metric, others, "--subset_budget")
    target = _part(target, seed)
    dealt = None
    if not shadows:
        rng = seeds.generator(seed, "subsets")
        dealt = crossfit.folds_of(target.members, folds, rng)
    names = sorted(target.versions, key=lambda name: name != ORIGINAL)
    engine = Engine(target, shadows, dealt)
    measure = Measure(engine, metric, seed, versions)
    total = len(names) * (len(names) + 1) // 2 + len(names)
    progress = itertools.count()

    def one(release: Release) -> float:
        tell(TITLE, min(next(progress), total), total + 1, " + ".join(release)[:60])
        return measure.value(release)

    singles = {(name,): one((name,)) for name in names}
    pairs = {(names[0], name): one((names[0], name)) for name in names[1:]}
    pairs = pairs if names[0] == ORIGINAL else {}
    chosen = [min(singles, key=singles.get)]
    while len(chosen[-1]) < len(names):
        wider = [_with(chosen[-1], name, names) for name in names if name not in chosen[-1]]
        values = {release: one(release) for release in wider}
        chosen.append(min(values, key=values.get))
    order = tuple(
        Addition(
            next(name for name in release if name not in before),
            measure.subset(release),
            measure.gain(release, before) if before else None,
        )
        for before, release in itertools.pairwise([(), *chosen])
    )
    within, looked, cut = (), 0, False
    if budget:
        own = measure.by(budget.metric)
        within, looked, cut = _within(own, names, budget, tell)
    tell(TITLE, 1, 1, "")
    return Marginal(
        metric=str(metric),
        attack="tabular",
        singles=tuple(measure.subset(release) for release in singles),
        pairs=tuple(measure.subset(release) for release in pairs),
        order=order,
        budget=str(budget) if budget else "",
        within=within,
        looked=looked,
        cut_off=cut,
    )


def _part(target: Observations, seed: int) -> Observations:
    if len(target) <= LARGEST:
        return target
    rows = seeds.generator(seed, "part").permutation(len(target))[:LARGEST]
    return target.take(np.sort(rows))


def _with(release: Release, name: str, names: list[str]) -> Release:
    return tuple(sorted((*release, name), key=names.index))


def _within(
    measure: Measure, names: list[str], budget: Condition, tell: Tell
) -> tuple[tuple[Subset, ...], int, bool]:
    """The largest subsets within the budget, how many were looked at, and whether that was all.

    With more than `ALL` versions a subset is looked at only when all its parts of one version fewer
    are within: a release tells at least what a part of it tells, up to the noise of the figures.
    """
    possible = min(2 ** len(names) - 1, MOST)
    level = slices.adjusted_level(LEVEL, possible)
    good: dict[Release, Subset] = {}
    looked, cut = 0, False
    for size in range(1, len(names) + 1):
        for release in itertools.combinations(names, size):
            parts = itertools.combinations(release, size - 1)
            if len(names) > ALL and size > 1 and not all(part in good for part in parts):
                continue
            if looked == MOST:
                cut = True
                break
            looked += 1
            tell("subsets within the budget", looked, possible + 1, " + ".join(release)[:60])
            subset = measure.subset(release, level)
            if budget.holds(subset.figure.high):
                good[release] = subset
    tell("subsets within the budget", 1, 1, "")
    largest = [
        subset for release, subset in good.items() if not any(set(release) < set(o) for o in good)
    ]
    largest.sort(key=lambda subset: (-len(subset.release), subset.figure.value))
    return tuple(largest), looked, cut
