"""What a run asks its versions: their examples, and what else some attacks need."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.inference import copies, observe
from tf_compleak.inference.interpreter import TFLiteModel
from tf_compleak.studies.run import made_versions
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
    indices, count = np.concatenate([split.scored, split.validation]), len(split.scored)
    observe_ = made_versions.observe if source.study.makes_versions else _observed
    probabilities = observe_(progress, source, stage, indices, facts)
    right = probabilities.argmax(axis=1) == source.examples.y[indices]
    np.save(folder / "probabilities.npy", probabilities[:count], allow_pickle=False)
    facts["correct_members"] = int(right[:count][split.is_member].sum())
    facts["correct_non_members"] = int(right[:count][~split.is_member].sum())
    facts["correct_validation"] = int(right[count:].sum())


def _observed(
    progress: Progress, source: Source, stage: Observation, indices: np.ndarray, facts: dict
) -> np.ndarray:
    """f32[N, C] of one of our own files."""
    done, split = 0, source.splits[stage.family]

    def tell(rows):
        nonlocal done
        done += rows
        progress(done, len(indices), "querying")

    with _model(source, stage) as model:
        facts["resolution"] = model.resolution
        parts = [source.model_inputs(stage.family, of) for of in (split.scored, split.validation)]
        said = [observe.observe(model, x, "probabilities", tell) for x in parts]
    return np.concatenate(said)


def ask_more(progress: Progress, source: Source, stage: Extra, folder: Path, facts: dict) -> None:
    """Ask one version what some attacks need beyond its confidences."""
    ask = {"aside": _aside, "sensitivities": _sensitivities, "augmented": _augmented}
    for name, array in ask[stage.kind](progress, source, stage).items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


@contextlib.contextmanager
def _model(source: Source, stage: Observation | Extra) -> Iterator[Any]:
    if source.study.makes_versions:
        with made_versions.opened(source, stage) as model:
            yield model
    else:
        file = VersionFile(stage.family, stage.version).stage(source).folder() / "model.tflite"
        yield TFLiteModel(str(file), threads=source.study.threads)


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
    blocks = [np.empty((0, source.examples.classes), np.float32)]  # where no example is aside
    with _model(source, stage) as model:
        if isinstance(model, made_versions.MadeFunction):
            if change is not None:
                raise ValueError(made_versions.GONE)
            return model.probabilities(indices)
        for start in range(0, len(indices), BLOCK):
            x = source.model_inputs(stage.family, indices[start : start + BLOCK])
            x = x if change is None else change(x)
            blocks.append(observe.observe(model, x, "probabilities"))
            progress(start + len(x), len(indices), "querying")
    return np.concatenate(blocks)


def _sensitivities(progress: Progress, source: Source, stage: Extra) -> dict[str, np.ndarray]:
    study, indices, done = source.study, source.splits[stage.family].scored, 0

    def tell(rows):
        nonlocal done
        done += rows
        progress(done, len(indices) * (study.sensitivity_queries + 1), "querying with noise")

    with _model(source, stage) as model:
        if isinstance(model, made_versions.MadeFunction):
            raise ValueError(made_versions.GONE)
        values = observe.sensitivities(
            model,
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
