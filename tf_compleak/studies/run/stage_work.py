"""The work of a run's stages: each fills the folder that its declaration names.

They run in worker processes; `progress(done, total, text)` is how they tell what they are at.
Questions to versions are in `asking.py`, attacks in `leakage.scoring`.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.compression import Tuning, compress, left_alone, recipes
from tf_compleak.data import duplicates, sources
from tf_compleak.data import vocabularies as texts
from tf_compleak.engine import stage_log
from tf_compleak.engine.declaration import Declaration
from tf_compleak.engine.stage import digest
from tf_compleak.engine.workdir import write_text
from tf_compleak.studies.run import making, remedied_training, train_command
from tf_compleak.studies.run.architecture import check, spec
from tf_compleak.studies.run.run_stages import (
    Data,
    DataFolder,
    Membership,
    Preset,
    Tokens,
    Training,
    VersionFile,
)
from tf_compleak.studies.run.source import Source, splits_of
from tf_compleak.types import Examples, Texts, seeds
from tf_compleak.types.progress import Progress


def data(progress: Progress, source: DataFolder, stage: Data, folder: Path, facts: dict) -> None:
    """Load the data set once and keep it, without duplicates, in memory-mapped form."""
    study, where = source.study, {"data_dir": source.data_dir}
    stamp = sources.stamp(study.dataset, **where)
    examples = sources.load(study.dataset, **where, tfds_split=study.tfds_split)
    check(study, examples)
    examples, dropped = duplicates.without_duplicates(examples)
    try:
        splits_of(study, examples)
    except ValueError as error:
        raise ValueError(f"{error} {dropped.sentence()}".strip()) from error
    arrays = _arrays_of(examples)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    facts["classes"] = examples.classes
    facts["shape"] = list(examples.x.shape)
    facts["duplicates"] = dataclasses.asdict(dropped)
    facts["sha256"] = digest(*arrays.values())
    facts["stamp"] = stamp


def _arrays_of(examples: Examples) -> dict[str, np.ndarray]:
    """What is saved of examples: x (or content and ends of texts), y, ids."""
    x = examples.x
    inputs = {"content": x.content, "ends": x.ends} if isinstance(x, Texts) else {"x": x}
    return {**inputs, "y": examples.y, "ids": examples.ids}


def membership(
    progress: Progress, source: Source, stage: Membership, folder: Path, facts: dict
) -> None:
    """Lists of a family's members and non-members; with --save_examples, what an audit takes.

    `members.csv`, `non_members.csv`: id and label of each, ids as the data set has them.
    `members.npz`, `non_members.npz`: x as the family's models take it (f32[N, ...], or token ids
    int32[N, T]), y int64[N], ids[N].
    """
    split = source.splits[stage.family]
    for name in ("members", "non_members"):
        indices = np.sort(getattr(split, name))
        ids, labels = source.examples.ids[indices], source.examples.y[indices]
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("id", "label"))
            rows.writerows(zip(ids.tolist(), labels.tolist(), strict=True))
        if source.study.save_examples:
            x = source.model_inputs(stage.family, indices)
            np.savez(folder / f"{name}.npz", x=x, y=labels, ids=ids)
        facts[name] = len(indices)


def preset(progress: Progress, source: Source, stage: Preset, folder: Path, facts: dict) -> None:
    """Load a preset once: its weights, its sizes, its vocabulary."""
    from tf_compleak.models import keras_nlp_bridge

    study = source.study
    backbone, tokenizer = keras_nlp_bridge.load_preset(study.model, study.preset)
    texts.check_length(study.sequence_length, backbone.max_sequence_length, study.preset)
    vocabulary = texts.of_preset(study.model, tokenizer)
    weights = keras_nlp_bridge.weights_of(backbone)
    np.savez(folder / "weights.npz", **{k.replace("/", "|"): v for k, v in weights.items()})
    write_text(folder / "vocabulary.json", json.dumps(vocabulary.to_json()))
    facts["sha256"] = digest(*weights.values())
    facts["vocabulary"] = backbone.vocabulary_size + (study.model == "gpt2")
    facts["positions"], facts["heads"] = backbone.max_sequence_length, backbone.num_heads
    facts["depth"], facts["width"] = backbone.num_layers, backbone.hidden_dim
    facts["feed_forward"] = backbone.intermediate_dim


def tokens(progress: Progress, source: Source, stage: Tokens, folder: Path, facts: dict) -> None:
    """Learn or read a vocabulary, and turn the texts into token ids once."""
    study, learned = source.study, source.learned_from(stage.family)
    if learned is not None:
        vocabulary = texts.train(study.model, source.examples.x[learned], study.vocabulary_size)
    elif study.vocabulary not in texts.OWN:
        vocabulary = texts.read(study.model, study.vocabulary)
    else:
        saved = (source.preset().folder() / "vocabulary.json").read_text(encoding="utf-8")
        vocabulary = texts.Vocabulary.from_json(json.loads(saved))
    ids = vocabulary.encode(source.examples.x[source.in_splits], study.sequence_length)
    np.save(folder / "x.npy", ids, allow_pickle=False)
    saved = json.dumps(vocabulary.to_json())
    write_text(folder / "vocabulary.json", saved)
    facts["size"] = vocabulary.size
    facts["sha256"] = digest(ids, np.frombuffer(saved.encode(), np.uint8))


def _optimization(source: Source, epochs: int, learning_rate: float):
    from tf_compleak.models.trainer import Optimization

    study, loss = source.study, remedied_training.loss_of(source.study)
    if study.family:
        from tf_compleak.models import own_model

        loss = own_model.loss_of(spec(source))
    return Optimization(
        epochs,
        study.batch_size,
        learning_rate,
        study.momentum,
        study.weight_decay,
        optimizer=study.optimizer,
        loss=loss,
        privacy=remedied_training.privacy_of(source.study),
    )


@contextlib.contextmanager
def _logged(source: Source, stage: Declaration) -> Iterator[None]:
    """What the user's own code prints goes to a log of the stage's."""
    if not source.study.family:
        yield
        return
    train_command.check_unchanged(source)
    with stage_log.kept(stage_log.path(source.workdir.logs(), stage.title)):
        yield


def train(progress: Progress, source: Source, stage: Training, folder: Path, facts: dict) -> None:
    """Train a family's original on its members, as the study says or as the user's code does."""
    if source.study.makes_versions:
        making.make(progress, source, stage, folder, facts)
        return
    work = _train_own if source.study.level == "train" else _train
    with _logged(source, stage):
        work(progress, source, stage, folder, facts)


def _train_own(progress, source: Source, stage: Training, folder: Path, facts: dict) -> None:
    """By the user's own `train`."""
    from tf_compleak.models import own_model

    split = source.splits[stage.family]
    weights, accuracy = own_model.trained(
        spec(source),
        source.take(stage.family, split.members),
        source.take(stage.family, split.validation),
        train_command.seed(source.study, stage.family),
    )
    _save(folder, weights)
    facts["validation_accuracy"] = accuracy


def _save(folder: Path, weights: list[np.ndarray]) -> None:
    np.savez(folder / "weights.npz", **{f"w{i:04}": w for i, w in enumerate(weights)})


def _train(progress: Progress, source: Source, stage: Training, folder: Path, facts: dict) -> None:
    """By `--epochs` and so on; --checkpoint=best is chosen on validation."""
    from tf_compleak.models import curve, training

    study, split = source.study, source.splits[stage.family]

    def tell(epoch, accuracy):
        text = f"accuracy {epoch.accuracy:.3f}, validation {accuracy:.3f}"
        progress(epoch.index, study.epochs, text)

    weights, history = training.train(
        spec(source),
        _optimization(source, study.epochs, study.learning_rate),
        remedied_training.taught(source, stage.family),
        source.take(stage.family, split.validation),
        seeds.generator(study.seed, "train", stage.family),
        study.augmentation,
        study.mixed_precision,
        study.early_stopping,
        study.checkpoint,
        tell,
    )
    _save(folder, weights)
    curve.write(folder, history)
    accuracies = [accuracy for _, accuracy in history]
    last = study.checkpoint == "last"
    facts["validation_accuracy"] = accuracies[-1] if last else max(accuracies)
    facts["epochs"] = len(history)
    facts |= remedied_training.privacy_facts(study)


def version(
    progress: Progress, source: Source, stage: VersionFile, folder: Path, facts: dict[str, Any]
) -> None:
    """Make one version's `.tflite` file from the trained weights, or take what was made."""
    if source.study.makes_versions:
        making.take(source, stage, folder, facts)
        return
    with _logged(source, stage):
        _version(progress, source, stage, folder, facts)


def _version(progress, source: Source, stage: VersionFile, folder: Path, facts: dict) -> None:
    study, family, recipe = source.study, stage.family, recipes.parse(stage.version)
    training = Training(family).stage(source).folder()
    with np.load(training / "weights.npz", allow_pickle=False) as saved:
        weights = [saved[key] for key in sorted(saved.files)]
    content = compress(
        recipe,
        weights,
        spec(source),
        Tuning(
            _optimization(source, study.finetune_epochs, study.pruning_learning_rate),
            _optimization(source, study.finetune_epochs, study.clustering_learning_rate),
            _optimization(source, study.finetune_epochs, study.quantization_learning_rate),
        ),
        remedied_training.taught(source, family),
        source.model_inputs(family, source.calibration(family)),
        seeds.generator(study.seed, "version", family, stage.version),
        lambda epoch: progress(
            epoch.index, study.finetune_epochs, f"accuracy {epoch.accuracy:.3f}"
        ),
    )
    (folder / "model.tflite").write_bytes(content)
    facts["bytes"] = len(content)
    facts["gzip_bytes"] = len(gzip.compress(content, compresslevel=9, mtime=0))
    facts["left_alone"] = dataclasses.asdict(left_alone(recipe, spec(source)))
