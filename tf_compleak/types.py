"""The nouns of the project: small frozen types that pass between packages, with validation only."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from tf_compleak import _checks

if TYPE_CHECKING:
    from tf_compleak.observations import Observations

ORIGINAL = "original"
SCHEMA = 1
LEAST = 20  # members, and non-members, of a target; figures of fewer say nothing
NO_INPUTS = "not run: no inputs were given"

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
        """The inverse of `to_json`."""
        return cls(**{key: math.nan if value is None else value for key, value in values.items()})

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

    Attributes:
      n_members, n_non_members: scores; examples count once for every target that they stand for.
      advantage: TPR minus FPR at the threshold chosen on the shadows.
      epsilon: lower bound of epsilon of differential privacy, see `metrics.privacy`.
      auc_gain: paired difference in AUC to the best NR row (`gain_over`: release, attack), on SR
        and MR rows only.
      num_shadows: shadows that the attack was fitted on.
      num_targets: models that played the target, their scores pooled.
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
    advantage: Estimate | None = None
    epsilon: Estimate | None = None
    num_shadows: int = 1
    num_targets: int = 1


@dataclass(frozen=True)
class Slice:
    """One attack on one release, on some of the target's examples.

    `auc` has the level that holds for all `count` slices of the report together (Bonferroni).
    """

    name: str
    tier: Tier
    release: Release
    attack: str
    n_members: int
    n_non_members: int
    auc: Estimate
    count: int


@dataclass(frozen=True)
class Exposed:
    """The rows again, for an attacker who sees no more than an exposure shows (`exposures`)."""

    exposure: str
    results: tuple[Result, ...]

    def best(self, tier: Tier) -> Result | None:
        """The row of `tier` with the highest AUC."""
        return _best(self.results, tier)


@dataclass(frozen=True)
class Subset:
    """Some of the versions, released together.

    Attributes:
      figure: what the order or the budget goes by.
      least_accuracy: the least accuracy on non-members among them.
      bytes, gzip_bytes: of all files together.
    """

    release: Release
    figure: Estimate
    least_accuracy: float
    bytes: int
    gzip_bytes: int


@dataclass(frozen=True)
class Step:
    """A version added to those before it, and what the figure gains by it (paired)."""

    added: str
    subset: Subset
    gain: Estimate | None


@dataclass(frozen=True)
class Marginal:
    """What each version adds, measured by one attack (`subsets`).

    Attributes:
      metric: the figure, such as "auc" or "tpr@0.01".
      singles, pairs: every version alone; the original with every other one.
      order: greedy: from the version that leaks least, always the one that adds least.
      budget: the condition of `within`, or "".
      within: the largest subsets whose interval's upper end, at the level that allows for all that
        could be looked at, is within the budget.
      looked: how many subsets were looked at; cut_off: whether more would have been.
    """

    metric: str
    attack: str
    singles: tuple[Subset, ...]
    pairs: tuple[Subset, ...]
    order: tuple[Step, ...]
    budget: str = ""
    within: tuple[Subset, ...] = ()
    looked: int = 0
    cut_off: bool = False

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return _jsonable(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Marginal:
        """The inverse of the report's JSON."""

        def subset(each):
            figure = Estimate.from_json(each["figure"])
            return Subset(**{**each, "release": tuple(each["release"]), "figure": figure})

        many = {key: tuple(map(subset, values[key])) for key in ("singles", "pairs", "within")}
        order = tuple(
            Step(
                each["added"],
                subset(each["subset"]),
                None if each["gain"] is None else Estimate.from_json(each["gain"]),
            )
            for each in values["order"]
        )
        return cls(**{**values, **many, "order": order})


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
            if not auc.measurable and auc.method != NO_INPUTS
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


@dataclass(frozen=True, eq=False)
class Scored:
    """What every row of a report says of every example of the (first) target.

    Attributes:
      ids: [N]; labels: int64[N]; members: bool[N].
      values: f64[R, N] raw scores, higher = member, in the order of the report's rows.
    """

    ids: np.ndarray
    labels: np.ndarray
    members: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, repr=False)
class Report:
    """What one study found; `report.json` is its saved form (see `to_json`).

    `curve` repeats rows with fewer shadows (attacker strength), `slices` the best row of every tier
    on some of the examples, `exposed` all rows for each of several exposures; `scored` holds the
    scores of single examples, which are saved beside the JSON.
    """

    study: dict[str, Any]
    provenance: dict[str, Any]
    versions: tuple[Version, ...]
    results: tuple[Result, ...]
    failures: tuple[Failure, ...]
    sanity: Sanity
    curve: tuple[Result, ...] = ()
    slices: tuple[Slice, ...] = ()
    exposed: tuple[Exposed, ...] = ()
    marginal: Marginal | None = None
    scored: Scored | None = field(default=None, compare=False, repr=False)
    schema: int = field(default=SCHEMA)

    def __repr__(self) -> str:
        return f"<Report: {len(self.results)} rows on {len(self.versions)} versions>"

    def best(self, tier: Tier) -> Result | None:
        """The row of `tier` with the highest AUC on the target, None if the tier has no row."""
        return _best(self.results, tier)

    def summary(self) -> str:
        """Plain text: the verdict, the best rows of every tier, failures and warnings."""
        from tf_compleak.report import text

        return text.summary(self)

    def _repr_html_(self) -> str:
        """What notebooks show: verdict, figures and tables; the whole page is `report.html`."""
        from tf_compleak.report import html

        return html.fragment(self)

    def to_pandas(self):
        """A pandas DataFrame, one row a result; see `report.frame`. ValueError without pandas."""
        from tf_compleak.report import frame

        return frame.frame(self)

    def plot_roc_curve(self, path: str | os.PathLike | None = None, rows: Sequence[int] = ()):
        """A matplotlib Figure of ROC curves on log-log axes, saved to `path` if one is given.

        Args:
          rows: places in `results`; by default the best rows of every tier.
        """
        from tf_compleak.report import figures

        figure = figures.roc_figure(self, [self.results[row] for row in rows])
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure

    def save(self, folder: str | os.PathLike) -> None:
        """Write `report.json` and, under `examples/`, the scores of every example."""
        from tf_compleak import exposure

        exposure.save(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Report:
        """The report of a folder that `save`, a run or an audit wrote.

        Raises:
          FileNotFoundError, ValueError: in one line, when there is none or it cannot be read.
        """
        from tf_compleak import exposure

        return exposure.load(folder)

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
            "curve": [_jsonable(result) for result in self.curve],
            "slices": [_jsonable(each) for each in self.slices],
            "exposed": [_jsonable(each) for each in self.exposed],
            "marginal": None if self.marginal is None else self.marginal.to_json(),
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
            curve=tuple(_result_from_json(result) for result in values.get("curve", ())),
            slices=tuple(
                Slice(
                    **{
                        **each,
                        "release": tuple(each["release"]),
                        "auc": Estimate.from_json(each["auc"]),
                    }
                )
                for each in values.get("slices", ())
            ),
            exposed=tuple(
                Exposed(each["exposure"], tuple(map(_result_from_json, each["results"])))
                for each in values.get("exposed", ())
            ),
            marginal=Marginal.from_json(values["marginal"]) if values.get("marginal") else None,
        )


def _best(results: Sequence[Result], tier: Tier) -> Result | None:
    rows = [row for row in results if row.tier == tier]
    return max(rows, key=lambda row: row.auc.value, default=None)


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
        key: None if values.get(key) is None else Estimate.from_json(values[key])
        for key in ("member_accuracy", "non_member_accuracy", "validation_accuracy", "agreement")
    }
    texts = {key: tuple(values.get(key, ())) for key in ("notes", "left_alone")}
    return Version(**{**values, **estimates, **texts})


def _result_from_json(values: dict[str, Any]) -> Result:
    gain, over, roc = values["auc_gain"], values["gain_over"], values["roc"]
    more = {key: values.get(key) for key in ("advantage", "epsilon")}
    return Result(
        num_shadows=values.get("num_shadows", 1),
        num_targets=values.get("num_targets", 1),
        **{
            key: None if value is None else Estimate.from_json(value) for key, value in more.items()
        },
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
