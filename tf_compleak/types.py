"""The nouns of the project: small frozen types that pass between packages, with validation only."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from tf_compleak import _checks

if TYPE_CHECKING:
    from tf_compleak.observations import Observations

ORIGINAL = "original"
LEAST = 20  # members, and non-members, of a target; figures of fewer say nothing

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


def default_releases(versions: Release) -> list[Release]:
    """Every version alone, the original with each other one, all with and without the original."""
    others = tuple(name for name in versions if name != ORIGINAL)
    found: list[Release] = [(name,) for name in versions]
    if ORIGINAL in versions:
        found += [(ORIGINAL, name) for name in others]
        if len(others) >= 2:
            found.append((ORIGINAL, *others))
    return [*found, others] if len(others) >= 2 else found


@dataclass(frozen=True, eq=False)
class Texts:
    """N texts as one buffer: UTF-8 `content` uint8[B], text i from `ends[i]` to `ends[i + 1]`.

    `ends` is int64[N + 1], its first entry 0. Both may be memory-mapped.
    """

    content: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str]) -> Texts:
        """The texts in one buffer."""
        parts = [text.encode("utf-8") for text in texts]
        ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(parts), np.uint8), ends)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N,)"""
        return (len(self),)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, indices: np.ndarray) -> list[str]:
        """The texts of `indices`."""
        pairs = zip(self.ends[indices], self.ends[np.asarray(indices) + 1], strict=True)
        return [self.content[start:end].tobytes().decode("utf-8") for start, end in pairs]


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs x[N, ...], labels y int64[N], unique ids[N], C classes.

    Inputs are images (uint8 in 0..255, or float) [N, H, W, channels], tables [N, F] of numbers as
    they are, anything else [N, ...] in float, or `Texts`.
    """

    x: np.ndarray | Texts
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
        """float32 inputs of `indices`; uint8 is scaled from 0..255 to [0, 1], but in tables."""
        x = self.x[indices]
        scaled = x.dtype == np.uint8 and x.ndim > 2
        return x.astype(np.float32) / np.float32(255) if scaled else np.float32(x)


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

    def widened(self, factor: float, why: str, bounds: tuple[float, float]) -> Estimate:
        """The same with an interval `factor` times as wide on either side, within `bounds`."""
        if not self.measurable or factor == 1:
            return self
        low = max(bounds[0], self.value - factor * (self.value - self.low))
        high = min(bounds[1], self.value + factor * (self.high - self.value))
        method = f"{self.method}, {factor:.2f} times as wide for {why}"
        return dataclasses.replace(self, low=low, high=high, method=method)

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values; NaN becomes None."""
        values = dataclasses.asdict(self)
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in values.items()
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Estimate:
        """The inverse of `to_json`; TypeError for a measurable figure that is no number."""
        figure = cls(**{key: math.nan if value is None else value for key, value in values.items()})
        if figure.measurable and not math.isfinite(figure.value):
            raise TypeError(f"a measurable figure cannot be {figure.value}")
        return figure

    def __str__(self) -> str:
        if not self.measurable:
            return "n/a"
        if math.isnan(self.high):  # a lower bound
            return f"at least {self.low:.3f}"
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
      agreement: share of examples that it gives the class that the original gives.
      status: "ok", or "failed" (see the report's failures for the reason).
      resolution: step of the output (1/256 for INT8 softmax), 0 for float outputs.
      notes: facts a reader should know, such as what the calibration saw.
      left_alone: names of kernels that its recipe did not change, such as depthwise ones.
      left_alone_share: their part of the weights of all kernels.
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
    agreement: Estimate | None = None
    status: Literal["ok", "failed"] = "ok"
    resolution: float = 0.0
    notes: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()
    left_alone_share: float = 0.0


@dataclass(frozen=True)
class Roc:
    """A receiver operating characteristic as steps: false and true positive rates, ascending."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]


@dataclass(frozen=True)
class Failure:
    """A version or an attack that could not be made or measured, and why."""

    name: str
    reason: str


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
