"""The study: everything that determines a run. Made from flags, saved with its results."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from tf_compleak.attacks import ATTACKS
from tf_compleak.compression import recipes
from tf_compleak.data import sources
from tf_compleak.engine import user_code
from tf_compleak.engine.user_code import UserCode
from tf_compleak.leakage.plan import TARGET, TOKENS_HAVE_NO_NEIGHBOURS, Plan, kinds
from tf_compleak.leakage.question import GROWING, Question
from tf_compleak.metrics import accountant
from tf_compleak.models import AUGMENTATIONS, MODELS, PRECISIONS, TEXT
from tf_compleak.studies import own_family, remedies
from tf_compleak.types import LEAST, Release, validators

SPLITS = ("disjoint", "halves", "coins")
CALIBRATIONS = ("validation", "members")
EXAMPLES = ("arrays", "ids")
TUNED = ("pruning", "clustering", "quantization")
OPTIMIZERS = ("sgd", "adamw")  # as `models.trainer` has them, which loads TensorFlow
DEFAULT_ATTACKS = (
    *("entropy", "modified-entropy", "nasr-lr", "nasr-mlp", "sr2-lr", "sr2-mlp", "mr", "tabular"),
)


@dataclass(frozen=True)
class Study(Question):
    """Every field is a flag of `tf-compleak run` with the same name; see its help for meanings.

    Raises:
      ValueError: for an unknown name or a value out of range, naming the flag.
    """

    growing: ClassVar[tuple[str, ...]] = (*GROWING, "save_examples", "remedies")
    apart: ClassVar[tuple[str, ...]] = ("time_limit",)
    remedy: ClassVar[str] = ""

    dataset: str = "digits"
    tfds_split: str = "train"
    num_members: int = 350
    num_non_members: int = 350
    num_shadows: int = 1
    num_validation: int = 200
    num_population: int = 150
    split: str = "disjoint"
    targets: int = 1
    save_examples: bool = False
    model: str = "convnet"
    depth: int = 0
    width: int = 0
    family: str = ""
    train_command: str = ""
    examples: str = "arrays"
    time_limit: float = 0.0
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
    remedies: tuple[str, ...] = ()

    def __post_init__(self):
        sources.parse(self.dataset)
        validators.choice("--model", self.model, MODELS)
        self._check_family()
        names = self._version_names()
        object.__setattr__(self, "versions", names)
        if not names:
            raise ValueError("--versions: empty; name at least one, such as original.")
        validators.distinct("--versions", names)
        super().__post_init__()
        validators.between("--num_shadows", self.num_shadows, 1, 64)
        for attack in self.attacks:
            least = ATTACKS[attack].least_shadows
            validators.at_least(f"--num_shadows with --attacks={attack}", self.num_shadows, least)
        self.ask(names, self.num_shadows)
        self._check_training()
        self._check_text()
        validators.choice("--calibration", self.calibration, CALIBRATIONS)
        validators.at_least("--calibration_size", self.calibration_size, 1)
        validators.choice("--split", self.split, SPLITS)
        validators.between("--targets", self.targets, 1, self.num_shadows + 1)
        if self.targets > 1 and not self.one_pool:
            raise ValueError("--targets: more than one needs --split=halves or coins.")
        if self.coins and self.num_members != self.num_non_members:
            raise ValueError(
                f"--split=coins: fair coins make half of the pool members; give --num_members="
                f"{self.num_members} and --num_non_members={self.num_non_members} one number."
            )
        validators.at_least("--finetune_epochs", self.finetune_epochs, 1)
        validators.between("--max_accuracy_drop", self.max_accuracy_drop, 0, 1)
        self._check_remedies()

    @property
    def one_pool(self) -> bool:
        """Whether all models are trained on parts of one pool, so that families share examples."""
        return self.split != "disjoint"

    @property
    def coins(self) -> bool:
        return self.split == "coins"

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

    def _version_names(self) -> tuple[str, ...]:
        """The versions to make, or to take from what the user's own code makes."""
        if not self.makes_versions:
            return tuple(str(recipes.parse(name)) for name in self.versions)
        if self.versions == recipes.ALL:
            raise ValueError(
                "--versions: name those that --family or --train_command makes, such as "
                "original,int8: their files' names without ending, or the functions' names."
            )
        return tuple(validators.version("--versions", name) for name in self.versions)

    def _check_family(self) -> None:
        """That who trains is told once, and in full."""
        validators.choice("--examples", self.examples, EXAMPLES)
        validators.at_least("--time_limit", self.time_limit, 0)
        if self.family and self.train_command:
            raise ValueError("--family, --train_command: both train a family; give one of them.")
        if self.family:
            own_family.level(f"--family={self.family}", self.code)
        if self.train_command:
            own_family.words(self.train_command)
        else:
            self._refuse(
                (("examples", "arrays"), ("time_limit", 0)), "it goes with --train_command"
            )
        if self.family or self.train_command:
            who = f"--family={self.family}" if self.family else "--train_command"
            flags = (("model", "convnet"), ("depth", 0), ("width", 0), ("preset", ""))
            self._refuse(flags, f"the model is that of {who}")
            if self.train_command or self.level != "build":
                flags = (("augmentation", ()), ("early_stopping", 0), ("mixed_precision", "none"))
                self._refuse(flags, f"the training is that of {who}")

    def _check_remedies(self) -> None:
        """That every remedy can be tried; those that only hide answers become exposures."""
        validators.distinct("--remedies", self.remedies)
        for text in self.remedies:
            if isinstance(remedies.parse(text), remedies.Shown):
                if text == self.exposure[0]:
                    raise ValueError(
                        f"--remedies={text}: is what --exposure={text} shows already; name another."
                    )
                if text not in self.exposure:
                    object.__setattr__(self, "exposure", (*self.exposure, text))
            else:
                remedied(self, text)

    def _refuse(self, flags: tuple[tuple[str, Any], ...], why: str) -> None:
        """ValueError for the first of these flags that is not at its default."""
        for name, default in flags:
            if getattr(self, name) != default:
                raise ValueError(f"--{name}={getattr(self, name)}: {why}; leave --{name} out.")

    @property
    def trained_remedies(self) -> tuple[str, ...]:
        """The remedies that need another training."""
        named = [(text, remedies.parse(text)) for text in self.remedies]
        return tuple(text for text, remedy in named if not isinstance(remedy, remedies.Shown))

    @property
    def makes_versions(self) -> bool:
        """Whether versions come from the user's own code, not from recipes."""
        return bool(self.train_command) or self.level == "make"

    @property
    def code(self) -> UserCode | None:
        """The user's own code, as its file is now."""
        return user_code.read("--family", self.family) if self.family else None

    @property
    def level(self) -> own_family.Level | None:
        """How much of a family that code does; None where there is none."""
        return own_family.level("--family", self.code) if self.family else None

    @property
    def families(self) -> tuple[str, ...]:
        """The target and its shadows."""
        return (TARGET, *(f"shadow-{index}" for index in range(self.num_shadows)))

    def plan(self, usable: Release) -> Plan:
        """What is run when these versions may be attacked."""
        lost = ()
        if self.model in TEXT:
            lost = tuple(
                (attack, TOKENS_HAVE_NO_NEIGHBOURS)
                for attack in sorted(self.attacks)
                if "sensitivities" in kinds(self, attack)
            )
        return Plan(self, self.families, self.versions, usable, self.targets, lost)


@dataclass(frozen=True)
class RemediedStudy(Study):
    """The same study with a remedy on the target and its shadows.

    Attributes:
      remedy: of another training; see `studies.remedies`.
      left_out: versions that cannot be made under it, with the reason of each.
    """

    remedy: str = ""
    left_out: tuple[tuple[str, str], ...] = ()

    def plan(self, usable: Release) -> Plan:
        """As of the plain study, without the blind baseline, which would be the same."""
        return dataclasses.replace(super().plan(usable), has_inputs=False)


def remedied(study: Study, text: str) -> RemediedStudy:
    """A study with another training, for the attacks on all its usable versions.

    What only needs to be asked once is left to the study itself: what each version adds, other
    exposures, fewer shadows.

    Raises:
      ValueError: where the remedy does not go with the study.
    """
    remedy, flag = remedies.parse(text), f"--remedies={text}"
    if study.family or study.train_command:
        who = "--family" if study.family else "--train_command"
        raise ValueError(f"{flag}: the training is that of {who}, which would have to take it.")
    left_out: tuple[tuple[str, str], ...] = ()
    change: dict[str, Any] = {}
    if isinstance(remedy, remedies.EarlyStopping):
        if study.early_stopping == remedy.patience:
            raise ValueError(f"{flag}: the study has --early_stopping={remedy.patience} itself.")
        change["early_stopping"] = remedy.patience
    if isinstance(remedy, remedies.DpSgd):
        _check_private(study, flag)
        left_out = tuple(
            (name, why) for name in study.versions if (why := _not_private(study, name))
        )
    without = {name for name, _ in left_out}
    versions = tuple(name for name in study.versions if name not in without)
    if not versions:
        raise ValueError(f"{flag}: {left_out[0][0]}: {left_out[0][1]}; add original to --versions.")
    change["releases"] = tuple(r for r in study.releases if not without & set(r))
    change |= {"versions": versions, "remedies": (), "exposure": study.exposure[:1]}
    change |= {"marginal": "none", "subset_budget": "", "shadow_counts": ()}
    fields = {field.name: getattr(study, field.name) for field in dataclasses.fields(Study)}
    return RemediedStudy(**fields | change, remedy=text, left_out=left_out)


def _check_private(study: Study, flag: str) -> None:
    """ValueError for what DP-SGD cannot be run with, or without."""
    accountant.check_installed()
    if study.model in TEXT:
        raise ValueError(
            f"{flag}: is for images and tables; --model={study.model} takes texts, whose "
            "vocabulary and embeddings it does not cover."
        )
    if study.mixed_precision != "none":
        raise ValueError(
            f"{flag}: computes in float32; leave --mixed_precision={study.mixed_precision} out."
        )


def _not_private(study: Study, version: str) -> str:
    """Why a version would tell of members what epsilon does not count; "" where it does not."""
    recipe = recipes.parse(version)
    if recipes.tuned(recipe):
        return "is fine-tuned on the members, which its epsilon would not count"
    if recipes.calibrated(recipe) and study.calibration == "members":
        return (
            "has activation ranges found on members (--calibration), which epsilon does not count"
        )
    return ""
