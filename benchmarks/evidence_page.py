"""What `evidence.py` writes: the page, and the forest plot beside it."""

import io
from collections.abc import Iterator, Sequence

import evidence_figures as figures
from evidence_figures import Effect, Evidence, Line, Statement

from tf_compleak.types import Estimate
from tf_compleak.types.versions import release_text

COLUMNS = {
    "original": "NR original",
    "compressed": "NR compressed",
    "sr": "SR",
    "mr": "MR with original",
    "mr_without": "MR without",
}
RATES = (0.01, 0.001)
PANELS = ("sr", "mr", "mr_sr")


def markdown(evidence: Evidence, missing: Sequence[str], attack: str) -> str:
    """The page, what does not hold first."""
    failing = [each for each in evidence.statements if not each.holds]
    holding = [each for each in evidence.statements if each.holds]
    lines = [line for pair in evidence.pairs for line in pair.lines]
    parts = [
        "# Evidence",
        f"What further versions add, in {_count(len(evidence.pairs), 'pair')} of data and "
        f"architecture ({_count(len(lines), 'study', 'studies')}), by the attack `{attack}`. Made "
        "by `benchmarks/evidence.py` from the workdirs of `flags/small/`; 95 % intervals. The "
        "compressed version and the pair (SR) are those that leak most on the shadows; MR is all "
        "versions together. A gain is over the version of the same release that leaks most on the "
        "shadows, by the same attack, on the same examples.",
        "## What does not hold",
        *([_statement(each, evidence) for each in _least_first(failing)] or ["Nothing."]),
        "## What holds",
        *([_statement(each, evidence) for each in holding] or ["Nothing in every pair."]),
        "A statement is shown in a pair where its interval, at the level that holds for all pairs "
        "together (Bonferroni), lies above 0. Several seeds of a pair count as one, as uncertain "
        "as one of them: they draw from the same data.",
        "## What further versions add, over all pairs",
        _effects(evidence),
        "Random effects (Paule and Mandel), interval after Hartung and Knapp with a scale of at "
        "least one. Tau is the standard deviation of the true effects between pairs, I² the share "
        "of the differences between pairs that is not chance, p of Cochran's Q. Pairs that share a "
        "data set are counted as independent, which they are not quite.",
        "![Gains in AUC of every pair, and pooled](evidence.svg)",
        "## Every study",
        "AUC; under it TPR at 1 % FPR, and at 0.1 % where measurable.",
        _table(["data, architecture, seed", "n", "accuracy", *COLUMNS.values()], map(_row, lines)),
        "Accuracy: the original's on validation examples. n: members + non-members scored, each "
        "once for every target.",
        "## Gains of every study",
        "In AUC; under it in TPR at 1 % FPR.",
        _table(["data, architecture, seed", *figures.EFFECTS.values()], map(_gain_row, lines)),
        "## Still to be run",
        "\n".join(f"- `flags/small/{name}.cfg`" for name in missing)
        or "Nothing of `flags/small/`.",
        *_remarks(lines),
    ]
    return "\n\n".join(parts) + "\n"


def _count(count: int, word: str, words: str = "") -> str:
    return f"{count} {word if count == 1 else words or word + 's'}"


def _least_first(statements: Sequence[Statement]) -> list[Statement]:
    return sorted(statements, key=lambda each: len(each.shown) / max(1, each.count))


def _statement(each: Statement, evidence: Evidence) -> str:
    told = [f"**{each.text}**: shown in {len(each.shown)} of {_count(each.count, 'pair')}."]
    if each.strict is not None:
        told.append(f"Over whichever of its versions is best on the target, too, in {each.strict}.")
    for heading, names in (
        ("The contrary is shown", each.contrary),
        ("Neither is shown", each.undecided),
        ("Shown", each.shown),
    ):
        if names:
            told.append(f"\n- {heading}: {_named(names)}.")
    return " ".join(told).replace(" \n", "\n")


def _named(figures_of: dict[str, str]) -> str:
    return "; ".join(f"{name} ({figure})" for name, figure in figures_of.items())


def _effects(evidence: Evidence) -> str:
    rows = []
    for key, title in figures.EFFECTS.items():
        auc, tpr = evidence.effects[key]
        rows.append([title, *_effect(auc), *_effect(tpr)])
    head = [f"{n} {what}" for what in ("AUC", "TPR at 1 % FPR") for n in ("pairs,", "gain in")]
    spread = "tau; I²; p"
    return _table(["", head[0], head[1], spread, head[2], head[3], spread], rows)


def _effect(effect: Effect | None) -> list[str]:
    if effect is None:
        return ["fewer than 2", "n/a", "n/a"]
    spread = f"{effect.tau:.3f}; {effect.i2:.0%}; {effect.p:.2g}"
    return [str(len(effect.pairs)), figures.signed(effect.estimate), spread]


def _row(line: Line) -> list[str]:
    original = line.rows["original"]
    cells = [f"{line.pair}, {line.seed}", f"{original.n_members:,} + {original.n_non_members:,}"]
    cells.append(str(line.validation or "n/a"))
    for key in COLUMNS:
        row = line.rows.get(key)
        if row is None:
            cells.append("n/a")
            continue
        rates = [row.tpr_at_fpr.get(rate) for rate in RATES]
        shown = [str(row.auc), *(str(rate) for rate in rates if rate and rate.measurable)]
        if key in ("compressed", "sr"):
            shown.append(release_text(row.release[-1:]))
        cells.append("<br>".join(shown))
    return cells


def _gain_row(line: Line) -> list[str]:
    cells = [f"{line.pair}, {line.seed}"]
    for key in figures.EFFECTS:
        gain = line.gains.get(key)
        cells.append("n/a" if gain is None else "<br>".join(_gain_figures(gain)))
    return cells


def _gain_figures(gain) -> Iterator[str]:
    for estimate in (gain.auc, gain.tpr_at_fpr.get(figures.LOW_FPR)):
        if estimate is not None:
            yield figures.signed(estimate)


def _table(head: Sequence[str], rows) -> str:
    body = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *body])


def _remarks(lines: Sequence[Line]) -> Iterator[str]:
    told = [f"- {line.pair}, seed {line.seed}: {text}" for line in lines for text in line.remarks]
    told += [
        f"- {line.pair}, seed {line.seed}: of no flagfile as it stands."
        for line in lines
        if not line.flagfile
    ]
    if told:
        yield "## Remarks of the studies"
        yield "\n".join(told)


def forest(evidence: Evidence) -> str:
    """The forest plot as SVG: a panel for each of three gains in AUC, a row for each pair."""
    import matplotlib
    from matplotlib.figure import Figure

    names = [pair.name for pair in evidence.pairs]
    figure = Figure(figsize=(11, 1.3 + 0.28 * (len(names) + 1)), layout="constrained")
    axes = figure.subplots(1, len(PANELS), sharey=True)
    for axis, key in zip(axes, PANELS, strict=True):
        for place, pair in enumerate(evidence.pairs):
            _interval(axis, pair.gain(key), place, "s", "#33658a")
        effect = evidence.effects[key][0]
        _interval(axis, effect and effect.estimate, len(names), "D", "#b23a48")
        axis.axvline(0, color="0.5", linewidth=0.8)
        axis.set_title(figures.EFFECTS[key], fontsize=10)
        axis.set_xlabel("gain in AUC, 95 % interval")
    axes[0].set_yticks(range(len(names) + 1), [*names, "pooled"])
    axes[0].set_ylim(len(names) + 0.6, -0.6)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tf_compleak"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _interval(axis, estimate: Estimate | None, place: int, marker: str, color: str) -> None:
    if estimate is None or not estimate.measurable:
        return
    reach = [[estimate.value - estimate.low], [estimate.high - estimate.value]]
    axis.errorbar(
        estimate.value, place, xerr=reach, fmt=marker, color=color, markersize=5, capsize=2
    )
