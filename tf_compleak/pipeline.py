"""The pipeline: data, training, versions, observations, attacks, report; resumable."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable

from tf_compleak import evaluate, exposure, measure, provenance, stages
from tf_compleak.attacks import ATTACKS
from tf_compleak.compression import recipes
from tf_compleak.data import text
from tf_compleak.executors import Executor, Inline, Outcome, Processes, Task
from tf_compleak.source import BLIND, Source, check, extras, nulled, spec
from tf_compleak.study import Options, Run, Study, families, plan, releases, runs
from tf_compleak.types import Failure, Release, Report, Result
from tf_compleak.workdir import Workdir, write_text

Tell = Callable[[str, int, int, str], None]
TOKENS_HAVE_NO_NEIGHBOURS = (
    "not applicable: sensitivities need inputs that noise can move a little; token ids have no "
    "such neighbours, and the embeddings lie inside the .tflite file"
)


def run(study: Study, options: Options, tell: Tell = lambda *_: None) -> Report:
    """Run a study, reusing its finished stages; writes `report.json` and returns the report.

    Args:
      tell: told (task, done, total, text) as the work goes on.

    Raises:
      ValueError, FileNotFoundError, OSError: for bad input or an unusable workdir, in one line.
    """
    started = time.monotonic()
    workdir = Workdir(options.workdir)
    with _executor(study, options, workdir) as executor:
        with workdir.claim(study, overwrite=options.overwrite):
            source = _source(executor, study, options, tell)
        if options.flags:
            write_text(workdir.root / "flags.cfg", options.flags)
        failures = _versions(executor, source, tell)
        usable = tuple(name for name in study.versions if name not in failures)
        done, failed = _attacks(executor, source, usable, tell)
    if not done:
        raise ValueError("no attack could be run: " + "; ".join(f.reason for f in failed))
    scores = evaluate.pooled(source, done)
    report = Report(
        study=study.to_json(),
        provenance=_provenance(source, options, started),
        versions=tuple(
            evaluate.version(source, name, failures.get(name)) for name in study.versions
        ),
        results=evaluate.rows(study, scores, tell),
        failures=(*failures.values(), *_left_out(study, failures), *failed),
        sanity=evaluate.sanity(
            source, _null(source, usable), {each.name: each.reason for each in failed}
        ),
        curve=_curve(source, done, tell),
    )
    observed = source.observations("target", usable)
    report = dataclasses.replace(
        report,
        slices=measure.sliced(report, scores, observed),
        scored=exposure.scored(scores, observed),
    )
    report.save(workdir.root)
    return report


def _executor(study: Study, options: Options, workdir: Workdir) -> Executor:
    if options.executor == "inline":
        return Inline(study.threads)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Processes(options.workers or min(cores, 8), study.threads, workdir.logs())


def _data(study: Study, options: Options) -> Task:
    return Task("data", "tf_compleak.stages:data", (study, options.workdir, options.data_dir))


def _source(executor: Executor, study: Study, options: Options, tell: Tell) -> Source:
    """Load the data unless that is done, and check that the study can be run on it."""
    if not stages.data_is_current(study, options.workdir, options.data_dir):
        outcome = executor.run([_data(study, options)], tell)["data"]
        if outcome.error:
            raise ValueError(outcome.error)
    source = Source(study, options.workdir)
    check(study, source.examples)
    if source.holds_texts:
        _prepare_texts(executor, source, tell)
    spec(source)
    return source


def _prepare_texts(executor: Executor, source: Source, tell: Tell) -> None:
    """The preset, then the token ids of every family (of all, where one vocabulary serves all)."""
    study, tasks, needs = source.study, {}, ()
    if study.preset and source.preset().facts() is None:
        tasks["preset"] = Task("preset", "tf_compleak.stages:preset", (study, source.root))
        needs = ("preset",)
    for family in families(study):
        stage = source.tokens(family)
        if stage.facts() is None:
            name = f"tokens {stage.path.name}"
            work = (study, source.root, family)
            tasks.setdefault(name, Task(name, "tf_compleak.stages:tokens", work, "tokens", needs))
    for outcome in executor.run(list(tasks.values()), tell).values() if tasks else ():
        if outcome.error:
            raise ValueError(outcome.error)


def _versions(executor: Executor, source: Source, tell: Tell) -> dict[str, Failure]:
    """Train the families, make and query their versions; the versions that failed, by name."""
    study, root = source.study, source.root
    tasks, trains = [], []
    for family in families(study):
        if source.training(family).facts() is None:
            trains.append(
                Task(f"train {family}", "tf_compleak.stages:train", (study, root, family), "train")
            )
    training = {task.name for task in trains}
    for name in sorted(study.versions, key=_kind):
        for family in families(study):
            if source.observation(family, name).facts() is None:
                need = f"train {family}"
                tasks.append(
                    Task(
                        f"{name} {family}",
                        "tf_compleak.stages:version",
                        (study, root, family, name),
                        _kind(name),
                        (need,) if need in training else (),
                    )
                )
    outcomes = executor.run([*trains, *tasks], tell)
    for task in trains:
        if outcomes[task.name].error:
            raise ValueError(f"{task.name}: {outcomes[task.name].error}")
    return _failures(source, outcomes)


def _kind(name: str) -> str:
    """What versions share a traced graph; the longest to trace first."""
    match recipes.parse(name):
        case recipes.Pruning():
            return "1 pruning"
        case recipes.QuantizationAware():
            return "2 quantization-aware"
        case recipes.Clustering(clusters):
            return f"3 clustering-{clusters}"
    return "4 export"


def _failures(source: Source, outcomes: dict[str, Outcome]) -> dict[str, Failure]:
    failures = {}
    for name in source.study.versions:
        errors = [
            f"{family}: {outcomes[f'{name} {family}'].error}"
            for family in families(source.study)
            if f"{name} {family}" in outcomes and outcomes[f"{name} {family}"].error
        ]
        failure = Failure(name, errors[0]) if errors else evaluate.accuracy_failure(source, name)
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


def _null(source: Source, usable: tuple[str, ...]) -> Run:
    """The run that is repeated with shuffled membership: of the most versions, the last such."""
    study = source.study
    pairs, _ = _applicable(source, plan(study, usable))
    attack, release = max(reversed(pairs), key=lambda pair: len(pair[1]))
    return runs(study, attack, release)[0]


def _attacks(
    executor: Executor, source: Source, usable: tuple[str, ...], tell: Tell
) -> tuple[list[tuple[str, Release]], list[Failure]]:
    """Run every attack on every release that it suits, and the sanity runs."""
    study, root = source.study, source.root
    pairs, failed = _applicable(source, plan(study, usable))
    if not pairs:
        raise ValueError(
            f"nothing to attack: of --versions only {usable or 'none'} are usable and "
            f"--attacks={','.join(study.attacks)} suit none of their releases "
            f"({len(releases(study, usable))} releases)."
        )
    asks = _extra_tasks(source, pairs)
    made = [
        run for pair in sorted(pairs, key=lambda pair: -len(pair[1])) for run in _runs(study, pair)
    ]
    tasks = [
        Task(
            _title(run, study),
            "tf_compleak.stages:attack",
            (study, root, run),
            run.attack,
            _needs(source, run, asks),
        )
        for run in made
        if source.attack(run).facts() is None
    ]
    outcomes = executor.run([*asks, *tasks, *_sanity_tasks(source, usable, asks)], tell)
    failed += [Failure(name, outcome.error) for name, outcome in outcomes.items() if outcome.error]
    done = [pair for pair in pairs if _done(source, pair)]
    return done, failed


def _applicable(source: Source, pairs: list) -> tuple[list, list[Failure]]:
    """The pairs that can be run on such data, and a failure for every attack that cannot."""
    if not source.holds_texts:
        return pairs, []
    lost = {attack for attack, _ in pairs if "sensitivities" in extras(source.study, attack)}
    return [pair for pair in pairs if pair[0] not in lost], [
        Failure(attack, TOKENS_HAVE_NO_NEIGHBOURS) for attack in sorted(lost)
    ]


def _runs(study: Study, pair: tuple[str, Release]) -> list[Run]:
    """All runs of a pair: with all shadows, and with every number of --shadow_counts."""
    least = ATTACKS[pair[0]].least_shadows
    counts = {count for count in study.shadow_counts if count >= least} | {study.num_shadows}
    return [run for count in sorted(counts, reverse=True) for run in runs(study, *pair, count)]


def _done(source: Source, pair: tuple[str, Release], count: int | None = None) -> bool:
    return all(source.attack(run).facts() is not None for run in runs(source.study, *pair, count))


def _title(run: Run, study: Study) -> str:
    """What a run is called on the terminal and under failures."""
    text = f"{run.attack} {'+'.join(run.release)}"
    if run.target != "target":
        text += f" on {run.target}"
    return text if len(run.shadows) == study.num_shadows else f"{text}, {len(run.shadows)} shadows"


def _extra_tasks(source: Source, pairs: list[tuple[str, Release]]) -> list[Task]:
    """What the versions must still be asked for these attacks."""
    study, root = source.study, source.root
    wanted = {
        (kind, name)
        for attack, release in pairs
        for kind in extras(study, attack)
        for name in release
    }
    return [
        Task(
            f"{kind} {name} {family}",
            "tf_compleak.stages:extra",
            (study, root, kind, family, name),
        )
        for kind, name in sorted(wanted)
        for family in families(study)
        if source.extra(kind, family, name).facts() is None
    ]


def _needs(source: Source, run: Run, asks: list[Task]) -> tuple[str, ...]:
    pending = {task.name for task in asks}
    names = [
        f"{kind} {name} {family}"
        for kind in extras(source.study, run.attack)
        for name in run.release
        for family in (run.target, *run.shadows)
    ]
    return tuple(name for name in names if name in pending)


def _sanity_tasks(source: Source, usable: tuple[str, ...], asks: list[Task]) -> list[Task]:
    study, root = source.study, source.root
    run = _null(source, usable)
    tasks = []
    if source.attack(nulled(run)).facts() is None:
        needs = _needs(source, run, asks)
        tasks.append(
            Task("null run", "tf_compleak.stages:null", (study, root, run), run.attack, needs)
        )
    if source.attack(BLIND).facts() is None:
        tasks.append(
            Task("blind baseline", "tf_compleak.stages:blind_baseline", (study, root), "blind")
        )
    return tasks


def _curve(source: Source, done: list[tuple[str, Release]], tell: Tell) -> tuple[Result, ...]:
    """The rows again, fitted on fewer shadows: attacker strength."""
    study, found = source.study, []
    if not study.shadow_counts:
        return ()
    for count in sorted({*study.shadow_counts, study.num_shadows}):
        pairs = [pair for pair in done if _done(source, pair, count)]
        found += evaluate.rows(study, evaluate.pooled(source, pairs, count), tell)
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
