"""The engine behind every door: runs what a plan asks of a provider, and says what was found."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tf_compleak.engine.declaration import Declaration, call_off, executed, foretell
from tf_compleak.engine.tasks import Executor
from tf_compleak.leakage import (
    exposures,
    pooled_scores,
    report_rows,
    sanity,
    scoring,
    shadow_likeness,
)
from tf_compleak.leakage.plan import TARGET, Key, Plan, Run
from tf_compleak.leakage.pooled_scores import Pooled
from tf_compleak.leakage.provider import Provider
from tf_compleak.leakage.question_stages import (
    BlindBaseline,
    Combining,
    Figures,
    Scoring,
    combinations,
    measured_stages,
    null_combinations,
    null_runs,
    scored,
    unfinished,
    what_each_adds,
)
from tf_compleak.types import Failure
from tf_compleak.types.findings import Exposed, Findings, Marginal, Result
from tf_compleak.types.observations import Observations
from tf_compleak.types.progress import Tell
from tf_compleak.types.soundness import Sanity

SAVED = "report.json"
INTERVALS_WEIGHT = 50  # see `engine.declaration.Declaration`


def investigate(
    plan: Plan,
    provider: Provider,
    executor: Executor,
    lost: Sequence[Failure],
    tell: Tell,
    first: Sequence[Declaration] = (),
) -> Findings:
    """Run what is not done yet, and measure all that is; without provenance.

    Args:
      lost: what failed before: versions.
      first: stages that the attacks need, such as what else versions are asked.

    Raises:
      ValueError: when no attack suits a release, or none could be run.
    """
    if not plan.row_keys():
        raise ValueError(
            f"nothing to attack: of --versions only {', '.join(plan.usable) or 'none'} are usable "
            f"and --attacks={','.join(plan.question.attacks)} suit none of their releases "
            f"({len(plan.releases())} releases)."
        )
    failures = [*lost, *plan.failures(), *_run(plan, provider, executor, first, tell)]
    table = Table(pooled(plan, provider), shown(plan, provider))
    if not table.scores:
        reasons = "; ".join(dict.fromkeys(failure.reason for failure in failures))
        raise ValueError(f"no attack could be run: {reasons}")
    findings = _kept(plan, provider, table, failures, tell)
    targets = [table.target, *_other_targets(plan, provider)]
    return dataclasses.replace(findings, scored=report_rows.scored(table.scores, targets))


def _run(
    plan: Plan, provider: Provider, executor: Executor, first: Sequence[Declaration], tell: Tell
) -> list[Failure]:
    """Run the stages, then what is made of the attacks that are finished; what failed."""
    stages = measured_stages(plan)
    planned = scored(plan)[len(stages) :]
    foretell(planned, tell)
    tell(report_rows.INTERVALS, INTERVALS_WEIGHT, 0, "")
    outcomes = executed(executor, [*first, *stages], provider, tell)
    failed = unfinished(stages, provider)
    nulls = null_runs(plan, failed)
    outcomes |= executed(executor, [*nulls, *combinations(plan, failed)], provider, tell)
    last = null_combinations(plan, [*failed, *unfinished(nulls, provider)])
    titles = {stage.title for stage in last} | outcomes.keys()
    call_off([stage for stage in planned if stage.title not in titles], tell)
    outcomes |= executed(executor, last, provider, tell)
    return [Failure(name, outcome.error) for name, outcome in outcomes.items() if outcome.error]


@dataclass(frozen=True, eq=False)
class Table:
    """What rows are made of: pooled scores, and what the first exposure shows of the target."""

    scores: Mapping[Key, Pooled]
    target: Observations


def _kept(
    plan: Plan, provider: Provider, table: Table, failures: list[Failure], tell: Tell
) -> Findings:
    """The findings of the stage of figures, which is made anew where anything changed."""
    stage = Figures(plan).stage(provider)
    reasons = [[failure.name, failure.reason] for failure in failures]
    if (stage.facts() or {}).get("failures") == reasons:
        tell(report_rows.INTERVALS, 0, 0, "")
        text = (stage.folder() / SAVED).read_text(encoding="utf-8")
        return Findings.from_json(json.loads(text))
    findings = _measured(plan, provider, table, failures, tell)
    with stage.writing() as (folder, facts):
        text = json.dumps(findings.to_json(), indent=1, allow_nan=False)
        (folder / SAVED).write_text(text, encoding="utf-8")
        facts["failures"] = reasons
    return findings


def _measured(
    plan: Plan, provider: Provider, table: Table, failures: list[Failure], tell: Tell
) -> Findings:
    rows = _rows(plan, table.scores, tell)
    errors = {failure.name: failure.reason for failure in failures}
    findings = Findings(
        study={},
        provenance={},
        versions=tuple(
            dataclasses.replace(version, status="failed") if version.name in errors else version
            for version in provider.versions(plan.names)
        ),
        results=rows,
        failures=tuple(failures),
        sanity=_sanity(plan, provider, errors),
        curve=_curve(plan, provider, tell),
        exposed=_exposed(plan, provider, rows, tell),
        marginal=_marginal(plan, provider),
        families=shadow_likeness.accuracies(plan, provider),
    )
    slices = report_rows.sliced(findings, table.scores, table.target)
    return dataclasses.replace(findings, slices=slices)


def _rows(plan: Plan, scores: Mapping[Key, Pooled], tell: Tell) -> tuple[Result, ...]:
    question = plan.question
    return report_rows.rows(scores, question.seed, question.delta, tell, coins=question.coins)


def pooled(plan: Plan, provider: Provider, count: int = 0, exposure: str = "") -> dict[Key, Pooled]:
    """The scores of finished attacks over all targets, fitted on `count` shadows (0: all).

    `exposure`: what is seen through; "": the question's first.
    """
    scores, declared = {}, _declared(plan, provider)
    for key in plan.all_keys():
        runs = plan.runs(key, count, exposure or plan.question.exposure[0])
        stages = [declared[run].stage(provider) for run in runs if run in declared]
        if len(stages) == len(runs) and all(stage.facts() is not None for stage in stages):
            parts = [scoring.read(stage) for stage in stages]
            ids = [provider.ids(run.target) for run in runs] if len(runs) > 1 else []
            scores[key] = pooled_scores.pool(parts, ids, len(runs[0].shadows))
    return scores


def _declared(plan: Plan, provider: Provider) -> dict[Run, Scoring | Combining]:
    """The stages of all runs; those of the strongest attacker made of what is finished."""
    failed = unfinished(measured_stages(plan), provider)
    stages = [*map(Scoring, plan.all_runs()), *combinations(plan, failed)]
    return {stage.run: stage for stage in stages}


def _other_targets(plan: Plan, provider: Provider) -> list[Observations]:
    """The examples of the families that play the target after the first, by users' names."""
    return [
        dataclasses.replace(
            provider.observations(family, plan.usable[:1]), ids=provider.names(family)
        )
        for family in plan.families[1 : plan.targets]
    ]


def shown(plan: Plan, provider: Provider, exposure: str = "") -> Observations:
    """What an exposure, by default the first, shows of the target; ids are users' names."""
    target = provider.observations(TARGET, plan.usable)
    target = dataclasses.replace(target, ids=provider.names(TARGET))
    return exposures.shown(target, exposure or plan.question.exposure[0])


def _curve(plan: Plan, provider: Provider, tell: Tell) -> tuple[Result, ...]:
    """The rows again, fitted on fewer shadows: attacker strength."""
    if not plan.question.shadow_counts:
        return ()
    rows = ()
    for count in sorted({*plan.question.shadow_counts, plan.num_shadows}):
        rows += _rows(plan, pooled(plan, provider, count), tell)
    return rows


def _exposed(plan: Plan, provider: Provider, rows, tell: Tell) -> tuple[Exposed, ...]:
    """The rows of every exposure, where there are several."""
    first, *others = plan.question.exposure
    if not others:
        return ()
    more = [Exposed(name, _rows(plan, pooled(plan, provider, 0, name), tell)) for name in others]
    return (Exposed(first, rows), *more)


def _sanity(plan: Plan, provider: Provider, errors: Mapping[str, str]) -> Sanity:
    failed = unfinished(measured_stages(plan), provider)
    nulls = null_runs(plan, failed)
    combined = null_combinations(plan, [*failed, *unfinished(nulls, provider)])
    stages = {
        (null.run.attack, null.run.release): (null.title, null.stage(provider))
        for null in (*nulls, *combined)
    }
    blind = BlindBaseline().stage(provider) if plan.has_inputs else None
    return sanity.sanity(stages, blind, errors)


def _marginal(plan: Plan, provider: Provider) -> Marginal | None:
    adds = what_each_adds(plan)
    facts = adds and adds.stage(provider).facts()
    return Marginal.from_json(facts["marginal"]) if facts else None
