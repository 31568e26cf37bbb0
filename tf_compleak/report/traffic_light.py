"""May these versions be released? An answer only where the user set a budget, and by that alone.

The budget is the condition of `--fail_if`, that of `--subset_budget`, or both.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tf_compleak.metrics import grammar
from tf_compleak.metrics.grammar import Condition
from tf_compleak.report import gate
from tf_compleak.types.findings import Exposed, Findings

Colour = Literal["green", "amber", "red"]
WORDS: dict[Colour, str] = {
    "green": "Within the budget",
    "amber": "Only some releases are within the budget",
    "red": "Not within the budget",
}


@dataclass(frozen=True)
class Light:
    """The worst of what the budgets say, in colour and words, and why."""

    colour: Colour
    words: str
    reasons: tuple[str, ...]


def conditions(report: Findings, fail_if: str | None = None) -> tuple[Condition, ...]:
    """The conditions of `--fail_if`: as given, else as the report's resolved flags hold them.

    None where there is none, or it cannot be read: a saved report is a file of others.
    """
    if fail_if is None:
        flags = re.findall(r"^--fail_if=(.+)$", str(report.provenance.get("flags", "")), re.M)
        fail_if = flags[-1].strip("'\"") if flags else ""
    try:
        return gate.parse(fail_if) if fail_if else ()
    except ValueError:
        return ()


def light(report: Findings, budget: Sequence[Condition]) -> Light | None:
    """The traffic light of a report; None where no budget was set."""
    parts = [part for part in (_gate(report, budget), _subsets(report)) if part]
    if not parts:
        return None
    order = list(WORDS)
    worst = max((part.colour for part in parts), key=order.index)
    reasons = tuple(reason for part in parts for reason in part.reasons)
    if report.sanity.warnings():
        return Light("red", "Cannot be judged: the report is void", reasons)
    return Light(worst, WORDS[worst], reasons)


def _gate(report: Findings, budget: Sequence[Condition]) -> Light | None:
    if not budget:
        return None
    try:
        verdict = gate.judge(report, budget)
    except ValueError as error:  # a rate that the report has no figures at
        return Light("red", WORDS["red"], (str(error),))
    colour: Colour = "red" if verdict.failed else "green"
    return Light(colour, WORDS[colour], tuple(verdict.reasons()))


def _subsets(report: Findings) -> Light | None:
    adds = report.marginal
    if adds is None or not adds.budget:
        return None
    usable = {version.name for version in report.versions if version.status == "ok"}
    if any(set(subset.release) == usable for subset in adds.within):
        return Light("green", WORDS["green"], (f"all {len(usable)} versions meet {adds.budget}",))
    if adds.within:
        most = max(len(subset.release) for subset in adds.within)
        reason = f"of {len(usable)} versions at most {most} together meet {adds.budget}"
        return Light("amber", WORDS["amber"], (reason,))
    return Light("red", WORDS["red"], (f"not even one version alone meets {adds.budget}",))


def meeting(report: Findings, budget: Sequence[Condition]) -> list[Exposed]:
    """The exposures under which no row that decides is over the budget, and all show its figure.

    Without conditions of `--fail_if` the upper ends of intervals are held to `--subset_budget`.
    """
    budget = tuple(budget) or _inverse(report)
    return [exposed for exposed in report.exposed if budget and _meets(report, exposed, budget)]


def _meets(report: Findings, exposed: Exposed, budget: Sequence[Condition]) -> bool:
    alone = dataclasses.replace(report, results=exposed.results, exposed=())
    try:
        return not any(part.failed for part in gate.judge(alone, budget).judged)
    except ValueError:  # a rate that the report has no figures at
        return False


def _inverse(report: Findings) -> tuple[Condition, ...]:
    """What would break `--subset_budget`."""
    text = report.marginal.budget if report.marginal else ""
    try:
        within = grammar.condition(text, "--subset_budget", ("<", "<=")) if text else None
    except ValueError:
        return ()
    if within is None:
        return ()
    operator = {"<": ">=", "<=": ">"}[within.operator]
    return (dataclasses.replace(within, operator=operator, upper=True),)
