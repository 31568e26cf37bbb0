"""Figures of a report: ROC curves and AUC per release. Figure objects, no global plotting state."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tf_compleak.report import wording
from tf_compleak.types import ORIGINAL, Tier
from tf_compleak.types.findings import Findings, Result, leading
from tf_compleak.types.marginal_leakage import Subset

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
        for name, row, style in rows:
            release = _brief(wording.release_name(row.release, report), 30)
            label = f"{name}: {_brief(row.attack, 24)} on {release}\nAUC {row.auc}"
            _draw_roc(axes, row, label, style, least)
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


def _brief(text: str, width: int) -> str:
    text = wording.plain(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def _draw_roc(axes: Axes, row: Result, label: str, style: str, least: float) -> None:
    axes.plot(
        np.maximum(row.roc.fpr, least / 10),  # zero has no place on a log axis
        np.maximum(row.roc.tpr, least / 10),
        drawstyle="steps-post",
        color=COLOURS[row.tier],
        linestyle=style,
        linewidth=1.7,
        label=label,
    )


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
        heights = _heights(rows)
        for tier in wording.TIERS:
            _draw_tier(axes, tier, [(y, row) for y, row in heights if row.tier == tier])
        axes.set_yticks([y for y, _ in heights], [_label(row, report) for row in rows])
        for (_, row), tick in zip(heights, axes.get_yticklabels(), strict=True):
            tick.set_color(COLOURS[row.tier])
        _leakage_axes(axes, report)
    return figure


def strength_figure(report: Findings) -> Figure:
    """AUC with its interval against the number of shadows, a line for each tier's leading row."""
    rows = wording.strength_curve(report)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.2, 3.6), layout="constrained")
        axes = figure.subplots()
        for tier in wording.TIERS:
            line = [row for row in rows if row.tier == tier]
            if line:
                values = np.array([(row.auc.value, row.auc.low, row.auc.high) for row in line])
                axes.errorbar(
                    [row.num_shadows for row in line],
                    values[:, 0],
                    yerr=np.abs(values[:, 1:] - values[:, :1]).T,
                    color=COLOURS[tier],
                    marker="o",
                    capsize=2.5,
                    label=f"{tier}: {_label(line[0], report)}",
                )
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({row.num_shadows for row in rows}))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:g}"))
        axes.set(xlabel="shadow models", ylabel="AUC")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.legend(fontsize=8, frameon=False)
    return figure


def pareto_figure(report: Findings) -> Figure:
    """Leakage of versions and sets of them against gzipped size, and against accuracy.

    Joined are those that no other beats in both: less leakage and smaller, or more accurate.
    """
    adds = report.marginal
    subsets = {s.release: s for s in (*adds.singles, *adds.pairs, *adds.within)}
    subsets |= {step.subset.release: step.subset for step in adds.order}
    chosen = list(subsets.values())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        size, accuracy = figure.subplots(1, 2, sharey=True)
        _draw_pareto(size, [s.gzip_bytes / 1e3 for s in chosen], chosen, "gzipped size, kB", 1)
        scores = [s.least_accuracy for s in chosen]
        _draw_pareto(accuracy, scores, chosen, "least accuracy among the versions", -1)
        size.set_ylabel(wording.plain(f"{adds.metric}, {adds.attack}"))
        size.legend(fontsize=8, frameon=False)
    return figure


def _draw_pareto(axes: Axes, across: list[float], subsets: list[Subset], name: str, sign: int):
    values = np.array([(s.figure.value, s.figure.low, s.figure.high) for s in subsets])
    across = np.asarray(across, np.float64)
    finite = np.isfinite(across) & np.isfinite(values[:, 0])
    order = [i for i in np.lexsort((values[:, 0], sign * across)) if finite[i]]
    front, least = [], np.inf
    for index in order:
        if values[index, 0] < least:
            front.append(index)
            least = values[index, 0]
    for single, colour, label in (
        (True, COLOURS["NR"], "one version"),
        (False, COLOURS["MR"], "several"),
    ):
        rows = [i for i in order if (len(subsets[i].release) == 1) == single]
        if rows:
            error = np.abs(values[rows, 1:] - values[rows, :1]).T
            style = {"fmt": "o", "color": colour, "capsize": 2, "linewidth": 1, "markersize": 4}
            axes.errorbar(across[rows], values[rows, 0], yerr=error, label=label, **style)
    axes.plot(across[front], values[front, 0], color="#444444", linewidth=1.2, label="not beaten")
    for index in front:
        text = _brief(" + ".join(subsets[index].release), 26)
        spot = (across[index], values[index, 0])
        axes.annotate(text, spot, (4, -10), textcoords="offset points", fontsize=7)
    axes.set_xlabel(name)
    axes.grid(color="#dddddd", linewidth=0.6)


def _heights(rows: list[Result]) -> list[tuple[float, Result]]:
    """Each row with its height: one below the other, a gap between tiers."""
    return [(i + 0.8 * wording.TIERS.index(row.tier), row) for i, row in enumerate(rows)]


def _label(row: Result, report: Findings) -> str:
    release = wording.release_name(row.release, report)
    if row.tier == "SR":
        release = release.removeprefix(f"{ORIGINAL} ")
    return f"{_brief(release, 40)} · {_brief(row.attack, 24)}"


def _draw_tier(axes: Axes, tier: Tier, heights: list[tuple[float, Result]]) -> None:
    if not heights:
        return
    values = np.array([(row.auc.value, row.auc.low, row.auc.high) for _, row in heights])
    axes.barh(
        [y for y, _ in heights],
        values[:, 0] - 0.5,
        left=0.5,
        height=0.66,
        xerr=np.abs(values[:, 1:] - values[:, :1]).T,
        color=COLOURS[tier],
        alpha=0.75,
        error_kw={"capsize": 2.5, "linewidth": 1.2, "ecolor": "#222222"},
        label=f"{tier}: {wording.TIER_NAMES[tier]}",
    )


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
