"""From scores to a report: figures with intervals, paired gains, sanity. Reads finished stages."""

from __future__ import annotations

import dataclasses

import numpy as np

from tf_compleak import _seeds
from tf_compleak.metrics import intervals, roc
from tf_compleak.stages import NULL, Source
from tf_compleak.types import (
    Estimate,
    Failure,
    Release,
    Result,
    Sanity,
    Scores,
    Version,
    tier,
)
from tf_compleak.workdir import Stage, slug

FPRS = (0.1, 0.01, 0.001)
SANITY_LEVEL = 0.99


def version(source: Source, name: str, failure: Failure | None) -> Version:
    """The record of one of the target's versions."""
    made = source.version("target", name)
    seen = source.observation("target", name).facts() or {}
    split = source.splits["target"]
    facts = made.facts() or {}

    def share(key, count):
        return intervals.proportion(seen[key], count) if key in seen else None

    return Version(
        name=name,
        recipe=name,
        path=str((made.path / "model.tflite").relative_to(source.root)) if facts else "",
        bytes=facts.get("bytes", 0),
        gzip_bytes=facts.get("gzip_bytes", 0),
        member_accuracy=share("correct_members", len(split.members)),
        non_member_accuracy=share("correct_non_members", len(split.non_members)),
        validation_accuracy=share("correct_validation", len(split.validation)),
        status="failed" if failure else "ok",
        resolution=seen.get("resolution", 0.0),
        notes=_notes(source, name),
    )


def _notes(source: Source, name: str) -> tuple[str, ...]:
    study = source.study
    if name == "int8-ptq":
        seen = len(source.calibration("target"))
        kind = {"validation": "held-out non-member", "members": "member"}[study.calibration]
        return (f"activation ranges found on {seen} {kind} examples",)
    if name == "dynamic-ptq":
        return ("the converter leaves kernels of fewer than 1,024 weights in float32",)
    if name.startswith("clustering-"):
        return ("batch normalization kept out of the kernels, which would lose their clusters",)
    return ()


def accuracy_failure(source: Source, name: str) -> Failure | None:
    """A Failure when the version lost too much validation accuracy in any family."""
    for family, split in source.splits.items():
        before = source.training(family).facts()["validation_accuracy"]
        correct = source.observation(family, name).facts()["correct_validation"]
        after = correct / len(split.validation)
        if before - after > source.study.max_accuracy_drop:
            return Failure(
                name,
                f"validation accuracy of the {family} fell by {before - after:.3f} "
                f"({before:.3f} to {after:.3f}, n = {len(split.validation)}), more than "
                f"--max_accuracy_drop={source.study.max_accuracy_drop:g}",
            )
    return None


def results(source: Source, done: list[tuple[str, Release]]) -> tuple[Result, ...]:
    """One row for each finished attack; SR and MR rows carry their gain over the best NR row."""
    scores = {(attack, release): _scores(source, attack, release) for attack, release in done}
    rows = [_row(source.study.seed, *key, value) for key, value in scores.items()]
    single = [row for row in rows if row.tier == "NR"]
    best = max(single, key=lambda row: row.auc.value, default=None)
    if best is None:
        return tuple(rows)
    reference = scores[best.attack, best.release]
    return tuple(
        row
        if row.tier == "NR"
        else _with_gain(row, scores[row.attack, row.release], best, reference)
        for row in rows
    )


def _scores(source: Source, attack: str, release: Release) -> Scores:
    stage = source.attack(attack, release)
    values, members = arrays(stage)
    return Scores(values, members, stage.facts()["threshold"])


def arrays(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Scores f64[N] and members bool[N] of a finished attack."""
    return tuple(
        np.load(stage.path / f"{name}.npy", allow_pickle=False) for name in ("scores", "members")
    )


def _row(seed: int, attack: str, release: Release, scores: Scores) -> Result:
    values, members = scores.values, scores.members
    rng = _seeds.generator(seed, "intervals", attack, slug(release))
    return Result(
        tier=tier(release),
        release=release,
        attack=attack,
        n_members=int(members.sum()),
        n_non_members=int((~members).sum()),
        accuracy=intervals.balanced_accuracy_estimate(values, members, scores.threshold),
        auc=intervals.auc_estimate(values, members),
        tpr_at_fpr={
            fpr: intervals.tpr_at_fpr_estimate(values, members, fpr, rng=rng) for fpr in FPRS
        },
        roc=roc.thin(*roc.roc_curve(values, members), points=100),
    )


def _with_gain(row: Result, scores: Scores, best: Result, reference: Scores) -> Result:
    gain = intervals.auc_difference(scores.values, reference.values, scores.members)
    return dataclasses.replace(row, auc_gain=gain, gain_over=(best.release, best.attack))


def sanity(source: Source, null: tuple[str, Release], errors: dict[str, str]) -> Sanity:
    """The AUC of the null run of an attack on a release and of the blind baseline, at 99 %.

    `errors` holds the reasons of those that could not be made, by "null run", "blind baseline".
    """
    attack, release = null
    return Sanity(
        null_auc=_sanity_auc(source.attack(NULL + attack, release), errors.get("null run")),
        blind_auc=_sanity_auc(source.attack("blind", ()), errors.get("blind baseline")),
    )


def _sanity_auc(stage: Stage, error: str | None) -> Estimate:
    if error is not None:
        return Estimate.unmeasurable(error, 0, SANITY_LEVEL)
    return intervals.auc_estimate(*arrays(stage), level=SANITY_LEVEL)
