"""The door `run_attacks`: what versions of a target and of shadows said, given as arrays."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tf_compleak.attacks import ATTACKS, suits
from tf_compleak.engine import executors
from tf_compleak.engine.workdir import Workdir
from tf_compleak.leakage import version_record
from tf_compleak.leakage.investigation import investigate
from tf_compleak.leakage.observation_folder import ObservationFolder
from tf_compleak.leakage.plan import TARGET, Plan
from tf_compleak.leakage.question import Question
from tf_compleak.report.report import Report
from tf_compleak.types import LEAST, Release, default_releases, validators
from tf_compleak.types.findings import Scored
from tf_compleak.types.observations import Observations
from tf_compleak.types.progress import Tell, silent


def run_attacks(
    target: Observations,
    shadows: Sequence[Observations],
    attacks: Sequence[str],
    releases: Sequence[Release] | None = None,
    seed: int = 0,
    workers: int = 1,
    tell: Tell | None = None,
    **question: Any,
) -> Report:
    """Fit attacks on the shadows, score the target, and report figures with intervals.

    Args:
      target: with `members` known; attacks are given it without.
      shadows: of the same versions (or more) and classes, with members known.
      attacks: names of `tf_compleak.attacks.ATTACKS`.
      releases: tuples of version names; by default every version alone, the original with each
        other one, and all with and without the original. An attack runs on the releases of its
        tiers.
      workers: processes that attacks run in, side by side; 1: in this one, 0: one per core.
      tell: told (task, done, total, text) as the work goes on; by default a bar on a terminal.
      question: other fields of `leakage.question.Question`: exposure, marginal, subset_budget,
        shadow_counts, delta.

    Returns:
      The report. An attack that cannot be run on a release is a row under `failures`.

    Raises:
      ValueError: for an unknown attack or version, a target or shadow with fewer than 20 members or
        non-members, or where no attack suits a release.
    """
    asked = _question(target, shadows, attacks, releases, seed, question)
    target, *shadows = (_plain_ids(family) for family in (target, *shadows))
    plan = _plan(asked, target, len(shadows))
    with _heard(tell) as tell, tempfile.TemporaryDirectory(prefix="tf-compleak-") as root:
        provider = ObservationFolder(asked, root)
        for family, observations in zip(plan.families, (target, *shadows), strict=True):
            provider.save_family(family, observations)
        provider.save_versions([_record(target, name) for name in target.versions])
        name = "inline" if workers == 1 else "processes"
        logs = Workdir(root).logs()
        with executors.executor(name, workers, asked.threads, logs) as executor:
            findings = investigate(plan, provider, executor, (), tell)
    findings = dataclasses.replace(findings, scored=_in_order(findings.scored, target.ids))
    study = {**asked.to_json(), "releases": ["+".join(release) for release in plan.releases()]}
    made = {"seed": seed, "num_shadows": len(shadows)}
    return Report.of(findings, study=study, provenance=made)


def _question(target, shadows, attacks, releases, seed: int, question: dict) -> Question:
    """What is asked, checked before anything is fitted."""
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
    _check_families(target, shadows)
    if target.augmented is not None:
        question = {"queries": target.augmented.shape[1], **question}
    try:
        asked = Question(attacks=tuple(attacks), seed=seed, **question)
    except TypeError as error:
        raise ValueError(f"run_attacks: {error}") from error
    object.__setattr__(asked, "releases", tuple(map(tuple, releases or ())))
    asked.ask(target.versions, len(shadows))
    asked.check_measurable(int((~target.members).sum()))
    return asked


def _plan(asked: Question, target: Observations, num_shadows: int) -> Plan:
    families = (TARGET, *(f"shadow-{index}" for index in range(num_shadows)))
    plan = Plan(asked, families, target.versions, target.versions, has_inputs=False)
    releases = plan.releases() or default_releases(target.versions)
    if not any(suits(name, release) for name in asked.attacks for release in releases):
        names = ", ".join(asked.attacks)
        raise ValueError(f"attacks: none of {names} suits a release of {releases}.")
    return plan


def _plain_ids(family: Observations) -> Observations:
    """Ids that can be saved without pickle: those that are objects, as text."""
    if family.ids.dtype.kind != "O":
        return family
    aside = None if family.aside is None else _plain_ids(family.aside)
    return dataclasses.replace(family, ids=family.ids.astype(str), aside=aside)


def _in_order(scored: Scored, ids: np.ndarray) -> Scored:
    """The scores in the order of the caller's examples."""
    places = {name: place for place, name in enumerate(scored.ids.tolist())}
    order = [places[name] for name in np.asarray(ids).tolist()]
    return Scored(ids, scored.labels[order], scored.members[order], scored.values[:, order])


def _record(target: Observations, name: str):
    validators.name("versions", name)
    step = target.resolutions[target.versions.index(name)]
    return version_record.record(name, target, recipe=name, path="", resolution=step)


@contextlib.contextmanager
def _heard(tell: Tell | None) -> Iterator[Tell]:
    if tell is not None or not sys.stderr.isatty():
        yield tell or silent
        return
    from rich.console import Console

    from tf_compleak.engine.live_view import Live

    with Live(Console(stderr=True)) as live:
        yield live.tell


def _check_families(target: Observations, shadows: Sequence[Observations]) -> None:
    for version in target.versions:
        validators.name("versions", version)
    _check_sides("target", target)
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
