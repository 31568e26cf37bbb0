"""Figures of a report: ROC curves, AUC per release, by strength, by slice.

Figure objects, no global plotting state. What stands for a row has its mark as gid.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from tf_compleak.report import wording
from tf_compleak.report.marks import Index
from tf_compleak.types import ORIGINAL, Tier
from tf_compleak.types.findings import Findings, Result, Slice, leading

# After blue, vermillion and bluish green of Okabe & Ito, which colour-blind readers tell apart;
# darkened until text in them has a contrast of 4.5 on white.
COLOURS: dict[Tier, str] = {"NR": "#0072b2", "SR": "#bf5000", "MR": "#007a58"}
STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def roc_figure(report: Findings, chosen: Sequence[Result] = ()) -> Figure:
    """ROC of `chosen` rows, or of each tier's leading ones, on log-log axes, drawn as steps.

    The curves start at a false positive rate of one non-member; where fewer than ten non-members
    are called members the background is grey.
    """
    rows = [(row.tier, row, "-") for row in chosen if row.roc] or _roc_rows(report)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 5.8), layout="constrained")
        axes = figure.subplots()
        least = 1 / max([row.n_non_members for _, row, _ in rows], default=1000)
        index = Index(report)
        for name, row, style in rows:
            release = brief(wording.release_name(row.release, report), 30)
            label = f"{name}: {brief(row.attack, 24)} on {release}\nAUC {row.auc}"
            line = _draw_roc(axes, row, label, style, least)
            line.set_gid(index.drawn(row).gid)
        _roc_axes(axes, least)
    return figure


def _roc_rows(report: Findings) -> list[tuple[str, Result, str]]:
    """Name, row and line style: the leading row of each tier, with and without the original."""

    def best(tier: Tier, original: bool) -> Result | None:
        rows = [row for row in report.results if row.tier == tier and row.roc]
        return leading([row for row in rows if (ORIGINAL in row.release) == original], tier)

    curves = [
        ("NR, original", best("NR", True), "-"),
        ("NR, other", best("NR", False), "--"),
        ("SR", best("SR", True), "-"),
        ("MR, with original", best("MR", True), "-"),
        ("MR, without original", best("MR", False), "--"),
    ]
    return [(name, row, style) for name, row, style in curves if row]


def brief(text: str, width: int) -> str:
    text = wording.plain(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def _draw_roc(axes: Axes, row: Result, label: str, style: str, least: float) -> Line2D:
    (line,) = axes.plot(
        np.maximum(row.roc.fpr, least / 10),  # zero has no place on a log axis
        np.maximum(row.roc.tpr, least / 10),
        drawstyle="steps-post",
        color=COLOURS[row.tier],
        linestyle=style,
        linewidth=1.7,
        label=label,
    )
    return line


def _roc_axes(axes: Axes, least: float) -> None:
    ends = np.array([least, 1.0])
    axes.plot(ends, ends, "--", color="#777777", linewidth=1, label="guessing")
    axes.axvspan(least, min(1.0, 10 * least), color="#eeeeee", zorder=0)
    axes.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(least, 1))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda rate, _: wording.percent(rate)))
        axis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.set_xlabel("false positive rate (grey: under 10 non-members, not measurable)")
    axes.set_ylabel("true positive rate")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)


def leakage_figure(report: Findings) -> Figure:
    """AUC of the row that leads on each release as a bar from 0.5, with its interval."""
    rows = wording.best_per_release(report)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 1.4 + 0.27 * max(4, len(rows))), layout="constrained")
        axes = figure.subplots()
        heights, index = _heights(rows), Index(report)
        for tier in wording.TIERS:
            _draw_tier(axes, tier, [(y, row) for y, row in heights if row.tier == tier], index)
        axes.set_yticks([y for y, _ in heights], [_label(row, report) for row in rows])
        for (_, row), tick in zip(heights, axes.get_yticklabels(), strict=True):
            tick.set_color(COLOURS[row.tier])
            tick.set_gid(index.drawn(row).gid)
        _leakage_axes(axes, report)
    return figure


def strength_figure(report: Findings) -> Figure:
    """AUC with its interval against the number of shadows, a line for each tier's leading row."""
    rows, index = wording.strength_curve(report), Index(report)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 3.6), layout="constrained")
        axes = figure.subplots()
        for tier in wording.TIERS:
            line = [row for row in rows if row.tier == tier]
            if line:
                values = np.array([(row.auc.value, row.auc.low, row.auc.high) for row in line])
                curve = axes.errorbar(
                    [row.num_shadows for row in line],
                    values[:, 0],
                    yerr=np.abs(values[:, 1:] - values[:, :1]).T,
                    color=COLOURS[tier],
                    marker="o",
                    capsize=2.5,
                    label=f"{tier}: {_label(line[0], report)}",
                )
                curve.lines[0].set_gid(index.of(line[0]).gid)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({row.num_shadows for row in rows}))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:g}"))
        axes.set(xlabel="shadow models", ylabel="AUC")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.legend(fontsize=8, frameon=False)
    return figure


def slices_figure(report: Findings) -> Figure:
    """AUC of every slice with its interval, falling, a panel for each tier."""
    tiers = [tier for tier in wording.TIERS if any(part.tier == tier for part in report.slices)]
    index = Index(report)
    with matplotlib.rc_context(STYLE):
        size = (9.2, 0.6 + 2.1 * len(tiers))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(tiers), squeeze=False)[:, 0]
        for axes, tier in zip(panels, tiers, strict=True):
            of_tier = [part for part in report.slices if part.tier == tier and part.auc.measurable]
            of_tier.sort(key=lambda part: -part.auc.value)
            _draw_slices(axes, tier, of_tier, index)
            axes.set_ylabel(f"{tier}: AUC")
        panels[-1].set_xlabel("slices, from the one that leaks most")
    return figure


def _draw_slices(axes: Axes, tier: Tier, parts: list[Slice], index: Index) -> None:
    for place, part in enumerate(parts):
        auc = part.auc
        line = Line2D([place] * 3, [auc.low, auc.value, auc.high], color=COLOURS[tier])
        line.set(linewidth=1, marker="o", markersize=4, markevery=[1])
        text = f"{part.name}, {part.tier}: AUC {wording.told(auc)}"
        line.set_gid(index.of(part, text, part.name).gid)
        axes.add_line(line)
    if len(parts) <= 24:
        names = [brief(part.name, 16) for part in parts]
        axes.set_xticks(range(len(parts)), names, rotation=40, ha="right", fontsize=8)
    else:
        axes.set_xticks([])
    axes.axhline(0.5, color="#444444", linestyle="--", linewidth=1)
    axes.set_xlim(-0.5, max(len(parts), 1) - 0.5)
    axes.autoscale_view(scalex=False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)


def _heights(rows: list[Result]) -> list[tuple[float, Result]]:
    """Each row with its height: one below the other, a gap between tiers."""
    return [(i + 0.8 * wording.TIERS.index(row.tier), row) for i, row in enumerate(rows)]


def _label(row: Result, report: Findings) -> str:
    release = wording.release_name(row.release, report)
    if row.tier == "SR":
        release = release.removeprefix(f"{ORIGINAL} ")
    return f"{brief(release, 40)} · {brief(row.attack, 24)}"


def _draw_tier(axes: Axes, tier: Tier, heights: list[tuple[float, Result]], index: Index) -> None:
    if not heights:
        return
    bars = axes.barh(
        [y for y, _ in heights],
        [row.auc.value - 0.5 for _, row in heights],
        left=0.5,
        height=0.66,
        color=COLOURS[tier],
        alpha=0.75,
        label=f"{tier}: {wording.TIER_NAMES[tier]}",
    )
    for bar, (y, row) in zip(bars, heights, strict=True):
        interval = Line2D([row.auc.low, row.auc.high], [y, y], color="#222222", marker="|")
        interval.set(linewidth=1.2, markersize=5)
        axes.add_line(interval)
        for drawn in (bar, interval):
            drawn.set_gid(index.drawn(row).gid)


def _leakage_axes(axes: Axes, report: Findings) -> None:
    axes.axvline(0.5, color="#444444", linestyle="--", linewidth=1, label="guessing, 0.5")
    if best := report.leading("NR"):
        style = {"color": COLOURS["NR"], "linestyle": ":", "linewidth": 1.2}
        axes.axvline(best.auc.value, label="leading NR", **style)
    axes.invert_yaxis()
    axes.margins(y=0.02)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    level = wording.percent(report.results[0].auc.level) if report.results else "95%"
    axes.set_xlabel(f"AUC, {level} interval")
    handles, names = axes.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda i: names[i][:2] not in wording.TIERS)
    axes.figure.legend(
        [handles[i] for i in order],
        [names[i] for i in order],
        loc="outside upper center",
        ncols=2,
        fontsize=9,
        frameon=False,
    )
