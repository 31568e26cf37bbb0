"""What a study found: its versions, rows, sanity runs and the report, with its saved form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

from tf_compleak.types.estimates import Estimate, Roc
from tf_compleak.types.marginal_leakage import Marginal
from tf_compleak.types.records import (
    Beside,
    Count,
    ExposureName,
    Facts,
    Items,
    Name,
    Pair,
    Rates,
    Record,
)
from tf_compleak.types.versions import Failure, Release, Tier, Version

SCHEMA = 1
NO_INPUTS = "not run: no inputs were given"


class OtherSchema(ValueError):
    """Findings that another version of tf_compleak saved in another form."""

    def __init__(self, schema: str):
        super().__init__(
            f"schema {schema} cannot be read, {SCHEMA} is expected; make the report anew with this "
            "version of tf_compleak."
        )


@dataclass(frozen=True)
class Result(Record):
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
    attack: Name
    n_members: Count
    n_non_members: Count
    accuracy: Estimate
    auc: Estimate
    tpr_at_fpr: Rates[Estimate]
    auc_gain: Estimate | None = None
    gain_over: Pair[Release, Name] | None = None
    roc: Roc | None = None
    advantage: Estimate | None = None
    epsilon: Estimate | None = None
    num_shadows: Count = 1
    num_targets: Count = 1


@dataclass(frozen=True)
class Slice(Record):
    """One attack on one release, on some of the target's examples.

    `auc` has the level that holds for all `count` slices of the report together (Bonferroni).
    """

    name: str
    tier: Tier
    release: Release
    attack: Name
    n_members: Count
    n_non_members: Count
    auc: Estimate
    count: Count


@dataclass(frozen=True)
class Exposed(Record):
    """The rows again, for an attacker who sees no more than an exposure shows (`exposures`)."""

    exposure: ExposureName
    results: Items[Result]

    def best(self, tier: Tier) -> Result | None:
        """The row of `tier` with the highest AUC."""
        return _best(self.results, tier)


def holds_chance(auc: Estimate) -> bool:
    """Whether 0.5 lies within the interval of an AUC."""
    return auc.low <= 0.5 <= auc.high


@dataclass(frozen=True)
class Sanity(Record):
    """AUC of the null run (membership shuffled) and of the blind baseline (inputs only).

    Either is unmeasurable where its run failed.
    """

    null_auc: Estimate
    blind_auc: Estimate

    def warnings(self) -> tuple[str, ...]:
        """One sentence for each of the two that does not hold 0.5 within its interval."""
        sentences = [
            f"{name} could not be made ({auc.method}): the figures of this report are unchecked."
            for name, auc in (("Null run", self.null_auc), ("Blind baseline", self.blind_auc))
            if not auc.measurable and auc.method != NO_INPUTS
        ]
        if self.null_auc.measurable and not holds_chance(self.null_auc):
            sentences.append(
                f"Null run failed: with shuffled membership the attack's AUC is {self.null_auc}; "
                "0.5 lies outside. Membership reaches the attack some other way, or this is the "
                "one sound run in a hundred: repeat with another seed before trusting the figures."
            )
        if self.blind_auc.measurable and not holds_chance(self.blind_auc):
            sentences.append(
                f"Blind baseline failed: a classifier that sees only the inputs tells members from "
                f"non-members with AUC {self.blind_auc}. The two sets differ in distribution: "
                "the audit is void."
            )
        return tuple(sentences)


@dataclass(frozen=True, eq=False)
class Scored:
    """What every row of a report says of every example of every target.

    Attributes:
      ids: [N]; labels: int64[N]; members: bool[N], of the example's target.
      values: f64[R, N] raw scores, higher = member, in the order of the report's rows.
      targets: int64[N], which of the models that play the target the scores are of: 0, the one
        whose versions the report describes, and up. All scores of a target stand together.
    """

    ids: np.ndarray
    labels: np.ndarray
    members: np.ndarray
    values: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, repr=False)
class Findings(Record):
    """What one study found; `report.json` is its saved form (see `to_json`).

    `curve` repeats rows with fewer shadows (attacker strength), `slices` the best row of every tier
    on some of the examples, `exposed` all rows for each of several exposures; `scored` holds the
    scores of single examples, which are saved beside the JSON.
    """

    schema: Literal[1] = field(default=SCHEMA, kw_only=True)
    study: Facts
    provenance: Facts
    versions: Items[Version]
    results: Items[Result]
    failures: Items[Failure]
    sanity: Sanity
    curve: Items[Result] = ()
    slices: Items[Slice] = ()
    exposed: Items[Exposed] = ()
    marginal: Marginal | None = None
    scored: Beside[Scored] = field(
        default=None, compare=False, repr=False, metadata={"exclude": True}
    )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self.results)} rows on {len(self.versions)} versions>"

    def best(self, tier: Tier) -> Result | None:
        """The row of `tier` with the highest AUC on the target, None if the tier has no row."""
        return _best(self.results, tier)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
          OtherSchema: when the schema is another.
          ValueError: for anything else that `to_json` would not give.
        """
        schema = values.get("schema") if isinstance(values, dict) else SCHEMA
        if schema is True or schema != SCHEMA:
            raise OtherSchema(ascii(schema)[:20])
        return super().from_json(values)

    def contradiction(self) -> str:
        rows = [(row.attack, row.release) for row in self.results]
        for names, kind in (
            ([version.name for version in self.versions], "version"),
            ([f"{attack} on {' + '.join(release)}" for attack, release in rows], "row"),
            ([exposed.exposure for exposed in self.exposed], "exposure"),
        ):
            if repeated := [name for name, count in Counter(names).items() if count > 1]:
                return f"{kind} {repeated[0][:100]} occurs more than once"
        return ""


def _best(results: Sequence[Result], tier: Tier) -> Result | None:
    rows = [row for row in results if row.tier == tier]
    return max(rows, key=lambda row: row.auc.value, default=None)
