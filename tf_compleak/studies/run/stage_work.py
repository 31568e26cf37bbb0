"""The stages of a study: pure functions from (study, files) to files.

Each writes one folder of the workdir, marked with the fingerprint of what it came from, and does
nothing when that folder is already there. They run in worker processes; `progress(done, total,
text)` is how they tell what they are at.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_compleak.attacks.contract import Attack
from tf_compleak.compression import Tuning, compress, left_alone, recipes
from tf_compleak.data import sources, text
from tf_compleak.engine.workdir import Stage, slug, write_text
from tf_compleak.studies.run.architecture import check, spec
from tf_compleak.studies.run.source import (
    BLIND,
    Source,
    arrays_of,
    data_stage,
    digest,
    extras,
    nulled,
    opened,
    splits_of,
)
from tf_compleak.studies.study import Run, Study
from tf_compleak.types import seeds

Progress = Callable[..., None]
BLOCK = 4096  # examples that are held as floats at a time


# Data ---------------------------------------------------------------------------------------------


def data(progress: Progress, study: Study, root: str, data_dir: str | None) -> dict[str, Any]:
    """Load the data set once and keep it in memory-mapped form."""
    stage = data_stage(study, root)
    if not data_is_current(study, root, data_dir):
        stamp = sources.stamp(study.dataset, data_dir)
        examples = sources.load(study.dataset, data_dir=data_dir, tfds_split=study.tfds_split)
        check(study, examples)
        splits_of(study, examples)
        with stage.writing() as (folder, facts):
            saved = arrays_of(examples)
            for name, array in saved.items():
                np.save(folder / f"{name}.npy", array, allow_pickle=False)
            facts["classes"] = examples.classes
            facts["shape"] = list(examples.x.shape)
            facts["sha256"] = digest(*saved.values())
            facts["stamp"] = stamp
    return stage.facts()


def data_is_current(study: Study, root: str, data_dir: str | None) -> bool:
    """Whether the data set was loaded, from files that have not changed since (or have gone)."""
    facts = data_stage(study, root).facts()
    if facts is None:
        return False
    return sources.stamp(study.dataset, data_dir) in (None, facts["stamp"])


# Texts --------------------------------------------------------------------------------------------


def preset(progress: Progress, study: Study, root: str) -> None:
    """Load a preset once: its weights, its sizes, its vocabulary."""
    from tf_compleak.models import keras_nlp_bridge

    backbone, tokenizer = keras_nlp_bridge.load_preset(study.model, study.preset)
    text.check_length(study.sequence_length, backbone.max_sequence_length, study.preset)
    vocabulary = text.of_preset(study.model, tokenizer)
    weights = keras_nlp_bridge.weights_of(backbone)
    with Source(study, root).preset().writing() as (folder, facts):
        np.savez(folder / "weights.npz", **{k.replace("/", "|"): v for k, v in weights.items()})
        write_text(folder / "vocabulary.json", json.dumps(vocabulary.to_json()))
        facts["sha256"] = digest(*weights.values())
        facts["vocabulary"] = backbone.vocabulary_size + (study.model == "gpt2")
        facts["positions"], facts["heads"] = backbone.max_sequence_length, backbone.num_heads
        facts["depth"], facts["width"] = backbone.num_layers, backbone.hidden_dim
        facts["feed_forward"] = backbone.intermediate_dim


def tokens(progress: Progress, study: Study, root: str, family: str) -> None:
    """Learn or read the vocabulary of a family, and turn the texts into token ids once."""
    src = opened(study, root)
    stage, learned = src.tokens(family), src.learned_from(family)
    if stage.facts() is not None:
        return
    if learned is not None:
        vocabulary = text.train(study.model, src.examples.x[learned], study.vocabulary_size)
    elif study.vocabulary not in text.OWN:
        vocabulary = text.read(study.model, study.vocabulary)
    else:
        saved = (src.preset().folder() / "vocabulary.json").read_text(encoding="utf-8")
        vocabulary = text.Vocabulary.from_json(json.loads(saved))
    ids = vocabulary.encode(src.examples.x[src.used], study.sequence_length)
    with stage.writing() as (folder, facts):
        np.save(folder / "x.npy", ids, allow_pickle=False)
        saved = json.dumps(vocabulary.to_json())
        write_text(folder / "vocabulary.json", saved)
        facts["size"] = vocabulary.size
        facts["sha256"] = digest(ids, np.frombuffer(saved.encode(), np.uint8))


# Families -----------------------------------------------------------------------------------------


def _optimization(study: Study, epochs: int, learning_rate: float):
    from tf_compleak.models.trainer import Optimization

    return Optimization(
        epochs,
        study.batch_size,
        learning_rate,
        study.momentum,
        study.weight_decay,
        optimizer=study.optimizer,
    )


def train(progress: Progress, study: Study, root: str, family: str) -> None:
    """Train a family's original on its members; --checkpoint=best is chosen on validation."""
    from tf_compleak.models import curve, training

    src = opened(study, root)
    split = src.splits[family]

    def tell(epoch, accuracy):
        text = f"accuracy {epoch.accuracy:.3f}, validation {accuracy:.3f}"
        progress(epoch.index, study.epochs, text)

    weights, history = training.train(
        spec(src),
        _optimization(study, study.epochs, study.learning_rate),
        src.take(family, split.members),
        src.take(family, split.validation),
        seeds.generator(study.seed, "train", family),
        study.augmentation,
        study.mixed_precision,
        study.early_stopping,
        study.checkpoint,
        tell,
    )
    with src.training(family).writing() as (folder, facts):
        np.savez(folder / "weights.npz", **{f"w{i:04}": w for i, w in enumerate(weights)})
        curve.write(folder, history)
        found = [accuracy for _, accuracy in history]
        facts["validation_accuracy"] = found[-1] if study.checkpoint == "last" else max(found)


def version(progress: Progress, study: Study, root: str, family: str, name: str) -> None:
    """Make one version's `.tflite` file from the trained weights, and query it."""
    src = opened(study, root)
    if src.version(family, name).facts() is None:
        _compress(progress, src, family, name)
    if src.observation(family, name).facts() is None:
        _observe(progress, src, family, name)


def _compress(progress: Progress, src: Source, family: str, name: str) -> None:
    study = src.study
    with np.load(src.training(family).folder() / "weights.npz", allow_pickle=False) as saved:
        weights = [saved[key] for key in sorted(saved.files)]
    content = compress(
        recipes.parse(name),
        weights,
        spec(src),
        Tuning(
            _optimization(study, study.finetune_epochs, study.pruning_learning_rate),
            _optimization(study, study.finetune_epochs, study.clustering_learning_rate),
            _optimization(study, study.finetune_epochs, study.quantization_learning_rate),
        ),
        src.take(family, src.splits[family].members),
        src.inputs(family, src.calibration(family)),
        seeds.generator(study.seed, "version", family, name),
        lambda epoch: progress(
            epoch.index, study.finetune_epochs, f"accuracy {epoch.accuracy:.3f}"
        ),
    )
    with src.version(family, name).writing() as (folder, facts):
        (folder / "model.tflite").write_bytes(content)
        facts["bytes"] = len(content)
        facts["gzip_bytes"] = len(gzip.compress(content, compresslevel=9, mtime=0))
        facts["left_alone"] = dataclasses.asdict(left_alone(recipes.parse(name), spec(src)))


def _observe(progress: Progress, src: Source, family: str, name: str) -> None:
    from tf_compleak.inference.interpreter import TFLiteModel
    from tf_compleak.inference.observe import observe

    split = src.splits[family]
    path = src.version(family, name).folder() / "model.tflite"
    model = TFLiteModel(str(path), threads=src.study.threads)
    total = len(split.scored) + len(split.validation)
    done = 0

    def tell(rows):
        nonlocal done
        done += rows
        progress(done, total, "querying")

    x, y = src.take(family, split.scored)
    probabilities = observe(model, x, "probabilities", tell)
    correct = probabilities.argmax(axis=1) == y
    x, y = src.take(family, split.validation)
    validated = observe(model, x, "probabilities", tell).argmax(axis=1) == y
    with src.observation(family, name).writing() as (folder, facts):
        np.save(folder / "probabilities.npy", probabilities, allow_pickle=False)
        facts["resolution"] = model.resolution
        facts["correct_members"] = int(correct[split.is_member].sum())
        facts["correct_non_members"] = int(correct[~split.is_member].sum())
        facts["correct_validation"] = int(validated.sum())


# What else versions are asked ---------------------------------------------------------------------


def extra(progress: Progress, study: Study, root: str, kind: str, family: str, name: str) -> None:
    """Ask one version what some attacks need beyond its confidences: one of `EXTRAS`."""
    src = opened(study, root)
    path = src.version(family, name).folder() / "model.tflite"
    asked = {"aside": _ask_aside, "sensitivities": _ask_sensitivities, "augmented": _ask_augmented}
    arrays = asked[kind](progress, src, family, path, name)
    with src.extra(kind, family, name).writing() as (folder, _):
        for array, values in arrays.items():
            np.save(folder / f"{array}.npy", values, allow_pickle=False)


def _ask_aside(progress: Progress, src: Source, family: str, path, name: str) -> dict:
    indices = src.aside(family)
    return {"probabilities": _asked(progress, src, family, path, [indices])[0]}


def _asked(progress: Progress, src: Source, family: str, path, parts: list, change=None) -> list:
    """Probabilities f32[N, C] of a version on each of `parts` (indices), in blocks."""
    from tf_compleak.inference.interpreter import TFLiteModel
    from tf_compleak.inference.observe import observe

    model = TFLiteModel(str(path), threads=src.study.threads)
    total, done = sum(len(part) for part in parts), 0
    found = []
    for part in parts:
        rows = []
        for start in range(0, len(part), BLOCK):
            x = src.inputs(family, part[start : start + BLOCK])
            rows.append(observe(model, x if change is None else change(x), "probabilities"))
            done += len(x)
            progress(done, total, "querying")
        found.append(np.concatenate(rows))
    return found


def _ask_sensitivities(progress: Progress, src: Source, family: str, path, name: str) -> dict:
    from tf_compleak.inference.interpreter import TFLiteModel
    from tf_compleak.inference.observe import sensitivities

    study, indices = src.study, src.splits[family].scored
    model, done = TFLiteModel(str(path), threads=src.study.threads), 0

    def tell(rows):
        nonlocal done
        done += rows
        progress(done, len(indices) * (study.sensitivity_queries + 1), "querying with noise")

    values = sensitivities(
        model,
        src.inputs(family, indices),
        "probabilities",
        queries=study.sensitivity_queries,
        epsilon=study.sensitivity_epsilon,
        rng=seeds.generator(study.seed, "sensitivity", family),
        on_batch=tell,
    )
    return {"sensitivities": values}


def _ask_augmented(progress: Progress, src: Source, family: str, path, name: str) -> dict:
    """f32[Q, N] logits on copies of the scored examples, and of those aside that attacks use."""
    from tf_compleak.attacks import features
    from tf_compleak.inference import copies

    resolution = src.observation(family, name).facts()["resolution"]
    parts = {"augmented": src.splits[family].scored}
    if src.study.split == "disjoint":
        parts["aside"] = src.aside(family)
    found = {}
    for array, indices in parts.items():
        rows = []
        for number, change in enumerate(copies.changes(src.study.queries)):
            tell = functools.partial(_within, progress, number, src.study.queries)
            confidences = _asked(tell, src, family, path, [indices], change)[0]
            rows.append(features.logits(confidences, src.examples.y[indices], resolution))
        found[array] = np.float32(rows)
    return found


def _within(progress: Progress, number: int, of: int, done: int, total: int, text: str) -> None:
    progress(number * total + done, of * total, text)


# Attacks ------------------------------------------------------------------------------------------


def attack(progress: Progress, study: Study, root: str, run: Run) -> None:
    """Fit an attack on the shadows and score the target, whose membership it does not see."""
    from tf_compleak import attacks

    src = opened(study, root)
    kinds = extras(study, run.attack)
    shadows = [src.observations(family, run.release, kinds) for family in run.shadows]
    seed = seeds.integer(study.seed, "attack", run.attack, slug(run.release), *_variant(run))
    fitted = attacks.load(run.attack).fit(shadows, seed=seed)
    target = src.observations(run.target, run.release, kinds)
    _save(src.attack(run), fitted.score(target.hidden()), target.members, fitted)


def _variant(run: Run) -> tuple[str, ...]:
    return () if run.target == "target" else (run.target,)


def null(progress: Progress, study: Study, root: str, run: Run) -> None:
    """The null run: the attack on membership drawn anew, arranged as the real one is.

    The models know nothing of that membership. An attack that still tells it reads it elsewhere:
    from the order of the examples, or from what it should not be given.
    """
    from tf_compleak import attacks

    src = opened(study, root)
    scores, members = null_scores(src, attacks.load(run.attack), run)
    _save(src.attack(nulled(run)), scores, members)


def null_scores(src: Source, attack: Attack, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Scores f64[N] of the attack under membership drawn anew, and that membership bool[N]."""
    seed, kinds = src.study.seed, extras(src.study, run.attack)
    target, *shadows = (
        src.observations(
            family,
            run.release,
            kinds,
            src.splits[family].shuffled(seeds.generator(seed, "null", family)),
        )
        for family in (run.target, *run.shadows)
    )
    fitted = attack.fit(shadows, seed=seeds.integer(seed, "null", run.attack, slug(run.release)))
    return fitted.score(target.hidden()), target.members


def blind_baseline(progress: Progress, study: Study, root: str) -> None:
    """The blind baseline on the target's members and non-members: see `attacks.blind`."""
    from tf_compleak.attacks import blind

    src = opened(study, root)
    split = src.splits["target"]
    labels, seed = src.examples.y[split.scored], seeds.integer(study.seed, "blind")
    if src.holds_texts:
        texts = src.examples.x[split.scored]
        scores = blind.blind_texts(texts, labels, split.is_member, seed=seed)
    else:
        inputs = src.examples.inputs(split.scored)
        scores = blind.blind_baseline(inputs, labels, split.is_member, seed=seed)
    _save(src.attack(BLIND), scores, split.is_member)


def _save(stage: Stage, scores: np.ndarray, members: np.ndarray, fitted=None) -> None:
    with stage.writing() as (folder, facts):
        np.save(folder / "scores.npy", scores, allow_pickle=False)
        np.save(folder / "members.npy", members, allow_pickle=False)
        facts["threshold"] = 0.0 if fitted is None else float(fitted.threshold)
