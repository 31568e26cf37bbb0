"""The records of a run's versions, and which of them lost too much accuracy."""

from __future__ import annotations

from typing import Any

from tf_compleak.compression import recipes
from tf_compleak.leakage import version_record
from tf_compleak.leakage.plan import TARGET
from tf_compleak.metrics import intervals
from tf_compleak.studies.run.run_stages import Observation, Training, VersionFile
from tf_compleak.types import ORIGINAL, Estimate, Failure, Version

_WHAT = (
    "attention and dense kernels and embedding tables; biases and normalization are as they were"
)
GUESSES = (
    "no better than guessing on members: are inputs as it takes them (float32, images in 0..1)?"
)
CALIBRATED_ON = {
    "validation": "validation examples, in no training set",
    "members": "members",
}
TEXT_NOTES = {
    "pruning-": f"pruned: {_WHAT}",
    "clustering-": f"clustered: {_WHAT}",
    "int8-ptq": "token ids stay int32, what has no INT8 form stays in float; attention masks "
    "subtract 16, not 1e9, from scores, which leaves INT8 some steps",
    "int8-qat": "dense layers in INT8; attention, embeddings and normalization in float32",
}


def calibrated(source: Any) -> bool:
    """Whether a version of the study has activation ranges that are found on examples."""
    study = source.study
    return not study.makes_versions and any(map(_calibrated, study.versions))


def _calibrated(name: str) -> bool:
    return recipes.calibrated(recipes.parse(name))


def representative_data(source: Any) -> str:
    """What activation ranges are found on, for the report."""
    if source.study.makes_versions:
        return "whatever the family's own code takes"
    if not calibrated(source):
        return "none: no version takes any"
    return CALIBRATED_ON[source.study.calibration]


def record(source: Any, name: str) -> Version:
    """The record of one of the target's versions (of a `Source`)."""
    facts = VersionFile(TARGET, name).stage(source).facts() or {}
    answers = Observation(TARGET, name).stage(source).facts()
    left = facts.get("left_alone", {"kernels": (), "share": 0.0})
    target, validation, lost = None, None, {}
    if answers:
        target = source.observations(TARGET, _beside_original(source, name))
        validation = validation_accuracy(source, TARGET, name)
        if name != ORIGINAL and _reference(source, TARGET):
            lost = {"relative_loss": _relative_loss(source, TARGET, name)}
    return version_record.record(
        name,
        target,
        **lost,
        recipe=name,
        path=_path(name, facts),
        output=(answers or {}).get("output", "probabilities"),
        bytes=facts.get("bytes", 0),
        gzip_bytes=facts.get("gzip_bytes", 0),
        validation_accuracy=validation,
        resolution=(answers or {}).get("resolution", 0.0),
        notes=(*_notes(source, name, answers or {}), *_left_alone(name, left)),
        left_alone=tuple(left["kernels"]),
        left_alone_share=left["share"],
    )


def _path(name: str, facts: dict[str, Any]) -> str:
    """Of a version's file; "" where there is none, as of functions."""
    file = facts.get("file", "" if not facts or "function" in facts else "model.tflite")
    return f"families/target/versions/{name}/{file}" if file else ""


def _beside_original(source: Any, name: str) -> tuple[str, ...]:
    """The version, after the original where that was asked."""
    beside = ORIGINAL in source.study.versions and name != ORIGINAL
    if beside and Observation(TARGET, ORIGINAL).stage(source).facts():
        return ORIGINAL, name
    return (name,)


def failure(source: Any, name: str) -> Failure | None:
    """A Failure of a version that was asked in every family, but cannot be used; None otherwise."""
    return mismatch(source, name) or accuracy_failure(source, name)


def accuracy_failure(source: Any, name: str) -> Failure | None:
    """A Failure when the version lost too much validation accuracy in any family.

    Judged by the share of what the original's has above guessing: half of a weak model is much.
    """
    for family in source.splits:
        if not _reference(source, family):
            continue
        loss = _relative_loss(source, family, name)
        if loss.value > source.study.max_accuracy_drop:
            before = _trained_accuracy(source, family).value
            after = validation_accuracy(source, family, name).value
            return Failure(
                name,
                f"validation accuracy of the {family} lost {loss.value:.1%} of what the original "
                f"has above guessing ({before:.3f} to {after:.3f}, guessing "
                f"{_guessing(source, family):.3f}, n = {loss.n}), more than "
                f"--max_accuracy_drop={source.study.max_accuracy_drop:g}",
            )
    return None


def validation_accuracy(source: Any, family: str, name: str) -> Estimate:
    """Of one version of a family."""
    correct = Observation(family, name).stage(source).facts()["correct_validation"]
    return intervals.proportion(correct, len(source.splits[family].validation))


def _reference(source: Any, family: str) -> bool:
    """Whether it is known how good the trained model is: of the user's own, if it is a version."""
    if not source.study.makes_versions:
        return True
    asked = ORIGINAL in source.study.versions
    return asked and Observation(family, ORIGINAL).stage(source).facts() is not None


def mismatch(source: Any, name: str) -> Failure | None:
    """A Failure when a version is of one shape or kind in the target and another in a shadow."""
    target = Observation(TARGET, name).stage(source).facts() or {}
    for family in source.splits:
        facts = Observation(family, name).stage(source).facts() or {}
        for key, does in (("input_shape", "takes inputs of shape"), ("output", "answers with")):
            if facts.get(key) != target.get(key):
                return Failure(
                    name, f"{family}: {does} {facts.get(key)}, the target's {target.get(key)}"
                )
    return None


def _trained_accuracy(source: Any, family: str) -> Estimate:
    """That of the model that was trained, whether it is one of the versions or not."""
    if source.study.makes_versions:
        return validation_accuracy(source, family, ORIGINAL)
    share = Training(family).stage(source).facts()["validation_accuracy"]
    count = len(source.splits[family].validation)
    return intervals.proportion(round(share * count), count)


def _guessing(source: Any, family: str) -> float:
    return version_record.guessing(source.examples.y[source.splits[family].members])


def _relative_loss(source: Any, family: str, name: str) -> Estimate:
    before = _trained_accuracy(source, family)
    after = validation_accuracy(source, family, name)
    return version_record.relative_loss(before, after, _guessing(source, family))


def _notes(source: Any, name: str, answers: dict[str, Any]) -> tuple[str, ...]:
    study, notes = source.study, []
    if study.makes_versions:
        isolation, guess = answers.get("isolation"), _guessing(source, TARGET)
        members = len(source.splits[TARGET].members)
        is_guess = bool(answers) and answers["correct_members"] <= guess * members
        return (
            *([GUESSES] if is_guess else []),
            f"made by the user's own code; outputs read as {answers.get('output', 'none')}",
            *([answers["repeated"]] if "repeated" in answers else []),
            *([f"isolation: {isolation}"] if isolation else ["asked where it was trained"]),
        )
    if _calibrated(name):
        count = len(source.calibration(TARGET))
        notes.append(f"activation ranges found on {count} {CALIBRATED_ON[study.calibration]}")
    steps = name.split("+")
    if "dynamic-ptq" in steps:
        notes.append("the converter leaves kernels of fewer than 1,024 weights in float32")
    clusters = recipes.step(recipes.parse(name), recipes.Clustering)
    if clusters and len(steps) > 1 and steps[-1] != str(clusters):
        notes.append(
            f"integers have a scale for every output channel: at most {clusters.clusters} values "
            "in each channel of a kernel, not in all of it"
        )
    elif clusters and len(source.examples.x.shape) == 4:
        notes.append("batch normalization kept out of the kernels, which would lose their clusters")
    if source.holds_texts:
        notes += [
            note
            for kind, note in TEXT_NOTES.items()
            if any(step.startswith(kind) for step in steps)
        ]
    return tuple(notes)


def _left_alone(name: str, left: dict[str, Any]) -> tuple[str, ...]:
    """A note on the kernels that pruning or clustering left as they were."""
    if not left["kernels"]:
        return ()
    kinds = {"pruning": "pruned", "clustering": "clustered"}
    done = " or ".join(done for kind, done in kinds.items() if f"{kind}-" in name)
    kinds = ", ".join(sorted({kernel.rsplit("/", 1)[-1] for kernel in left["kernels"]}))
    count, share = len(left["kernels"]), left["share"]
    return (f"{count} kernels ({kinds}), {share:.1%} of all kernels' weights, are not {done}",)
