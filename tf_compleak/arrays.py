"""Attacks on plain arrays: what versions of a target and of shadows said, no files, no training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_compleak import _checks, _seeds, measure
from tf_compleak.attacks import ATTACKS, load, suits
from tf_compleak.metrics import intervals
from tf_compleak.observations import Observations
from tf_compleak.types import (
    LEAST,
    NO_INPUTS,
    Estimate,
    Failure,
    Release,
    Report,
    Sanity,
    Scores,
    Version,
    default_releases,
)

LEVEL = 0.99  # of the sanity runs


def run_attacks(
    target: Observations,
    shadows: Sequence[Observations],
    attacks: Sequence[str],
    releases: Sequence[Release] | None = None,
    seed: int = 0,
    delta: float = 0.0,
) -> Report:
    """Fit attacks on the shadows, score the target, and report figures with intervals.

    Args:
      target: with `members` known; attacks are given it without.
      shadows: of the same versions (or more) and classes, with members known.
      attacks: names of `tf_compleak.attacks.ATTACKS`.
      releases: tuples of version names; by default every version alone, the original with each
        other one, and all with and without the original. An attack runs on the releases of its
        tiers.

    Returns:
      The report. An attack that cannot be run on a release is a row under `failures`.

    Raises:
      ValueError: for an unknown attack or version, a target without members and non-members, or
        where no attack suits a release.
    """
    for name in attacks:
        _checks.choice("attacks", name, ATTACKS)
    _check_sides(target)
    chosen = default_releases(target.versions) if releases is None else list(map(tuple, releases))
    pairs = [(name, release) for name in attacks for release in chosen if suits(name, release)]
    if not pairs:
        raise ValueError(f"attacks: none of {', '.join(attacks)} suits a release of {chosen}.")
    scores, failures = {}, []
    for name, release in pairs:
        try:
            found = _attack(target, shadows, name, release, seed)
            scores[name, release] = measure.pool([found], [target.ids], len(shadows))
        except (ValueError, FloatingPointError) as error:
            failures.append(Failure(f"{name} {'+'.join(release)}", str(error)))
    rows = [
        measure.row(*key, own, _seeds.generator(seed, "intervals", *key[1], key[0]), delta)
        for key, own in scores.items()
    ]
    return Report(
        study={"releases": ["+".join(r) for r in chosen], "attacks": list(attacks), "seed": seed},
        provenance={"seed": seed, "num_shadows": len(shadows)},
        versions=tuple(_version(target, name) for name in target.versions),
        results=measure.with_gains(rows, scores),
        failures=tuple(failures),
        sanity=Sanity(
            null_auc=_null(target, shadows, pairs, seed),
            blind_auc=Estimate.unmeasurable(NO_INPUTS, 0, LEVEL),
        ),
    )


def _null(target: Observations, shadows, pairs, seed: int) -> Estimate:
    """AUC of the widest attack on membership that is drawn anew, in target and shadows."""
    name, release = max(reversed(pairs), key=lambda pair: len(pair[1]))
    rng = _seeds.generator(seed, "null")
    drawn = [
        dataclasses.replace(each, members=rng.permutation(each.members))
        for each in (target, *shadows)
    ]
    try:
        found = _attack(drawn[0], drawn[1:], name, release, seed)
    except (ValueError, FloatingPointError) as error:
        return Estimate.unmeasurable(str(error), len(target), LEVEL)
    return intervals.auc_estimate(found.values, found.members, LEVEL)


def _check_sides(target: Observations) -> None:
    if target.members is None or target.members.all() or not target.members.any():
        raise ValueError("target: needs known members and non-members.")
    for name, count in (
        ("members", target.members.sum()),
        ("non-members", (~target.members).sum()),
    ):
        _checks.at_least(f"target: number of {name}", int(count), LEAST)


def _attack(
    target: Observations, shadows: Sequence[Observations], name: str, release: Release, seed: int
) -> Scores:
    """Scores in the order of the target; the attack sees its rows in an order of no meaning."""
    target = target.select(release)
    known = [shadow.select(release) for shadow in shadows]
    for shadow in known:
        if shadow.classes != target.classes:
            raise ValueError(
                f"shadows: {shadow.classes} classes, the target has {target.classes}; they must "
                "be models of the same task."
            )
    fitted = load(name).fit(known, seed=_seeds.integer(seed, "attack", name, *release))
    order = _seeds.generator(seed, "order").permutation(len(target))
    values = np.empty(len(target))
    values[order] = fitted.score(target.take(order).hidden())
    return Scores(values, target.members, fitted.threshold)


def _version(target: Observations, name: str) -> Version:
    right = target.select([name]).probabilities[0].argmax(axis=1) == target.labels
    members = target.members
    return Version(
        name=name,
        recipe=name,
        path="",
        member_accuracy=intervals.proportion(int(right[members].sum()), int(members.sum())),
        non_member_accuracy=intervals.proportion(int(right[~members].sum()), int((~members).sum())),
    )
