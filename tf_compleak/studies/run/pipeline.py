"""The pipeline: data, training, versions, observations, attacks, report; resumable."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable

import numpy as np

from tf_compleak.data import text
from tf_compleak.engine import provenance
from tf_compleak.engine.journal import Journal
from tf_compleak.engine.processes import Executor, Inline, Outcome, Processes, Task
from tf_compleak.engine.ray_workers import Cluster, parse_resources
from tf_compleak.engine.stage import Stage
from tf_compleak.engine.workdir import Workdir, write_text
from tf_compleak.leakage import report_rows
from tf_compleak.report import report_folder
from tf_compleak.report.report import Report
from tf_compleak.studies.run import estimates, planning, stage_work
from tf_compleak.studies.run.architecture import check, spec
from tf_compleak.studies.run.planning import Pair
from tf_compleak.studies.run.source import Source, data_stage
from tf_compleak.studies.study import Options, Study, families, plan, releases, runs
from tf_compleak.types import Failure
from tf_compleak.types.findings import Result
from tf_compleak.types.observations import Observations

FIGURES = "report.json"
Tell = Callable[[str, int, int, str], None]


def run(study: Study, options: Options, tell: Tell = lambda *_: None) -> Report:
    """Run a study, reusing its finished stages; writes `report.json` and returns the report.

    Args:
      tell: told (task, done, total, text) as the work goes on; see `journal.Journal`.

    Raises:
      ValueError, FileNotFoundError, OSError: for bad input or an unusable workdir, in one line.
    """
    started = time.monotonic()
    workdir = Workdir(options.workdir)
    with workdir.locked(), _executor(study, options, workdir) as executor:
        with workdir.claim(study, overwrite=options.overwrite):
            tell = Journal(workdir.logs(), tell).tell
            source = _source(executor, study, options, tell)
        if options.flags:
            write_text(workdir.root / "flags.cfg", options.flags)
        failures = _versions(executor, source, tell)
        usable = tuple(name for name in study.versions if name not in failures)
        done, failed = _attacks(executor, source, usable, tell)
        if not done:
            raise ValueError("no attack could be run: " + "; ".join(f.reason for f in failed))
        stage = planning.figures(source, usable)
        report = _reported(stage, source, failures, done, failed, tell)
        if (there := _saved(workdir, report)) is not None:
            return there
        made = {**_provenance(source, options, started), "measured": stage.record()["made"]["at"]}
        report = dataclasses.replace(report, provenance=made)
        report.save(workdir.root)
    return report


def _reported(
    stage: Stage,
    source: Source,
    failures: dict[str, Failure],
    done: list[Pair],
    failed: list[Failure],
    tell: Tell,
) -> Report:
    """The report without its provenance, of the finished stage if nothing has changed."""
    scores = estimates.pooled(source, done)
    usable = tuple(name for name in source.study.versions if name not in failures)
    observed = source.observations("target", usable)
    lost = [*failures.values(), *_left_out(source.study, failures), *failed]
    reasons = [[each.name, each.reason] for each in lost]
    if (stage.facts() or {}).get("failures") == reasons:
        text = (stage.folder() / FIGURES).read_text(encoding="utf-8")
        report = Report.from_json(json.loads(text))
    else:
        report = _report(source, scores, observed, lost, failures, done, tell)
        with stage.writing() as (folder, facts):
            text = json.dumps(report.to_json(), indent=1)
            (folder / FIGURES).write_text(text, encoding="utf-8")
            facts["failures"] = reasons
    study = source.study.to_json()
    return dataclasses.replace(report, study=study, scored=report_folder.scored(scores, observed))


def _saved(workdir: Workdir, report: Report) -> Report | None:
    """The folder's report where it says the same: who made it and when stays in it."""
    try:
        there = Report.load(workdir.root)
    except (OSError, ValueError):
        return None
    says, wanted = ({**each.to_json(), "provenance": {}} for each in (there, report))
    return there if there.provenance and says == wanted and _same(there, report) else None


def _same(one: Report, other: Report) -> bool:
    """Whether they say the same of every example."""
    if one.scored is None or other.scored is None:
        return False
    pairs = zip(dataclasses.astuple(one.scored), dataclasses.astuple(other.scored), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def _executor(study: Study, options: Options, workdir: Workdir) -> Executor:
    if options.executor == "inline":
        return Inline(study.threads)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = options.workers or max(1, min(cores, 8) // study.threads)
    if options.executor == "ray":
        return Cluster(
            options.workers,
            study.threads,
            workdir.logs(),
            options.ray_address,
            parse_resources(options.ray_resources),
            options.ray_retries,
        )
    return Processes(workers, study.threads, workdir.logs())


def data_task(study: Study, options: Options) -> Task:
    """Loading the data set; everything else needs it."""
    return Task(
        "data",
        "tf_compleak.studies.run.stage_work:data",
        (study, options.workdir, options.data_dir),
    )


def why_data(study: Study, options: Options) -> str:
    """Why the data set is to be loaded (again); empty when it is there and has not changed."""
    stage = data_stage(study, options.workdir)
    if not (why := stage.why()) and not stage_work.data_is_current(
        study, options.workdir, options.data_dir
    ):
        why = f"the files of --dataset={study.dataset} have changed"
    return why


def _source(executor: Executor, study: Study, options: Options, tell: Tell) -> Source:
    """Load the data unless that is done, and check that the study can be run on it."""
    if why := why_data(study, options):
        outcome = _executed(executor, [(data_task(study, options), why)], tell)["data"]
        if outcome.error:
            raise ValueError(outcome.error)
    source = Source(study, options.workdir)
    check(study, source.examples)
    if tasks := text_tasks(source):
        for outcome in _executed(executor, tasks, tell).values():
            if outcome.error:
                raise ValueError(outcome.error)
    spec(source)
    return source


def _executed(executor: Executor, tasks: list[tuple[Task, str]], tell: Tell) -> dict[str, Outcome]:
    """Run tasks, telling first why each is to be done."""
    for task, why in tasks:
        tell(task.name, 0, 0, why)
    return executor.run([task for task, _ in tasks], tell)


def text_tasks(source: Source) -> list[tuple[Task, str]]:
    """What texts still need, and why: the preset, then the token ids of every vocabulary."""
    if not source.holds_texts:
        return []
    study, tasks, needs = source.study, {}, ()
    if study.preset and (why := source.preset().why()):
        tasks["preset"] = (
            Task("preset", "tf_compleak.studies.run.stage_work:preset", (study, source.root)),
            why,
        )
        needs = ("preset",)
    for family in families(study):
        stage = source.tokens(family)
        if why := stage.why():
            name = f"tokens {stage.path.name}"
            work = (study, source.root, family)
            task = Task(name, "tf_compleak.studies.run.stage_work:tokens", work, "tokens", needs)
            tasks.setdefault(name, (task, why))
    return list(tasks.values())


def _versions(executor: Executor, source: Source, tell: Tell) -> dict[str, Failure]:
    """Train the families, make and query their versions; the versions that failed, by name."""
    study = source.study
    steps = planning.building(study, source.root)
    outcomes = _executed(executor, planning.pending(steps, source), tell)
    for family in families(study):
        name = f"train {family}"
        if name in outcomes and outcomes[name].error:
            raise ValueError(f"{name}: {outcomes[name].error}")
    return _failures(source, outcomes)


def _failures(source: Source, outcomes: dict[str, Outcome]) -> dict[str, Failure]:
    failures = {}
    for name in source.study.versions:
        errors = [
            f"{family}: {outcomes[f'{name} {family}'].error}"
            for family in families(source.study)
            if f"{name} {family}" in outcomes and outcomes[f"{name} {family}"].error
        ]
        failure = Failure(name, errors[0]) if errors else estimates.accuracy_failure(source, name)
        if failure:
            failures[name] = failure
    return failures


def _left_out(study: Study, failures: dict[str, Failure]) -> list[Failure]:
    """A row for each release of --releases that is not attacked because a version of it failed."""
    return [
        Failure("+".join(release), f"not attacked: {broken[0]} failed")
        for release in study.releases
        if (broken := [name for name in release if name in failures]) and len(release) > 1
    ]


def _attacks(
    executor: Executor, source: Source, usable: tuple[str, ...], tell: Tell
) -> tuple[list[Pair], list[Failure]]:
    """Run every attack on every release that it suits, and the sanity runs."""
    study = source.study
    pairs, lost = planning.applicable(study, plan(study, usable))
    if not pairs:
        raise ValueError(
            f"nothing to attack: of --versions only {usable or 'none'} are usable and "
            f"--attacks={','.join(study.attacks)} suit none of their releases "
            f"({len(releases(study, usable))} releases)."
        )
    steps = planning.attacking(study, source.root, usable)
    outcomes = _executed(executor, planning.pending(steps, source), tell)
    failed = [*lost]
    failed += [Failure(name, outcome.error) for name, outcome in outcomes.items() if outcome.error]
    done = [pair for pair in pairs if _done(source, pair)]
    return done, failed


def _done(source: Source, pair: Pair, count: int | None = None) -> bool:
    return all(source.attack(run).facts() is not None for run in runs(source.study, *pair, count))


def _report(
    source: Source,
    scores: dict[report_rows.Key, report_rows.Pooled],
    observed: Observations,
    lost: list[Failure],
    failures: dict[str, Failure],
    done: list[Pair],
    tell: Tell,
) -> Report:
    """The figures of everything that was done."""
    study = source.study
    report = Report(
        study={},
        provenance={},
        versions=tuple(
            estimates.version(source, name, failures.get(name)) for name in study.versions
        ),
        results=estimates.rows(study, scores, tell),
        failures=tuple(lost),
        sanity=estimates.sanity(
            source,
            planning.null_run(study, observed.versions),
            {each.name: each.reason for each in lost},
        ),
        curve=_curve(source, done, tell),
    )
    return dataclasses.replace(report, slices=report_rows.sliced(report, scores, observed))


def _curve(source: Source, done: list[Pair], tell: Tell) -> tuple[Result, ...]:
    """The rows again, fitted on fewer shadows: attacker strength."""
    study, found = source.study, []
    if not study.shadow_counts:
        return ()
    for count in sorted({*study.shadow_counts, study.num_shadows}):
        pairs = [pair for pair in done if _done(source, pair, count)]
        found += estimates.rows(study, estimates.pooled(source, pairs, count), tell)
    return tuple(found)


def _provenance(source: Source, options: Options, started: float) -> dict:
    study = source.study
    return {
        **provenance.facts(options.command, options.flags, options.workdir),
        "seed": study.seed,
        "seconds": round(time.monotonic() - started, 1),
        "num_shadows": study.num_shadows,
        "representative_data": {"validation": "held-out non-members", "members": "members"}[
            study.calibration
        ],
        "data_sha256": source.sha256,
        **_text_provenance(source),
        "training": {family: source.training(family).fingerprint for family in source.splits},
    }


def _text_provenance(source: Source) -> dict:
    """Where the vocabulary comes from, which is part of what is attacked."""
    if not source.holds_texts:
        return {}
    study, learned = source.study, source.learned_from("target")
    if study.preset and study.vocabulary in text.OWN:
        origin = f"the preset's own ({study.preset})"
    elif learned is None:
        origin = f"given: {study.vocabulary}"
    else:
        origin = {
            "members": "learned from the members of each family, the shadows' from their own",
            "outside": "one for all, learned from validation and population, which no model saw",
        }[study.vocabulary]
    tokens = {family: source.tokens(family).facts()["sha256"] for family in source.splits}
    return {"vocabulary": origin, "tokens": tokens}
