"""The strongest attacker: every attack of a study on a release as one, by what the shadows show.

See `attacks.super_learner`. Fitted on shadows, the weights come from their examples. A
cross-fitted attacker has none, and all attacks count alike: the scores of the other folds' examples
are by fits that saw the membership of the fold left out, and weights found on them told it (eight
versions that leak nothing, 100 + 100 examples: intervals wholly above 0.5 in 12 of 200 draws).

Under membership drawn anew the null runs are combined in the same way: one of every kind of attack.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_compleak.attacks import super_learner
from tf_compleak.leakage import crossfit, sanity, scoring
from tf_compleak.leakage.plan import Run
from tf_compleak.leakage.provider import Provider
from tf_compleak.leakage.scoring import RunScores
from tf_compleak.types import seeds
from tf_compleak.types.progress import Progress


def write(
    progress: Progress, provider: Provider, declared: Any, folder: os.PathLike, facts: dict
) -> None:
    """The stage of `question_stages.Combining`: scores as files, weights and AUC as facts."""
    parts = [scoring.read(stage.stage(provider)) for stage in declared.needs(provider)]
    scores, weights = combined(provider, declared.run, parts)
    scoring.save(scores, folder, facts)
    facts["weights"] = weights


def write_null(
    progress: Progress, provider: Provider, declared: Any, folder: os.PathLike, facts: dict
) -> None:
    """The stage of `question_stages.NullCombining`: scores under every draw as files."""
    runs = [sanity.read_draws(stage.stage(provider)) for stage in declared.needs(provider)]
    draws = [
        combined(provider, declared.run, parts, draw)[0]
        for draw, parts in enumerate(zip(*runs, strict=True), start=1)
    ]
    sanity.save_draws(draws, folder, facts)


def combined(
    provider: Provider, run: Run, parts: Sequence[RunScores], draw: int = 0
) -> tuple[RunScores, list[float]]:
    """The scores of several runs as one, and the weight of each.

    Args:
      parts: the scores of the same families' examples; those that do not know the held-out scores
        of the shadows' are left out.
      draw: of membership, 0 for the real one.
    """
    seed = seeds.integer(provider.question.seed, run.attack, run.title, str(draw))
    values = np.stack([part.values for part in parts])
    members = parts[0].members
    if not run.shadows:
        folds = 2 if draw else provider.question.folds
        return _cross_fitted(values, members, [part.noise for part in parts], folds, seed)
    shadows = [provider.observations(name, run.release[:1], (), draw) for name in run.shadows]
    told = [number for number, part in enumerate(parts) if part.held_out is not None]
    if not told:
        raise ValueError(f"{run.attack}: none of its attacks can be fitted on half of the shadows.")
    shadow_members = np.concatenate([shadow.members for shadow in shadows])
    held_out = np.stack([parts[number].held_out for number in told])
    combination = super_learner.combine(held_out, shadow_members, _ids(shadows), seed)
    scores = combination.score(values[told])
    weights = np.zeros(len(parts))
    weights[told] = combination.all_weights(len(told))
    alone = RunScores(scores, scores - combination.threshold, members)
    held_out = np.float32(combination.held_out)
    return scoring.with_held_out(alone, held_out, shadow_members), weights.tolist()


def _ids(shadows) -> np.ndarray:
    """[M]: which example each of the shadows' is; where they have no ids each is one of its own."""
    if any(shadow.ids is None for shadow in shadows):
        return np.arange(sum(map(len, shadows)))
    return np.concatenate([shadow.ids for shadow in shadows])


def _cross_fitted(
    values: np.ndarray, members: np.ndarray, noises: Sequence[float], count: int, seed: int
) -> tuple[RunScores, list[float]]:
    """Scores of every fold on the scale of the others, every part alike, and their mean noise."""
    folds = crossfit.folds_of(members, count, seeds.generator(seed, "folds"))
    scores, margins = np.empty(len(members)), np.empty(len(members))
    for fold in range(count):
        left_out, others = folds == fold, folds != fold
        combination = super_learner.alike(values[:, others], members[others])
        scores[left_out] = combination.score(values[:, left_out])
        margins[left_out] = scores[left_out] - combination.threshold
    weights = [1 / len(values)] * len(values)
    return RunScores(scores, margins, members, float(np.mean(noises))), weights
