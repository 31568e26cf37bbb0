"""The two checks of a report: null runs and the blind baseline.

Both say of cross-fitted scores whether their AUC can be 0.5. Without a leak such an AUC varies with
twice the variance that it has for given scores, since every pair of examples of different folds
counts twice, once each way (see `crossfit`). So their intervals are `TWICE` as wide. That is right
where nothing is told, whatever the classifier and however unequal the sides; where something is,
the interval is too wide, and such a check fails by far.

A null run is judged by the mean of its AUCs over `DRAWS` draws of membership: it varies less than
one draw's, so that all null runs of a report can be judged at a level at which one sound report in
a thousand fails, and still find as much.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_compleak.engine.stage import Stage
from tf_compleak.leakage import scoring
from tf_compleak.leakage.crossfit import CROSS
from tf_compleak.leakage.plan import Key, Run
from tf_compleak.leakage.provider import Provider
from tf_compleak.leakage.scoring import RunScores
from tf_compleak.metrics import intervals, slices
from tf_compleak.types import Estimate, Texts, seeds
from tf_compleak.types.progress import Progress
from tf_compleak.types.soundness import NO_INPUTS, NullRun, Sanity

LEVEL = 0.99  # of the blind baseline
NULL_LEVEL = 0.999  # of all null runs together
DRAWS = 3  # of membership, for every null run
TWICE = math.sqrt(2)  # times the width: twice the variance
BLIND = "blind baseline"


def write_blind(
    progress: Progress, provider: Provider, declared: Any, folder: os.PathLike, facts: dict
) -> None:
    """The stage of the blind baseline: its scores of the target's examples as files."""
    from tf_compleak.attacks import blind  # scikit-learn

    inputs = provider.inputs()
    seed = seeds.integer(provider.question.seed, "blind")
    if isinstance(inputs.values, Texts):
        values = blind.blind_texts(inputs.values, inputs.labels, inputs.members, seed=seed)
    else:
        table = np.column_stack([inputs.values, inputs.labels])
        values = blind.scores(table, inputs.members, seed=seed)
    _save(folder, values=values, members=inputs.members)


def write_null(
    progress: Progress, provider: Provider, declared: Any, folder: os.PathLike, facts: dict
) -> None:
    """The stage of a null run: its scores under every draw, and who is a member in it, as files."""
    save_draws(null_draws(progress, provider, declared.run), folder, facts)


def null_draws(progress: Progress, provider: Provider, run: Run) -> list[RunScores]:
    """The scores of a run under each of several draws of membership."""
    draws = []
    for draw in range(1, DRAWS + 1):
        progress(draw - 1, DRAWS, f"draw {draw} of {DRAWS}")
        draws.append(scoring.run(_silent, provider, dataclasses.replace(run, null=draw)))
    return draws


def save_draws(draws: Sequence[RunScores], folder: os.PathLike, facts: dict) -> None:
    """The scores of all draws as files: f64[D, N], bool[D, N], and f32[D, M] of the shadows'."""
    _save(
        folder,
        values=np.stack([draw.values for draw in draws]),
        members=np.stack([draw.members for draw in draws]),
    )
    held_out = [draw.held_out for draw in draws if draw.held_out is not None]
    if held_out:
        _save(folder, held_out=np.stack(held_out))
    facts["cross_fitted"] = draws[0].noise is not None


def read_draws(stage: Stage) -> list[RunScores]:
    """What `save_draws` wrote; no margins."""
    values, members = _load(stage)
    path = stage.folder() / "held_out.npy"
    held_out = np.load(path, allow_pickle=False) if path.exists() else [None] * len(values)
    noise = 1.0 if stage.facts()["cross_fitted"] else None
    return [
        RunScores(*draw, noise=noise, held_out=held_out[number])
        for number, draw in enumerate(
            zip(values, np.full_like(values, np.nan), members, strict=True)
        )
    ]


def _silent(done: int, total: int, text: str = "") -> None:
    """What one draw says of itself is too much."""


def _save(folder: os.PathLike, **arrays: np.ndarray) -> None:
    for name, array in arrays.items():
        np.save(os.path.join(folder, f"{name}.npy"), array, allow_pickle=False)


def _load(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    folder = stage.folder()
    values, members = (
        np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("values", "members")
    )
    return values, members


def sanity(
    null_stages: Mapping[Key, tuple[str, Stage]],
    blind_stage: Stage | None,
    errors: Mapping[str, str],
) -> Sanity:
    """AUCs of the null runs and of the blind baseline, with their intervals.

    Args:
      null_stages: title and stage of the null run of every (attack, release) that has one.
      blind_stage: None where there are no inputs.
      errors: reasons of what could not be made, by title.
    """
    level = slices.adjusted_level(NULL_LEVEL, max(1, len(null_stages)))
    null_runs = tuple(
        NullRun(*key, DRAWS, _null_auc(stage, errors.get(title), level))
        for key, (title, stage) in null_stages.items()
    )
    blind_auc = Estimate.unmeasurable(NO_INPUTS, 0, LEVEL)
    if blind_stage is not None:
        blind_auc = _blind_auc(blind_stage, errors.get(BLIND))
    return Sanity.of(null_runs, blind_auc)


def _null_auc(stage: Stage, error: str | None, level: float) -> Estimate:
    if error is not None or stage.facts() is None:
        return Estimate.unmeasurable(error or "not run", 0, level)
    return null_estimate(*_load(stage), level, stage.facts()["cross_fitted"])


def null_estimate(
    values: np.ndarray, members: np.ndarray, level: float, cross_fitted: bool
) -> Estimate:
    """The mean AUC of a null run's draws with its interval.

    The draws are independent, so the interval is made of theirs as that of a sum.

    Args:
      values: f64[D, N] scores under D draws of membership; members: bool[D, N].
      level: of the interval.
      cross_fitted: whether each example was scored by a fit on the others.

    Zou & Donner, Statistics in Medicine 2008 (the method of variance estimates recovery, MOVER).
    """
    aucs = [intervals.auc_estimate(*draw, level) for draw in zip(values, members, strict=True)]
    if (unmeasurable := next((auc for auc in aucs if not auc.measurable), None)) is not None:
        return unmeasurable
    mean = float(np.mean([auc.value for auc in aucs]))
    below = math.hypot(*(auc.value - auc.low for auc in aucs)) / len(aucs)
    above = math.hypot(*(auc.high - auc.value for auc in aucs)) / len(aucs)
    method = f"mean of {len(aucs)} draws, MOVER of {aucs[0].method}"
    low, high = max(0.0, mean - below), min(1.0, mean + above)
    auc = Estimate(mean, low, high, level, method, aucs[0].n)
    return auc.widened(TWICE if cross_fitted else 1, CROSS, (0, 1))


def _blind_auc(stage: Stage, error: str | None) -> Estimate:
    if error is not None or stage.facts() is None:
        return Estimate.unmeasurable(error or "not run", 0, LEVEL)
    return blind_estimate(*_load(stage))


def blind_estimate(values: np.ndarray, members: np.ndarray) -> Estimate:
    """AUC of the blind baseline's scores f64[N], each from folds without it; members bool[N]."""
    return intervals.auc_estimate(values, members, LEVEL).widened(TWICE, CROSS, (0, 1))
