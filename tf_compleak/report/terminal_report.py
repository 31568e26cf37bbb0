"""A report on the terminal, at 80 columns and wider. Loads no plotting library."""

from __future__ import annotations

import posixpath

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tf_compleak.report import wording
from tf_compleak.report.wording import verdict
from tf_compleak.types import ORIGINAL, Estimate, Tier
from tf_compleak.types.findings import Findings, Result

__all__ = ["print_report", "summary", "verdict"]

ALL_ROWS = 40  # more rows than this are cut to the best attack of each release
WIDE = 150  # columns from which a figure and its interval stand on one line


def print_report(report: Findings, console: Console) -> None:
    """Print the verdict, versions, leakage, failures and how to repeat the run."""
    wide = console.width >= WIDE
    style = "bold red" if report.sanity.warnings() else "bold"
    console.print(Text(wording.plain(verdict(report)), style), end="\n\n")
    for table in (_versions(report, wide), *_leakage(report, wide)):
        console.print(table, "")
    for table in (*_compared(report, wide), *_added(report, wide), *_shown(report, wide)):
        console.print(table, "")
    for table in _remedies(report, wide):
        console.print(table, "")
    _explain(report, console, wide)
    if report.failures:
        console.print(_failures(report, wide), "")
    _repeat(report, console)


def summary(report: Findings) -> str:
    """The verdict, the leading row of every tier, failures and warnings as plain lines."""
    lines = [verdict(report), ""]
    for tier in wording.TIERS:
        if row := report.leading(tier):
            lines += _summary_of(report, row)
    lines += _summary_of_remedies(report)
    lines += [f"caution: {line}" for line in wording.cautions(report)]
    lines += [f"failed: {failure.name}: {failure.reason}" for failure in report.failures]
    return wording.plain_lines(lines)


def _summary_of(report: Findings, row: Result) -> list[str]:
    figures = {"AUC": row.auc, "balanced accuracy": row.accuracy}
    if row.accuracy_matched:
        figures["balanced accuracy, same share as on the shadows"] = row.accuracy_matched
    signed = {}
    for _, _, gain in wording.comparisons([row]):
        over = wording.reference_words(row, gain, report)
        signed[f"gain in AUC over {over}"] = gain.auc
        for rate, estimate in sorted(gain.tpr_at_fpr.items(), reverse=True):
            if estimate.measurable:
                signed[f"gain in TPR@{wording.percent(rate)} over {over}"] = estimate
    for rate, estimate in sorted(row.tpr_at_fpr.items(), reverse=True):
        figures[f"TPR@{wording.percent(rate)}"] = estimate
    if row.epsilon:
        figures["epsilon"] = row.epsilon
    if row.epsilon_gaussian:
        figures["epsilon of a Gaussian mechanism"] = row.epsilon_gaussian
    head = f"{row.tier}, {wording.chosen(report, row.tier)}: "
    return [
        head + wording.row_name(row, report),
        *(
            f"  {name}: {estimate}" + ("" if estimate.measurable else f" ({estimate.method})")
            for name, estimate in figures.items()
        ),
        *(f"  {name}: {wording.signed(estimate)}" for name, estimate in signed.items()),
    ]


def _summary_of_remedies(report: Findings) -> list[str]:
    lines = []
    for remedy in report.remedies:
        lines.append(f"remedy {remedy.name}: {remedy.note}")
        for change in remedy.changes:
            figures = {"accuracy": change.accuracy, "AUC": change.auc}
            for rate, tpr in sorted(change.tpr_at_fpr.items(), reverse=True):
                figures[f"TPR@{wording.percent(rate)}"] = tpr if tpr.measurable else None
            lines.append(f"  {wording.changed(change, report)}, n = {change.auc.n}:")
            lines += [
                f"    change in {name}: {wording.signed(figure)}"
                for name, figure in figures.items()
                if figure is not None
            ]
        lines += [f"  failed: {failure.name}: {failure.reason}" for failure in remedy.failures]
    return lines


def _table(title: str, first: str, wide: bool) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_edge=False)
    table.box = box.SIMPLE_HEAD if wide else box.MINIMAL
    table.padding = (0, 1 if wide else 0, 0, 0)
    table.add_column(first, overflow="fold", min_width=16)
    return table


def _figure_columns(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(name, no_wrap=True)


def _figure(estimate: Estimate | None, wide: bool, sign: bool = False) -> Text:
    """A value with its interval: on one line if `wide`, else short with low and high below."""
    if estimate is None:
        return Text("-")
    if not estimate.measurable:
        return Text("n/a", "dim")
    if wide:
        return Text(wording.signed(estimate) if sign else str(estimate))
    text = Text(_short(estimate.value, sign))
    return text.append(f"\n{_short(estimate.low, sign)} {_short(estimate.high, sign)}", "dim")


def _short(value: float, sign: bool) -> str:
    text = f"{value:+z.3f}" if sign else f"{value:z.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text


def _versions(report: Findings, wide: bool) -> Table:
    pooled = wording.num_targets(report)
    title = "Versions" if pooled == 1 else f"Versions of the first of {pooled} targets"
    table = _table(title, "version", wide)
    table.add_column("status")
    names = ("member accuracy", "non-member accuracy") if wide else ("members", "others")
    lost = any(version.relative_loss for version in report.versions)
    _figure_columns(table, *names, *(["accuracy lost" if wide else "lost"] if lost else []))
    for name in ("size", "gzip"):
        table.add_column(name, justify="right", no_wrap=True)
    for version in report.versions:
        table.add_row(
            Text(wording.plain(version.name)),
            Text(version.status, "" if version.status == "ok" else "red"),
            _figure(version.member_accuracy, wide),
            _figure(version.non_member_accuracy, wide),
            *([_figure(version.relative_loss, wide)] if lost else []),
            wording.size(version.bytes),
            wording.size(version.gzip_bytes),
        )
    return table


def _leakage(report: Findings, wide: bool) -> list[Table]:
    short = len(report.results) > ALL_ROWS
    rows = wording.best_per_release(report) if short else wording.ordered(report)
    tables = []
    for tier in wording.TIERS:
        chosen = [row for row in rows if row.tier == tier]
        if chosen:
            tables.append(_tier_table(report, tier, chosen, wide))
    return tables


def _tier_table(report: Findings, tier: Tier, rows: list[Result], wide: bool) -> Table:
    title = f"Leakage, {tier}: {wording.TIER_NAMES[tier]}"
    table = _table(title, "release" if wide else "release\nattack", wide)
    if wide:
        table.add_column("attack", overflow="fold")
    gains = any(map(wording.gain_of, rows))
    accuracy = "balanced accuracy" if wide else "balanced\naccuracy"
    _figure_columns(table, "AUC", *(["gain"] if gains else []))
    _figure_columns(table, accuracy, *(_rate_name(rate, wide) for rate in wording.rates(report)))
    if wide and wording.bounds_epsilon(report):
        _figure_columns(table, "epsilon")
    for row in rows:
        table.add_row(*_names(report, row, wide), *_numbers(report, row, wide, gains))
    return table


def _rate_name(rate: float, wide: bool) -> str:
    return f"TPR@{wording.percent(rate)}" if wide else f"TPR@\n{wording.percent(rate)}"


def _names(report: Findings, row: Result, wide: bool) -> list[Text]:
    release = wording.plain(wording.release_name(row.release, report))
    if row.tier == "SR":
        release = release.removeprefix(f"{ORIGINAL} ")
    if wide:
        return [Text(release), Text(wording.plain(row.attack))]
    return [Text(release).append(f"\n{wording.plain(row.attack)}", "dim")]


def _numbers(report: Findings, row: Result, wide: bool, gains: bool) -> list[Text]:
    tpr = [_figure(row.tpr_at_fpr.get(rate), wide) for rate in wording.rates(report)]
    over = wording.gain_of(row)
    gain = [_figure(over and over.auc, wide, sign=True)] if gains else []
    epsilon = [_figure(row.epsilon, wide)] if wide and wording.bounds_epsilon(report) else []
    return [_figure(row.auc, wide), *gain, _figure(row.accuracy, wide), *tpr, *epsilon]


def _compared(report: Findings, wide: bool) -> list[Table]:
    """Gains of each tier's leading row, and of each version what tells it from the original."""
    best = [row for tier in wording.TIERS[1:] if (row := report.leading(tier))]
    singles = [row for row in wording.best_per_release(report) if row.tier == "NR"]
    compared = wording.comparisons([*best, *singles])
    if not compared:
        return []
    rates = [
        rate
        for rate in wording.rates(report)
        if any((of := gain.tpr_at_fpr.get(rate)) and of.measurable for *_, gain in compared)
    ]
    table = _table("Gains, and differences to the original", "row, over", wide)
    _figure_columns(table, "AUC", *(_rate_name(rate, wide) for rate in rates))
    for row, _, gain in compared:
        name = Text(wording.plain(wording.row_name(row, report)))
        reference = wording.reference_words(row, gain, report)
        name.append(f"\nover {wording.plain(reference)}", "dim")
        figures = (gain.auc, *(gain.tpr_at_fpr.get(rate) for rate in rates))
        table.add_row(name, *(_figure(figure, wide, sign=True) for figure in figures))
    return [table]


def _added(report: Findings, wide: bool) -> list[Table]:
    """What each version adds, and what is within the budget."""
    adds = report.marginal
    if adds is None:
        return []
    levels = {f", {wording.percent(round(s.figure.level, 5))} intervals" for s in adds.singles}
    order = _table(f"What each version adds, least first{''.join(levels)}", "added", wide)
    _figure_columns(order, adds.metric, "gain")
    order.add_column("gzip, all", justify="right", no_wrap=True)
    for step in adds.order:
        figures = (_figure(step.subset.figure, wide), _figure(step.gain, wide, sign=True))
        size = wording.size(step.subset.gzip_bytes)
        order.add_row(Text(wording.plain(step.added)), *figures, size)
    if not adds.budget:
        return [order]
    title = f"The largest releases within {adds.budget} ({adds.looked} looked at)"
    within = _table(title, "versions", wide)
    _figure_columns(within, adds.budget.split("<")[0])
    for name in ("accuracy", "gzip, all"):
        within.add_column(name, justify="right", no_wrap=True)
    for subset in adds.within:
        name = Text(wording.plain(" + ".join(subset.release)))
        accuracy, size = wording.number(subset.least_accuracy), wording.size(subset.gzip_bytes)
        within.add_row(name, _figure(subset.figure, wide), accuracy, size)
    if not adds.within:
        within.add_row("none", "", "", "")
    return [order, within]


def _shown(report: Findings, wide: bool) -> list[Table]:
    """The leading row of each tier for every exposure."""
    if not report.exposed:
        return []
    table = _table("What the app shows", "exposure", wide)
    table.add_column("tier")
    _figure_columns(table, "AUC", *(_rate_name(rate, wide) for rate in wording.rates(report)))
    for exposed in report.exposed:
        for tier in wording.TIERS:
            if row := exposed.leading(tier):
                rates = (_figure(row.tpr_at_fpr.get(r), wide) for r in wording.rates(report))
                table.add_row(
                    Text(wording.plain(exposed.exposure)), tier, _figure(row.auc, wide), *rates
                )
    return [table]


def _remedies(report: Findings, wide: bool) -> list[Table]:
    """What every remedy changes: accuracy paid, leakage bought."""
    if not report.remedies:
        return []
    rates = wording.remedy_rates(report)
    table = _table("Remedies, on target and shadows: paired changes", "remedy", wide)
    _figure_columns(table, "accuracy", "AUC", *(_rate_name(rate, wide) for rate in rates))
    for remedy in report.remedies:
        table.add_row(Text(wording.plain(remedy.name), "bold"))
        for change in remedy.changes:
            name = Text(f"  {wording.plain(wording.changed(change, report))}")
            figures = (change.accuracy, change.auc, *map(change.tpr_at_fpr.get, rates))
            table.add_row(name, *(_figure(figure, wide, sign=True) for figure in figures))
        for failure in remedy.failures:
            table.add_row(
                Text(f"  {wording.plain(failure.name)}: {wording.plain(failure.reason)}", "dim")
            )
    return [table]


def _explain(report: Findings, console: Console, wide: bool) -> None:
    """What was left out of the tables, and what their figures are."""
    lines = []
    if len(report.results) > ALL_ROWS:
        lines.append(
            "Shown is the row that leads on each release; "
            f"all {len(report.results)} rows are in report.json."
        )
    lines += [f"Caution: {wording.plain(line)}" for line in wording.cautions(report)]
    if "fitted" in report.provenance:
        lines.append(f"Attacks were fitted {wording.plain(str(report.provenance['fitted']))}.")
    if not wide:
        lines.append("Below each figure: the low and high end of its interval.")
    lines.append("TPR@1%: true positive rate at a false positive rate of at most 1%.")
    if any(map(wording.gain_of, report.results)):
        lines.append(
            "Gain: paired difference in AUC to the best row on one of the release's versions, by "
            "the same attack where it has one."
        )
    if report.remedies:
        lines.append(
            "Remedies: accuracy on the target's non-members and leakage, under the remedy less "
            "without it, on the same examples. Either attacker knows what was done and has shadows "
            "under it."
        )
    lines += [
        f"{wording.plain(remedy.name)}: {wording.plain(remedy.note)}." for remedy in report.remedies
    ]
    if any(version.relative_loss for version in report.versions):
        lines.append("Lost: share of the original's accuracy above guessing.")
    if wide and wording.bounds_epsilon(report):
        lines.append(f"epsilon: {wording.EPSILON}")
    rates = [estimate for row in report.results for estimate in row.tpr_at_fpr.values()]
    lines += [f"n/a: {wording.plain(reason)}." for reason in wording.unmeasured(rates)]
    console.print(Text("\n".join(lines)), end="\n\n")


def _failures(report: Findings, wide: bool) -> Table:
    table = _table("Failures", "name", wide)
    table.title_style = "bold red"
    table.add_column("reason", overflow="fold")
    for failure in report.failures:
        table.add_row(Text(wording.plain(failure.name)), Text(wording.plain(failure.reason)))
    return table


def _repeat(report: Findings, console: Console) -> None:
    get = report.provenance.get
    workdir = str(get("workdir", "."))
    files = ", ".join(posixpath.join(workdir, f"report.{end}") for end in ("html", "json"))
    lines = [f"{wording.sample(report)}; seed {get('seed', 'unknown')}", f"Files: {files}"]
    if get("command"):
        lines.append(f"Repeat: {get('command')}")
    for line in lines:
        console.print(Text(wording.plain(line)), soft_wrap=True)
