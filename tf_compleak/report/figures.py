"""Figures of a report: ROC curves and AUC per release. Figure objects, no global plotting state."""

from __future__ import annotations

import io
import re
import textwrap
import zlib

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tf_compleak.report import wording
from tf_compleak.types import ORIGINAL, Report, Result, Tier

# Blue, vermillion and bluish green of Okabe & Ito's palette, told apart by colour-blind readers.
COLOURS: dict[Tier, str] = {"NR": "#0072b2", "SR": "#d55e00", "MR": "#007a58"}
MARKERS: dict[Tier, str] = {"NR": "o", "SR": "s", "MR": "D"}
STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def roc_figure(report: Report) -> Figure:
    """ROC of the best row of each tier on log-log axes, drawn as the steps that they are.

    The curves start at a false positive rate of one non-member; where fewer than ten non-members
    are called members the background is grey.
    """
    rows = _roc_rows(report)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        axes = figure.subplots()
        least = 1 / max([row.n_non_members for row in rows.values()], default=1000)
        for index, (name, row) in enumerate(rows.items()):
            style = "--" if list(rows.values()).index(row) < index else "-"
            _draw_roc(axes, row, f"{name}\n{row.attack}, AUC {row.auc}", style, least)
        _roc_axes(axes, least)
    return figure


def _roc_rows(report: Report) -> dict[str, Result]:
    """Name -> row: the best of each tier, and of its releases with and without the original."""

    def best(tier, original=None):
        rows = [row for row in report.results if row.tier == tier and row.roc]
        if original is not None:
            rows = [row for row in rows if (ORIGINAL in row.release) == original]
        return max(rows, key=lambda row: row.auc.value, default=None)

    named = {
        "NR: original": best("NR", True),
        "NR: best other version": best("NR", False),
        "SR: best": best("SR"),
        "MR: best with original": best("MR", True),
        "MR: best without original": best("MR", False),
    }
    return {
        f"{name} ({_brief(wording.release_name(row.release, report), 30)})": row
        for name, row in named.items()
        if row
    }


def _brief(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _draw_roc(axes: Axes, row: Result, label: str, style: str, least: float) -> None:
    first = not any(line.get_color() == COLOURS[row.tier] for line in axes.lines)
    axes.plot(
        np.maximum(row.roc.fpr, least / 10),
        np.maximum(row.roc.tpr, least / 10),
        drawstyle="steps-post",
        color=COLOURS[row.tier],
        linestyle=style if first else (0, (5, 1.5)),
        linewidth=1.8,
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
    axes.set_xlabel("false positive rate (grey: fewer than 10 non-members, not measurable)")
    axes.set_ylabel("true positive rate")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.legend(loc="lower right", fontsize=8, framealpha=0.95)


def leakage_figure(report: Report) -> Figure:
    """AUC of the best attack on each release as a dot with its interval, and the line of 0.5."""
    rows = wording.best_per_release(report)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 1.4 + 0.27 * max(4, len(rows))), layout="constrained")
        axes = figure.subplots()
        places = _places(rows)
        for tier in wording.TIERS:
            _draw_tier(axes, tier, [(y, row) for y, row in places if row.tier == tier])
        labels = [textwrap.shorten(_label(row, report), 60, placeholder="…") for row in rows]
        axes.set_yticks([y for y, _ in places], labels)
        for (_, row), tick in zip(places, axes.get_yticklabels(), strict=True):
            tick.set_color(COLOURS[row.tier])
        _leakage_axes(axes, report)
    return figure


def _places(rows: list[Result]) -> list[tuple[float, Result]]:
    """Each row with its height: one below the other, a gap between tiers."""
    breaks = np.cumsum([0] + [a.tier != b.tier for a, b in zip(rows, rows[1:], strict=False)])
    return [
        (i + 0.8 * float(gap), row)
        for i, (row, gap) in enumerate(zip(rows, breaks, strict=bool(rows)))
    ]


def _label(row: Result, report: Report) -> str:
    release = wording.release_name(row.release, report)
    return f"{release.removeprefix(f'{ORIGINAL} ') if row.tier == 'SR' else release} · {row.attack}"


def _draw_tier(axes: Axes, tier: Tier, places: list[tuple[float, Result]]) -> None:
    if not places:
        return
    values = np.array([(row.auc.value, row.auc.low, row.auc.high) for _, row in places])
    axes.errorbar(
        values[:, 0],
        [y for y, _ in places],
        xerr=np.abs(values[:, 1:] - values[:, :1]).T,
        fmt=MARKERS[tier],
        color=COLOURS[tier],
        markersize=5,
        capsize=2.5,
        linewidth=1.4,
        label=f"{tier}: {wording.TIER_NAMES[tier]}",
    )


def _leakage_axes(axes: Axes, report: Report) -> None:
    axes.axvline(0.5, color="#444444", linestyle="--", linewidth=1, label="guessing, 0.5")
    if best := report.best("NR"):
        axes.axvline(
            best.auc.value, color=COLOURS["NR"], linestyle=":", linewidth=1.2, label="best NR"
        )
    axes.invert_yaxis()
    axes.margins(y=0.02)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    level = wording.percent(report.results[0].auc.level) if report.results else "95%"
    axes.set_xlabel(f"AUC of the best attack on each release, with its {level} interval")
    axes.figure.legend(loc="outside upper center", ncols=3, fontsize=9, frameon=False)


def svg(figure: Figure, label: str = "") -> str:
    """The figure as deterministic inline SVG: no prolog, ids of its own, `label` for screen readers.

    Text stays text, in the reader's sans-serif font.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "tf_compleak"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    own = f"f{zlib.crc32(text.encode()):08x}-"
    text = re.sub(r'\bid="', f'id="{own}', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{own}", text)
    for mark, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        label = label.replace(mark, name)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
