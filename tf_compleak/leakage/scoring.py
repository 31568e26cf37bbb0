"""One run of an attack: fitted on shadows, or cross-fitted; under membership drawn anew, too."""

from __future__ import annotations

import dataclasses
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
from tf_compleak.metrics import roc
from tf_compleak.types import seeds, validators
from tf_compleak.types.observations import Observations
from tf_compleak.types.progress import Progress

ARRAYS = ("values", "margins", "members", "held_out")
FACTS = ("noise", "shadow_auc", "matched")
NULL_FOLDS = 2  # whatever an attack reads that it should not, it reads in one half as well


@dataclass(frozen=True, eq=False)
class RunScores:
    """What one run gave, in the order of the target's examples.

    Attributes:
      values: f64[N], higher = member; margins: f64[N] over the threshold; members: bool[N].
      noise: see `crossfit.noise`; None where it was fitted on shadows.
      held_out: f64[M] scores of the shadows' examples, one shadow after the other, each by a fit
        without it; shadow_auc: their AUC. None where it was cross-fitted.
      matched: the threshold above which the same share of the target's scores lies as of the
        shadows' above theirs; it needs no membership. None where it was cross-fitted.
    """

    values: np.ndarray
    margins: np.ndarray
    members: np.ndarray
    noise: float | None = None
    held_out: np.ndarray | None = None
    shadow_auc: float | None = None
    matched: float | None = None


def write(
    progress: Progress, provider: Provider, declared: Any, folder: os.PathLike, facts: dict
) -> None:
    """The stage of a run (`question_stages.Scoring`): its scores as files."""
    save(run(progress, provider, declared.run), folder, facts)


def save(scores: RunScores, folder: os.PathLike, facts: dict) -> None:
    """Scores as files of a stage."""
    for name in ARRAYS:
        if (array := getattr(scores, name)) is not None:
            np.save(os.path.join(folder, f"{name}.npy"), array, allow_pickle=False)
    facts |= {name: getattr(scores, name) for name in FACTS}


def read(stage: Stage) -> RunScores:
    """What `save` wrote."""
    folder, facts = stage.folder(), stage.facts()
    paths = {name: folder / f"{name}.npy" for name in ARRAYS}
    arrays = {
        name: np.load(path, allow_pickle=False) for name, path in paths.items() if path.exists()
    }
    return RunScores(**arrays, **{name: facts[name] for name in FACTS})


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
        crossfit.check_sides(target.members, question.folds)
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
    shadows = [shadow.with_answers_of(target) for shadow in shadows]
    fitted = attack.fit(shadows, seed=seed)
    values = fitted.score(target.hidden())
    validators.finite(f"scores of {run.attack}", values)  # else the strongest attacker fails, too
    threshold = np.nan if run.null else fitted.threshold  # a null run is judged by its AUC alone
    scores = RunScores(values, values - threshold, target.members)
    held_out = crossfit.held_out(fitted, attack, shadows, seed)
    if held_out is None:
        return scores
    return with_held_out(scores, held_out, np.concatenate([s.members for s in shadows]))


def with_held_out(scores: RunScores, held_out: np.ndarray, members: np.ndarray) -> RunScores:
    """Scores, with what the shadows' held-out scores f32[M] say; members bool[M] of these."""
    return dataclasses.replace(
        scores,
        held_out=held_out,
        shadow_auc=roc.auc(held_out, members),
        matched=matched(scores.values, held_out, members),
    )


def matched(values: np.ndarray, held_out: np.ndarray, members: np.ndarray) -> float:
    """The threshold of the target's scores f64[N] by the share rule.

    A threshold in units of the scores need not fit another model: a target that is surer of all
    examples has all of them called members. The share of examples that the best threshold calls
    members on the shadows, f32[M] and bool[M], is taken instead: so many of the target's highest
    scores are called members. It uses the scores of the target's examples and no membership; it is
    right where about as many of them are members as of the shadows'.
    """
    share = float(np.mean(held_out >= roc.best_threshold(held_out, members)))
    return float(np.quantile(values, 1 - share))


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
