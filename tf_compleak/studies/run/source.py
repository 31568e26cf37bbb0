"""The source of a run: its examples, its splits, and what its versions say; a `Provider`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_compleak.data import splits, vocabularies
from tf_compleak.data.duplicates import Dropped
from tf_compleak.engine.declaration import Declaration, Opener
from tf_compleak.engine.stage import Stage, digest
from tf_compleak.engine.workdir import Workdir
from tf_compleak.leakage.plan import TARGET
from tf_compleak.leakage.provider import Inputs, drawing
from tf_compleak.leakage.question_stages import content
from tf_compleak.studies import remedies
from tf_compleak.studies.run import run_versions, train_command
from tf_compleak.studies.run.run_stages import (
    Data,
    DataFolder,
    Extra,
    Observation,
    Preset,
    Tokens,
    VersionFile,
)
from tf_compleak.studies.study import Study, remedied
from tf_compleak.types import Estimate, Examples, Release, Split, Texts, Version
from tf_compleak.types.observations import Observations


class Source:
    """The data of a study as its stages need it; see `leakage.provider.Provider`."""

    def __init__(self, study: Study, root: str, own_code: str | None = None):
        """Args: own_code: the user's, as it was when the study began; None: it begins now."""
        stage = Data().stage(DataFolder(study, root, None))
        folder, facts = stage.folder(), stage.facts()
        self.study, self.root, self.sha256 = study, root, facts["sha256"]
        self.dropped = Dropped(**facts["duplicates"])
        self.workdir = workdir_of(study, root)
        self.examples = Examples(
            _inputs(folder),
            np.load(folder / "y.npy"),
            np.load(folder / "ids.npy"),
            facts["classes"],
        )
        self.splits = splits_of(study, self.examples)
        self.own_code = train_command.own_code(study) if own_code is None else own_code
        self._fingerprints: dict[Declaration, str] = {}
        self._remedied: dict[str, Source] = {}

    @property
    def question(self) -> Study:
        """What is asked."""
        return self.study

    def opener(self) -> Opener:
        """How a worker opens the same."""
        return Opener(f"{__name__}:opened", (self.study, self.root, self.own_code))

    def flags(self, *names: str) -> dict[str, Any]:
        """The flags of these names, as JSON values."""
        return self.study.flags(*names)

    def fingerprint(self, stage: Declaration) -> str:
        """Of a stage before the attacks, found once: every stage after it asks for it again."""
        if stage not in self._fingerprints:
            self._fingerprints[stage] = stage.stage(self).fingerprint
        return self._fingerprints[stage]

    def under(self, remedy: str) -> Source:
        """The same study under a remedy of another training."""
        if remedy not in self._remedied:
            self._remedied[remedy] = Source(remedied(self.study, remedy), self.root, self.own_code)
        return self._remedied[remedy]

    @functools.cached_property
    def teacher(self) -> Source | None:
        """The plain study, where its models' answers are what this one's are trained on."""
        study = self.study
        if not study.remedy or not isinstance(remedies.parse(study.remedy), remedies.Distillation):
            return None
        plain = {field.name: getattr(study, field.name) for field in dataclasses.fields(Study)}
        return Source(Study(**plain), self.root, self.own_code)

    # Examples -------------------------------------------------------------------------------------

    @property
    def holds_texts(self) -> bool:
        """Whether the examples are texts, whose token ids depend on a vocabulary."""
        return isinstance(self.examples.x, Texts)

    def ids(self, family: str) -> np.ndarray:
        """int64[N]: which examples a family is scored on."""
        return self.splits[family].scored

    def names(self, family: str) -> np.ndarray:
        """[N] the data set's own ids of these."""
        return self.examples.ids[self.ids(family)]

    def model_inputs(self, family: str, indices: np.ndarray) -> np.ndarray:
        """What a family's models take: f32[N, ...], or token ids int32[N, T] of its vocabulary."""
        if not self.holds_texts:
            return self.examples.inputs(indices)
        table = np.load(self.tokens(family).folder() / "x.npy", mmap_mode="r")
        return np.asarray(table[np.searchsorted(self.in_splits, indices)])

    def take(self, family: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs of a family and labels int64[N]."""
        return self.model_inputs(family, indices), self.examples.y[indices]

    @functools.cached_property
    def in_splits(self) -> np.ndarray:
        """int64[M] ascending: the examples that are in any family's split."""
        parts = [
            part
            for split in self.splits.values()
            for part in (split.members, split.non_members, split.validation, split.population)
        ]
        return np.unique(np.concatenate(parts))

    def learned_from(self, family: str) -> np.ndarray | None:
        """Indices of the texts that a family's vocabulary is learned from; None for a given one."""
        if self.study.preset or self.study.vocabulary not in vocabularies.OWN:
            return None
        if self.study.vocabulary == "members":
            return np.sort(self.splits[family].members)
        split = self.splits[TARGET]
        return np.sort(np.concatenate([split.validation, split.population]))

    def vocabulary_of(self, family: str) -> Tokens:
        """The stage of the token ids that a family's models take."""
        learned = self.learned_from(TARGET) is not None and self.study.vocabulary == "members"
        return Tokens(family if learned else "all")

    def tokens(self, family: str) -> Stage:
        """Where the texts are kept as ids of a family's vocabulary."""
        return self.vocabulary_of(family).stage(self)

    def preset(self) -> Stage:
        """Where the weights are kept that text models start from."""
        return Preset().stage(self)

    def aside(self, family: str) -> np.ndarray:
        """Indices of the examples beside a family's own that attacks ask about.

        The population; for families with data of their own, the other families' examples too.
        """
        population = self.splits[family].population
        if self.study.one_pool:
            return population
        others = [split.scored for name, split in self.splits.items() if name != family]
        return np.concatenate([population, *others])

    def calibration(self, family: str) -> np.ndarray:
        """Indices of the examples that activation ranges are found on; all where they are few."""
        split = self.splits[family]
        chosen = split.members if self.study.calibration == "members" else split.validation
        return chosen[: self.study.calibration_size]

    # What versions say ----------------------------------------------------------------------------

    def asked(
        self, families: Sequence[str], release: Release, kinds: tuple[str, ...] = ()
    ) -> list[Declaration]:
        """The stages that the observations of these families are read from."""
        return [
            stage
            for family in families
            for name in release
            for stage in (
                Observation(family, name),
                *(Extra(kind, family, name) for kind in kinds),
            )
        ]

    def observed(
        self, families: Sequence[str], release: Release, kinds: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Their fingerprints, and those of the data and the target's examples."""
        stages = self.asked(families, release, kinds)
        prints = {stage.title: self.fingerprint(stage) for stage in stages}
        return {"data": self.sha256, "examples": digest(self.ids(families[0])), **prints}

    def observations(
        self, family: str, release: Release, kinds: tuple[str, ...] = (), null: int = 0
    ) -> Observations:
        """What the release says about a family's members and non-members, ids ascending."""
        split = self.splits[family]
        if null:
            split = split.shuffled(drawing(self.study.seed, family, null))
        folders = {
            kind: [Extra(kind, family, name).stage(self).folder() for name in release]
            for kind in kinds
        }
        stages = [Observation(family, name).stage(self) for name in release]
        resolutions = tuple(stage.facts()["resolution"] for stage in stages)
        aside = None
        if "aside" in kinds:
            indices = self.aside(family)
            aside = Observations(
                versions=release,
                probabilities=_stack(folders["aside"], "probabilities"),
                labels=self.examples.y[indices],
                members=np.zeros(len(indices), dtype=bool),
                ids=self.examples.ids[indices],
                resolutions=resolutions,
                augmented=_stack(folders.get("augmented"), "aside"),
            )
        return Observations(
            versions=release,
            probabilities=_stack([stage.folder() for stage in stages], "probabilities"),
            labels=self.examples.y[split.scored],
            members=split.is_member,
            ids=self.examples.ids[split.scored],
            sensitivities=_stack(folders.get("sensitivities"), "sensitivities"),
            resolutions=resolutions,
            augmented=_stack(folders.get("augmented"), "augmented"),
            aside=aside,
        )

    def versions(self, names: Sequence[str]) -> tuple[Version, ...]:
        """The records of the target's versions."""
        return tuple(run_versions.record(self, name) for name in names)

    def validation_accuracy(self, family: str, name: str) -> Estimate:
        """Of a version of a family."""
        return run_versions.validation_accuracy(self, family, name)

    def versions_from(self) -> dict[str, Any]:
        """Digests of what these records come from: accuracies are those of either side."""
        pairs, split = [(TARGET, name) for name in self.study.versions], self.splits[TARGET]
        return {
            "split": digest(split.members, split.non_members, split.validation),
            **(
                self.flags("calibration", "calibration_size")
                if run_versions.calibrated(self)
                else {}
            ),
            **{
                name: [content(kind(of, name), self) for kind in (VersionFile, Observation)]
                for of, name in pairs
            },
        }

    def inputs(self) -> Inputs:
        """What the blind baseline sees of the target's examples: numbers, or the texts."""
        from tf_compleak.attacks import blind  # scikit-learn

        split = self.splits[TARGET]
        if self.holds_texts:
            values = Texts.of(self.examples.x[split.scored])
        else:
            values = blind.summary(self.examples.inputs(split.scored))
        return Inputs(values, self.examples.y[split.scored], split.is_member)

    def inputs_from(self) -> dict[str, Any]:
        """Digests of the data and of who is a member."""
        split = self.splits[TARGET]
        return {"data": self.sha256, "split": digest(split.members, split.non_members)}


def workdir_of(study: Study, root: str) -> Workdir:
    """The folder of a study in a workdir, in which remedied ones have folders of their own."""
    workdir = Workdir(root)
    return workdir.remedied(study.remedy) if study.remedy else workdir


def splits_of(study: Study, examples: Examples) -> dict[str, Split]:
    """Who is in which family's training set; ValueError when there are too few examples."""
    return splits.MAKERS[study.split](
        examples,
        num_members=study.num_members,
        num_non_members=study.num_non_members,
        num_shadows=study.num_shadows,
        num_validation=study.num_validation,
        num_population=study.num_population,
        seed=study.seed,
    )


def opened(study: Study, root: str, own_code: str | None = None) -> Source:
    """The study's data, opened once per process."""
    sha256 = Data().stage(DataFolder(study, root, None)).facts()["sha256"]
    own_code = train_command.own_code(study) if own_code is None else own_code
    return _opened(study, root, sha256, own_code)


@functools.lru_cache(maxsize=1)
def _opened(study: Study, root: str, sha256: str, own_code: str) -> Source:
    return Source(study, root, own_code)


def _stack(folders: list | None, name: str) -> np.ndarray | None:
    """[V, ...] of every version's array; None where there is none."""
    if folders is None or not (folders[0] / f"{name}.npy").exists():
        return None
    return np.stack([np.load(path / f"{name}.npy", allow_pickle=False) for path in folders])


def _inputs(folder) -> np.ndarray | Texts:
    """The examples' inputs as the data stage left them, memory-mapped."""
    if (folder / "x.npy").exists():
        return np.load(folder / "x.npy", mmap_mode="r")
    return Texts(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("content", "ends")))
