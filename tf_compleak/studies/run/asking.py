"""What a run asks its versions: their examples, and what else some attacks need."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tf_compleak.inference import copies, observe
from tf_compleak.inference.interpreter import TFLiteModel
from tf_compleak.studies.run.run_stages import Extra, Observation, VersionFile
from tf_compleak.studies.run.source import Source
from tf_compleak.types import seeds
from tf_compleak.types.progress import Progress

BLOCK = 4096  # examples that are held as floats at a time


def observe_examples(
    progress: Progress, source: Source, stage: Observation, folder: Path, facts: dict
) -> None:
    """Probabilities of a version on its family's examples, and how often it is right."""
    split = source.splits[stage.family]
    model = _model(source, stage)
    total, done = len(split.scored) + len(split.validation), 0

    def tell(rows):
        nonlocal done
        done += rows
        progress(done, total, "querying")

    x, y = source.take(stage.family, split.scored)
    probabilities = observe.observe(model, x, "probabilities", tell)
    right = probabilities.argmax(axis=1) == y
    x, y = source.take(stage.family, split.validation)
    validated = observe.observe(model, x, "probabilities", tell).argmax(axis=1) == y
    np.save(folder / "probabilities.npy", probabilities, allow_pickle=False)
    facts["resolution"] = model.resolution
    facts["correct_members"] = int(right[split.is_member].sum())
    facts["correct_non_members"] = int(right[~split.is_member].sum())
    facts["correct_validation"] = int(validated.sum())


def ask_more(progress: Progress, source: Source, stage: Extra, folder: Path, facts: dict) -> None:
    """Ask one version what some attacks need beyond its confidences."""
    ask = {"aside": _aside, "sensitivities": _sensitivities, "augmented": _augmented}
    for name, array in ask[stage.kind](progress, source, stage).items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def _model(source: Source, stage: Observation | Extra) -> TFLiteModel:
    file = VersionFile(stage.family, stage.version).stage(source).folder() / "model.tflite"
    return TFLiteModel(str(file), threads=source.study.threads)


def _aside(progress: Progress, source: Source, stage: Extra) -> dict[str, np.ndarray]:
    indices = source.aside(stage.family)
    return {"probabilities": _probabilities(progress, source, stage, indices)}


def _probabilities(
    progress: Progress,
    source: Source,
    stage: Extra,
    indices: np.ndarray,
    change: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """f32[N, C] of a version on examples, in blocks."""
    model = _model(source, stage)
    blocks = [np.empty((0, source.examples.classes), np.float32)]  # where no example is aside
    for start in range(0, len(indices), BLOCK):
        x = source.model_inputs(stage.family, indices[start : start + BLOCK])
        blocks.append(observe.observe(model, x if change is None else change(x), "probabilities"))
        progress(start + len(x), len(indices), "querying")
    return np.concatenate(blocks)


def _sensitivities(progress: Progress, source: Source, stage: Extra) -> dict[str, np.ndarray]:
    study, indices, done = source.study, source.splits[stage.family].scored, 0

    def tell(rows):
        nonlocal done
        done += rows
        progress(done, len(indices) * (study.sensitivity_queries + 1), "querying with noise")

    values = observe.sensitivities(
        _model(source, stage),
        source.model_inputs(stage.family, indices),
        "probabilities",
        queries=study.sensitivity_queries,
        epsilon=study.sensitivity_epsilon,
        rng=seeds.generator(study.seed, "sensitivity", stage.family),
        on_batch=tell,
    )
    return {"sensitivities": values}


def _augmented(progress: Progress, source: Source, stage: Extra) -> dict[str, np.ndarray]:
    """f32[Q, N] logits on copies of the scored examples, and of those aside that attacks use."""
    from tf_compleak.attacks import features

    study = source.study
    resolution = Observation(stage.family, stage.version).stage(source).facts()["resolution"]
    parts = {"augmented": source.splits[stage.family].scored}
    if study.split == "disjoint":
        parts["aside"] = source.aside(stage.family)
    return {
        name: np.float32(
            [
                features.logits(
                    _probabilities(tell, source, stage, indices, change),
                    source.examples.y[indices],
                    resolution,
                )
                for change, tell in _changes(progress, study.queries)
            ]
        )
        for name, indices in parts.items()
    }


def _changes(progress: Progress, count: int) -> Sequence[tuple[Callable, Progress]]:
    """Every change of a copy, with the part of the progress that asking with it makes."""
    return [
        (change, functools.partial(_within, progress, number, count))
        for number, change in enumerate(copies.changes(count))
    ]


def _within(progress: Progress, number: int, of: int, done: int, total: int, text: str) -> None:
    progress(number * total + done, of * total, text)
