"""Attacks on plain arrays: what versions of a target and of shadows said, no files, no training."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tf_compleak.attacks import ATTACKS, load, suits
from tf_compleak.engine.processes import Processes
from tf_compleak.engine.tasks import Outcome, Task, call
from tf_compleak.leakage import report_rows
from tf_compleak.metrics import intervals
from tf_compleak.report import report_folder
from tf_compleak.report.report import Report
from tf_compleak.types import (
    LEAST,
    Estimate,
    Failure,
    Release,
    Scores,
    Version,
    default_releases,
    seeds,
    validators,
)
from tf_compleak.types.findings import NO_INPUTS, Result, Sanity
from tf_compleak.types.observations import Observations

LEVEL = 0.99  # of the sanity runs
NULL = "null run"

Tell = Callable[..., None]  # task, done, total, text
Key = tuple[str, Release]


def run_attacks(
    target: Observations,
    shadows: Sequence[Observations],
    attacks: Sequence[str],
    releases: Sequence[Release] | None = None,
    seed: int = 0,
    delta: float = 0.0,
    workers: int = 1,
    tell: Tell | None = None,
) -> Report:
    """Fit attacks on the shadows, score the target, and report figures with intervals.

    Args:
      target: with `members` known; attacks are given it without.
      shadows: of the same versions (or more) and classes, with members known.
      attacks: names of `tf_compleak.attacks.ATTACKS`.
      releases: tuples of version names; by default every version alone, the original with each
        other one, and all with and without the original. An attack runs on the releases of its
        tiers.
      workers: processes that attacks run in, side by side; 1: in this one.
      tell: told (task, done, total, text) as the work goes on; by default a bar on a terminal.

    Returns:
      The report. An attack that cannot be run on a release is a row under `failures`.

    Raises:
      ValueError: for an unknown attack or version, a target or shadow with fewer than 20 members or
        non-members, or where no attack suits a release.
    """
    _check_asked(attacks, releases, seed)
    for version in target.versions:
        validators.name("versions", version)
    _check_sides("target", target)
    _check_shadows(shadows)
    chosen = default_releases(target.versions) if releases is None else list(map(tuple, releases))
    pairs = [(name, release) for name in attacks for release in chosen if suits(name, release)]
    if not pairs:
        raise ValueError(f"attacks: none of {', '.join(attacks)} suits a release of {chosen}.")
    with _telling(tell) as tell:
        found, failures = _outcomes(target, shadows, pairs, seed, workers, tell)
        null = found.pop(NULL, None)
        scores = {
            pair: report_rows.pool([own], [target.ids], len(shadows)) for pair, own in found.items()
        }
        rows = _rows(scores, seed, delta, tell)
    if not rows:
        reasons = "; ".join(dict.fromkeys(each.reason for each in failures))
        raise ValueError(f"no attack could be run: {reasons}")
    return Report(
        study={"releases": ["+".join(r) for r in chosen], "attacks": list(attacks), "seed": seed},
        provenance={"seed": seed, "num_shadows": len(shadows)},
        versions=tuple(_version(target, name) for name in target.versions),
        results=report_rows.with_gains(rows, scores),
        failures=tuple(failures),
        sanity=Sanity(
            null_auc=_null_auc(null, failures),
            blind_auc=Estimate.unmeasurable(NO_INPUTS, 0, LEVEL),
        ),
        scored=report_folder.scored(scores, target),
    )


def _outcomes(target, shadows, pairs: list[Key], seed: int, workers: int, tell: Tell):
    """Scores by pair (and the null run's by `NULL`), and what failed."""
    tasks, failures = {}, []
    drawn = _drawn((target, *shadows), seed)
    widest = max(reversed(pairs), key=lambda pair: len(pair[1]))
    for key, (name, release), families in (
        *((pair, pair, (target, *shadows)) for pair in pairs),
        (NULL, widest, drawn),
    ):
        title = key if key == NULL else f"{name} {'+'.join(release)}"
        try:
            chosen = tuple(family.select(release) for family in families)
        except ValueError as error:
            failures.append(Failure(title, f"shadows: {error}"))
            continue
        args = (chosen[0], chosen[1:], name, release, seed)
        tasks[key] = Task(title, "tf_compleak.studies.arrays:attack", args, name)
    outcomes = _run(list(tasks.values()), workers, tell)
    found = {}
    for key, task in tasks.items():
        outcome = outcomes[task.name]
        if outcome.error is None:
            found[key] = outcome.value
        else:
            failures.append(Failure(task.name, outcome.error))
    return found, failures


def _run(tasks: list[Task], workers: int, tell: Tell) -> dict[str, Outcome]:
    if workers != 1:
        count = workers or os.cpu_count() or 1
        with (
            tempfile.TemporaryDirectory(prefix="tf-compleak-") as logs,
            Processes(count, 1, Path(logs)) as executor,
        ):
            return executor.run(tasks, tell)
    outcomes = {}
    for place, task in enumerate(tasks):
        tell("attacks", place, len(tasks) + 1, task.name)
        outcomes[task.name] = call(task, tell)
    tell("attacks", 1, 1, "")
    return outcomes


def _rows(
    scores: dict[Key, report_rows.Pooled], seed: int, delta: float, tell: Tell
) -> list[Result]:
    rows = []
    for (name, release), own in scores.items():
        tell("figures with intervals", len(rows), len(scores) + 1, name)
        rng = seeds.generator(seed, "intervals", *release, name)
        rows.append(report_rows.row(name, release, own, rng, delta))
    tell("figures with intervals", 1, 1, "")
    return rows


@contextlib.contextmanager
def _telling(tell: Tell | None) -> Iterator[Tell]:
    if tell is not None or not sys.stderr.isatty():
        yield tell or (lambda *_: None)
        return
    from rich.console import Console

    from tf_compleak.engine.progress import Live

    with Live(Console(stderr=True)) as live:
        yield live.tell


def _drawn(families: Sequence[Observations], seed: int) -> list[Observations]:
    """The families with membership drawn anew; what cannot be drawn stays, and fails later."""
    rng = seeds.generator(seed, "null")
    return [
        each
        if each.members is None
        else dataclasses.replace(each, members=rng.permutation(each.members))
        for each in families
    ]


def _null_auc(null: Scores | None, failures: list[Failure]) -> Estimate:
    if null is None:
        reason = next(each.reason for each in failures if each.name == NULL)
        return Estimate.unmeasurable(reason, 0, LEVEL)
    return intervals.auc_estimate(null.values, null.members, LEVEL)


def _check_asked(attacks, releases, seed: int) -> None:
    if isinstance(attacks, str):
        raise ValueError(f"attacks: give a list of names, got the text {attacks!r}.")
    for name in attacks:
        validators.choice("attacks", name, ATTACKS)
    for release in releases or ():
        if isinstance(release, str):
            raise ValueError(
                f"releases: each is a tuple of version names, got the text {release!r}."
            )
    validators.at_least("seed", seed, 0)


def _check_shadows(shadows: Sequence[Observations]) -> None:
    if isinstance(shadows, Observations):
        raise ValueError("shadows: give a list, got one Observations; put it in a list.")
    if not len(shadows):
        raise ValueError("shadows: none given; an attack is fitted on at least one.")
    for index, shadow in enumerate(shadows):
        _check_sides(f"shadows[{index}]", shadow)


def _check_sides(name: str, family: Observations) -> None:
    members = family.members
    if members is None or members.all() or not members.any():
        raise ValueError(f"{name}: needs known members and non-members.")
    for side, count in (("members", members.sum()), ("non-members", (~members).sum())):
        validators.at_least(f"{name}: number of {side}", int(count), LEAST)


def attack(
    progress: Tell,
    target: Observations,
    shadows: Sequence[Observations],
    name: str,
    release: Release,
    seed: int,
) -> Scores:
    """Scores in the order of the target; the attack sees its rows in an order of no meaning."""
    for shadow in shadows:
        if shadow.classes != target.classes:
            raise ValueError(
                f"shadows: {shadow.classes} classes, the target has {target.classes}; they must "
                "be models of the same task."
            )
    fitted = load(name).fit(shadows, seed=seeds.integer(seed, "attack", name, *release))
    order = seeds.generator(seed, "order").permutation(len(target))
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
