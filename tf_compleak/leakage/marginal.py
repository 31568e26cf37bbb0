"""What each version adds: singles, pairs with the original, greedy order, a leakage budget.

The order is chosen by figures on the target, the least of what is left each time. What is shown of
it would be too low by the luck of the draw: the least of eleven figures of noise lies wholly below
an AUC of 0.5 in one run of four. So all intervals have the level at which everything that was
looked at holds together (Bonferroni).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_compleak.leakage import crossfit, exposures
from tf_compleak.leakage.provider import Provider
from tf_compleak.leakage.question import check_measurable
from tf_compleak.leakage.subsets import LEVEL, Measure, SubsetAttack
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
    """The stage of what each version adds (`question_stages.WhatEachAdds`), in its facts."""
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
    _check(target, metric, budget)
    names = sorted(target.versions, key=lambda name: name != ORIGINAL)
    attack = _attack(_part(target, seed), shadows, folds, seed)
    measure = Measure(attack, metric, seed, versions)
    sets = _sets(measure, names, tell)
    search = _within(measure.by(budget.metric), names, budget, tell) if budget else _Search()
    return Marginal(
        metric=str(metric),
        attack="tabular",
        budget=str(budget or ""),
        **sets._asdict(),
        **search._asdict(),
    )


class _Sets(NamedTuple):
    """What is shown without a budget."""

    singles: tuple[Subset, ...]
    pairs: tuple[Subset, ...]
    order: tuple[Addition, ...]


def _sets(measure: Measure, names: list[str], tell: Tell) -> _Sets:
    """Singles, pairs with the original and the greedy order, at the level for all of them."""
    singles = [(name,) for name in names]
    pairs = [(names[0], name) for name in names[1:] if names[0] == ORIGINAL]
    order = greedy(_told(measure.value, len(names) * (len(names) + 1) // 2, tell), names)
    level = slices.adjusted_level(LEVEL, looked_at(len(names)) + len(pairs))
    alone, with_original = (
        tuple(measure.subset(release, level) for release in releases)
        for releases in (singles, pairs)
    )
    steps = additions(measure, order, level)
    tell(TITLE, 1, 1, "")
    return _Sets(alone, with_original, steps)


def _attack(
    target: Observations, shadows: Sequence[Observations], folds: int, seed: int
) -> SubsetAttack:
    if shadows:
        return SubsetAttack(target, shadows, None)
    rng = seeds.generator(seed, "subsets")
    return SubsetAttack(target, (), crossfit.folds_of(target.members, folds, rng))


def looked_at(count: int) -> int:
    """Figures of a greedy order of so many versions, and gains, that one may be picked from.

    Every version alone and every candidate: count (count + 1) / 2 figures; the gain of every
    candidate: count (count - 1) / 2.
    """
    return count**2


def greedy(value: Callable[[Release], float], names: list[str]) -> list[Release]:
    """From the version that leaks least, one version more each time: the one that adds least."""
    order = [min(((name,) for name in names), key=value)]
    while len(order) < len(names):
        rest = [name for name in names if name not in order[-1]]
        order.append(min((_with(order[-1], name, names) for name in rest), key=value))
    return order


def additions(measure: Measure, order: Sequence[Release], level: float) -> tuple[Addition, ...]:
    """Every step of an order with its figure and its gain, at a level."""
    return tuple(
        Addition(
            next(name for name in release if name not in before),
            measure.subset(release, level),
            measure.gain(release, before, level) if before else None,
        )
        for before, release in itertools.pairwise([(), *order])
    )


def _check(target: Observations, metric: Metric, budget: Condition | None) -> None:
    others = int((~target.members).sum())
    check_measurable(metric, others, "--marginal")
    if budget:
        check_measurable(budget.metric, others, "--subset_budget")


def _part(target: Observations, seed: int) -> Observations:
    if len(target) <= LARGEST:
        return target
    rows = seeds.generator(seed, "part").permutation(len(target))[:LARGEST]
    return target.take(np.sort(rows))


def _told(value: Callable[[Release], float], total: int, tell: Tell) -> Callable[[Release], float]:
    """The same, saying which of so many subsets is being looked at."""
    done = itertools.count()

    def counted(release: Release) -> float:
        tell(TITLE, next(done), total + 1, " + ".join(release)[:60])
        return value(release)

    return counted


def _with(release: Release, name: str, names: list[str]) -> Release:
    return tuple(sorted((*release, name), key=names.index))


class _Search(NamedTuple):
    """The largest subsets within a budget, how many were looked at, and whether more would be."""

    within: tuple[Subset, ...] = ()
    looked: int = 0
    cut_off: bool = False


def _within(measure: Measure, names: list[str], budget: Condition, tell: Tell) -> _Search:
    """The search for a budget: smaller subsets first."""
    possible = min(2 ** len(names) - 1, MOST)
    level = slices.adjusted_level(LEVEL, possible)
    affordable: dict[Release, Subset] = {}
    looked, cut_off = 0, False
    for release in _candidates(names, affordable):
        if looked == MOST:
            cut_off = True
            break
        looked += 1
        tell("subsets within the budget", looked, possible + 1, " + ".join(release)[:60])
        subset = measure.subset(release, level)
        if budget.holds(subset.figure.high):
            affordable[release] = subset
    tell("subsets within the budget", 1, 1, "")
    return _Search(_largest(affordable), looked, cut_off)


def _candidates(names: list[str], affordable: dict[Release, Subset]) -> Iterator[Release]:
    """Subsets, the smaller first; `affordable` fills up meanwhile.

    With more than `ALL` versions a subset is looked at only when all its parts of one version less
    are affordable: a release tells at least what a part of it tells, up to the figures' noise.
    """
    for size in range(1, len(names) + 1):
        for release in itertools.combinations(names, size):
            parts = itertools.combinations(release, size - 1)
            if len(names) <= ALL or size == 1 or all(part in affordable for part in parts):
                yield release


def _largest(affordable: dict[Release, Subset]) -> tuple[Subset, ...]:
    """Those that are part of no other, the largest first, of equal ones the least leakage first."""
    largest = [
        subset
        for release, subset in affordable.items()
        if not any(set(release) < set(wider) for wider in affordable)
    ]
    largest.sort(key=lambda subset: (-len(subset.release), subset.figure.value))
    return tuple(largest)
