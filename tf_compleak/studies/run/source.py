"""The source of a study: its examples, its splits, and where each stage keeps what it made.

A stage is known by the fingerprint of all that it came from; see `workdir.Stage`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import numpy as np

from tf_compleak.attacks import ATTACKS
from tf_compleak.compression import recipes
from tf_compleak.data import splits, text
from tf_compleak.engine.workdir import Stage, Workdir, fingerprint
from tf_compleak.studies.run.architecture import spec
from tf_compleak.studies.study import Run, Study
from tf_compleak.types import Examples, Release, Split, Texts
from tf_compleak.types.observations import Observations

NULL = "null of "
BLIND = Run("blind", (), "target", ())  # stands for the blind baseline
EXTRAS = ("aside", "sensitivities", "augmented")


def data_stage(study: Study, root: str) -> Stage:
    """Where the decoded data set is kept."""
    facts = {"dataset": study.dataset, "tfds_split": study.tfds_split}
    return Stage.of(Workdir(root).data(), stage="data/2", flags=facts)


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
        stage = data_stage(study, root)
        folder, facts = stage.folder(), stage.facts()
        self.study, self.root, self.sha256 = study, root, facts["sha256"]
        self.examples = Examples(
            _inputs(folder),
            np.load(folder / "y.npy"),
            np.load(folder / "ids.npy"),
            facts["classes"],
        )
        self.splits = splits_of(study, self.examples)

    @property
    def holds_texts(self) -> bool:
        """Whether the examples are texts, whose token ids depend on a vocabulary."""
        return isinstance(self.examples.x, Texts)

    def inputs(self, family: str, indices: np.ndarray) -> np.ndarray:
        """What a family's models take: f32[N, ...], or token ids int32[N, T] of its vocabulary."""
        if not self.holds_texts:
            return self.examples.inputs(indices)
        table = np.load(self.tokens(family).folder() / "x.npy", mmap_mode="r")
        return np.asarray(table[np.searchsorted(self.used, indices)])

    def take(self, family: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs of a family and labels int64[N]."""
        return self.inputs(family, indices), self.examples.y[indices]

    @functools.cached_property
    def used(self) -> np.ndarray:
        """int64[M] ascending: the examples that are in any family's split."""
        parts = [
            (s.members, s.non_members, s.validation, s.population) for s in self.splits.values()
        ]
        return np.unique(np.concatenate([each for part in parts for each in part]))

    def learned_from(self, family: str) -> np.ndarray | None:
        """Indices of the texts that a family's vocabulary is learned from; None for a given one."""
        if self.study.preset or self.study.vocabulary not in text.OWN:
            return None
        split = self.splits[family]
        if self.study.vocabulary == "members":
            return np.sort(split.members)
        return np.sort(np.concatenate([split.validation, split.population]))

    def tokens(self, family: str) -> Stage:
        """The stage of the texts as token ids."""
        study, learned = self.study, self.learned_from(family)
        flags = ("model", "sequence_length", "vocabulary", "preset")
        if learned is not None:
            flags += ("vocabulary_size",)
        own = learned is not None and study.vocabulary == "members"
        return Stage.of(
            Workdir(self.root).tokens(family if own else "all"),
            stage="tokens/1",
            data=self.sha256,
            examples=digest(self.used),
            flags=_flags(study, *flags),
            learned=None if learned is None else digest(learned),
        )

    def preset(self) -> Stage:
        """The stage of the preset's weights and vocabulary."""
        flags = _flags(self.study, "preset", "model")
        return Stage.of(Workdir(self.root).preset(), stage="preset/1", flags=flags)

    def _text_facts(self, family: str) -> dict:
        """What of texts, vocabulary and preset a training depends on; {} where there are none."""
        if not self.holds_texts:
            return {}
        study, facts = self.study, {"tokens": self.tokens(family).facts()["sha256"]}
        if study.preset:
            facts["preset"] = self.preset().facts()["sha256"]
        return {**facts, "heads": study.heads, "dropout": study.dropout}

    def training(self, family: str) -> Stage:
        """The stage of a family's training."""
        study, split, model = self.study, self.splits[family], spec(self)
        flags = ("model", "epochs", "batch_size", "learning_rate", "momentum", "weight_decay")
        more = ("optimizer", "augmentation", "early_stopping", "mixed_precision", "threads", "seed")
        kept = _flags(study, "checkpoint") if study.checkpoint != "best" else {}
        return Stage.of(
            Workdir(self.root).training(family),
            stage="training/2",
            data=self.sha256,
            split=digest(split.members, split.validation),
            flags=_flags(study, *flags, *more)
            | kept
            | {"depth": model.depth, "width": model.width},
            text=self._text_facts(family),
            family=family,
        )

    def version(self, family: str, name: str) -> Stage:
        """The stage of a version's file."""
        study = self.study
        return Stage.of(
            Workdir(self.root).version(family, name),
            stage="version/2",
            training=self.training(family).fingerprint,
            recipe=name,
            flags=_flags(study, *_relevant(recipes.parse(name))),
            calibration=digest(self.calibration(family)) if name == "int8-ptq" else None,
        )

    def observation(self, family: str, name: str) -> Stage:
        """The stage of what a version says."""
        split = self.splits[family]
        return Stage.of(
            Workdir(self.root).observation(family, name),
            stage="observation/1",
            version=self.version(family, name).fingerprint,
            examples=digest(split.scored, split.validation),
        )

    def extra(self, kind: str, family: str, name: str) -> Stage:
        """The stage of what else a version was asked: see `EXTRAS`."""
        study, own = self.study, digest(self.splits[family].scored)
        examples = {
            "aside": [digest(self.aside(family))],
            "augmented": [own],
            "sensitivities": [],
        }
        if kind == "augmented" and study.split == "disjoint":
            examples[kind] += examples["aside"]
        flags = {
            "aside": (),
            "augmented": ("queries",),
            "sensitivities": ("sensitivity_queries", "sensitivity_epsilon", "seed"),
        }
        return Stage.of(
            Workdir(self.root).extra(kind, family, name),
            stage=f"{kind}/1",
            observation=self.observation(family, name).fingerprint,
            flags=_flags(study, *flags[kind]),
            examples=fingerprint(of=examples[kind]),
        )

    def attack(self, run: Run) -> Stage:
        """The stage of an attack on a release; "null" and "blind" are the sanity runs."""
        needs = extras(self.study, run.attack)
        observed = {
            f"{stage.path.parent.name} {name} {family}": stage.fingerprint
            for family in (run.target, *run.shadows)
            for name in run.release
            for stage in (
                self.observation(family, name),
                *(self.extra(kind, family, name) for kind in needs),
            )
        }
        folder = "null" if run.attack.startswith(NULL) else run.attack
        plain = run.target == "target" and len(run.shadows) in (0, self.study.num_shadows)
        variant = "" if plain else f"{run.target}, {len(run.shadows)} shadows"
        return Stage.of(
            Workdir(self.root).attack(folder, run.release, variant),
            stage="attack/5",
            attack=run.attack,
            data=self.sha256,
            release=list(run.release),
            families=[run.target, *run.shadows],
            observed=observed,
            members=digest(self.splits[run.target].scored),
            flags=_flags(self.study, "threads", "seed"),
        )

    def figures(self, made: Sequence[Run], usable: Sequence[str]) -> Stage:
        """The stage of what the report says: of finished attacks, and of the target's versions."""
        versions = {
            name: [
                _content(self.version("target", name)),
                _content(self.observation("target", name)),
            ]
            for name in self.study.versions
        }
        attacks = [
            [run.attack, *run.release, run.target, len(run.shadows), _content(self.attack(run))]
            for run in made
        ]
        return Stage.of(
            Workdir(self.root).figures(),
            stage="figures/1",
            versions=versions,
            usable=list(usable),
            attacks=attacks,
            flags=_flags(self.study, "seed", "delta", "shadow_counts", "calibration"),
        )

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
        saved = {
            kind: [self.extra(kind, family, name).folder() for name in release] for kind in kinds
        }
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
            probabilities=_stack([stage.folder() for stage in stages], "probabilities", rows),
            labels=self.examples.y[split.scored],
            members=split.is_member,
            ids=self.examples.ids[split.scored],
            sensitivities=_stack(saved.get("sensitivities"), "sensitivities", rows),
            resolutions=resolutions,
            augmented=_stack(saved.get("augmented"), "augmented", rows, axis=1),
            aside=aside,
        )


def _content(stage: Stage) -> str | None:
    """Of what is there, whatever it was made from; None where nothing is."""
    record = stage.record()
    return fingerprint(files=record["files"], facts=record["facts"]) if record else None


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


def _flags(study: Study, *names: str) -> dict:
    """The flags that a stage depends on, as JSON values."""
    saved = study.to_json()
    return {name: saved[name] for name in names}


def _relevant(recipe: recipes.Recipe) -> tuple[str, ...]:
    """The flags that a recipe's fine-tuning depends on."""
    common = ("finetune_epochs", "batch_size", "optimizer", "momentum", "weight_decay")
    match recipe:
        case recipes.Pruning():
            return (*common, "pruning_learning_rate")
        case recipes.Clustering():
            return (*common, "clustering_learning_rate")
        case recipes.QuantizationAware():
            return (*common, "quantization_learning_rate")
    return ()


def _inputs(folder):
    """The examples' inputs as the data stage left them, memory-mapped."""
    if (folder / "x.npy").exists():
        return np.load(folder / "x.npy", mmap_mode="r")
    return Texts(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("content", "ends")))


def arrays_of(examples: Examples) -> dict[str, np.ndarray]:
    """What is saved of examples: x (or content and ends of texts), y, ids."""
    x = examples.x
    inputs = {"content": x.content, "ends": x.ends} if isinstance(x, Texts) else {"x": x}
    return {**inputs, "y": examples.y, "ids": examples.ids}
