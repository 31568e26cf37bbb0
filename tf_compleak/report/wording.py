"""What a report says in words: names of releases, rows in reading order, the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

from tf_compleak.leakage import shadow_likeness
from tf_compleak.types import ORIGINAL, STRONGEST, Estimate, Release, Tier
from tf_compleak.types.comparisons import Gain, RemedyChange
from tf_compleak.types.findings import Findings, Result, leading, strongest_rows

TIERS: tuple[Tier, ...] = ("NR", "SR", "MR")
TIER_NAMES: dict[Tier, str] = {
    "NR": "one version",
    "SR": "original + one version",
    "MR": "several versions",
}
Standing = Literal["above", "unclear", "none", "below"]


def standing(estimate: Estimate, chance: float, choices: int) -> Standing:
    """Where an estimate that is the best of `choices` rows stands to `chance` (0.5, or 0).

    "none": `chance` is within the interval; "below": the interval lies below it; "above": the
    interval lies above, also when stretched to the level 1 - (1 - level) / choices (Bonferroni, on
    the normal scale); "unclear": above only as it is printed, as if no choice had been made.
    """
    if not estimate.measurable or estimate.low <= chance <= estimate.high:
        return "none"
    if estimate.high < chance:
        return "below"
    alpha = (1 - estimate.level) / 2
    normal = NormalDist()
    stretch = normal.inv_cdf(1 - alpha / max(1, choices)) / normal.inv_cdf(1 - alpha)
    low = estimate.value - stretch * (estimate.value - estimate.low)
    return "above" if low > chance else "unclear"


def release_name(release: Release, report: Findings) -> str:
    """A release in a few words: its versions joined by +, or "all 11 versions" of the report."""
    usable = {version.name for version in report.versions if version.status == "ok"}
    if len(release) > 2 and set(release) == usable:
        return f"all {len(release)} versions"
    if len(release) > 2 and set(release) == usable - {ORIGINAL}:
        return f"all {len(release)} without original"
    return " + ".join(release)


def row_name(row: Result, report: Findings) -> str:
    """Attack and release of a row, such as "sr2-lr on original + int8-ptq"."""
    return f"{row.attack} on {release_name(row.release, report)}"


def ordered(report: Findings) -> list[Result]:
    """All rows: by tier, then release in the order of the versions, then falling AUC."""
    position = {version.name: index for index, version in enumerate(report.versions)}

    def key(row: Result):
        release = tuple(position.get(name, len(position)) for name in row.release)
        return TIERS.index(row.tier), release, row.release, not row.auc.measurable, -row.auc.value

    return sorted(report.results, key=key)


def best_per_release(report: Findings) -> list[Result]:
    """The row that leads on each release, in the order of `ordered`.

    The strongest attacker's where there is one, else that with the highest AUC.
    """
    best: dict[Release, Result] = {}
    for row in ordered(report):
        if row.attack == STRONGEST or row.release not in best:
            best[row.release] = row
    return list(best.values())


def rates(report: Findings) -> list[float]:
    """Every false positive rate at which some row has a true positive rate, largest first."""
    return sorted({rate for row in report.results for rate in row.tpr_at_fpr}, reverse=True)


def plain(text: str) -> str:
    """Text without control characters, which could steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def plain_lines(lines: Sequence[str]) -> str:
    """Lines joined, each without control characters."""
    return "\n".join(plain(line) for line in lines)


def percent(share: float) -> str:
    """A rate as text: 0.001 is "0.1%"."""
    return f"{100 * share:.6g}%"


def signed(estimate: Estimate) -> str:
    """A difference with its interval, signs shown."""
    return estimate.beside(0, signed=True)


def told(estimate: Estimate, signed: bool = False) -> str:
    """A figure with its interval, its level and n, as hovering shows it."""
    if not estimate.measurable:
        return f"n/a ({estimate.method})"
    figure = estimate.beside(0, signed=True) if signed else str(estimate)
    return f"{figure}, {percent(round(estimate.level, 5))} interval, n = {estimate.n:,}"


def method(estimate: Estimate) -> str:
    """How a figure was found, of how many and at which level; of n/a the reason."""
    if not estimate.measurable:
        return estimate.method
    level = percent(round(estimate.level, 5))
    return f"n = {estimate.n:,}, {level} interval; {estimate.method}"


def number(value: float) -> str:
    """Three decimals; "n/a" for NaN, which stands for what is not known."""
    return "n/a" if math.isnan(value) else f"{value:.3f}"


def size(count: int) -> str:
    """Bytes as text in units of 1,000; a dash where there is no file."""
    if not count:
        return "-"
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.2f} MB"


def sample(report: Findings) -> str:
    """How many examples and at which level, such as "n = 350 members and 350 non-members, ..."."""
    if not report.results:
        return "no rows"
    row = report.results[0]
    pooled = f" (pooled over {row.num_targets} targets)" if row.num_targets > 1 else ""
    return (
        f"n = {row.n_members:,} members and {row.n_non_members:,} non-members{pooled}, "
        f"{percent(row.auc.level)} intervals"
    )


def num_targets(report: Findings) -> int:
    """How many models play the target; the versions of a report are those of the first."""
    return max((row.num_targets for row in report.results), default=1)


def strength_curve(report: Findings) -> list[Result]:
    """Of the attacker-strength rows: those of each tier's row that leads with all shadows."""
    chosen = []
    for tier in TIERS:
        rows = [row for row in report.curve if row.tier == tier]
        most = max((row.num_shadows for row in rows), default=0)
        first = leading([row for row in rows if row.num_shadows == most], tier)
        if first:
            same = (first.attack, first.release)
            chosen += [row for row in rows if (row.attack, row.release) == same]
    return chosen


EPSILON = (
    "lower bound of the epsilon of differential privacy that training can have had; 0 says nothing."
)


def bounds_epsilon(report: Findings) -> bool:
    """Whether some row bounds epsilon above zero."""
    return any(
        row.epsilon and row.epsilon.measurable and row.epsilon.low > 0 for row in report.results
    )


def unmeasured(estimates: Sequence[Estimate]) -> list[str]:
    """Why some of the estimates are n/a: each reason once."""
    return list(dict.fromkeys(of.method for of in estimates if not of.measurable))


def verdict(report: Findings) -> str:
    """One sentence: what the release leaks; a report whose sanity checks failed says so first."""
    warnings = report.sanity.warnings()
    return " ".join(["VOID.", *warnings, finding(report)]) if warnings else finding(report)


def cautions(report: Findings) -> list[str]:
    """What makes the figures less sure without making them void, one sentence each."""
    recorded = report.provenance.get("cautions", ())
    lines = [str(line) for line in recorded] if isinstance(recorded, (list, tuple)) else []
    lines += shadow_likeness.warnings(report.families)
    isolation = str(report.provenance.get("isolation", "full"))
    if isolation != "full":
        lines.append(
            f"Model files were read by a process that was not fully isolated ({isolation}): a "
            "file could have done more than answer."
        )
    return lines


def finding(report: Findings) -> str:
    """The verdict without the text of the warnings; not to be relied on if there are any."""
    sentence = _sentence(report)
    if not report.sanity.warnings():
        return sentence
    return f"What the rows say, not to be relied on: {sentence[0].lower()}{sentence[1:]}"


def _sentence(report: Findings) -> str:
    best = {tier: row for tier in TIERS if (row := report.leading(tier))}
    if not best:
        return "No attack was measured, so nothing can be said about what this release leaks."
    parts = [_part(report, row) for row in best.values()]
    return f"{_lead(report, best)}: {'; '.join(parts)} ({sample(report)})."


def _lead(report: Findings, best: dict[Tier, Result]) -> str:
    rows = sum(map(report.candidates, best))
    standings = {standing(row.auc, 0.5, rows) for row in best.values()}
    if "above" in standings:
        return "The released versions leak who was in the training data" + _further(report, best)
    if "unclear" in standings:
        return (
            "There are signs that the released versions leak who was in the training data, but "
            f"none holds once it is allowed for that the best of {rows} rows is looked at"
        )
    return "No leakage that could be told from guessing was found"


def _further(report: Findings, best: dict[Tier, Result]) -> str:
    gains = [gain_standing(report, row) for row in best.values() if gain_of(row)]
    if "above" in gains:
        return ", and further versions add to it"
    if "unclear" in gains:
        return ", with no clear gain from further versions"
    return ", with no measurable gain from further versions" if gains else ""


def _part(report: Findings, row: Result) -> str:
    tiers = {
        "NR": "an attacker with one version",
        "SR": "with the original and one more version",
        "MR": "with several versions",
    }
    reaches = " reaches" if row.tier == "NR" else ""
    guessing = ", as guessing could" if row.auc.low <= 0.5 <= row.auc.high else ""
    text = (
        f"{tiers[row.tier]} ({row_name(row, report)}){reaches} AUC {row.auc.beside(0.5)}{guessing}"
    )
    return f"{text}, {gain_words(report, row)}" if gain_of(row) else text


def changed(change: RemedyChange, report: Findings) -> str:
    """What a change of a remedy is of."""
    under = release_name(change.remedied[0], report)
    if change.of == "version":
        return under
    plain = release_name(change.plain[0], report)
    beside = "" if plain == under else f", without the remedy {plain}"
    return f"strongest release: {under}{beside}"


def remedy_rates(report: Findings) -> list[float]:
    """The false positive rates at which what remedies change is measurable."""
    rates = [c.tpr_at_fpr for remedy in report.remedies for c in remedy.changes]
    return sorted({r for of in rates for r, tpr in of.items() if tpr.measurable}, reverse=True)


def chosen(report: Findings, tier: Tier) -> str:
    """How the leading row of a tier was chosen."""
    count = report.candidates(tier)
    if count > 1:
        return f"best of {count}"
    rows = len(strongest_rows(report.results, tier))
    return f"of {rows} the one that leaks most on the shadows" if rows > 1 else "the only one"


def gain_of(row: Result) -> Gain | None:
    """The gain of an SR or MR row that the verdict speaks of, over what its release itself holds.

    By the same attack, where it attacks single versions too; else by any. Reports of earlier
    versions have the gain over the best row on any version of the report.
    """
    if row.gain_same or row.gain_any:
        return row.gain_same or row.gain_any
    return Gain(*row.gain_over, 1, row.auc_gain, {}) if row.auc_gain and row.gain_over else None


def comparisons(rows: Sequence[Result]) -> list[tuple[Result, str, Gain]]:
    """Every paired comparison of these rows: the row, what it is held against, the differences."""
    kinds = {
        "same attack, best version": lambda row: row.gain_same,
        "any attack, best version": lambda row: row.gain_any,
        "the original": lambda row: row.to_original,
        "best attack": lambda row: row.to_best_attack,
    }
    return [(row, kind, of(row)) for row in rows for kind, of in kinds.items() if of(row)]


def difference_of(row: Result) -> Estimate | None:
    """What stands beside a row's AUC: its gain, or the version's difference to the original."""
    gain = gain_of(row) or row.to_original
    return gain and gain.auc


def reference_words(row: Result, gain: Gain, report: Findings) -> str:
    """What a row is held against in one of its comparisons, in words."""
    if gain is row.to_original:
        return "the original"
    if gain is row.to_best_attack:
        return f"the attack that turned out best, {over(gain, report)}"
    if gain.attack == row.attack:
        return f"the same attack on {release_name(gain.release, report)} alone"
    return f"{over(gain, report)} alone"


def over(gain: Gain, report: Findings) -> str:
    """What a gain is over, such as "tabular on original"."""
    return f"{gain.attack} on {release_name(gain.release, report)}"


def gain_standing(report: Findings, row: Result) -> Standing:
    """`standing` to 0 of a row's gain, as the best of the rows of its tier."""
    return standing(gain_of(row).auc, 0, report.candidates(row.tier))


def gain_words(report: Findings, row: Result) -> str:
    """What the further versions of an SR or MR row add to the best row on one of its versions."""
    gain, best = gain_of(row), f"best of {report.candidates(row.tier)} {row.tier} rows"
    reference = reference_words(row, gain, report)
    figure = signed(gain.auc)
    return {
        "above": f"a gain of {figure} over {reference}",
        "unclear": f"a gain of {figure} over {reference} that does not hold once the choice of the "
        f"{best} is allowed for",
        "none": f"no measurable gain over {reference} ({figure})",
        "below": f"less than {reference} ({figure})",
    }[gain_standing(report, row)]
