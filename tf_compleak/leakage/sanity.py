"""The two checks of a report: the null run and the blind baseline."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_compleak.engine.stage import Stage
from tf_compleak.leakage import crossfit, report_rows, scoring
from tf_compleak.leakage.plan import NULL_RUN
from tf_compleak.leakage.provider import Provider
from tf_compleak.metrics import intervals
from tf_compleak.types import Estimate, Texts, seeds
from tf_compleak.types.findings import NO_INPUTS, Sanity
from tf_compleak.types.progress import Progress

LEVEL = 0.99
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
    for name, array in (("values", values), ("members", inputs.members)):
        np.save(os.path.join(folder, f"{name}.npy"), array, allow_pickle=False)


def sanity(null: Stage | None, blind_stage: Stage | None, errors: Mapping[str, str]) -> Sanity:
    """AUCs of the null run and of the blind baseline, with 99 % intervals.

    Args:
      blind_stage: None where there are no inputs.
      errors: reasons of what could not be made, by `NULL_RUN` and `BLIND`.
    """
    null_auc = Estimate.unmeasurable(errors.get(NULL_RUN, "not run"), 0, LEVEL)
    if NULL_RUN not in errors and null is not None and null.facts() is not None:
        null_auc = _null_auc(scoring.read(null))
    if blind_stage is None:
        return Sanity(null_auc, Estimate.unmeasurable(NO_INPUTS, 0, LEVEL))
    return Sanity(null_auc, _blind_auc(blind_stage, errors.get(BLIND)))


def _null_auc(scores: scoring.RunScores) -> Estimate:
    auc = intervals.auc_estimate(scores.values, scores.members, LEVEL)
    if scores.noise is None or not auc.measurable:
        return auc
    half = auc.n // 2
    factor = crossfit.widening(auc.value, half, half, scores.noise)
    return auc.widened(factor, report_rows.CROSS, (0, 1))


def _blind_auc(stage: Stage, error: str | None) -> Estimate:
    if error is not None or stage.facts() is None:
        return Estimate.unmeasurable(error or "not run", 0, LEVEL)
    folder = stage.folder()
    values, members = (
        np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("values", "members")
    )
    return intervals.auc_estimate(values, members, LEVEL)
