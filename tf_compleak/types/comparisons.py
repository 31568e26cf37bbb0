"""What is compared: rows of a report with each other, and the families of a study."""

from __future__ import annotations

from dataclasses import dataclass

from tf_compleak.types.estimates import Estimate
from tf_compleak.types.records import Count, Name, Rates, Record
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
