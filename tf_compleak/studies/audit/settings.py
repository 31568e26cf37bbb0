"""Everything that determines the figures of an audit."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

from tf_compleak.attacks import ATTACKS
from tf_compleak.inference import prepare
from tf_compleak.leakage import exposures
from tf_compleak.metrics import grammar
from tf_compleak.studies.audit import repeat
from tf_compleak.studies.study import arranged, difference
from tf_compleak.types import Release, validators

DEFAULT_ATTACKS = ("confidence", "loss", "entropy", "modified-entropy", "nasr-lr", "tabular")
NONE = "none"
EXECUTORS = ("processes", "inline")
OUTPUTS = ("auto", "probabilities", "logits")


@dataclass(frozen=True)
class Audit:
    """Every field is a flag of `tf-compleak audit` with the same name; see its help for meanings.

    `versions` are names and where they come from, as text: a path, or what stands for an object
    given from Python.

    Raises:
      ValueError: for an unknown name or a value out of range, naming the flag.
    """

    versions: tuple[tuple[str, str], ...]
    members: str
    non_members: str
    shadows: tuple[str, ...] = ()
    folds: int = 5
    attacks: tuple[str, ...] = DEFAULT_ATTACKS
    releases: tuple[Release, ...] = ()
    exposure: tuple[str, ...] = (exposures.FULL,)
    preprocess: str = prepare.AUTO
    output: str = ""
    signature: str = ""
    outputs: str = "auto"
    label_offset: int = 0
    batch: int = 64
    drop_overlap: bool = False
    force: bool = False
    stateful: str = repeat.REFUSE
    marginal: str = "auc"
    subset_budget: str = ""
    sensitivity_queries: int = 10
    sensitivity_epsilon: float = 1e-3
    delta: float = 0.0
    threads: int = 1
    seed: int = 0

    def __post_init__(self):
        names = self.names
        if not names:
            raise ValueError("--versions: empty; write original=model.tflite,int8=model8.tflite.")
        for name in names:
            validators.name("--versions", name)
        validators.distinct("--versions", names)
        validators.between("--folds", self.folds, 2, 50)
        self._check_attacks()
        releases = tuple(arranged(release, names) for release in self.releases)
        object.__setattr__(self, "releases", releases)
        validators.distinct("--releases", ["+".join(release) for release in self.releases])
        if not self.exposure:
            raise ValueError("--exposure: empty; name at least one, such as full.")
        validators.distinct("--exposure", self.exposure)
        for name in self.exposure:
            exposures.parse(name)
        if self.preprocess != prepare.AUTO:
            prepare.function(self.preprocess)
        self.order_by()
        self.budget()
        validators.choice("--outputs", self.outputs, OUTPUTS)
        validators.choice("--stateful", self.stateful, repeat.CHOICES)
        validators.between("--label_offset", self.label_offset, -1000, 1000)
        validators.between("--batch", self.batch, 1, 65536)
        validators.between("--sensitivity_queries", self.sensitivity_queries, 1, 1000)
        validators.between("--sensitivity_epsilon", self.sensitivity_epsilon, 1e-6, 1.0)
        validators.between("--delta", self.delta, 0, 0.5)
        validators.between("--threads", self.threads, 1, 1024)
        validators.at_least("--seed", self.seed, 0)

    def order_by(self) -> grammar.Metric | None:
        """The metric of --marginal; None where it is "none"."""
        return None if self.marginal == NONE else grammar.metric(self.marginal, "--marginal")

    def budget(self) -> grammar.Condition | None:
        """The condition of --subset_budget; None where there is none."""
        if not self.subset_budget:
            return None
        return grammar.condition(self.subset_budget, "--subset_budget", ("<", "<="))

    def _check_attacks(self) -> None:
        if not self.attacks:
            raise ValueError("--attacks: empty; name at least one, such as tabular.")
        validators.distinct("--attacks", self.attacks)
        for attack in self.attacks:
            validators.choice("--attacks", attack, ATTACKS)
            entry = ATTACKS[attack]
            if {"aside", "augmented"} & set(entry.needs) or entry.least_shadows > 1:
                raise ValueError(
                    f"--attacks={attack}: compares with models that saw other examples of one "
                    "pool, which an audit of given files does not have; use tf-compleak run, or "
                    "another attack."
                )

    @property
    def names(self) -> Release:
        """The versions' names."""
        return tuple(name for name, _ in self.versions)

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values."""
        values = dataclasses.asdict(self)
        values["versions"] = [f"{name}={of}" for name, of in self.versions]
        values["releases"] = ["+".join(release) for release in self.releases]
        return {"kind": "audit"} | {
            key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
        }

    def difference(self, other: dict[str, Any]) -> list[str]:
        """One text for each field in which a saved audit (`to_json`) differs from this one."""
        return difference(self.to_json(), other)


@dataclass(frozen=True)
class Where:
    """Where and how an audit runs: nothing that its figures depend on.

    Attributes:
      workdir: the audit's folder; empty: none is kept.
      data_dir: where prepared TFDS data sets are.
      overwrite: take over a folder that another audit made.
      workers: processes; 0: one per core, up to 8.
      executor: "processes", or "inline": attacks run in this process, one after the other.
      time_limit: seconds for opening a file, and for each batch.
      memory_limit: GiB of one file's process.
      trust_files: open Keras 2 and SavedModel files also where their process cannot be isolated.
      command, flags: what the report says about repeating the audit.
    """

    workdir: str = ""
    data_dir: str | None = None
    overwrite: bool = False
    workers: int = 0
    executor: str = "processes"
    time_limit: float = 60.0
    memory_limit: float = 8.0
    trust_files: bool = False
    command: str = ""
    flags: str = ""

    def __post_init__(self):
        validators.between("--workers", self.workers, 0, 1024)
        validators.choice("--executor", self.executor, EXECUTORS)
        validators.between("--time_limit", self.time_limit, 0.1, 86400)
        validators.between("--memory_limit", self.memory_limit, 0.5, 4096)

    def processes(self, threads: int) -> int:
        """How many processes of `threads` threads fit on the cores."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return self.workers or max(1, min(cores, 8) // threads)
