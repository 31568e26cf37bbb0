"""What a study found: its versions, rows, sanity runs and the report, with its saved form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

from tf_compleak.types.comparisons import FamilyAccuracy, Gain, RemedyChange
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
    RemedyName,
    Share,
)
from tf_compleak.types.soundness import Sanity
from tf_compleak.types.versions import STRONGEST, Failure, Release, Tier, Version

SCHEMA = 1


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
      accuracy_matched: balanced accuracy where as large a share of the target's examples is called
        members as of the shadows', instead of those above the shadows' threshold; an attacker needs
        the target's scores for it, and no membership. None of cross-fitted attacks.
      advantage: TPR minus FPR at the threshold chosen on the shadows; of a cross-fitted attack, on
        the folds that do not hold the example.
      epsilon: lower bound of epsilon of differential privacy, see `metrics.privacy`; where members
        were drawn by independent fair coins, see `metrics.one_run`.
      epsilon_gaussian: the same of trainings by Gaussian noise, where coins drew the members and
        delta is above 0.
      gain_same, gain_any: of SR and MR rows, over the best NR row on one of the release's own
        versions: by the same attack, where it has such rows, and by any attack.
      to_original: of NR rows of other versions, over the same attack on the original.
      to_best_attack: of rows of the strongest attacker, over the best row on the release or some of
        its versions by any attack that it is combined of: below 0 where the weights, chosen without
        the target, lose to the one attack that turned out best there.
      shadow_auc: AUC on the shadows' own examples, by fits without them: what an attacker knows
        before any target; None of cross-fitted attacks.
      auc_gain, gain_over: `gain_any` in short, its AUC and what that is over (release, attack). In
        reports of earlier versions it is over the best NR row of all versions.
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
    gain_same: Gain | None = None
    gain_any: Gain | None = None
    to_original: Gain | None = None
    to_best_attack: Gain | None = None
    shadow_auc: Share | None = None
    accuracy_matched: Estimate | None = None
    roc: Roc | None = None
    advantage: Estimate | None = None
    epsilon: Estimate | None = None
    epsilon_gaussian: Estimate | None = None
    num_shadows: Count = 1
    num_targets: Count = 1


@dataclass(frozen=True)
class Slice(Record):
    """One attack on one release, on some of the target's examples.

    `auc` has the level that holds for `count` slices together (Bonferroni): those of every row, any
    of which could have been the best, whose slices are shown.
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

    def leading(self, tier: Tier) -> Result | None:
        """See `Findings.leading`."""
        return leading(self.results, tier)


@dataclass(frozen=True)
class Remedy(Record):
    """The study again under a remedy, with the attackers fitted on shadows under it, too.

    Attributes:
      kind: "training" where models were trained anew, "exposure" where their answers are hidden.
      note: what was done, in words.
      results: the rows under the remedy.
      changes: what differs from the study without it; none where the remedy could not be tried.
      failures: what failed under it, or does not go with it.
    """

    name: RemedyName
    kind: Literal["training", "exposure"]
    note: str
    results: Items[Result]
    changes: Items[RemedyChange]
    failures: Items[Failure] = ()


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

    `curve` repeats rows with fewer shadows (attacker strength), `slices` the leading row of every
    tier on some of the examples, `exposed` all rows for each of several exposures; `scored` holds
    the scores of single examples, which are saved beside the JSON. `families` holds the accuracies
    of the target and of its shadows, which should be alike; `remedies` what was tried against it.
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
    families: Items[FamilyAccuracy] = ()
    remedies: Items[Remedy] = ()
    scored: Beside[Scored] = field(
        default=None, compare=False, repr=False, metadata={"exclude": True}
    )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self.results)} rows on {len(self.versions)} versions>"

    def best(self, tier: Tier) -> Result | None:
        """The row of `tier` with the highest AUC on the target, None if the tier has no row."""
        return _best(self.results, tier)

    def leading(self, tier: Tier) -> Result | None:
        """The row of `tier` that the report rests on, None if the tier has no row.

        Of the strongest attacker, where there are such rows. Of several releases the one that leaks
        most on the shadows, which nothing of the target has a say in; where attacks are
        cross-fitted, and no shadows say it, the one with the highest AUC on the target
        (`candidates`).
        """
        return leading(self.results, tier)

    def candidates(self, tier: Tier) -> int:
        """How many rows of `tier` the leading one was chosen from by looking at the target."""
        rows = strongest_rows(self.results, tier)
        return 1 if rows and _told_by_shadows(rows) else len(rows)

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
            ([remedy.name for remedy in self.remedies], "remedy"),
        ):
            if repeated := [name for name, count in Counter(names).items() if count > 1]:
                return f"{kind} {repeated[0][:100]} occurs more than once"
        return ""


def _best(results: Sequence[Result], tier: Tier) -> Result | None:
    rows = [row for row in results if row.tier == tier]
    return max(rows, key=lambda row: row.auc.value, default=None)


def strongest_rows(results: Sequence[Result], tier: Tier) -> list[Result]:
    """The rows of `tier` of the strongest attacker, or all where it has none."""
    rows = [row for row in results if row.tier == tier]
    return [row for row in rows if row.attack == STRONGEST] or rows


def _told_by_shadows(rows: Sequence[Result]) -> bool:
    return all(row.shadow_auc is not None for row in rows)


def leading(results: Sequence[Result], tier: Tier) -> Result | None:
    """See `Findings.leading`."""
    rows = strongest_rows(results, tier)
    if _told_by_shadows(rows):
        return max(rows, key=lambda row: row.shadow_auc, default=None)
    return max(rows, key=lambda row: row.auc.value, default=None)
