"""The door `run_attacks`: what versions of a target and of shadows said, given as arrays."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_compleak.attacks import ATTACKS, suits
from tf_compleak.attacks.references import NO_IDS
from tf_compleak.engine import executors
from tf_compleak.engine.workdir import Workdir, fingerprint
from tf_compleak.leakage import shared_examples, version_record
from tf_compleak.leakage.investigation import investigate
from tf_compleak.leakage.observation_folder import ObservationFolder
from tf_compleak.leakage.plan import TARGET, Plan
from tf_compleak.leakage.question import Question
from tf_compleak.report.report import Report
from tf_compleak.types import LEAST, Release, default_releases, validators
from tf_compleak.types.findings import Scored
from tf_compleak.types.observations import Observations
from tf_compleak.types.progress import Tell, silent
from tf_compleak.types.versions import release_text


@dataclass(frozen=True, kw_only=True)
class ArraysQuestion(Question):
    """What `run_attacks` is asked; `coins`: as the property of `Question`."""

    coins: bool = False


def run_attacks(
    target: Observations,
    shadows: Sequence[Observations],
    attacks: Sequence[str],
    releases: Sequence[Release] | None = None,
    seed: int = 0,
    workers: int = 1,
    tell: Tell | None = None,
    allow_shared_examples: bool = False,
    **question: Any,
) -> Report:
    """Fit attacks on the shadows, score the target, and report figures with intervals.

    Args:
      target: with `members` known; attacks are given it without.
      shadows: of the same versions (or more) and classes, with members known. The same id means
        the same example; without ids, attacks that compare examples (base, rmia, lira-*) are
        failures.
      attacks: names of `tf_compleak.attacks.ATTACKS`.
      releases: tuples of version names; by default every version alone, the original with each
        other one, and all with and without the original. An attack runs on the releases of its
        tiers.
      workers: processes that attacks run in, side by side; 1: in this one, 0: one per core.
      tell: told (task, done, total, text) as the work goes on; by default a bar on a terminal.
      allow_shared_examples: go on although shadows' lists tell who is a member of the target; the
        report then says so.
      question: other fields of `leakage.question.Question`: exposure, marginal, subset_budget,
        shadow_counts, delta; and coins (of `ArraysQuestion`): an independent fair coin decided of
        each example of the target whether it is a member.

    Returns:
      The report. An attack that cannot be run on a release is a row under `failures`.

    Raises:
      ValueError: for an unknown attack or version, a target or shadow with fewer than 20 members or
        non-members, where no attack suits a release, and for shadows whose lists tell the target's
        membership (see `leakage.shared_examples`).
    """
    checked = _question(target, shadows, attacks, releases, seed, question)
    target, *shadows = map(_plain_ids, (target, *shadows))
    cautions = _shared(target, shadows, allow_shared_examples)
    plan = _plan(checked, target, shadows)
    with _heard(tell) as tell, tempfile.TemporaryDirectory(prefix="tf-compleak-") as root:
        provider = ObservationFolder(checked, root)
        for family, observations in zip(plan.families, (target, *shadows), strict=True):
            provider.save_family(family, observations)
        provider.save_versions([_record(target, name) for name in target.versions])
        name = "inline" if workers == 1 else "processes"
        logs = Workdir(root).logs()
        with executors.executor(name, workers, checked.threads, logs) as executor:
            findings = investigate(plan, provider, executor, (), tell)
    names = np.arange(len(target)) if target.ids is None else target.ids
    findings = dataclasses.replace(findings, scored=_in_order(findings.scored, names))
    study = {
        **checked.to_json(),
        "releases": [release_text(release) for release in plan.releases()],
    }
    origin = {"seed": seed, "num_shadows": len(shadows)}
    origin |= {"cautions": cautions} if cautions else {}
    origin |= {} if target.ids is None else {"ids_sha256": _digest(target.ids)}
    return Report.of(findings, study=study, provenance=origin)


def _digest(ids: np.ndarray) -> str:
    """The same for the same ids, in whatever order and width."""
    return fingerprint(ids=np.sort(ids).tolist())


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
        checked = ArraysQuestion(attacks=tuple(attacks), seed=seed, **question)
    except TypeError as error:
        raise ValueError(f"run_attacks: {error}") from error
    object.__setattr__(checked, "releases", tuple(map(tuple, releases or ())))
    checked.ask(target.versions, len(shadows))
    checked.check_measurable(int((~target.members).sum()))
    return checked


def _shared(target: Observations, shadows: Sequence[Observations], allowed: bool) -> list[str]:
    """Cautions about shadows that tell the target's membership; ValueError unless allowed."""
    lists = shared_examples.Lists.of(target)
    if lists is None:
        return []
    for index, shadow in enumerate(shadows):
        _check_labels(index, target, shadow)
    of_shadows = [shared_examples.Lists.of(shadow) for shadow in shadows]
    faults = shared_examples.harmful(lists, of_shadows)
    for index, fault in faults.items():
        if not allowed:
            raise ValueError(
                f"shadows[{index}]: {fault}. Give it other examples, or membership of a common "
                "pool that is drawn anew for every model; leave ids out where the same row is not "
                "the same example; or pass allow_shared_examples=True."
            )
    return [f"shadows[{index}]: {fault}." for index, fault in faults.items()]


def _check_labels(index: int, target: Observations, shadow: Observations) -> None:
    """ValueError where the same id has another label: then it is not the same example."""
    if shadow.ids is None:
        return
    common, rows, shadow_rows = np.intersect1d(target.ids, shadow.ids, return_indices=True)
    differ = target.labels[rows] != shadow.labels[shadow_rows]
    if differ.any():
        raise ValueError(
            f"shadows[{index}]: {int(differ.sum())} of the {len(common)} ids that it shares with "
            f"the target have another label there (first: {common[differ][0]}), so they are not "
            "the same examples; leave ids out, or give the data set's own."
        )


def _plan(question: Question, target: Observations, shadows: Sequence[Observations]) -> Plan:
    families = (TARGET, *(f"shadow-{index}" for index in range(len(shadows))))
    lost = ()
    if not all(map(_has_ids, (target, *shadows))):
        lost = tuple((name, NO_IDS) for name in question.attacks if "aside" in ATTACKS[name].needs)
    if len(lost) == len(question.attacks):
        raise ValueError(f"attacks: {', '.join(question.attacks)}: {NO_IDS}.")
    plan = Plan(
        question, families, target.versions, target.versions, inapplicable=lost, has_inputs=False
    )
    releases = plan.releases() or default_releases(target.versions)
    if not any(suits(name, release) for name in question.attacks for release in releases):
        names = ", ".join(question.attacks)
        raise ValueError(f"attacks: none of {names} suits a release of {releases}.")
    return plan


def _has_ids(family: Observations) -> bool:
    return family.ids is not None and (family.aside is None or family.aside.ids is not None)


def _plain_ids(family: Observations) -> Observations:
    """The same with ids that can be sorted, and saved without pickle: objects as text."""
    aside = None if family.aside is None else _plain_ids(family.aside)
    ids = family.ids
    if ids is not None and ids.dtype.kind == "O":
        ids = ids.astype(str)
    return dataclasses.replace(family, ids=ids, aside=aside)


def _in_order(scored: Scored, ids: np.ndarray) -> Scored:
    """The scores in the order of the caller's examples."""
    columns = {name: column for column, name in enumerate(scored.ids.tolist())}
    order = [columns[name] for name in np.asarray(ids).tolist()]
    labels, members, targets = (of[order] for of in (scored.labels, scored.members, scored.targets))
    return Scored(ids, labels, members, scored.values[:, order], targets)


def _record(target: Observations, name: str):
    validators.version("versions", name)
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
        validators.version("versions", version)
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
