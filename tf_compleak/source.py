"""The source of a study: its examples, its splits, and where each stage keeps what it made.

A stage is known by the fingerprint of all that it came from; see `workdir.Stage`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np

from tf_compleak.attacks import ATTACKS
from tf_compleak.compression import recipes
from tf_compleak.data import splits
from tf_compleak.models import ModelSpec
from tf_compleak.observations import Observations
from tf_compleak.study import Run, Study
from tf_compleak.types import Examples, Release, Split
from tf_compleak.workdir import Stage, Workdir, fingerprint

NULL = "null of "
BLIND = Run("blind", (), "target", ())  # stands for the blind baseline
EXTRAS = ("aside", "sensitivities", "augmented")


def data_stage(study: Study, root: str) -> Stage:
    """Where the decoded data set is kept."""
    print_ = fingerprint(stage="data/2", dataset=study.dataset, split=study.tfds_split)
    return Stage(Workdir(root).data(), print_)


def digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def splits_of(study: Study, examples: Examples) -> dict[str, Split]:
    make = {"disjoint": splits.make_splits, "halves": splits.make_halves}[study.split]
    return make(
        examples,
        num_members=study.num_members,
        num_non_members=study.num_non_members,
        num_shadows=study.num_shadows,
        num_validation=study.num_validation,
        num_population=study.num_population,
        seed=study.seed,
    )


def nulled(run: Run) -> Run:
    """The null run that stands for an attack's run."""
    return dataclasses.replace(run, attack=NULL + run.attack)


class Source:
    """The data of a study as its stages need it: examples, splits, fingerprints."""

    def __init__(self, study: Study, root: str):
        facts = data_stage(study, root).facts()
        folder = Workdir(root).data()
        self.study, self.root, self.sha256 = study, root, facts["sha256"]
        self.examples = Examples(
            np.load(folder / "x.npy", mmap_mode="r"),
            np.load(folder / "y.npy"),
            np.load(folder / "ids.npy"),
            facts["classes"],
        )
        self.splits = splits_of(study, self.examples)

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs f32[N, ...] and labels int64[N]."""
        return self.examples.inputs(indices), self.examples.y[indices]

    def training(self, family: str) -> Stage:
        """The stage of a family's training."""
        study, split = self.study, self.splits[family]
        print_ = fingerprint(
            stage="training/1",
            data=self.sha256,
            split=digest(split.members, split.validation),
            model=[study.model, study.depth, study.width],
            optimization=[study.epochs, study.batch_size, study.learning_rate],
            regularization=[study.momentum, study.weight_decay, list(study.augmentation)],
            seed=[study.seed, family],
            threads=study.threads,
        )
        return Stage(Workdir(self.root).training(family), print_)

    def version(self, family: str, name: str) -> Stage:
        """The stage of a version's file."""
        study = self.study
        print_ = fingerprint(
            stage="version/1",
            training=self.training(family).fingerprint,
            recipe=name,
            tuning=_relevant(study, recipes.parse(name)),
            calibration=digest(self.calibration(family)) if name == "int8-ptq" else None,
        )
        return Stage(Workdir(self.root).version(family, name), print_)

    def observation(self, family: str, name: str) -> Stage:
        """The stage of what a version says."""
        split = self.splits[family]
        print_ = fingerprint(
            stage="observation/1",
            version=self.version(family, name).fingerprint,
            examples=digest(split.scored, split.validation),
        )
        return Stage(Workdir(self.root).observation(family, name), print_)

    def extra(self, kind: str, family: str, name: str) -> Stage:
        """The stage of what else a version was asked: see `EXTRAS`."""
        study = self.study
        settings = {
            "aside": digest(self.aside(family)),
            "augmented": [study.queries, digest(self.splits[family].scored)],
            "sensitivities": [study.sensitivity_queries, study.sensitivity_epsilon, study.seed],
        }
        if kind == "augmented" and study.split == "disjoint":
            settings["augmented"].append(settings["aside"])
        print_ = fingerprint(
            stage=f"{kind}/1",
            observation=self.observation(family, name).fingerprint,
            settings=settings[kind],
        )
        return Stage(Workdir(self.root).extra(kind, family, name), print_)

    def attack(self, run: Run) -> Stage:
        """The stage of an attack on a release; "null" and "blind" are the sanity runs."""
        needs = extras(self.study, run.attack)
        print_ = fingerprint(
            stage="attack/5",
            attack=run.attack,
            data=self.sha256,
            threads=self.study.threads,
            observed=[
                stage.fingerprint
                for family in (run.target, *run.shadows)
                for name in run.release
                for stage in (
                    self.observation(family, name),
                    *(self.extra(kind, family, name) for kind in needs),
                )
            ],
            members=digest(self.splits[run.target].scored),
            seed=self.study.seed,
        )
        folder = "null" if run.attack.startswith(NULL) else run.attack
        plain = run.target == "target" and len(run.shadows) in (0, self.study.num_shadows)
        variant = "" if plain else f"{run.target}, {len(run.shadows)} shadows"
        return Stage(Workdir(self.root).attack(folder, run.release, variant), print_)

    def aside(self, family: str) -> np.ndarray:
        """Indices of the examples beside a family's own that attacks ask about.

        The population; for shadows with data of their own, the other families' examples too.
        """
        population = self.splits[family].population
        if self.study.split == "halves" or family == "target":
            return population
        others = [split.scored for name, split in self.splits.items() if name != family]
        return np.concatenate([population, *others])

    def calibration(self, family: str) -> np.ndarray:
        """Indices of the examples that activation ranges are found on."""
        split = self.splits[family]
        chosen = split.members if self.study.calibration == "members" else split.validation
        return chosen[: self.study.calibration_size]

    def observations(
        self,
        family: str,
        release: Release,
        kinds: tuple[str, ...] = (),
        split: Split | None = None,
    ) -> Observations:
        """What the release says about a family's members and non-members, with extras `kinds`.

        With `split` the same examples are arranged and labelled as if that were the family's.
        """
        stages = [self.observation(family, name) for name in release]
        own = self.splits[family].scored
        split = split or self.splits[family]
        order = np.argsort(own)
        rows = order[np.searchsorted(own, split.scored, sorter=order)]
        saved = {kind: [self.extra(kind, family, name).path for name in release] for kind in kinds}
        resolutions = tuple(stage.facts()["resolution"] for stage in stages)
        aside = None
        if "aside" in kinds:
            indices = self.aside(family)
            aside = Observations(
                versions=release,
                probabilities=_stack(saved["aside"], "probabilities"),
                labels=self.examples.y[indices],
                members=np.zeros(len(indices), dtype=bool),
                ids=self.examples.ids[indices],
                resolutions=resolutions,
                augmented=_stack(saved.get("augmented"), "aside"),
            )
        return Observations(
            versions=release,
            probabilities=_stack([stage.path for stage in stages], "probabilities", rows),
            labels=self.examples.y[split.scored],
            members=split.is_member,
            ids=self.examples.ids[split.scored],
            sensitivities=_stack(saved.get("sensitivities"), "sensitivities", rows),
            resolutions=resolutions,
            augmented=_stack(saved.get("augmented"), "augmented", rows, axis=1),
            aside=aside,
        )


def extras(study: Study, attack: str) -> tuple[str, ...]:
    """What an attack needs to be asked beyond the confidences, in this study."""
    name = attack.removeprefix(NULL)
    needs = ATTACKS[name].needs if name in ATTACKS else ()
    return tuple(kind for kind in needs if kind != "augmented" or study.queries)


def _stack(folders: list | None, name: str, rows=slice(None), axis: int = 0) -> np.ndarray | None:
    """[V, ...] from the `rows` along `axis` of every version's array; None where there is none."""
    if folders is None or not (folders[0] / f"{name}.npy").exists():
        return None
    arrays = (np.load(path / f"{name}.npy", allow_pickle=False) for path in folders)
    return np.stack([each[rows] if axis == 0 else each[:, rows] for each in arrays])


def opened(study: Study, root: str) -> Source:
    """The study's data, opened once per process."""
    return _opened(study, root, data_stage(study, root).facts()["sha256"])


@functools.lru_cache(maxsize=1)
def _opened(study: Study, root: str, sha256: str) -> Source:
    return Source(study, root)


def _relevant(study: Study, recipe: recipes.Recipe) -> list:
    """The flags that a recipe's fine-tuning depends on."""
    common = [study.finetune_epochs, study.batch_size, study.momentum, study.weight_decay]
    match recipe:
        case recipes.Pruning():
            return [*common, study.pruning_learning_rate]
        case recipes.Clustering():
            return [*common, study.clustering_learning_rate]
        case recipes.QuantizationAware():
            return [*common, study.quantization_learning_rate]
    return []


def spec(source_: Source) -> ModelSpec:
    """The architecture of the study; ValueError when it does not fit the data."""
    study, examples = source_.study, source_.examples
    return ModelSpec(
        study.model, study.depth, study.width, tuple(examples.x.shape[1:]), examples.classes
    )
