"""From scores to a report: figures with intervals, paired gains, sanity. Reads finished stages."""

from __future__ import annotations

import numpy as np

from tf_compleak.engine.workdir import Stage, slug
from tf_compleak.leakage import report_rows
from tf_compleak.metrics import intervals
from tf_compleak.studies.run.source import BLIND, Source, nulled
from tf_compleak.studies.study import Run, Study, runs
from tf_compleak.types import Estimate, Failure, Scores, Version, seeds
from tf_compleak.types.findings import Result, Sanity

SANITY_LEVEL = 0.99
_WHAT = (
    "attention and dense kernels and embedding tables; biases and normalization are as they were"
)
TEXT_NOTES = {
    "pruning-": f"pruned: {_WHAT}",
    "clustering-": f"clustered: {_WHAT}",
    "int8-ptq": "token ids stay int32, what has no INT8 form stays in float; attention masks "
    "subtract 16, not 1e9, from scores, which leaves INT8 some steps",
    "int8-qat": "dense layers in INT8; attention, embeddings and normalization in float32",
}


def version(source: Source, name: str, failure: Failure | None) -> Version:
    """The record of one of the target's versions."""
    made = source.version("target", name)
    seen = source.observation("target", name).facts() or {}
    split = source.splits["target"]
    facts = made.facts() or {}
    kept = facts.get("left_alone", {"kernels": (), "share": 0.0})

    def share(key, count):
        return intervals.proportion(seen[key], count) if key in seen else None

    return Version(
        name=name,
        recipe=name,
        path=f"families/target/versions/{name}/model.tflite" if facts else "",
        bytes=facts.get("bytes", 0),
        gzip_bytes=facts.get("gzip_bytes", 0),
        member_accuracy=share("correct_members", len(split.members)),
        non_member_accuracy=share("correct_non_members", len(split.non_members)),
        validation_accuracy=share("correct_validation", len(split.validation)),
        status="failed" if failure else "ok",
        resolution=seen.get("resolution", 0.0),
        notes=(*_notes(source, name), *_kept(name, kept)),
        left_alone=tuple(kept["kernels"]),
        left_alone_share=kept["share"],
    )


def _notes(source: Source, name: str) -> tuple[str, ...]:
    study = source.study
    found = []
    if name == "int8-ptq":
        seen = len(source.calibration("target"))
        kind = {"validation": "held-out non-member", "members": "member"}[study.calibration]
        found.append(f"activation ranges found on {seen} {kind} examples")
    if name == "dynamic-ptq":
        found.append("the converter leaves kernels of fewer than 1,024 weights in float32")
    if name.startswith("clustering-") and len(source.examples.x.shape) == 4:
        found.append("batch normalization kept out of the kernels, which would lose their clusters")
    if source.holds_texts:
        found += [note for kind, note in TEXT_NOTES.items() if name.startswith(kind)]
    return tuple(found)


def _kept(name: str, kept: dict) -> tuple[str, ...]:
    """A note on the kernels that pruning or clustering left as they were."""
    if not kept["kernels"]:
        return ()
    done = "pruned" if name.startswith("pruning-") else "clustered"
    kinds = ", ".join(sorted({each.rsplit("/", 1)[-1] for each in kept["kernels"]}))
    count, share = len(kept["kernels"]), kept["share"]
    return (f"{count} kernels ({kinds}), {share:.1%} of all kernels' weights, are not {done}",)


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


def pooled(
    source: Source, pairs: list[report_rows.Key], count: int | None = None
) -> dict[report_rows.Key, report_rows.Pooled]:
    """The scores of finished attacks, over all targets, fitted on `count` shadows (or all)."""
    study, found = source.study, {}
    for attack, release in pairs:
        made = runs(study, attack, release, count)
        parts = [_scores(source.attack(run)) for run in made]
        ids = [source.splits[run.target].scored for run in made]
        found[attack, release] = report_rows.pool(parts, ids, len(made[0].shadows))
    return found


def rows(
    study: Study, scores: dict[report_rows.Key, report_rows.Pooled], tell=lambda *_: None
) -> tuple[Result, ...]:
    """One row for each finished attack; SR and MR rows carry their gain over the best NR row."""
    made = []
    for (attack, release), own in scores.items():
        tell("figures with intervals", len(made), len(scores) + 1, attack)
        rng = seeds.generator(study.seed, "intervals", attack, slug(release))
        made.append(report_rows.row(attack, release, own, rng, study.delta))
    tell("figures with intervals", 1, 1, "")
    return report_rows.with_gains(made, scores)


def _scores(stage: Stage) -> Scores:
    values, members = arrays(stage)
    return Scores(values, members, stage.facts()["threshold"])


def arrays(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Scores f64[N] and members bool[N] of a finished attack."""
    folder = stage.folder()
    return tuple(
        np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("scores", "members")
    )


def sanity(source: Source, null: Run, errors: dict[str, str]) -> Sanity:
    """The AUC of a null run and of the blind baseline, with 99 % intervals.

    `errors` holds the reasons of those that could not be made, by "null run", "blind baseline".
    """
    return Sanity(
        null_auc=_sanity_auc(source.attack(nulled(null)), errors.get("null run")),
        blind_auc=_sanity_auc(source.attack(BLIND), errors.get("blind baseline")),
    )


def _sanity_auc(stage: Stage, error: str | None) -> Estimate:
    if error is not None:
        return Estimate.unmeasurable(error, 0, SANITY_LEVEL)
    return intervals.auc_estimate(*arrays(stage), level=SANITY_LEVEL)
