"""The stages of a run before attacks: data, membership, token ids, training, versions, answers."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tf_compleak.compression import recipes
from tf_compleak.data import sources
from tf_compleak.engine.declaration import Declaration, Opener
from tf_compleak.engine.stage import digest
from tf_compleak.engine.workdir import Workdir
from tf_compleak.leakage.question_stages import extras, scored
from tf_compleak.studies.run import recipe_inputs
from tf_compleak.studies.run.architecture import StudyFiles, spec
from tf_compleak.studies.study import Study

OPTIMIZATION = ("finetune_epochs", "batch_size", "optimizer", "momentum", "weight_decay")


@dataclass(frozen=True)
class DataFolder:
    """Where a study's data are read from and kept: what `Data` comes from."""

    study: Study
    root: str
    data_dir: str | None

    @property
    def workdir(self) -> Workdir:
        """The study's folder."""
        return Workdir(self.root)

    def flags(self, *names: str) -> dict[str, Any]:
        """The flags of these names, as JSON values."""
        return self.study.flags(*names)

    def opener(self) -> Opener:
        """How a worker opens the same."""
        return Opener(f"{__name__}:DataFolder", (self.study, self.root, self.data_dir))


@dataclass(frozen=True)
class Data(Declaration):
    """The decoded data set, without duplicates."""

    name: ClassVar[str] = "data/3"
    work: ClassVar[str] = "tf_compleak.studies.run.stage_work:data"
    depends: ClassVar[tuple[str, ...]] = ("dataset", "tfds_split")
    resources: ClassVar[str] = "data"
    weight: ClassVar[int] = 20

    @property
    def title(self) -> str:
        return "data"

    def folder(self, source: DataFolder) -> os.PathLike:
        return source.workdir.data()

    def inputs(self, source: DataFolder) -> dict[str, Any]:
        return {}

    def why(self, source: DataFolder, thorough: bool = True) -> str:
        """As of any stage, and where the files have changed since; not where they have gone."""
        if why := super().why(source, thorough):
            return why
        stamp = sources.stamp(source.study.dataset, source.data_dir)
        if stamp in (None, self.stage(source).facts()["stamp"]):
            return ""
        return f"the files of --dataset={source.study.dataset} have changed"


@dataclass(frozen=True)
class Membership(Declaration):
    """Who is a member of a family and who is not, as plain files; with the examples, if wanted."""

    family: str
    name: ClassVar[str] = "membership/1"
    work: ClassVar[str] = "tf_compleak.studies.run.stage_work:membership"
    depends: ClassVar[tuple[str, ...]] = ("save_examples",)
    resources: ClassVar[str] = "data"

    @property
    def title(self) -> str:
        return f"membership {self.family}"

    def folder(self, source: StudyFiles) -> os.PathLike:
        return source.workdir.membership(self.family)

    def inputs(self, source: StudyFiles) -> dict[str, Any]:
        split, of_texts = source.splits[self.family], {}
        if source.holds_texts and source.study.save_examples:
            of_texts = {"tokens": source.tokens(self.family).facts()["sha256"]}
        members = digest(split.members, split.non_members)
        return {"data": source.sha256, "split": members, **of_texts}


@dataclass(frozen=True)
class Preset(Declaration):
    """The weights, sizes and vocabulary that text models start from."""

    name: ClassVar[str] = "preset/1"
    work: ClassVar[str] = "tf_compleak.studies.run.stage_work:preset"
    depends: ClassVar[tuple[str, ...]] = ("preset", "model")

    @property
    def title(self) -> str:
        return "preset"

    def folder(self, source: StudyFiles) -> os.PathLike:
        return source.workdir.preset()

    def inputs(self, source: StudyFiles) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Tokens(Declaration):
    """The texts as token ids of a family's own vocabulary, or of one for all of them."""

    family: str
    name: ClassVar[str] = "tokens/1"
    work: ClassVar[str] = "tf_compleak.studies.run.stage_work:tokens"
    depends: ClassVar[tuple[str, ...]] = ("model", "sequence_length", "vocabulary", "preset")

    @property
    def title(self) -> str:
        return f"tokens {self.family}"

    @property
    def affinity(self) -> str:
        return "tokens"

    def folder(self, source: StudyFiles) -> os.PathLike:
        return source.workdir.tokens(self.family)

    def flags(self, source: StudyFiles) -> dict[str, Any]:
        learned = source.learned_from(self.family) is not None
        return source.flags(*self.depends, *(("vocabulary_size",) if learned else ()))

    def inputs(self, source: StudyFiles) -> dict[str, Any]:
        learned = source.learned_from(self.family)
        return {
            "data": source.sha256,
            "examples": digest(source.in_splits),
            "learned": None if learned is None else digest(learned),
        }

    def needs(self, source: StudyFiles) -> Sequence[Declaration]:
        return (Preset(),) if source.study.preset else ()


@dataclass(frozen=True)
class Training(Declaration):
    """A family's original, trained on its members."""

    family: str
    name: ClassVar[str] = "training/2"
    work: ClassVar[str] = "tf_compleak.studies.run.stage_work:train"
    resources: ClassVar[str] = "train"
    weight: ClassVar[int] = 400
    depends: ClassVar[tuple[str, ...]] = (
        *("model", "epochs", "batch_size", "learning_rate", "momentum", "weight_decay"),
        *("optimizer", "augmentation", "early_stopping", "mixed_precision", "threads", "seed"),
    )

    @property
    def title(self) -> str:
        return f"train {self.family}"

    @property
    def affinity(self) -> str:
        return "train"

    def folder(self, source: StudyFiles) -> os.PathLike:
        return source.workdir.training(self.family)

    def flags(self, source: StudyFiles) -> dict[str, Any]:
        if source.study.train_command or source.study.level in ("train", "make"):
            return source.flags("threads", "seed")
        last = ("checkpoint",) if source.study.checkpoint != "best" else ()
        model = spec(source)  # the architecture's own sizes where --depth or --width is 0
        sizes = {"depth": model.depth, "width": model.width}
        return source.flags(*self.depends, *last) | sizes

    def inputs(self, source: StudyFiles) -> dict[str, Any]:
        split = source.splits[self.family]
        return {
            "data": source.sha256,
            "split": digest(split.members, split.validation),
            "text": self._text(source),
            "family": self.family,
            **self._code(source),
            **self._remedy(source),
        }

    def _remedy(self, source: StudyFiles) -> dict[str, Any]:
        """The remedy, and the training of the plain model that teaches it; {} for a plain one."""
        if not source.study.remedy:
            return {}
        teacher = source.teacher and {"teacher": source.teacher.fingerprint(self)}
        return {"remedy": source.study.remedy, **(teacher or {})}

    def _code(self, source: StudyFiles) -> dict[str, Any]:
        """What of the user's own code it depends on; {} where there is none."""
        return json.loads(source.own_code) if source.own_code else {}

    def _text(self, source: StudyFiles) -> dict[str, Any]:
        """What of texts, vocabulary and preset it depends on; {} where there are none."""
        if not source.holds_texts:
            return {}
        study, facts = source.study, {"tokens": source.tokens(self.family).facts()["sha256"]}
        if study.preset:
            facts["preset"] = source.preset().facts()["sha256"]
        return {**facts, **source.flags("heads", "dropout")}


def _recipe(version: str) -> recipes.Recipe | None:
    """The recipe of that name; None for a name of the user's own."""
    try:
        return recipes.parse(version)
    except ValueError:
        return None


@dataclass(frozen=True)
class VersionFile(Declaration):
    """One version's `.tflite` file, made from the trained weights."""

    family: str
    version: str
    name: ClassVar[str] = "version/2"
    work: ClassVar[str] = "tf_compleak.studies.run.stage_work:version"
    resources: ClassVar[str] = "version"

    @property
    def title(self) -> str:
        return f"{self.version} {self.family}"

    @property
    def affinity(self) -> str:
        """Versions that share a traced graph; in the order of how long it takes to trace."""
        match self._tuned():
            case []:
                return "4 export"
            case [recipes.Pruning()]:
                return "1 pruning"
            case [recipes.QuantizationAware()]:
                return "2 quantization-aware"
            case [recipes.Clustering(clusters)]:
                return f"3 clustering-{clusters}"
            case tuned:
                return f"5 {'+'.join(map(str, tuned))}"

    @property
    def weight(self) -> int:
        return 60 * len(self._tuned()) or 8

    def _tuned(self) -> list[recipes.Step]:
        """The steps of its recipe that are fine-tuned."""
        recipe = _recipe(self.version)
        return recipes.tuned(recipe) if recipe else []

    def folder(self, source: StudyFiles) -> os.PathLike:
        return source.workdir.version(self.family, self.version)

    def flags(self, source: StudyFiles) -> dict[str, Any]:
        if source.study.makes_versions:
            return {}
        rates = [recipe_inputs.learning_rate(step) for step in self._tuned()]
        return source.flags(*OPTIMIZATION, *rates) if rates else {}

    def inputs(self, source: StudyFiles) -> dict[str, Any]:
        recipe = None if source.study.makes_versions else recipes.parse(self.version)
        calibrated = recipe is not None and recipes.calibrated(recipe)
        return {
            "training": source.fingerprint(Training(self.family)),
            "recipe": self.version,
            "calibration": digest(source.calibration(self.family)) if calibrated else None,
            **recipe_inputs.made_otherwise(recipe),
        }

    def needs(self, source: StudyFiles) -> Sequence[Declaration]:
        return (Training(self.family),)


@dataclass(frozen=True)
class Observation(Declaration):
    """What one version says about its family's examples."""

    family: str
    version: str
    name: ClassVar[str] = "observation/1"
    work: ClassVar[str] = "tf_compleak.studies.run.asking:observe_examples"
    resources: ClassVar[str] = "extra"

    @property
    def title(self) -> str:
        return f"ask {self.version} {self.family}"

    def folder(self, source: StudyFiles) -> os.PathLike:
        return source.workdir.observation(self.family, self.version)

    def inputs(self, source: StudyFiles) -> dict[str, Any]:
        split = source.splits[self.family]
        return {
            "version": source.fingerprint(VersionFile(self.family, self.version)),
            "examples": digest(split.scored, split.validation),
        }

    def needs(self, source: StudyFiles) -> Sequence[Declaration]:
        return (VersionFile(self.family, self.version),)


@dataclass(frozen=True)
class Extra(Declaration):
    """What else a version was asked: "aside", "sensitivities" or "augmented"."""

    kind: str
    family: str
    version: str
    name: ClassVar[str] = "extra/2"
    work: ClassVar[str] = "tf_compleak.studies.run.asking:ask_more"
    resources: ClassVar[str] = "extra"
    weight: ClassVar[int] = 20

    @property
    def title(self) -> str:
        return f"{self.kind} {self.version} {self.family}"

    def folder(self, source: StudyFiles) -> os.PathLike:
        return source.workdir.extra(self.kind, self.family, self.version)

    def flags(self, source: StudyFiles) -> dict[str, Any]:
        names = {
            "augmented": ("queries",),
            "sensitivities": ("sensitivity_queries", "sensitivity_epsilon", "seed"),
        }
        return source.flags(*names.get(self.kind, ()))

    def inputs(self, source: StudyFiles) -> dict[str, Any]:
        of_observation = source.fingerprint(Observation(self.family, self.version))
        aside = digest(source.aside(self.family)) if self.kind != "sensitivities" else None
        return {"kind": self.kind, "observation": of_observation, "examples": aside}

    def needs(self, source: StudyFiles) -> Sequence[Declaration]:
        return (Observation(self.family, self.version),)


def building(study: Study) -> list[Declaration]:
    """Every family's membership, its training, then versions, those that trace longest first."""
    names = sorted(study.versions, key=lambda name: VersionFile("", name).affinity)
    pairs = [(family, name) for name in names for family in study.families]
    return [
        *(Membership(family) for family in study.families if not study.remedy),
        *(Training(family) for family in study.families),
        *(VersionFile(*pair) for pair in pairs),
        *(Observation(*pair) for pair in pairs),
    ]


def asking_more(study: Study, usable: Sequence[str]) -> list[Declaration]:
    """What versions are asked beside the examples."""
    wanted = extras(study.plan(tuple(usable)))
    return [Extra(kind, family, name) for kind, name in wanted for family in study.families]


def everything(
    study: Study, usable: Sequence[str], failed: Collection[str] = ()
) -> list[Declaration]:
    """Every stage of a run after data and texts, when these versions are usable.

    Args:
      failed: titles of the attacks that failed.
    """
    attacks = scored(study.plan(tuple(usable)), failed)
    return [*building(study), *asking_more(study, usable), *attacks]
