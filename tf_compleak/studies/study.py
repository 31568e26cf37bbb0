"""The study: everything that determines a run. Made from flags, saved with its results."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from tf_compleak.attacks import ATTACKS, suits
from tf_compleak.compression import recipes
from tf_compleak.data import sources
from tf_compleak.models import AUGMENTATIONS, MODELS, PRECISIONS, TEXT
from tf_compleak.types import LEAST, ORIGINAL, Release, default_releases, validators

SPLITS = ("disjoint", "halves")
CALIBRATIONS = ("validation", "members")
EXECUTORS = ("processes", "inline", "ray")
GROWING = ("versions", "attacks", "releases", "shadow_counts")
TUNED = ("pruning", "clustering", "quantization")
OPTIMIZERS = ("sgd", "adamw")  # as `_trainer` has them, which loads TensorFlow


DEFAULT_ATTACKS = (
    *("entropy", "modified-entropy", "nasr-lr", "nasr-mlp", "sr2-lr", "sr2-mlp", "mr", "tabular"),
)


@dataclass(frozen=True)
class Study:
    """Every field is a flag of `tf-compleak run` with the same name; see its help for meanings.

    Raises:
      ValueError: for an unknown name or a value out of range, naming the flag.
    """

    dataset: str = "digits"
    tfds_split: str = "train"
    num_members: int = 350
    num_non_members: int = 350
    num_shadows: int = 1
    num_validation: int = 200
    num_population: int = 150
    split: str = "disjoint"
    targets: int = 1
    model: str = "convnet"
    depth: int = 0
    width: int = 0
    sequence_length: int = 128
    vocabulary: str = "members"
    vocabulary_size: int = 8000
    preset: str = ""
    heads: int = 0
    dropout: float = 0.1
    epochs: int = 40
    batch_size: int = 32
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augmentation: tuple[str, ...] = ()
    checkpoint: str = "best"
    early_stopping: int = 0
    mixed_precision: str = "none"
    versions: tuple[str, ...] = recipes.ALL
    finetune_epochs: int = 10
    pruning_learning_rate: float = 1e-2
    clustering_learning_rate: float = 1e-3
    quantization_learning_rate: float = 1e-3
    calibration: str = "validation"
    calibration_size: int = 100
    max_accuracy_drop: float = 0.15
    attacks: tuple[str, ...] = DEFAULT_ATTACKS
    releases: tuple[Release, ...] = ()
    shadow_counts: tuple[int, ...] = ()
    queries: int = 0
    sensitivity_queries: int = 10
    sensitivity_epsilon: float = 1e-3
    delta: float = 0.0
    threads: int = 1
    seed: int = 0

    def __post_init__(self):
        sources.parse(self.dataset)
        validators.choice("--model", self.model, MODELS)
        names = tuple(str(recipes.parse(name)) for name in self.versions)
        object.__setattr__(self, "versions", names)
        if not names:
            raise ValueError("--versions: empty; name at least one, such as original.")
        if not self.attacks:
            raise ValueError("--attacks: empty; name at least one, such as modified-entropy.")
        validators.distinct("--versions", names)
        validators.distinct("--attacks", self.attacks)
        for attack in self.attacks:
            validators.choice("--attacks", attack, ATTACKS)
            least = ATTACKS[attack].least_shadows
            validators.at_least(f"--num_shadows with --attacks={attack}", self.num_shadows, least)
        object.__setattr__(self, "releases", tuple(arranged(r, names) for r in self.releases))
        validators.distinct("--releases", ["+".join(release) for release in self.releases])
        self._check_training()
        self._check_text()
        validators.choice("--calibration", self.calibration, CALIBRATIONS)
        validators.at_least("--calibration_size", self.calibration_size, 1)
        validators.between("--num_shadows", self.num_shadows, 1, 64)
        validators.choice("--split", self.split, SPLITS)
        validators.between("--targets", self.targets, 1, self.num_shadows + 1)
        if self.targets > 1 and self.split != "halves":
            raise ValueError("--targets: more than one needs --split=halves.")
        validators.distinct("--shadow_counts", self.shadow_counts)
        for count in self.shadow_counts:
            validators.between("--shadow_counts", count, 1, self.num_shadows)
        validators.between("--queries", self.queries, 0, 64)
        validators.between("--sensitivity_queries", self.sensitivity_queries, 1, 1000)
        validators.between("--delta", self.delta, 0, 0.5)
        validators.between("--sensitivity_epsilon", self.sensitivity_epsilon, 1e-6, 1.0)
        validators.at_least("--finetune_epochs", self.finetune_epochs, 1)
        validators.between("--max_accuracy_drop", self.max_accuracy_drop, 0, 1)
        validators.at_least("--seed", self.seed, 0)

    def _check_training(self) -> None:
        for name in ("num_members", "num_non_members"):
            validators.at_least(f"--{name}", getattr(self, name), LEAST)
        validators.at_least("--num_validation", self.num_validation, 1)
        validators.at_least("--num_population", self.num_population, 0)
        validators.at_least("--epochs", self.epochs, 1)
        validators.at_least("--batch_size", self.batch_size, 2)
        for name in ("learning_rate", *(f"{kind}_learning_rate" for kind in TUNED)):
            validators.between(f"--{name}", getattr(self, name), 1e-12, 1e3)
        validators.between("--momentum", self.momentum, 0, 0.9999)
        validators.between("--weight_decay", self.weight_decay, 0, 1)
        for name in self.augmentation:
            validators.choice("--augmentation", name, AUGMENTATIONS)
        validators.choice("--checkpoint", self.checkpoint, ("best", "last"))
        validators.at_least("--early_stopping", self.early_stopping, 0)
        validators.choice("--mixed_precision", self.mixed_precision, PRECISIONS)
        validators.choice("--optimizer", self.optimizer, OPTIMIZERS)
        validators.between("--threads", self.threads, 1, 1024)

    def _check_text(self) -> None:
        validators.between("--sequence_length", self.sequence_length, 4, 4096)
        validators.between("--vocabulary_size", self.vocabulary_size, 300, 1_000_000)
        validators.at_least("--heads", self.heads, 0)
        validators.between("--dropout", self.dropout, 0, 0.9)
        if not self.vocabulary:
            raise ValueError("--vocabulary: empty; write members, outside or a path.")
        if self.preset and self.model not in TEXT:
            raise ValueError(
                f"--preset={self.preset}: is for {' and '.join(sorted(TEXT))}, not for "
                f"--model={self.model}."
            )

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values."""
        values = dataclasses.asdict(self)
        values["releases"] = ["+".join(release) for release in self.releases]
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Study:
        """The study of a dict that `to_json` made; ValueError when it is no such dict."""
        try:
            fields = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            fields["releases"] = tuple(tuple(text.split("+")) for text in fields["releases"])
            return cls(**fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a study of this version of tf-compleak ({error}).") from error

    def difference(self, other: dict[str, Any]) -> list[str]:
        """One text for each field in which a saved study (`to_json`) differs from this one.

        Fields to which this one only adds (versions, attacks, ...) are no difference: whatever the
        saved study made stays as it is.
        """
        mine = self.to_json()
        other = {**Study().to_json(), **other}  # a flag that it did not know yet is at its default
        kept = {key: value for key, value in other.items() if not _adds(key, mine, value)}
        return difference({key: mine[key] for key in mine if key in kept}, kept)


def _adds(key: str, mine: dict[str, Any], saved: Any) -> bool:
    """Whether a field of this study has all that the saved one had, and nothing is done anew."""
    if key not in GROWING or not isinstance(saved, list):
        return False
    if key == "releases" and not (saved and mine[key]):
        return saved == mine[key]
    return set(saved) <= set(mine[key])


def difference(mine: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """One text for each key whose values differ: "key: VALUE there, VALUE here"."""
    keys = [*mine, *(key for key in other if key not in mine)]
    return [
        f"{key}: {other.get(key)!r} there, {mine.get(key)!r} here"
        for key in keys
        if mine.get(key) != other.get(key)
    ]


def arranged(release: Release, names: tuple[str, ...]) -> Release:
    """A release in the order of the versions, the original first; ValueError for a bad name."""
    for name in release:
        validators.choice("--releases", name, names)
    validators.distinct("--releases", release)
    return tuple(sorted(release, key=lambda name: (name != ORIGINAL, names.index(name))))


@dataclass(frozen=True)
class Options:
    """What does not change the figures of a study: where and how it runs.

    Attributes:
      workdir: the study's folder.
      data_dir: where prepared TFDS data sets are.
      overwrite: take over a workdir that another study made.
      workers: processes; 0 for one per core, up to 8.
      executor: one of `EXECUTORS`; "inline" is this process, for debugging.
      ray_address, ray_resources, ray_retries: see `cluster.Cluster`.
      command, flags: what the report says about repeating the run.
    """

    workdir: str
    data_dir: str | None = None
    overwrite: bool = False
    workers: int = 0
    executor: str = "processes"
    ray_address: str = ""
    ray_resources: tuple[str, ...] = ()
    ray_retries: int = 3
    command: str = ""
    flags: str = ""

    def __post_init__(self):
        validators.between("--workers", self.workers, 0, 1024)
        validators.choice("--executor", self.executor, EXECUTORS)
        validators.between("--ray_retries", self.ray_retries, 0, 100)


def releases(study: Study, usable: tuple[str, ...]) -> list[Release]:
    """The releases to attack, made of the versions that did not fail.

    By default every single version, the original with each other version, and all versions
    together with and without the original. A release that names a failed version is left out.
    """
    if study.releases:
        return [release for release in study.releases if set(release) <= set(usable)]
    return default_releases(usable)


@dataclass(frozen=True)
class Run:
    """One attack on one release of a target family, fitted on `shadows` of the other families."""

    attack: str
    release: Release
    target: str
    shadows: tuple[str, ...]


def families(study: Study) -> list[str]:
    """The target and its shadows."""
    return ["target", *(f"shadow-{index}" for index in range(study.num_shadows))]


def runs(study: Study, attack: str, release: Release, count: int | None = None) -> list[Run]:
    """The runs whose scores one row pools: one for every family that plays the target.

    The shadows are the `count` families after the target, in a circle; all others by default.
    """
    names = families(study)
    found = []
    for index in range(study.targets):
        others = (*names[index + 1 :], *names[:index])
        found.append(Run(attack, release, names[index], others[: count or study.num_shadows]))
    return found


def plan(study: Study, usable: tuple[str, ...]) -> list[tuple[str, Release]]:
    """Every (attack, release) of the study, attack by attack in the order of the flag."""
    chosen = releases(study, usable)
    return [
        (attack, release)
        for attack in study.attacks
        for release in chosen
        if suits(attack, release)
    ]
