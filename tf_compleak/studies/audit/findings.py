"""From the finished attacks of an audit to its report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.engine.workdir import Stage
from tf_compleak.leakage import crossfit, exposures, marginal, report_rows
from tf_compleak.metrics import intervals
from tf_compleak.report import report_folder
from tf_compleak.report.report import Report
from tf_compleak.studies.audit import attacking, checks, scoring
from tf_compleak.studies.audit.checks import Confidences
from tf_compleak.studies.audit.query import Answers, Family, strength
from tf_compleak.studies.audit.settings import Audit
from tf_compleak.types import ORIGINAL, Estimate, Failure, Version, seeds
from tf_compleak.types.findings import NO_INPUTS, Exposed, Marginal, Result, Sanity, Slice
from tf_compleak.types.observations import Observations

SANITY_LEVEL = 0.99
CROSS = "cross-fitting"
Scores = dict[report_rows.Key, report_rows.Pooled]


def report(
    settings: Audit,
    root: Path,
    family: Family,
    target: Observations,
    versions: tuple[Version, ...],
    failures: list[Failure],
    provenance: dict,
    tell,
) -> Report:
    """The report of the target's rows.

    Raises:
      ValueError: when no attack could be run.
    """
    first = settings.exposure[0]
    scores, noise = _pooled(settings, root, first)
    if not scores:
        reasons = "; ".join(dict.fromkeys(each.reason for each in failures))
        raise ValueError(f"no attack could be run: {reasons}")
    rows = _rows(settings, scores, noise, tell)
    more = {
        name: _rows(settings, *_pooled(settings, root, name), tell)
        for name in settings.exposure[1:]
    }
    found = Report(
        study=settings.to_json(),
        provenance=provenance,
        versions=versions,
        results=rows,
        failures=tuple(failures),
        sanity=_sanity(settings, root, family, failures),
        exposed=tuple(Exposed(name, own) for name, own in {first: rows, **more}.items() if more),
    )
    seen = shown(target, first)
    return dataclasses.replace(
        found,
        slices=tuple(_slice_widened(s, noise) for s in report_rows.sliced(found, scores, seen)),
        scored=report_folder.scored(scores, seen),
    )


def added(
    settings: Audit, root: Path, families: list[str], versions: tuple[Version, ...], tell
) -> Marginal | None:
    """What each version adds, as the first exposure shows it; kept for the next time."""
    metric, exposure = settings.order_by(), settings.exposure[0]
    if (metric is None and not settings.subset_budget) or len(settings.names) < 2:
        return None
    stage = scoring.marginal_stage(root, settings, families)
    if stage.facts() is None:
        target, *shadows = (scoring.seen(root, exposure, f, settings.names) for f in families)
        found = marginal.marginal(
            target,
            shadows,
            metric=metric or settings.budget().metric,
            versions=versions,
            folds=settings.folds,
            budget=settings.budget(),
            seed=settings.seed,
            tell=tell,
        )
        with stage.writing() as (_, facts):
            facts["marginal"] = found.to_json()
    return Marginal.from_json(stage.facts()["marginal"])


def shown(observations: Observations, name: str) -> Observations:
    """What an exposure leaves of observations; what was asked beyond confidences is not shown."""
    if name == exposures.FULL:
        return observations
    show = exposures.parse(name).show
    left = [
        show(rows, step)
        for rows, step in zip(observations.probabilities, observations.resolutions, strict=True)
    ]
    return dataclasses.replace(
        observations,
        probabilities=np.stack([rows for rows, _ in left]),
        resolutions=tuple(step for _, step in left),
        sensitivities=None,
    )


def version(
    name: str, path: str, answers: Answers, found: dict[str, Confidences], target: Observations
) -> Version:
    """The record of one version: accuracy on both sides, agreement with the original."""
    members = target.members
    right = target.select([name]).probabilities[0].argmax(axis=1) == target.labels
    agree = None
    if ORIGINAL in found and name != ORIGINAL:
        same = checks.agreement(found[ORIGINAL], found[name])
        agree = intervals.proportion(int(same.sum()), len(same))
    return Version(
        name=name,
        recipe=answers.facts["kind"],
        path=path,
        output=found[name].kind,
        bytes=answers.facts.get("bytes", 0),
        gzip_bytes=answers.facts.get("gzip_bytes", 0),
        member_accuracy=intervals.proportion(int(right[members].sum()), int(members.sum())),
        non_member_accuracy=intervals.proportion(int(right[~members].sum()), int((~members).sum())),
        agreement=agree,
        resolution=found[name].step,
        notes=(*checks.notes(answers, found[name]), *_asking_notes(answers)),
    )


def _asking_notes(answers: Answers) -> tuple[str, ...]:
    """What asking a version twice found, and how its process was isolated."""
    isolation = answers.facts.get("isolation")
    of_process = (f"isolation: {isolation}",) if isolation else ()
    return (answers.facts["repeated"], *of_process)


def asking_facts(answers: dict[tuple[str, str], Answers]) -> dict[str, Any]:
    """Of all versions of all families together, for the report's provenance.

    "isolation": the weakest of any model file's process; "cautions": one sentence for each version
    that answers the same question differently. Either only where there is something to say.
    """
    facts = {}
    isolations = [a.facts["isolation"] for a in answers.values() if a.facts.get("isolation")]
    if isolations:
        facts["isolation"] = min(isolations, key=strength)
    cautions = [
        answer.facts["caution"] if family == "target" else f"{family}, {answer.facts['caution']}"
        for (family, _), answer in answers.items()
        if "caution" in answer.facts
    ]
    return facts | ({"cautions": cautions} if cautions else {})


def _pooled(settings: Audit, root: Path, name: str) -> tuple[Scores, dict[report_rows.Key, float]]:
    """Scores and noise of the finished attacks of an exposure."""
    found, noise = {}, {}
    for job in attacking.jobs(settings, name):
        if scoring.stage_of(root, job).facts() is not None:
            values, margins, members = scoring.scores(root, job)
            found[job.attack, job.release] = report_rows.Pooled(
                values, members, margins, None, 1, len(settings.shadows)
            )
            noise[job.attack, job.release] = scoring.noise_of(root, job)
    return found, noise


def _rows(settings: Audit, scores: Scores, noise: dict, tell) -> tuple[Result, ...]:
    made = []
    for (attack, release), own in scores.items():
        tell("figures with intervals", len(made), len(scores) + 1, attack)
        rng = seeds.generator(settings.seed, "intervals", attack, *release)
        made.append(report_rows.row(attack, release, own, rng, settings.delta))
    tell("figures with intervals", 1, 1, "")
    rows = report_rows.with_gains(made, scores)
    return rows if settings.shadows else tuple(_widened(row, noise) for row in rows)


def _widened(row: Result, noise: dict[report_rows.Key, float]) -> Result:
    """A cross-fitted row with the intervals that this takes; see `crossfit`."""
    own = _factor(row, noise)
    gain = row.auc_gain
    if gain is not None:
        other = noise[row.gain_over[1], row.gain_over[0]]
        share = max(noise[row.attack, row.release], other)
        factor = crossfit.widening(row.auc.value, row.n_members, row.n_non_members, share)
        gain = gain.widened(factor, CROSS, (-1, 1))
    reason = "needs an attack fitted on shadows: cross-fitted scores are not independent"
    return dataclasses.replace(
        row,
        auc=row.auc.widened(own, CROSS, (0, 1)),
        accuracy=row.accuracy.widened(own, CROSS, (0, 1)),
        advantage=row.advantage.widened(own, CROSS, (-1, 1)),
        tpr_at_fpr={
            rate: each.widened(own, CROSS, (0, 1)) for rate, each in row.tpr_at_fpr.items()
        },
        epsilon=Estimate.unmeasurable(reason, row.n_members + row.n_non_members),
        auc_gain=gain,
    )


def _factor(row: Result | Slice, noise: dict[report_rows.Key, float]) -> float:
    share = noise[row.attack, row.release]
    return crossfit.widening(row.auc.value, row.n_members, row.n_non_members, share)


def _slice_widened(each: Slice, noise: dict[report_rows.Key, float]) -> Slice:
    return dataclasses.replace(each, auc=each.auc.widened(_factor(each, noise), CROSS, (0, 1)))


def _sanity(settings: Audit, root: Path, family: Family, failures: list[Failure]) -> Sanity:
    errors = {each.name: each.reason for each in failures}
    null = attacking.null_job(settings)
    blind = Estimate.unmeasurable(NO_INPUTS, 0, SANITY_LEVEL)
    if family.sides[0].inputs:
        stage = scoring.blind_stage(root, attacking.blind_key(settings, family))
        blind = _auc(stage, errors.get(attacking.BLIND))
    stage = scoring.stage_of(root, null)
    found = _auc(stage, errors.get(null.title))
    if found.measurable:
        half = found.n // 2
        factor = crossfit.widening(found.value, half, half, stage.facts()["noise"])
        found = found.widened(factor, CROSS, (0, 1))
    return Sanity(found, blind)


def _auc(stage: Stage, error: str | None) -> Estimate:
    if error is not None or stage.facts() is None:
        return Estimate.unmeasurable(error or "not run", 0, SANITY_LEVEL)
    values, members = (
        np.load(stage.path / f"{each}.npy", allow_pickle=False) for each in ("values", "members")
    )
    return intervals.auc_estimate(values, members, SANITY_LEVEL)
