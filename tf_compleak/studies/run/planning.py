"""What a study consists of: its steps as tasks that need each other, and why each is to be done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tf_compleak.attacks import ATTACKS
from tf_compleak.compression import recipes
from tf_compleak.engine.processes import Task
from tf_compleak.engine.stage import Stage
from tf_compleak.models import TEXT
from tf_compleak.studies.run.source import BLIND, EXTRAS, Source, extras, nulled
from tf_compleak.studies.study import Run, Study, families, plan, runs
from tf_compleak.types import Failure, Release

TOKENS_HAVE_NO_NEIGHBOURS = (
    "not applicable: sensitivities need inputs that noise can move a little; token ids have no "
    "such neighbours, and the embeddings lie inside the .tflite file"
)
Pair = tuple[str, Release]


@dataclass(frozen=True)
class Step:
    """A task with all that it needs, and the stages it makes of a source."""

    task: Task
    stages: Callable[[Source], tuple[Stage, ...]]

    @property
    def name(self) -> str:
        """What it is called on the terminal, in logs and under failures."""
        return self.task.name

    def why(self, source: Source) -> str:
        """Why it is to be done, empty when it is finished: the reason of its first open stage."""
        return next((why for stage in self.stages(source) if (why := stage.why())), "")


def building(study: Study, root: str) -> list[Step]:
    """Training of every family, then its versions, those that take longest to trace first."""
    trains = [_training(study, root, family) for family in families(study)]
    names = sorted(study.versions, key=kind)
    versions = [_version(study, root, f, name) for name in names for f in families(study)]
    return [*trains, *versions]


def attacking(study: Study, root: str, usable: tuple[str, ...]) -> list[Step]:
    """What versions are asked beside the examples, then every attack, the widest first."""
    pairs, _ = applicable(study, plan(study, usable))
    wide = sorted(pairs, key=lambda pair: -len(pair[1]))
    attacks = [_attack(study, root, run) for pair in wide for run in all_runs(study, pair)]
    return [*_asking(study, root, pairs), *attacks, *_sanity(study, root, usable)]


def figures(source: Source, usable: tuple[str, ...], thorough: bool = True) -> Stage:
    """The stage of the report's figures, of the attacks that are finished now (`Stage.why`)."""
    study = source.study
    pairs, _ = applicable(study, plan(study, usable))
    made = [run for pair in pairs for run in all_runs(study, pair)]
    if pairs:
        made += [nulled(null_run(study, usable)), BLIND]
    done = [run for run in made if not source.attack(run).why(thorough)]
    return source.figures(done, usable)


def applicable(study: Study, pairs: list[Pair]) -> tuple[list[Pair], list[Failure]]:
    """The pairs that can be run on such data, and a failure for every attack that cannot."""
    if study.model not in TEXT:
        return pairs, []
    lost = {attack for attack, _ in pairs if "sensitivities" in extras(study, attack)}
    return [pair for pair in pairs if pair[0] not in lost], [
        Failure(attack, TOKENS_HAVE_NO_NEIGHBOURS) for attack in sorted(lost)
    ]


def pending(steps: Sequence[Step], source: Source) -> list[tuple[Task, str]]:
    """The tasks to do, with the reason of each; of their needs those that are to be done too."""
    reasons = {step.name: step.why(source) for step in steps}
    return [
        (_reduced(step.task, reasons), reasons[step.name]) for step in steps if reasons[step.name]
    ]


def _reduced(task: Task, reasons: dict[str, str]) -> Task:
    return dataclasses.replace(task, needs=tuple(n for n in task.needs if reasons.get(n)))


def kind(name: str) -> str:
    """What versions share a traced graph; the longest to trace first."""
    match recipes.parse(name):
        case recipes.Pruning():
            return "1 pruning"
        case recipes.QuantizationAware():
            return "2 quantization-aware"
        case recipes.Clustering(clusters):
            return f"3 clustering-{clusters}"
    return "4 export"


def all_runs(study: Study, pair: Pair) -> list[Run]:
    """All runs of a pair: with all shadows, and with every number of --shadow_counts."""
    least = ATTACKS[pair[0]].least_shadows
    counts = {count for count in study.shadow_counts if count >= least} | {study.num_shadows}
    return [run for count in sorted(counts, reverse=True) for run in runs(study, *pair, count)]


def title(run: Run, study: Study) -> str:
    """What a run is called on the terminal and under failures."""
    text = f"{run.attack} {'+'.join(run.release)}"
    if run.target != "target":
        text += f" on {run.target}"
    return text if len(run.shadows) == study.num_shadows else f"{text}, {len(run.shadows)} shadows"


def null_run(study: Study, usable: tuple[str, ...]) -> Run:
    """The run that is repeated with shuffled membership: of the most versions, the last such."""
    pairs, _ = applicable(study, plan(study, usable))
    attack, release = max(reversed(pairs), key=lambda pair: len(pair[1]))
    return runs(study, attack, release)[0]


def _training(study: Study, root: str, family: str) -> Step:
    task = Task(
        f"train {family}",
        "tf_compleak.studies.run.stage_work:train",
        (study, root, family),
        "train",
    )
    return Step(task, lambda source: (source.training(family),))


def _version(study: Study, root: str, family: str, name: str) -> Step:
    task = Task(
        f"{name} {family}",
        "tf_compleak.studies.run.stage_work:version",
        (study, root, family, name),
        kind(name),
        (f"train {family}",),
    )
    return Step(
        task, lambda source: (source.version(family, name), source.observation(family, name))
    )


def _asking(study: Study, root: str, pairs: list[Pair]) -> list[Step]:
    wanted = {
        (extra, name)
        for attack, release in pairs
        for extra in extras(study, attack)
        for name in release
    }
    return [
        _extra(study, root, extra, family, name)
        for extra, name in sorted(wanted)
        for family in families(study)
    ]


def _extra(study: Study, root: str, extra: str, family: str, name: str) -> Step:
    task = Task(
        f"{extra} {name} {family}",
        "tf_compleak.studies.run.stage_work:extra",
        (study, root, extra, family, name),
        needs=(f"{name} {family}",),
    )
    return Step(task, lambda source: (source.extra(extra, family, name),))


def _attack(study: Study, root: str, run: Run) -> Step:
    task = Task(
        title(run, study),
        "tf_compleak.studies.run.stage_work:attack",
        (study, root, run),
        run.attack,
        _needs(study, run),
    )
    return Step(task, lambda source: (source.attack(run),))


def _needs(study: Study, run: Run) -> tuple[str, ...]:
    asked = ("", *(f"{extra} " for extra in EXTRAS if extra in extras(study, run.attack)))
    return tuple(
        f"{extra}{name} {family}"
        for extra in asked
        for name in run.release
        for family in (run.target, *run.shadows)
    )


def _sanity(study: Study, root: str, usable: tuple[str, ...]) -> list[Step]:
    if not applicable(study, plan(study, usable))[0]:
        return []
    run = null_run(study, usable)
    needs = _needs(study, run)
    null = Task(
        "null run", "tf_compleak.studies.run.stage_work:null", (study, root, run), run.attack, needs
    )
    blind = Task(
        "blind baseline",
        "tf_compleak.studies.run.stage_work:blind_baseline",
        (study, root),
        "blind",
    )
    return [
        Step(null, lambda source: (source.attack(nulled(run)),)),
        Step(blind, lambda source: (source.attack(BLIND),)),
    ]
