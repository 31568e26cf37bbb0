"""The stages of a question: every attack's scores, all as one, checks, what each version adds."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tf_compleak.attacks import ATTACKS
from tf_compleak.engine.declaration import Declaration
from tf_compleak.engine.stage import SCHEMA, fingerprint
from tf_compleak.leakage.plan import NULL_RUN, Plan, Run, kinds
from tf_compleak.leakage.provider import Provider
from tf_compleak.leakage.sanity import BLIND, DRAWS
from tf_compleak.types import Release

ADDED = "what each version adds"
FIGURES = "figures of the report"


@dataclass(frozen=True)
class Scoring(Declaration):
    """The scores of one run of an attack."""

    run: Run
    name: ClassVar[str] = "attack/14"
    work: ClassVar[str] = "tf_compleak.leakage.scoring:write"
    depends: ClassVar[tuple[str, ...]] = ("threads", "seed")

    @property
    def title(self) -> str:
        return self.run.title

    @property
    def affinity(self) -> str:
        return self.run.attack

    @property
    def weight(self) -> int:
        return ATTACKS[self.run.attack].weight

    def folder(self, source: Provider) -> os.PathLike:
        return source.workdir.attack(self.run.attack, self.run.release, self.run.variant)

    def flags(self, source: Provider) -> dict[str, Any]:
        folds = () if self.run.shadows else ("folds",)
        return source.flags(*self.depends, *folds)

    def inputs(self, source: Provider) -> dict[str, Any]:
        run, needs = self.run, kinds(source.question, self.run.attack)
        return {
            "attack": run.attack,
            "exposure": run.exposure,
            "release": list(run.release),
            "families": list(run.families),
            "observed": source.observed(run.families, run.release, needs),
        }

    def needs(self, source: Provider) -> Sequence[Declaration]:
        needs = kinds(source.question, self.run.attack)
        return source.asked(self.run.families, self.run.release, needs)


@dataclass(frozen=True)
class NullRun(Scoring):
    """The scores of one run under membership that is drawn anew several times."""

    name: ClassVar[str] = "null run/8"
    work: ClassVar[str] = "tf_compleak.leakage.sanity:write_null"

    @property
    def title(self) -> str:
        return f"{NULL_RUN} of {self.run.title}"

    @property
    def weight(self) -> int:
        return DRAWS * super().weight

    def folder(self, source: Provider) -> os.PathLike:
        return source.workdir.attack("null", self.run.release, self.run.attack)

    def flags(self, source: Provider) -> dict[str, Any]:
        """Not the folds of real runs: see `scoring.NULL_FOLDS`."""
        return source.flags(*self.depends)

    def inputs(self, source: Provider) -> dict[str, Any]:
        return {**super().inputs(source), "draws": DRAWS}


@dataclass(frozen=True)
class Combining(Declaration):
    """The scores of the strongest attacker: those of several runs as one."""

    run: Run
    parts: tuple[Run, ...]
    name: ClassVar[str] = "strongest/6"
    work: ClassVar[str] = "tf_compleak.leakage.strongest:write"
    depends: ClassVar[tuple[str, ...]] = ("folds", "seed")
    weight: ClassVar[int] = 2

    @property
    def title(self) -> str:
        return self.run.title

    def folder(self, source: Provider) -> os.PathLike:
        return source.workdir.attack(self.run.attack, self.run.release, self.run.variant)

    def inputs(self, source: Provider) -> dict[str, Any]:
        return {
            "release": list(self.run.release),
            "families": list(self.run.families),
            "exposure": self.run.exposure,
            "observed": source.observed(self.run.families, self.run.release),
            "parts": {stage.title: content(stage, source) for stage in self.needs(source)},
        }

    def needs(self, source: Provider) -> Sequence[Declaration]:
        return [Scoring(part) for part in self.parts]


@dataclass(frozen=True)
class NullCombining(Combining):
    """The strongest attacker under membership drawn anew: the null runs as one."""

    name: ClassVar[str] = "null strongest/5"
    work: ClassVar[str] = "tf_compleak.leakage.strongest:write_null"

    @property
    def title(self) -> str:
        return f"{NULL_RUN} of {self.run.title}"

    def folder(self, source: Provider) -> os.PathLike:
        return source.workdir.attack("null", self.run.release, self.run.attack)

    def needs(self, source: Provider) -> Sequence[Declaration]:
        return [NullRun(part) for part in self.parts]


@dataclass(frozen=True)
class BlindBaseline(Declaration):
    """The scores of the blind baseline on the target's examples."""

    name: ClassVar[str] = "blind/2"
    work: ClassVar[str] = "tf_compleak.leakage.sanity:write_blind"
    depends: ClassVar[tuple[str, ...]] = ("seed",)
    weight: ClassVar[int] = 50

    @property
    def title(self) -> str:
        return BLIND

    @property
    def affinity(self) -> str:
        return "blind"

    def folder(self, source: Provider) -> os.PathLike:
        return source.workdir.attack("blind", ("inputs",))

    def inputs(self, source: Provider) -> dict[str, Any]:
        return {"inputs": source.inputs_from()}


@dataclass(frozen=True)
class WhatEachAdds(Declaration):
    """What each version adds to those before it, seen through the first exposure."""

    families: tuple[str, ...]
    usable: Release
    name: ClassVar[str] = "marginal/4"
    work: ClassVar[str] = "tf_compleak.leakage.marginal:write"
    depends: ClassVar[tuple[str, ...]] = ("marginal", "subset_budget", "folds", "seed")
    weight: ClassVar[int] = 300

    @property
    def title(self) -> str:
        return ADDED

    @property
    def affinity(self) -> str:
        return "tabular"

    def folder(self, source: Provider) -> os.PathLike:
        return source.workdir.added(self.usable)

    def inputs(self, source: Provider) -> dict[str, Any]:
        return {
            "exposure": source.question.exposure[0],
            "release": list(self.usable),
            "families": list(self.families),
            "versions": source.versions_from(),
            "observed": source.observed(self.families, self.usable),
        }

    def needs(self, source: Provider) -> Sequence[Declaration]:
        return source.asked(self.families, self.usable)


@dataclass(frozen=True)
class Figures(Declaration):
    """What the report says of the attacks that are finished, before who made it and when.

    `thorough`: whether these are read to see that they are; else sizes of files decide.
    """

    plan: Plan
    thorough: bool = True
    name: ClassVar[str] = "figures/6"
    depends: ClassVar[tuple[str, ...]] = ("seed", "delta", "shadow_counts", "exposure")

    @property
    def title(self) -> str:
        return FIGURES

    def folder(self, source: Provider) -> os.PathLike:
        return source.workdir.figures()

    def inputs(self, source: Provider) -> dict[str, Any]:
        stages = [
            stage
            for stage in finished_first(self.plan, source, self.thorough)
            if not stage.why(source, self.thorough)
        ]
        return {
            "versions": source.versions_from(),
            "families": source.observed(self.plan.families, self.plan.usable),
            "usable": list(self.plan.usable),
            "coins": source.question.coins,
            "rows": [[attack, *release] for attack, release in self.plan.all_keys()],
            "scores": {stage.title: content(stage, source) for stage in stages},
        }


def content(stage: Declaration, source: Any) -> str | None:
    """A digest of what is there, whatever it was made from; None where nothing is."""
    record = stage.stage(source).record()
    if record is None or record.get("schema") != SCHEMA:
        return None
    return fingerprint(files=record["files"], facts=record["facts"])


def scored(plan: Plan, failed: Collection[str] = ()) -> list[Declaration]:
    """Every stage that the figures are made of.

    `measured_stages`, then what needs to know which of these failed: null runs, and all attacks as
    one, under either membership.

    Args:
      failed: titles of stages that failed.
    """
    after = [*null_runs(plan, failed), *combinations(plan, failed)]
    return [*measured_stages(plan), *after, *null_combinations(plan, failed)]


def finished_first(plan: Plan, source: Provider, thorough: bool = True) -> list[Declaration]:
    """`scored`, where what is not finished counts as failed."""
    failed = unfinished(measured_stages(plan), source, thorough)
    failed += unfinished(null_runs(plan, failed), source, thorough)
    return scored(plan, failed)


def measured_stages(plan: Plan) -> list[Declaration]:
    """Attacks, the widest first, the blind baseline, what each version adds."""
    stages: list[Declaration] = [Scoring(run) for run in plan.all_runs()]
    if plan.has_inputs and stages:
        stages.append(BlindBaseline())
    if stages and (adds := what_each_adds(plan)) is not None:
        stages.append(adds)
    return stages


def null_runs(plan: Plan, failed: Collection[str] = ()) -> list[NullRun]:
    """The null runs of the attacks, none of those that failed."""
    return [NullRun(run) for run in plan.null_runs(failed)]


def combinations(plan: Plan, failed: Collection[str] = ()) -> list[Combining]:
    """The strongest attacker on every release, without the runs that failed."""
    return [Combining(run, parts) for run, parts in plan.combined(failed).items()]


def null_combinations(plan: Plan, failed: Collection[str] = ()) -> list[NullCombining]:
    """The null run of the strongest attacker, where there is one."""
    return [NullCombining(run, parts) for run, parts in plan.null_combined(failed).items()]


def unfinished(stages: Sequence[Declaration], source: Provider, thorough: bool = True) -> list[str]:
    """Titles of the stages that are not finished."""
    return [stage.title for stage in stages if stage.why(source, thorough)]


def what_each_adds(plan: Plan) -> WhatEachAdds | None:
    """The stage of what each version adds; None where nobody asks, or for a single version."""
    question = plan.question
    wanted = question.order_by() is not None or question.subset_budget
    if not wanted or len(plan.usable) < 2:
        return None
    return WhatEachAdds(plan.families, plan.usable)


def extras(plan: Plan) -> list[tuple[str, str]]:
    """(kind, version) of all that is asked beyond the confidences, sorted."""
    return sorted(
        {
            (kind, name)
            for attack, release in plan.row_keys()
            for kind in kinds(plan.question, attack)
            for name in release
        }
    )
