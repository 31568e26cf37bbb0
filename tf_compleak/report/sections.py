"""What only some reports have: what each version adds, exposures, attacker strength, slices."""

from __future__ import annotations

from html import escape

from tf_compleak.report import figures, markup, wording
from tf_compleak.types.findings import Findings, Subset


def more(report: Findings) -> str:
    """These sections as HTML, as far as the report has them."""
    return _marginal(report) + _exposed(report) + _strength(report) + _slices(report)


def _marginal(report: Findings) -> str:
    """What each version adds: greedy order, singles, pairs, budget, and the plots."""
    found = report.marginal
    if found is None:
        return ""
    head = ["added", found.metric, "gain", "least accuracy", "gzip, all files"]
    body = [
        markup.row(
            step.added,
            markup.estimate(step.subset.figure),
            markup.estimate(step.gain, sign=True),
            markup.cell(f"{step.subset.least_accuracy:.3f}"),
            markup.cell(wording.size(step.subset.gzip_bytes), "number"),
        )
        for step in found.order
    ]
    caption = (
        "From the version that leaks least, always the one that adds least is added next, by the "
        f"attack {found.attack}. The order was chosen by the figures it shows."
    )
    text = markup.section(
        "adds", "What each version adds", _pareto(report) + markup.table(caption, head, body)
    )
    singles = [_subset_row(report, each) for each in (*found.singles, *found.pairs)]
    head = ["versions", found.metric, "least accuracy", "files", "gzip, all files"]
    caption = "Every version alone, and the original with every other one."
    text += markup.section("alone", "Alone and in pairs", markup.table(caption, head, singles))
    if found.budget:
        text += markup.section("budget", f"Within {found.budget}", _budget(report, head))
    return text


def _budget(report: Findings, head: list[str]) -> str:
    found = report.marginal
    cut = ", where the search was cut off" if found.cut_off else ""
    caption = (
        f"The largest sets of versions whose interval's upper end is within {found.budget}; "
        f"{found.looked} sets were looked at{cut}. The intervals hold for all sets together."
    )
    if not found.within:
        return f"<p>{escape(caption)}</p><p>None is: not even one version alone.</p>"
    return markup.table(caption, head, (_subset_row(report, each) for each in found.within))


def _subset_row(report: Findings, subset: Subset) -> str:
    return markup.row(
        wording.release_name(subset.release, report),
        markup.estimate(subset.figure),
        markup.cell(f"{subset.least_accuracy:.3f}"),
        markup.cell(wording.size(subset.bytes), "number"),
        markup.cell(wording.size(subset.gzip_bytes), "number"),
    )


def _pareto(report: Findings) -> str:
    chart = figures.svg(figures.pareto_figure(report), "Leakage against size and accuracy")
    return f'<figure style="max-width: 60rem"><div class="paper">{chart}</div></figure>\n'


def _exposed(report: Findings) -> str:
    """The best row of every tier for each exposure."""
    if not report.exposed:
        return ""
    rates = wording.rates(report)
    head = ["exposure", "tier", "attack", "AUC", "balanced accuracy"]
    head += [f"TPR@{wording.percent(rate)}" for rate in rates]
    body = [
        markup.row(
            each.exposure,
            markup.cell(tier, tier),
            markup.cell(wording.row_name(row, report)),
            markup.estimate(row.auc),
            markup.estimate(row.accuracy),
            *(markup.estimate(row.tpr_at_fpr.get(rate)) for rate in rates),
        )
        for each in report.exposed
        for tier in wording.TIERS
        if (row := each.best(tier))
    ]
    caption = "The best attack of each tier on what the app shows, for every exposure."
    return markup.section("exposures", "What the app shows", markup.table(caption, head, body))


def _strength(report: Findings) -> str:
    """Attacker strength: figure and table of the rows with fewer shadows; nothing without any."""
    rows = wording.strongest(report)
    if not rows:
        return ""
    rates = wording.rates(report)
    head = ["release", "tier", "attack", "shadows", "AUC"]
    head += [f"TPR@{wording.percent(rate)}" for rate in rates]
    body = [
        markup.row(
            wording.release_name(row.release, report),
            markup.cell(row.tier, row.tier),
            markup.cell(row.attack),
            markup.cell(str(row.num_shadows)),
            markup.estimate(row.auc),
            *(markup.estimate(row.tpr_at_fpr.get(rate)) for rate in rates),
        )
        for row in rows
    ]
    caption = (
        "The attack and release that are best with all shadows, in each tier, attacked again with "
        f"fewer; all {len(report.curve)} rows are in report.json."
    )
    chart = figures.svg(figures.strength_figure(report), "AUC by number of shadows")
    figure = f'<figure style="max-width: 44rem"><div class="paper">{chart}</div></figure>\n'
    return markup.section(
        "strength", "Attacker strength", figure + markup.table(caption, head, body)
    )


def _slices(report: Findings) -> str:
    if not report.slices:
        return ""
    head = ["slice", "tier", "attack", "members", "non-members", "AUC"]
    body = [
        markup.row(
            each.name,
            markup.cell(each.tier, each.tier),
            markup.cell(f"{each.attack} on {wording.release_name(each.release, report)}"),
            markup.cell(f"{each.n_members:,}"),
            markup.cell(f"{each.n_non_members:,}"),
            markup.estimate(each.auc),
        )
        for each in report.slices
    ]
    first = report.slices[0]
    caption = (
        f"The best row of each tier on some of the examples. The {first.count} intervals hold "
        f"together with 95%: each has the level {wording.percent(round(first.auc.level, 5))} "
        "(Bonferroni)."
    )
    return markup.section(
        "slices", "By class and by correctness", markup.table(caption, head, body)
    )
