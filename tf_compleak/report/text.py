"""A report on the terminal, at 80 columns and wider. Loads no plotting library."""

from __future__ import annotations

import posixpath

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tf_compleak.report import wording
from tf_compleak.report.wording import verdict
from tf_compleak.types import ORIGINAL, Estimate, Report, Result, Tier

__all__ = ["print_report", "verdict"]

ALL_ROWS = 40  # more rows than this are cut to the best attack of each release
WIDE = 150  # columns from which a figure and its interval stand on one line


def print_report(report: Report, console: Console) -> None:
    """Print the verdict, versions, leakage, failures and how to repeat the run."""
    wide = console.width >= WIDE
    for warning in report.sanity.warnings():
        console.print(Text(warning, "bold red"))
    style = "bold red" if report.sanity.warnings() else "bold"
    console.print(Text(_plain(verdict(report)), style), end="\n\n")
    console.print(_versions(report, wide))
    for table in _leakage(report, wide):
        console.print(table)
    _explain(report, console, wide)
    if report.failures:
        console.print(_failures(report))
    _repeat(report, console)


def _plain(text: object) -> str:
    """Text without control characters, which could steer the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.pad_edge = False
    table.add_column(first, overflow="fold", min_width=13)
    return table


def _figures(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(name, no_wrap=True)


def figure(estimate: Estimate | None, wide: bool, sign: bool = False) -> Text:
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


def _versions(report: Report, wide: bool) -> Table:
    table = _table("Versions", "version")
    table.add_column("status")
    _figures(
        table, *(("member accuracy", "non-member accuracy") if wide else ("members", "others"))
    )
    for name in ("size", "gzip"):
        table.add_column(name, justify="right", no_wrap=True)
    for version in report.versions:
        table.add_row(
            _plain(version.name),
            Text(version.status, "" if version.status == "ok" else "red"),
            figure(version.member_accuracy, wide),
            figure(version.non_member_accuracy, wide),
            wording.size(version.bytes),
            wording.size(version.gzip_bytes),
        )
    table.columns[0]._cells[:] = [Text(cell) for cell in table.columns[0]._cells]
    return table


def _leakage(report: Report, wide: bool) -> list[Table]:
    short = len(report.results) > ALL_ROWS
    rows = wording.best_per_release(report) if short else wording.ordered(report)
    tables = []
    for tier in wording.TIERS:
        chosen = [row for row in rows if row.tier == tier]
        if chosen:
            tables.append(_tier_table(report, tier, chosen, wide))
    return tables


def _tier_table(report: Report, tier: Tier, rows: list[Result], wide: bool) -> Table:
    title = f"Leakage, {tier}: {wording.TIER_NAMES[tier]}"
    table = _table(title, "release" if wide else "release\nattack")
    if wide:
        table.add_column("attack", overflow="fold")
    gains = any(row.auc_gain for row in rows)
    accuracy = "balanced accuracy" if wide else "balanced\naccuracy"
    _figures(table, "AUC", *(["gain over NR" if wide else "gain\nover NR"] if gains else []))
    _figures(table, accuracy, *(_rate_name(rate, wide) for rate in wording.rates(report)))
    for row in rows:
        table.add_row(*_names(report, row, wide), *_numbers(report, row, wide, gains))
    return table


def _rate_name(rate: float, wide: bool) -> str:
    return f"TPR@{wording.percent(rate)}" if wide else f"TPR@\n{wording.percent(rate)}"


def _names(report: Report, row: Result, wide: bool) -> list[Text]:
    release = _plain(wording.release_name(row.release, report))
    if row.tier == "SR":
        release = release.removeprefix(f"{ORIGINAL} ")
    if wide:
        return [Text(release), Text(_plain(row.attack))]
    return [Text(release).append(f"\n{_plain(row.attack)}", "dim")]


def _numbers(report: Report, row: Result, wide: bool, gains: bool) -> list[Text]:
    tpr = [figure(row.tpr_at_fpr.get(rate), wide) for rate in wording.rates(report)]
    gain = [figure(row.auc_gain, wide, sign=True)] if gains else []
    return [figure(row.auc, wide), *gain, figure(row.accuracy, wide), *tpr]


def _explain(report: Report, console: Console, wide: bool) -> None:
    """What was left out of the tables, and what their figures are."""
    if len(report.results) > ALL_ROWS:
        console.print(
            f"Shown is the attack with the highest AUC on each release; all "
            f"{len(report.results)} rows are in report.json."
        )
    if not wide:
        console.print("Below each figure: low and high end of its interval.")
    console.print("TPR@1%: true positive rate at a false positive rate of at most 1%.")
    every = [each for row in report.results for each in row.tpr_at_fpr.values()]
    for reason in wording.unmeasured(every):
        console.print(Text(f"n/a: {_plain(reason)}."))


def _failures(report: Report) -> Table:
    table = _table("Failures", "name")
    table.title_style = "bold red"
    table.add_column("reason", overflow="fold")
    for failure in report.failures:
        table.add_row(Text(_plain(failure.name)), Text(_plain(failure.reason)))
    return table


def _repeat(report: Report, console: Console) -> None:
    get = report.provenance.get
    workdir = str(get("workdir", "."))
    files = ", ".join(posixpath.join(workdir, f"report.{end}") for end in ("html", "json"))
    lines = [f"\n{wording.sample(report)}; seed {get('seed', 'unknown')}", f"Files: {files}"]
    if get("command"):
        lines.append(f"Repeat: {get('command')}")
    for line in lines:
        console.print(Text(line), soft_wrap=True)
