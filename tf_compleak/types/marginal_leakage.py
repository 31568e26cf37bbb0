"""What each version adds: figures of sets of versions, in greedy order and within a budget."""

from __future__ import annotations

from dataclasses import dataclass

from tf_compleak.types.estimates import Estimate
from tf_compleak.types.records import Count, Figure, Items, Name, Record
from tf_compleak.types.versions import Release


@dataclass(frozen=True)
class Subset(Record):
    """Some of the versions, released together.

    Attributes:
      figure: what the order or the budget goes by.
      least_accuracy: the least accuracy on non-members among them, NaN where none is known.
      bytes, gzip_bytes: of all files together.
    """

    release: Release
    figure: Estimate
    least_accuracy: Figure
    bytes: Count
    gzip_bytes: Count


@dataclass(frozen=True)
class Addition(Record):
    """A version added to those before it, and what the figure gains by it (paired)."""

    added: Name
    subset: Subset
    gain: Estimate | None


@dataclass(frozen=True)
class Marginal(Record):
    """What each version adds, measured by one attack (`subsets`).

    The order is chosen by the figures that it shows. So the intervals of singles, pairs and order
    have the level at which all figures and gains that were looked at hold together (Bonferroni).

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
    attack: Name
    singles: Items[Subset]
    pairs: Items[Subset]
    order: Items[Addition]
    budget: str = ""
    within: Items[Subset] = ()
    looked: Count = 0
    cut_off: bool = False
