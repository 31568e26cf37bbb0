"""Pictures of the versions: leakage against what each costs, and what each adds to the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tf_compleak.report import figures, wording
from tf_compleak.report.figures import COLOURS, STYLE
from tf_compleak.report.marks import Index, Mark
from tf_compleak.types import ORIGINAL, Estimate
from tf_compleak.types.findings import Findings, Result
from tf_compleak.types.marginal_leakage import Subset


@dataclass(frozen=True)
class Point:
    """Something with a leakage and a cost, whose name is short enough to stand beside it."""

    leakage: Estimate
    cost: float
    name: str
    mark: Mark
    kind: str = "one version"


MARKERS = {"original": "X", "one version": "o", "several": "s"}
SHADES = {"original": "#000000", "one version": COLOURS["NR"], "several": COLOURS["MR"]}


def front(points: Sequence[Point], sign: int) -> list[Point]:
    """The points that no other beats in both: less leakage and less cost (`sign` -1: more).

    From the lowest cost on; of equals the one that leaks least.
    """
    measured = [p for p in points if math.isfinite(p.cost) and p.leakage.measurable]
    chosen, least = [], math.inf
    for point in sorted(measured, key=lambda p: (sign * p.cost, p.leakage.value)):
        if point.leakage.value < least:
            chosen.append(point)
            least = point.leakage.value
    return chosen


def versions_figure(report: Findings) -> Figure | None:
    """Every version: its leakage against accuracy and size, and beside the original.

    Leakage is the AUC of the row that leads on the version alone. The front of those that none
    beats in both is joined, the original is a cross. None where no version was attacked alone.
    """
    rows = singles(report)
    if not rows:
        return None
    index, panels = Index(report), list(_panels(report))
    with matplotlib.rc_context(STYLE):
        count = len(panels) + 1
        height = 3.4 * math.ceil(count / 2)
        figure = Figure(figsize=(9.2 if count > 1 else 5, height), layout="constrained")
        axes = figure.subplots(math.ceil(count / 2), min(count, 2), squeeze=False).ravel()
        _differences(axes[0], report, rows, index)
        for panel, (name, costs, sign) in zip(axes[1:], panels, strict=False):
            points = [
                Point(row.auc, costs[row.release[0]], str(number), index.drawn(row), _kind(row))
                for number, row in enumerate(rows, 1)
                if row.release[0] in costs
            ]
            _draw_points(panel, points, sign)
            panel.set(xlabel=name, ylabel="AUC")
        for unused in axes[count:]:
            unused.set_axis_off()
        handles, names = axes[1].get_legend_handles_labels() if panels else ([], [])
        if handles:
            style = {"loc": "outside lower center", "ncols": 3, "fontsize": 8, "frameon": False}
            figure.legend(handles, names, **style)
    return figure


def singles(report: Findings) -> list[Result]:
    """The row that leads on each version alone, in the order of the versions."""
    return [row for row in wording.best_per_release(report) if row.tier == "NR"]


def _kind(row: Result) -> str:
    return "original" if row.release == (ORIGINAL,) else "one version"


def _panels(report: Findings) -> Iterator[tuple[str, dict[str, float], int]]:
    """What a version costs: name of the axis, by version, 1 where less is better, else -1."""
    versions = [version for version in report.versions if version.status == "ok"]
    accuracy = {v.name: v.non_member_accuracy.value for v in versions if v.non_member_accuracy}
    size = {v.name: v.gzip_bytes / 1e3 for v in versions if v.gzip_bytes}
    panels = [("accuracy on non-members", accuracy, -1), ("gzipped size, kB", size, 1)]
    return (panel for panel in panels if panel[1])


def _differences(axes: Axes, report: Findings, rows: Sequence[Result], index: Index) -> None:
    """Paired differences to the original, or AUCs where there is none to compare with."""
    paired = any(row.to_original for row in rows)
    for place, row in enumerate(rows):
        of = row.to_original.auc if row.to_original else None if paired else row.auc
        if of is None or not of.measurable:
            continue
        text = f"{row.release[0]} beside the original: {wording.told(of, signed=True)} AUC"
        mark = index.of(row, text) if paired else index.drawn(row)
        line = Line2D([of.low, of.value, of.high], [place] * 3, color=COLOURS["NR"])
        line.set(marker="o", markersize=4.5, markevery=[1], linewidth=1.4, gid=mark.gid)
        axes.add_line(line)
    if paired and (original := [i for i, row in enumerate(rows) if _kind(row) == "original"]):
        axes.plot(
            0, original[0], "X", color=SHADES["original"], gid=index.drawn(rows[original[0]]).gid
        )
    axes.axvline(0 if paired else 0.5, color="#444444", linestyle="--", linewidth=1)
    names = [f"{figures.brief(row.release[0], 24)} · {i}" for i, row in enumerate(rows, 1)]
    axes.set_yticks(range(len(rows)), names)
    for row, tick in zip(rows, axes.get_yticklabels(), strict=True):
        tick.set_gid(index.drawn(row).gid)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.autoscale_view(scaley=False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    level = wording.percent(rows[0].auc.level)
    figure = "difference in AUC to the original" if paired else "AUC"
    axes.set_xlabel(f"{figure}, {level} interval")


def _draw_points(axes: Axes, points: Sequence[Point], sign: int) -> None:
    """Points with their intervals and names; those that none beats are joined."""
    drawn = [p for p in points if math.isfinite(p.cost) and p.leakage.measurable]
    best, labelled = front(drawn, sign), set()
    ends = [(p.cost, p.leakage.value) for p in best]
    axes.plot(*zip(*ends, strict=True), color="#444444", linewidth=1.2, label="Pareto front")
    for point in drawn:
        of = point.leakage
        line = Line2D([point.cost] * 3, [of.low, of.value, of.high], color=SHADES[point.kind])
        line.set(marker=MARKERS[point.kind], markersize=7 if point.kind == "original" else 5)
        line.set(markevery=[1], linewidth=1, gid=point.mark.gid)
        line.set_label("_" if point.kind in labelled else point.kind)
        labelled.add(point.kind)
        axes.add_line(line)
        style = {"textcoords": "offset points", "fontsize": 8, "gid": point.mark.gid}
        axes.annotate(point.name, (point.cost, of.value), (4, 4), **style)
    axes.margins(0.08)
    axes.autoscale_view()
    axes.grid(color="#dddddd", linewidth=0.6)


def subsets_figure(report: Findings) -> Figure:
    """Leakage of versions and sets of them against gzipped size, and against accuracy.

    Joined are those that no other beats in both: less leakage and smaller, or more accurate.
    """
    adds, index = report.marginal, Index(report)
    subsets = {s.release: s for s in (*adds.singles, *adds.pairs, *adds.within)}
    subsets |= {step.subset.release: step.subset for step in adds.order}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 4.2), layout="constrained")
        size, accuracy = figure.subplots(1, 2, sharey=True)
        for axes, cost, name, sign in (
            (size, lambda s: s.gzip_bytes / 1e3, "gzipped size, kB", 1),
            (accuracy, lambda s: s.least_accuracy, "least accuracy among the versions", -1),
        ):
            points = [
                Point(
                    s.figure,
                    cost(s),
                    "",
                    index.of_versions(s.release, adds.metric, s.figure),
                    _kind_of(s),
                )
                for s in subsets.values()
            ]
            named = {id(p) for p in front(points, sign)}
            shown = [
                Point(
                    p.leakage,
                    p.cost,
                    figures.brief(" + ".join(s.release), 26) if id(p) in named else "",
                    p.mark,
                    p.kind,
                )
                for p, s in zip(points, subsets.values(), strict=True)
            ]
            _draw_points(axes, shown, sign)
            axes.set_xlabel(name)
        size.set_ylabel(wording.plain(f"{adds.metric}, {adds.attack}"))
        size.legend(fontsize=8, frameon=False)
    return figure


def _kind_of(subset: Subset) -> str:
    if subset.release == (ORIGINAL,):
        return "original"
    return "one version" if len(subset.release) == 1 else "several"


def additions_figure(report: Findings) -> Figure:
    """What each further version adds: the figure with its interval, in greedy order."""
    adds, index = report.marginal, Index(report)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 3.4), layout="constrained")
        axes = figure.subplots()
        values = [step.subset.figure.value for step in adds.order]
        axes.plot(range(len(values)), values, color=COLOURS["MR"], drawstyle="steps-mid", alpha=0.6)
        for place, step in enumerate(adds.order):
            of, gain = step.subset.figure, step.gain
            line = Line2D([place] * 3, [of.low, of.value, of.high], color=COLOURS["MR"])
            line.set(marker="o", markersize=5, markevery=[1], linewidth=1.2)
            text = f"{step.added}: {adds.metric} {wording.told(of)}"
            text += f"; adds {wording.told(gain, signed=True)}" if gain else ""
            line.set_gid(Mark(text, index.of_versions((step.added,)).versions).gid)
            axes.add_line(line)
            if gain and gain.measurable:
                spot = {"textcoords": "offset points", "fontsize": 8, "ha": "left"}
                axes.annotate(f"{gain.value:+z.3f}", (place, of.value), (5, 4), **spot)
        names = [
            ("" if place == 0 else "+ ") + figures.brief(step.added, 20)
            for place, step in enumerate(adds.order)
        ]
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
        axes.set_xlim(-0.5, max(len(names), 1) - 0.4)
        axes.autoscale_view(scalex=False)
        axes.set_ylabel(wording.plain(adds.metric))
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    return figure
