"""What is compared: rows of a report with each other, and the families of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tf_compleak.types.estimates import Estimate
from tf_compleak.types.records import Count, Name, Pair, Rates, Record
from tf_compleak.types.versions import Release


@dataclass(frozen=True)
class Gain(Record):
    """How far a row lies above the best of some other rows, on the same examples (paired).

    Each figure is over the row that is best by that figure, so that it is the least of the row's
    differences to all of them; its interval allows for that choice (`leakage.gains`).

    Attributes:
      release, attack: the row that is best by its AUC.
      among: how many rows it is the best of.
      auc: difference in AUC; tpr_at_fpr: in TPR, by false positive rate.
    """

    release: Release
    attack: Name
    among: Count
    auc: Estimate
    tpr_at_fpr: Rates[Estimate]


@dataclass(frozen=True)
class FamilyAccuracy(Record):
    """Top-1 accuracies of one version of one family, the target's or a shadow's.

    `validation_accuracy` is None where no validation examples were asked about.
    """

    family: Name
    version: Name
    member_accuracy: Estimate
    non_member_accuracy: Estimate
    validation_accuracy: Estimate | None = None


@dataclass(frozen=True)
class RemedyChange(Record):
    """What a remedy changes for one version, or for the release that leaks most: remedied - plain.

    Either attacker is the one that leads by its own shadows; both are scored on the same examples
    of the target (paired).

    Attributes:
      of: "version": one alone. "strongest": the release that leads, in either study its own.
      plain, remedied: the rows that are held against each other (release, attack).
      accuracy: change of the version's accuracy on non-members; None of several versions.
      auc: change in AUC; tpr_at_fpr: in TPR, by false positive rate.
      plain_accuracy, remedied_accuracy, plain_auc, remedied_auc: what these are changes between.
    """

    of: Literal["version", "strongest"]
    plain: Pair[Release, Name]
    remedied: Pair[Release, Name]
    auc: Estimate
    tpr_at_fpr: Rates[Estimate]
    plain_auc: Estimate
    remedied_auc: Estimate
    accuracy: Estimate | None = None
    plain_accuracy: Estimate | None = None
    remedied_accuracy: Estimate | None = None
