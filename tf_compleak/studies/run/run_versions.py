"""The records of a run's versions, and which of them lost too much accuracy."""

from __future__ import annotations

from typing import Any

from tf_compleak.leakage import version_record
from tf_compleak.leakage.plan import TARGET
from tf_compleak.metrics import intervals
from tf_compleak.studies.run.run_stages import Observation, Training, VersionFile
from tf_compleak.types import ORIGINAL, Failure, Version

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


def record(source: Any, name: str) -> Version:
    """The record of one of the target's versions (of a `Source`)."""
    facts = VersionFile(TARGET, name).stage(source).facts() or {}
    answers = Observation(TARGET, name).stage(source).facts()
    left = facts.get("left_alone", {"kernels": (), "share": 0.0})
    target, validation = None, None
    if answers:
        target = source.observations(TARGET, _beside_original(source, name))
        count = len(source.splits[TARGET].validation)
        validation = intervals.proportion(answers["correct_validation"], count)
    return version_record.record(
        name,
        target,
        recipe=name,
        path=f"families/target/versions/{name}/model.tflite" if facts else "",
        bytes=facts.get("bytes", 0),
        gzip_bytes=facts.get("gzip_bytes", 0),
        validation_accuracy=validation,
        resolution=(answers or {}).get("resolution", 0.0),
        notes=(*_notes(source, name), *_left_alone(name, left)),
        left_alone=tuple(left["kernels"]),
        left_alone_share=left["share"],
    )


def _beside_original(source: Any, name: str) -> tuple[str, ...]:
    """The version, after the original where that was asked."""
    known = ORIGINAL in source.study.versions and name != ORIGINAL
    if known and Observation(TARGET, ORIGINAL).stage(source).facts():
        return ORIGINAL, name
    return (name,)


def accuracy_failure(source: Any, name: str) -> Failure | None:
    """A Failure when the version lost too much validation accuracy in any family."""
    for family, split in source.splits.items():
        before = Training(family).stage(source).facts()["validation_accuracy"]
        correct = Observation(family, name).stage(source).facts()["correct_validation"]
        after = correct / len(split.validation)
        if before - after > source.study.max_accuracy_drop:
            return Failure(
                name,
                f"validation accuracy of the {family} fell by {before - after:.3f} "
                f"({before:.3f} to {after:.3f}, n = {len(split.validation)}), more than "
                f"--max_accuracy_drop={source.study.max_accuracy_drop:g}",
            )
    return None


def _notes(source: Any, name: str) -> tuple[str, ...]:
    study, notes = source.study, []
    if name == "int8-ptq":
        count = len(source.calibration(TARGET))
        kind = {"validation": "held-out non-member", "members": "member"}[study.calibration]
        notes.append(f"activation ranges found on {count} {kind} examples")
    if name == "dynamic-ptq":
        notes.append("the converter leaves kernels of fewer than 1,024 weights in float32")
    if name.startswith("clustering-") and len(source.examples.x.shape) == 4:
        notes.append("batch normalization kept out of the kernels, which would lose their clusters")
    if source.holds_texts:
        notes += [note for kind, note in TEXT_NOTES.items() if name.startswith(kind)]
    return tuple(notes)


def _left_alone(name: str, left: dict[str, Any]) -> tuple[str, ...]:
    """A note on the kernels that pruning or clustering left as they were."""
    if not left["kernels"]:
        return ()
    done = "pruned" if name.startswith("pruning-") else "clustered"
    kinds = ", ".join(sorted({kernel.rsplit("/", 1)[-1] for kernel in left["kernels"]}))
    count, share = len(left["kernels"]), left["share"]
    return (f"{count} kernels ({kinds}), {share:.1%} of all kernels' weights, are not {done}",)
