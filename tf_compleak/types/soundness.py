"""Whether the figures of a report mean anything: null runs and the blind baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tf_compleak.types.estimates import Estimate
from tf_compleak.types.records import Count, Items, Name, Record
from tf_compleak.types.versions import STRONGEST, Release, release_text

CHANCE = 0.5  # the AUC of guessing
NO_INPUTS = "not run: no inputs were given"


def holds_chance(auc: Estimate) -> bool:
    """Whether 0.5 lies within the interval of an AUC."""
    return auc.low <= CHANCE <= auc.high


@dataclass(frozen=True)
class NullRun(Record):
    """One attack on one release under membership that was drawn anew, so that it means nothing.

    `auc` is the mean over `draws` draws; its level holds for all null runs of a report together.
    """

    attack: Name
    release: Release
    draws: Count
    auc: Estimate

    @property
    def title(self) -> str:
        """Attack and release, such as "tabular on original+int8-ptq"."""
        return f"{self.attack} on {release_text(self.release)}"


@dataclass(frozen=True)
class Sanity(Record):
    """AUC of the null run (membership shuffled) and of the blind baseline (inputs only).

    Either is unmeasurable where its run failed. `null_auc` is that of the worst of the `null_runs`,
    which reports of earlier versions do not list.
    """

    null_auc: Estimate
    blind_auc: Estimate
    null_runs: Items[NullRun] = ()

    @classmethod
    def of(cls, null_runs: Sequence[NullRun], blind_auc: Estimate) -> Sanity:
        """The checks of a report, of which `null_auc` is that of the worst null run."""
        none = Estimate.unmeasurable("not run", 0)
        worst = max((run.auc for run in null_runs), key=_strangeness, default=none)
        return cls(worst, blind_auc, tuple(null_runs))

    def warnings(self) -> tuple[str, ...]:
        """A sentence for each check that could not be made, or does not hold 0.5 in its interval.

        Of several null runs that failed the worst is named, and how many there are.
        """
        sentences = [self._unmade_null_runs(), self._failed_null_runs()]
        if not self.blind_auc.measurable and self.blind_auc.method != NO_INPUTS:
            sentences.append(f"Blind baseline {_unmade(self.blind_auc)}")
        if self.blind_auc.measurable and not holds_chance(self.blind_auc):
            sentences.append(
                "Blind baseline failed: a classifier that sees only the inputs tells members from "
                f"non-members with AUC {self.blind_auc.beside(CHANCE)}. The two sets differ in "
                "distribution: the audit is void."
            )
        return tuple(filter(None, sentences))

    def _unmade_null_runs(self) -> str:
        runs = [run for run in self.null_runs if not run.auc.measurable]
        if runs:
            first, *others = runs
            more = f" and {len(others)} more" if others else ""
            return f"Null run of {first.title}{more} {_unmade(first.auc)}"
        return "" if self.null_auc.measurable else f"Null run {_unmade(self.null_auc)}"

    def _failed_null_runs(self) -> str:
        runs = [run for run in self.null_runs if run.auc.measurable and not holds_chance(run.auc)]
        single = [run for run in runs if run.attack != STRONGEST]  # what it is combined of
        worst = max(single or runs, key=lambda run: _strangeness(run.auc), default=None)
        if worst is None and (not self.null_auc.measurable or holds_chance(self.null_auc)):
            return ""
        which, auc, rate = "the attack", self.null_auc, "hundred"
        if worst is not None:
            which, auc, rate = worst.title, worst.auc, "thousand"
        more = f" ({len(runs)} of {len(self.null_runs)} null runs failed)" if len(runs) > 1 else ""
        return (
            f"Null run failed: with shuffled membership the AUC of {which} is "
            f"{auc.beside(CHANCE)}; 0.5 lies outside{more}. Membership reaches the attack some "
            f"other way, or this is the one sound report in a {rate}: repeat with another seed "
            "before trusting the figures."
        )


def _unmade(auc: Estimate) -> str:
    return f"could not be made ({auc.method}): the figures of this report are unchecked."


def _strangeness(auc: Estimate) -> float:
    """How far an AUC is from 0.5 in lengths of its interval on that side; above 1: outside.

    An AUC that could not be measured comes after those outside, and before those within.
    """
    if not auc.measurable:
        return 1.0
    reach = auc.value - auc.low if auc.value > CHANCE else auc.high - auc.value
    off = abs(auc.value - CHANCE)
    if reach == 0:
        return math.inf if off else 0.0
    return off / reach
