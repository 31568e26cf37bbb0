"""What a study found: its versions, rows, sanity runs and the report, with its saved form."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tf_compleak.types import records
from tf_compleak.types.estimates import Estimate, Roc
from tf_compleak.types.versions import Failure, Release, Tier, Version

SCHEMA = 1
NO_INPUTS = "not run: no inputs were given"


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
class Findings:
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
        return f"<{type(self).__name__}: {len(self.results)} rows on {len(self.versions)} versions>"

    def best(self, tier: Tier) -> Result | None:
        """The row of `tier` with the highest AUC on the target, None if the tier has no row."""
        return _best(self.results, tier)

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
    def from_json(cls, values: dict[str, Any]) -> Findings:
        """The inverse of `to_json`.

        Raises:
          ValueError: when the schema is another, or a name cannot be one.
          KeyError, TypeError, AttributeError: for anything else that `to_json` would not give.
        """
        if values.get("schema") != SCHEMA:
            raise ValueError(
                f"report: schema {values.get('schema')!r} cannot be read, {SCHEMA} is expected; "
                "make the report anew with this version of tf_compleak."
            )
        report = cls(
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
        records.check(report, cls, "report")
        records.check_names(report)
        return report


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
