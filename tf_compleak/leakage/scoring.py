"""One run of an attack: fitted on shadows, or cross-fitted; under membership drawn anew, too."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_compleak.attacks import load
from tf_compleak.attacks.contract import Attack
from tf_compleak.engine.stage import Stage
from tf_compleak.engine.workdir import slug
from tf_compleak.leakage import crossfit, exposures
from tf_compleak.leakage.plan import TARGET, Run, kinds
from tf_compleak.leakage.provider import Provider
from tf_compleak.types import seeds
from tf_compleak.types.observations import Observations
from tf_compleak.types.progress import Progress

NULL_FOLDS = 2  # whatever an attack reads that it should not, it reads in one half as well


@dataclass(frozen=True, eq=False)
class RunScores:
    """What one run gave, in the order of the target's examples.

    Attributes:
      values: f64[N], higher = member; margins: f64[N] over the threshold; members: bool[N].
      noise: see `crossfit.noise`; None where it was fitted on shadows.
    """

    values: np.ndarray
    margins: np.ndarray
    members: np.ndarray
    noise: float | None = None


def write(
    progress: Progress, provider: Provider, declared: Any, folder: os.PathLike, facts: dict
) -> None:
    """The stage of a run (`stages.Scoring`): its scores as files."""
    scores = run(progress, provider, declared.run)
    for name in ("values", "margins", "members"):
        np.save(os.path.join(folder, f"{name}.npy"), getattr(scores, name), allow_pickle=False)
    facts["noise"] = scores.noise


def read(stage: Stage) -> RunScores:
    """What `write` wrote."""
    folder, facts = stage.folder(), stage.facts()
    arrays = (
        np.load(folder / f"{name}.npy", allow_pickle=False)
        for name in ("values", "margins", "members")
    )
    return RunScores(*arrays, facts["noise"])


def run(
    progress: Progress, provider: Provider, run: Run, attack: Attack | None = None
) -> RunScores:
    """Fit an attack and score the target, whose membership it does not see.

    Args:
      attack: in place of the one that the run names, for tests.

    Raises:
      ValueError: where the attack cannot be run on such observations.
    """
    question = provider.question
    families = [
        exposures.shown(provider.observations(name, run.release, needs, run.null), run.exposure)
        for needs in [kinds(question, run.attack)]
        for name in run.families
    ]
    target, *shadows = families
    attack, seed = attack or load(run.attack), _seed(question.seed, run)
    if not shadows:
        rng = seeds.generator(question.seed, "folds", _draw(run))
        count = NULL_FOLDS if run.null else question.folds
        folds = crossfit.folds_of(target.members, count, rng)
        values, margins = crossfit.cross_fitted(
            progress, target, folds, attack, seed, with_margins=not run.null
        )
        if run.null:
            return RunScores(values, margins, target.members, 1.0)  # nothing is told: all is chance
        noise = crossfit.noise(target, folds, attack, seed)
        return RunScores(values, margins, target.members, noise)
    _check_classes(target, shadows)
    fitted = attack.fit([shadow.with_answers_of(target) for shadow in shadows], seed=seed)
    values = fitted.score(target.hidden())
    threshold = np.nan if run.null else fitted.threshold  # a null run is judged by its AUC alone
    return RunScores(values, values - threshold, target.members)


def _seed(seed: int, run: Run) -> int:
    """For what is random in an attack: it depends on what the run is called, on no path."""
    if run.null:
        return seeds.integer(seed, _draw(run), run.attack, slug(run.release))
    variant = () if run.target == TARGET else (run.target,)
    if run.exposure != exposures.FULL:
        variant += (run.exposure,)
    return seeds.integer(seed, "attack", run.attack, slug(run.release), *variant)


def _draw(run: Run) -> str:
    """What tells the draws of membership of null runs apart in names of seeds; "" for the real."""
    return f"null {int(run.null)}" if run.null else ""


def _check_classes(target: Observations, shadows: list[Observations]) -> None:
    for shadow in shadows:
        if shadow.classes != target.classes:
            raise ValueError(
                f"shadows: {shadow.classes} classes, the target has {target.classes}; they must "
                "be models of the same task."
            )
