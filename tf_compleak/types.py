"""The nouns of the project: small frozen types that pass between packages, with validation only."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from tf_compleak import _checks

ORIGINAL = "original"
SCHEMA = 1

Release = tuple[str, ...]
Tier = Literal["NR", "SR", "MR"]
Output = Literal["probabilities", "logits"]


def tier(release: Release) -> Tier:
    """NR: one version. SR: the original and one other. MR: all else (CompLeak, section 4)."""
    if not release:
        raise ValueError("release: empty; name at least one version.")
    if len(release) == 1:
        return "NR"
    return "SR" if len(release) == 2 and ORIGINAL in release else "MR"


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs x[N, ...] (uint8 in 0..255, or float), labels y int64[N], unique ids[N], C classes."""

    x: np.ndarray
    y: np.ndarray
    ids: np.ndarray
    classes: int

    def __post_init__(self):
        if not len(self.x) == len(self.y) == len(self.ids):
            raise ValueError(
                f"x, y, ids: lengths differ ({len(self.x)}, {len(self.y)}, {len(self.ids)})."
            )
        _checks.labels("y", self.y, self.classes)
        _checks.distinct("ids", self.ids)

    def __len__(self) -> int:
        return len(self.y)

    def inputs(self, indices: np.ndarray) -> np.ndarray:
        """float32 inputs of `indices`; uint8 is scaled from 0..255 to [0, 1], float is kept."""
        x = self.x[indices]
        return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else np.float32(x)


@dataclass(frozen=True, eq=False)
class Split:
    """Who is in one model's training set: pairwise disjoint int64 index arrays into `Examples`."""

    members: np.ndarray
    non_members: np.ndarray
    validation: np.ndarray
    population: np.ndarray

    def __post_init__(self):
        parts = dataclasses.asdict(self)
        for name in ("members", "non_members", "validation"):
            if not len(parts[name]):
                raise ValueError(f"{name}: empty; give it at least one example.")
        together = np.concatenate(list(parts.values()))
        unique, counts = np.unique(together, return_counts=True)
        if (counts > 1).any():
            raise ValueError(
                f"split: example {unique[counts > 1][0]} is in more than one of "
                "members, non_members, validation, population; they must be disjoint."
            )

    @property
    def scored(self) -> np.ndarray:
        """Indices of the examples that are attacked, ascending: their order tells no membership."""
        return np.sort(np.concatenate([self.members, self.non_members]))

    @property
    def is_member(self) -> np.ndarray:
        """bool[N] beside `scored`."""
        return np.isin(self.scored, self.members)

    def shuffled(self, rng: np.random.Generator) -> Split:
        """The same scored examples, members and non-members drawn anew: for the null run."""
        drawn = rng.permutation(self.scored)
        count = len(self.members)
        return dataclasses.replace(self, members=drawn[:count], non_members=drawn[count:])


@dataclass(frozen=True)
class Estimate:
    """A figure with its two-sided confidence interval; NaN throughout where not measurable."""

    value: float
    low: float
    high: float
    level: float
    method: str
    n: int
    measurable: bool = True

    @classmethod
    def unmeasurable(cls, reason: str, n: int, level: float = 0.95) -> Estimate:
        """The estimate of a figure that `n` examples cannot show; `reason` becomes its method."""
        return cls(math.nan, math.nan, math.nan, level, reason, n, measurable=False)

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values; NaN becomes None."""
        values = dataclasses.asdict(self)
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in values.items()
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Estimate:
        """The inverse of `to_json`."""
        return cls(**{key: math.nan if value is None else value for key, value in values.items()})

    def __str__(self) -> str:
        if not self.measurable:
            return "n/a"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Version:
    """One file of a family and the facts about it; no loaded model.

    Attributes:
      name: unique within the family, the recipe's name in a study.
      recipe: `str` of the recipe that made it.
      path: the `.tflite` file, relative to the workdir.
      output: what the file emits, decided once where it was made.
      bytes, gzip_bytes: size of the file, plain and compressed by gzip level 9.
      member_accuracy, non_member_accuracy, validation_accuracy: top-1 share.
      status: "ok", or "failed" (see the report's failures for the reason).
      resolution: step of the output (1/256 for INT8 softmax), 0 for float outputs.
      notes: facts a reader should know, such as what the calibration saw.
    """

    name: str
    recipe: str
    path: str
    output: Output = "probabilities"
    bytes: int = 0
    gzip_bytes: int = 0
    member_accuracy: Estimate | None = None
    non_member_accuracy: Estimate | None = None
    validation_accuracy: Estimate | None = None
    status: Literal["ok", "failed"] = "ok"
    resolution: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Observations:
    """What an attacker sees of one family: V versions, N examples, C classes.

    Attributes:
      versions: V unique names.
      probabilities: f32[V, N, C], each row a distribution (up to the output's resolution).
      labels: int64[N] in [0, C).
      members: bool[N], or None where the attacker must not know.
      ids: [N] unique.
      sensitivities: f32[V, N, C] or None.
      resolutions: V output steps, 0 for float outputs; zeros of a quantized output are floored
        at half a step before a logarithm.
    """

    versions: Release
    probabilities: np.ndarray
    labels: np.ndarray
    members: np.ndarray | None
    ids: np.ndarray
    sensitivities: np.ndarray | None = None
    resolutions: tuple[float, ...] = ()

    def __post_init__(self):
        if not self.resolutions:
            object.__setattr__(self, "resolutions", (0.0,) * len(self.versions))
        if self.probabilities.ndim != 3 or len(self.probabilities) != len(self.versions):
            raise ValueError(
                f"probabilities: shape must be [versions, examples, classes] with "
                f"{len(self.versions)} versions, got {self.probabilities.shape}."
            )
        _, n, classes = self.probabilities.shape
        if not len(self.labels) == len(self.ids) == n:
            raise ValueError(f"labels, ids: {n} expected, got {len(self.labels)}, {len(self.ids)}.")
        if self.members is not None and (len(self.members) != n or self.members.dtype != bool):
            raise ValueError(f"members: bool[{n}] expected.")
        _checks.distinct("versions", self.versions)
        _checks.distinct("ids", self.ids)
        _checks.labels("labels", self.labels, classes)
        _check_probabilities(self.versions, self.probabilities, self.resolutions)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return self.probabilities.shape[2]

    def select(self, release: Sequence[str]) -> Observations:
        """The same examples seen through the versions of `release`, in that order."""
        for name in release:
            _checks.choice("release", name, self.versions)
        rows = [self.versions.index(name) for name in release]
        return dataclasses.replace(
            self,
            versions=tuple(release),
            probabilities=self.probabilities[rows],
            sensitivities=None if self.sensitivities is None else self.sensitivities[rows],
            resolutions=tuple(self.resolutions[row] for row in rows),
        )

    def take(self, indices: np.ndarray) -> Observations:
        """The same versions seen on some of the examples."""
        return dataclasses.replace(
            self,
            probabilities=self.probabilities[:, indices],
            labels=self.labels[indices],
            members=None if self.members is None else self.members[indices],
            ids=self.ids[indices],
            sensitivities=None if self.sensitivities is None else self.sensitivities[:, indices],
        )

    def hidden(self) -> Observations:
        """The same without the membership: what an attack is given of its target."""
        return dataclasses.replace(self, members=None)


def _check_probabilities(versions, probabilities, resolutions) -> None:
    classes = probabilities.shape[2]
    for name, rows, resolution in zip(versions, probabilities, resolutions, strict=True):
        _checks.finite(f"probabilities of {name}", rows)
        if rows.size and rows.min() < 0:
            raise ValueError(f"probabilities of {name}: negative values; are these logits?")
        off = np.abs(rows.sum(axis=1, dtype=np.float64) - 1)
        allowed = 0.01 + classes * resolution
        if (off > allowed).any():
            raise ValueError(
                f"probabilities of {name}: row {int(off.argmax())} sums to 1 only within "
                f"{off.max():.3g} (allowed: {allowed:.3g}); are these logits?"
            )


class FittedAttack(Protocol):
    """A fitted attack: a score for every target example, and the threshold chosen on the shadow."""

    threshold: float

    def score(self, target: Observations) -> np.ndarray:
        """f64[N], higher = more likely a member; `target.members` is None."""
        ...


class Attack(Protocol):
    """Something that can be fitted on shadow families."""

    def fit(self, shadows: Sequence[Observations], *, seed: int) -> FittedAttack:
        """Fit on shadow observations of the same release as the target's, with members known."""
        ...


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores f64[N] of one attack on one release, members bool[N], threshold from the shadow."""

    values: np.ndarray
    members: np.ndarray
    threshold: float

    def __post_init__(self):
        if self.values.shape != self.members.shape or self.values.ndim != 1:
            raise ValueError(
                f"scores: values {self.values.shape} and members {self.members.shape} differ."
            )
        if self.members.dtype != bool or self.members.all() or not self.members.any():
            raise ValueError("scores: members must be bool and hold members and non-members.")
        _checks.finite("scores", self.values)


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic as steps: false and true positive rates, ascending."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """One row of a report: one attack on one release.

    `auc_gain` is the paired difference in AUC to the best NR row (`gain_over`: release, attack),
    on SR and MR rows only.
    """

    tier: Tier
    release: Release
    attack: str
    n_members: int
    n_non_members: int
    accuracy: Estimate
    auc: Estimate
    tpr_at_fpr: dict[float, Estimate]
    auc_gain: Estimate | None = None
    gain_over: tuple[Release, str] | None = None
    roc: Roc | None = None


@dataclass(frozen=True)
class Failure:
    """A version or an attack that could not be made or measured, and why."""

    name: str
    reason: str


def holds_chance(auc: Estimate) -> bool:
    """Whether 0.5 lies within the interval of an AUC."""
    return auc.low <= 0.5 <= auc.high


@dataclass(frozen=True)
class Sanity:
    """AUC of the null run (membership shuffled) and of the blind baseline (inputs only).

    Either is unmeasurable where its run failed.
    """

    null_auc: Estimate
    blind_auc: Estimate

    def warnings(self) -> tuple[str, ...]:
        """One sentence for each of the two that does not hold 0.5 within its interval."""
        found = [
            f"{name} could not be made ({auc.method}): the figures of this report are unchecked."
            for name, auc in (("Null run", self.null_auc), ("Blind baseline", self.blind_auc))
            if not auc.measurable
        ]
        if self.null_auc.measurable and not holds_chance(self.null_auc):
            found.append(
                f"Null run failed: with shuffled membership the attack's AUC is {self.null_auc}; "
                "0.5 lies outside. Membership reaches the attack some other way, or this is the "
                "one sound run in a hundred: repeat with another seed before trusting the figures."
            )
        if self.blind_auc.measurable and not holds_chance(self.blind_auc):
            found.append(
                f"Blind baseline failed: a classifier that sees only the inputs tells members from "
                f"non-members with AUC {self.blind_auc}. The two sets differ in distribution: "
                "the audit is void."
            )
        return tuple(found)


@dataclass(frozen=True)
class Report:
    """What one study found; `report.json` is its saved form (see `to_json`)."""

    study: dict[str, Any]
    provenance: dict[str, Any]
    versions: tuple[Version, ...]
    results: tuple[Result, ...]
    failures: tuple[Failure, ...]
    sanity: Sanity
    schema: int = field(default=SCHEMA)

    def best(self, tier: Tier) -> Result | None:
        """The row of `tier` with the highest AUC on the target, None if the tier has no row."""
        rows = [row for row in self.results if row.tier == tier]
        return max(rows, key=lambda row: row.auc.value, default=None)

    def to_json(self) -> dict[str, Any]:
        """JSON values only; estimates are dicts, rates are string keys, NaN is None."""
        return {
            "schema": self.schema,
            "study": self.study,
            "provenance": self.provenance,
            "versions": [_jsonable(version) for version in self.versions],
            "results": [_jsonable(result) for result in self.results],
            "failures": [_jsonable(failure) for failure in self.failures],
            "sanity": _jsonable(self.sanity),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Report:
        """The inverse of `to_json`; ValueError when the schema is another."""
        if values.get("schema") != SCHEMA:
            raise ValueError(
                f"report: schema {values.get('schema')!r} cannot be read, {SCHEMA} is expected; "
                "make the report anew with this version of tf_compleak."
            )
        return cls(
            study=values["study"],
            provenance=values["provenance"],
            versions=tuple(_version_from_json(version) for version in values["versions"]),
            results=tuple(_result_from_json(result) for result in values["results"]),
            failures=tuple(Failure(**failure) for failure in values["failures"]),
            sanity=Sanity(
                **{key: Estimate.from_json(value) for key, value in values["sanity"].items()}
            ),
        )


def _jsonable(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        return {f.name: _jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {
            f"{key:g}" if isinstance(key, float) else key: _jsonable(v) for key, v in value.items()
        }
    if isinstance(value, (tuple, list)):
        return [_jsonable(item) for item in value]
    return value


def _version_from_json(values: dict[str, Any]) -> Version:
    estimates = {
        key: None if values[key] is None else Estimate.from_json(values[key])
        for key in ("member_accuracy", "non_member_accuracy", "validation_accuracy")
    }
    return Version(**{**values, **estimates, "notes": tuple(values["notes"])})


def _result_from_json(values: dict[str, Any]) -> Result:
    gain, over, roc = values["auc_gain"], values["gain_over"], values["roc"]
    return Result(
        tier=values["tier"],
        release=tuple(values["release"]),
        attack=values["attack"],
        n_members=values["n_members"],
        n_non_members=values["n_non_members"],
        accuracy=Estimate.from_json(values["accuracy"]),
        auc=Estimate.from_json(values["auc"]),
        tpr_at_fpr={
            float(key): Estimate.from_json(value) for key, value in values["tpr_at_fpr"].items()
        },
        auc_gain=None if gain is None else Estimate.from_json(gain),
        gain_over=None if over is None else (tuple(over[0]), over[1]),
        roc=None if roc is None else Roc(tuple(roc["fpr"]), tuple(roc["tpr"])),
    )
