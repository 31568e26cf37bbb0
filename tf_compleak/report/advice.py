"""What to do about a leak, computed from the findings; where nothing was computed, by which flag.

Every step stands on figures of the report with their intervals. None is a general remark.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tf_compleak.metrics.grammar import Condition
from tf_compleak.metrics.intervals import LEAST_FALSE_POSITIVES
from tf_compleak.report import traffic_light, wording
from tf_compleak.types import Estimate
from tf_compleak.types.findings import Exposed, Findings, Remedy, Result, strongest_rows
from tf_compleak.types.soundness import NO_INPUTS

COSTS = {
    "label": "the app shows no confidence at all",
    "top": "the app shows the highest confidences only",
    "round": "the app shows confidences of so many decimals",
    "temperature": "the app shows confidences of another temperature; the order stays",
}


@dataclass(frozen=True)
class Step:
    """One thing to do, or to compute: a title, a sentence for each figure, and flags to give."""

    title: str
    lines: tuple[str, ...]
    computed: bool = True


def steps(report: Findings, budget: Sequence[Condition]) -> list[Step]:
    """What to do: which versions to leave out, which to release, what to show, how to train."""
    trained = [_remedies(report)] if "remedies" in report.study else []
    return [_versions(report), _release(report), _exposure(report, budget), *trained]


def _versions(report: Findings) -> Step:
    """Versions that leak more, or less, than the original, where the interval says so."""
    title = "Versions that leak more than the original"
    choices = sum(bool(row.to_original) for row in strongest_rows(report.results, "NR"))
    rows = [row for row in wording.best_per_release(report) if row.to_original]
    if not rows:
        flag = "no version stands beside the original; see --versions"
        return Step(title, (f"Not computed: {flag}.",), computed=False)
    lines = []
    for words, sign in (("leaks more than", 1), ("leaks less than", -1)):
        for row in sorted(rows, key=lambda row: -sign * row.to_original.auc.value):
            if _clear(row.to_original.auc, sign, choices):
                figure = row.to_original.auc.beside(0, signed=True)
                lines.append(f"{row.release[0]} {words} the original: {figure} AUC.")
    more = any(" more " in line for line in lines)
    if not more:
        compared = f"{len(rows)} {'version' if len(rows) == 1 else 'versions'} compared"
        lines.insert(0, f"None clearly does ({compared}, the choice among them allowed for).")
    return Step(title, tuple(lines))


def _clear(difference: Estimate, sign: int, choices: int) -> bool:
    """Whether a difference lies on that side of 0 as one of `choices` (`wording.standing`)."""
    if sign < 0:
        low, high = -difference.high, -difference.low
        difference = dataclasses.replace(difference, value=-difference.value, low=low, high=high)
    return wording.standing(difference, 0, choices) == "above"


def _release(report: Findings) -> Step:
    """The largest releases within --subset_budget."""
    adds = report.marginal
    if adds is None or not adds.budget:
        title = "The largest release within a budget"
        return Step(title, ("Not computed: --subset_budget='tpr@0.01<=0.05' names it.",), False)
    title = f"The largest release within {adds.budget}"
    lines = tuple(
        f"{wording.release_name(subset.release, report)}: {adds.metric} {subset.figure}."
        for subset in adds.within
    )
    return Step(title, lines or ("None: not even one version alone.",))


def _exposure(report: Findings, budget: Sequence[Condition]) -> Step:
    """What of its outputs the app may show, or what each exposure changes without a budget."""
    title = "Show less of the outputs"
    if len(report.exposed) < 2:
        flag = "--exposure=full,label,top3,round:2"
        return Step(title, (f"Not computed: {flag} attacks what such an app shows.",), False)
    meeting = traffic_light.meeting(report, budget)
    asked = bool(budget or (report.marginal and report.marginal.budget))
    lines = [f"{_name(exposed)} meets the budget{_figures(exposed)}." for exposed in meeting]
    if asked and not meeting:
        lines.append(f"None of the {len(report.exposed)} exposures meets the budget:")
    names = {exposed.exposure for exposed in meeting}
    others = [exposed for exposed in report.exposed if exposed.exposure not in names]
    lines += [f"{_name(exposed)}{_figures(exposed)}." for exposed in others]
    return Step(title, tuple(lines))


def _remedies(report: Findings) -> Step:
    """What every other training that was tried pays and buys, on the strongest release."""
    title, lines = "Train otherwise", []
    for remedy in report.remedies:
        if remedy.kind != "training":
            continue
        for change in remedy.changes:
            if change.of == "strongest":
                lines.append(
                    f"{remedy.name}: {change.auc.beside(0, signed=True)} AUC{_paid(remedy)}."
                )
        if not remedy.changes:
            reasons = "; ".join(f"{failure.name}: {failure.reason}" for failure in remedy.failures)
            lines.append(f"{remedy.name} {remedy.note} ({reasons}).")
    if lines:
        return Step(title, tuple(lines))
    flag = "--remedies=dp-sgd:eps=8,label-smoothing:0.1,early-stopping:5,distillation"
    return Step(title, (f"Not computed: {flag} tries these, on shadows too.",), computed=False)


def _paid(remedy: Remedy) -> str:
    """The change in accuracy of the version that pays most."""
    paid = [change for change in remedy.changes if change.accuracy]
    if not paid:
        return ""
    most = min(paid, key=lambda change: change.accuracy.value)
    figure = most.accuracy.beside(0, signed=True)
    return f"; accuracy {figure} ({most.remedied[0][0]}, which pays most)"


def _name(exposed: Exposed) -> str:
    cost = COSTS.get(re.split(r"[\d:]", exposed.exposure)[0], "")
    return f"{exposed.exposure} ({cost})" if cost else exposed.exposure


def _figures(exposed: Exposed) -> str:
    rows = [row for tier in wording.TIERS if (row := exposed.leading(tier))]
    return ": " + "; ".join(f"{row.tier} AUC {row.auc}" for row in rows) if rows else ""


def not_tested(report: Findings) -> list[str]:
    """What the report says nothing about, and what would make it, one sentence each."""
    return list(_untested(report))


def _untested(report: Findings) -> Iterator[str]:
    if report.failures:
        names = list(dict.fromkeys(failure.name for failure in report.failures))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield f"What failed: {', '.join(names[:3])}{more} (see Failures)."
    if report.sanity.blind_auc.method == NO_INPUTS:
        yield "Whether members and non-members differ as inputs: no inputs were given."
    if not report.results:
        return
    if len(report.exposed) < 2:
        names = report.study.get("exposure")
        one = isinstance(names, (list, tuple)) and len(names) == 1
        shown = str(names[0]) if one else "full"
        yield f"Apps that show something else than {shown} outputs (--exposure)."
    missing = [tier for tier in wording.TIERS if report.leading(tier) is None]
    if missing:
        words = ", ".join(f"{tier} ({wording.TIER_NAMES[tier]})" for tier in missing)
        yield f"Releases of the tiers {words} (--releases)."
    if not report.curve and report.provenance.get("num_shadows"):
        yield "Attackers with fewer shadows (--shadow_counts)."
    if wording.num_targets(report) == 1:
        yield "Other trainings of this model: one target was attacked, and figures are its own."
    if report.marginal is None:
        yield "What each version adds to the others (--marginal)."


def unmeasurable_rates(report: Findings) -> str:
    """Below which false positive rate nothing can be measured, in one line; "" without rows."""
    rows = report.results
    if not any(not tpr.measurable for row in rows for tpr in row.tpr_at_fpr.values()):
        return ""
    count = rows[0].n_non_members
    return f"{count:,} non-members: rates below {_least_rate(count)} cannot be measured."


def _least_rate(count: int) -> str:
    """Ten false alarms among `count`, as a percentage with two digits."""
    return f"{100 * LEAST_FALSE_POSITIVES / max(count, 1):.2g}%"


def in_plain_words(row: Result) -> str:
    """What a row's TPR means for 1,000 examples, at the lowest rate that is measurable; or ""."""
    rates = [rate for rate, tpr in sorted(row.tpr_at_fpr.items()) if tpr.measurable]
    rate = 0.01 if 0.01 in rates else next(iter(rates), None)
    if rate is None:
        return ""
    tpr = row.tpr_at_fpr[rate]
    named, low, high = (_of_1000(share) for share in (tpr.value, tpr.low, tpr.high))
    alarms = f"{1000 * rate:.3g}"
    return (
        f"Of 1,000 training examples an attacker names {named} ({low} to {high}) "
        f"with {alarms} false {'alarm' if alarms == '1' else 'alarms'} among 1,000 others; "
        f"guessing would name {alarms}"
    )


def _of_1000(share: float) -> str:
    """A share as a count, rounded once: as the three decimals beside it are."""
    return f"{round(1000 * float(f'{share:.3f}')):,}"
