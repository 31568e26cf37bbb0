"""What `evidence.py` computes: rows and paired gains of every study, and what they say together."""

import dataclasses
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import studies

from tf_compleak.leakage import gains
from tf_compleak.leakage.pooled_scores import Pooled
from tf_compleak.metrics.intervals import normal_quantile
from tf_compleak.report.report import Report
from tf_compleak.types import ORIGINAL, Estimate, Tier
from tf_compleak.types.comparisons import Gain
from tf_compleak.types.findings import Result

LEVEL = 0.95
LOW_FPR = 0.01
LOWEST = (0.001, LOW_FPR)  # rates at which "best at low FPR" is looked at, the lowest measurable
EFFECTS = {
    "compressed": "the compressed version over the original",
    "sr": "SR over NR",
    "mr": "MR with the original over NR",
    "mr_without": "MR without the original over NR",
    "mr_sr": "MR over SR",
}
STATEMENTS = {
    "differs": "Compressed versions leak otherwise than the original (AUC)",
    "sr": "SR leaks more than NR (AUC)",
    "mr_sr": "MR leaks more than SR (AUC)",
    "low": "MR has the highest TPR at low FPR, over NR and SR",
}


@dataclass(frozen=True)
class Line:
    """One study, one seed.

    Attributes:
      rows: "original", "compressed", "sr", "mr", "mr_without": the rows shown, where there are.
      gains: by the keys of `EFFECTS`, paired.
      versions: every compressed version's difference to the original in AUC.
      low: least difference of MR to NR and SR in TPR at the lowest measurable FPR, and that rate.
      strict: the report's own gains of the SR and MR rows, over whichever version is best.
    """

    data: str
    model: str
    seed: int
    rows: dict[str, Result]
    gains: dict[str, Gain]
    versions: dict[str, Estimate]
    low: tuple[float, Estimate] | None
    strict: dict[str, Estimate]
    validation: Estimate | None
    remarks: tuple[str, ...] = ()
    flagfile: str = ""

    @property
    def pair(self) -> str:
        return f"{self.data}, {self.model}"


def line(report: Report, attack: str) -> Line:
    """The figures of one study.

    Raises:
      ValueError: for a study without rows of the attack, without shadows, or without scores.
    """
    name = f"{studies.data_name(report.study['dataset'])}, {report.study.get('model', 'model')}"
    rows = [row for row in report.results if row.attack == attack]
    if not any(row.release == (ORIGINAL,) for row in rows):
        raise ValueError(f"{name}: no row of {attack} on the original; name another --attack.")
    if report.scored is None or any(row.shadow_auc is None for row in rows):
        raise ValueError(
            f"{name}: no scores of examples, or no shadows to choose versions by; run it with "
            "--num_shadows=1 or more."
        )
    shown, differences = _shown(rows), gains.Differences(report.results, _scores(report), 0)
    singles = [row for row in rows if row.tier == "NR"]

    def over(row: Result, references: Sequence[Result]) -> Gain:
        return gains.over_best(row, references, differences)

    found = {}
    if "compressed" in shown:
        found["compressed"] = over(shown["compressed"], [shown["original"]])
    for key in ("sr", "mr", "mr_without"):
        if key in shown:
            within = [row for row in singles if row.release[0] in shown[key].release]
            found[key] = over(shown[key], [_by_shadows(within)])
    low = None
    if {"sr", "mr"} <= set(shown):
        found["mr_sr"] = over(shown["mr"], [shown["sr"]])
        low = _low(over(shown["mr"], [shown[key] for key in ("original", "compressed", "sr")]))
    accuracies = {version.name: version.validation_accuracy for version in report.versions}
    return Line(
        data=studies.data_name(report.study["dataset"]),
        model=report.study.get("model", "model"),
        seed=report.study.get("seed", 0),
        rows=shown,
        gains=found,
        versions={row.release[0]: row.to_original.auc for row in singles if row.to_original},
        low=low,
        strict={k: row.gain_same.auc for k, row in shown.items() if row.gain_same},
        validation=accuracies.get(ORIGINAL),
        remarks=tuple(_remarks(report)),
    )


def _remarks(report: Report) -> Iterator[str]:
    """What failed, without the place where the study was run, and what its sanity runs say."""
    for failure in report.failures:
        reason = failure.reason.replace(f"{report.provenance.get('workdir', '')}/", "")
        yield f"{failure.name}: {reason}"
    yield from report.sanity.warnings()
    for version in report.versions:
        accuracy = version.validation_accuracy
        if version.name == ORIGINAL and accuracy and accuracy.low <= _guessing(report):
            yield f"the original is not seen to be better than guessing: accuracy {accuracy}."


def _guessing(report: Report) -> float:
    """One in as many classes as the scored examples have."""
    return 1 / len(np.unique(report.scored.labels))


def _by_shadows(rows: Sequence[Result]) -> Result:
    """The row that leaks most on the shadows: nothing of the target has a say in it."""
    return max(rows, key=lambda row: row.shadow_auc)


def _shown(rows: Sequence[Result]) -> dict[str, Result]:
    def of(tier: Tier, original: bool) -> list[Result]:
        return [row for row in rows if row.tier == tier and (ORIGINAL in row.release) == original]

    candidates = {
        "original": of("NR", True),
        "compressed": of("NR", False),
        "sr": of("SR", True),
        "mr": _largest(of("MR", True)),
        "mr_without": _largest(of("MR", False)),
    }
    return {key: _by_shadows(found) for key, found in candidates.items() if found}


def _largest(rows: Sequence[Result]) -> list[Result]:
    most = max((len(row.release) for row in rows), default=0)
    return [row for row in rows if len(row.release) == most]


def _scores(report: Report) -> dict[gains.Key, Pooled]:
    """The saved scores of every row, as gains are made of."""
    scored, examples = report.scored, None
    count = len(np.unique(scored.targets))
    if count > 1:
        examples = np.unique(scored.ids, return_inverse=True)[1]
    return {
        (row.attack, row.release): Pooled(
            values=values,
            margins=values,
            members=scored.members,
            examples=examples,
            num_targets=count,
            num_shadows=row.num_shadows,
        )
        for row, values in zip(report.results, scored.values, strict=True)
    }


def _low(gain: Gain) -> tuple[float, Estimate] | None:
    rates = [rate for rate in LOWEST if rate in gain.tpr_at_fpr]
    return next(((r, gain.tpr_at_fpr[r]) for r in rates if gain.tpr_at_fpr[r].measurable), None)


def at_level(estimate: Estimate, count: int) -> Estimate:
    """With the interval that holds for `count` of them together (Bonferroni)."""
    factor = gains.stretch(estimate.level, count)
    wider = estimate.widened(factor, f"{count} of them", (-1.0, 1.0))
    return dataclasses.replace(wider, level=1 - (1 - estimate.level) / count)


def signed(estimate: Estimate) -> str:
    """A difference as text, rounding errors of 0 as 0."""
    if not estimate.measurable:
        return str(estimate)
    ends = {name: round(getattr(estimate, name), 9) for name in ("value", "low", "high")}
    return dataclasses.replace(estimate, **ends).beside(0, signed=True)


def over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """The mean over the seeds of one pair, as uncertain as one of them.

    Seeds draw from the same data: their errors are taken to be the same, and do not cancel.
    """
    if unknown := [estimate for estimate in estimates if not estimate.measurable]:
        return unknown[0]
    mean = {k: statistics.fmean(getattr(e, k) for e in estimates) for k in ("value", "low", "high")}
    return dataclasses.replace(estimates[0], **mean, n=sum(e.n for e in estimates))


@dataclass(frozen=True)
class Pair:
    """A pair of data and architecture, over its seeds."""

    name: str
    lines: tuple[Line, ...]

    def gain(self, effect: str, fpr: float | None = None) -> Estimate | None:
        """In AUC, or in TPR at `fpr`; None where a seed has no such row or rate."""
        found = [line.gains[effect] for line in self.lines if effect in line.gains]
        figures = [gain.auc if fpr is None else gain.tpr_at_fpr.get(fpr) for gain in found]
        if len(figures) < len(self.lines) or None in figures:
            return None
        return over_seeds(figures)

    def low(self) -> Estimate | None:
        lows = [line.low[1] for line in self.lines if line.low]
        return over_seeds(lows) if len(lows) == len(self.lines) else None

    def strict(self, key: str) -> Estimate | None:
        found = [line.strict[key] for line in self.lines if key in line.strict]
        return over_seeds(found) if len(found) == len(self.lines) else None

    def versions(self) -> dict[str, Estimate]:
        """The differences to the original of those versions that every seed has."""
        names = [name for name in self.lines[0].versions]
        shared = [name for name in names if all(name in line.versions for line in self.lines)]
        return {name: over_seeds([line.versions[name] for line in self.lines]) for name in shared}


@dataclass(frozen=True)
class Effect:
    """One effect over all pairs that have it, by random effects.

    Attributes:
      estimate: the mean effect.
      tau: standard deviation of the true effects between pairs.
      i2: share of the differences between pairs that is not chance, 0 to 1.
      p: of the test that all pairs have one effect (Cochran's Q).
      pairs: names of those pooled.
    """

    estimate: Estimate
    tau: float
    i2: float
    p: float
    pairs: tuple[str, ...]


def pooled(effects: dict[str, Estimate]) -> Effect | None:
    """The effects of independent pairs as one; None for fewer than two.

    Random effects after Paule and Mandel (statsmodels), the interval after Hartung and Knapp with
    a scale of at least one (Roever, Knapp & Friede, BMC Med. Res. Methodol. 2015): with few pairs
    the usual one is too narrow.
    """
    from scipy.stats import t as student
    from statsmodels.stats.meta_analysis import combine_effects

    names = tuple(
        name for name, each in effects.items() if each.measurable and each.high > each.low
    )
    if len(names) < 2:
        return None
    used = [effects[name] for name in names]
    values = np.array([each.value for each in used])
    errors = [(e.high - e.low) / 2 / normal_quantile(e.level) for e in used]
    result = combine_effects(values, np.square(errors), method_re="pm")
    error = math.sqrt(max(result.var_eff_w_re, result.var_hksj_re))
    reach = float(student.ppf((1 + LEVEL) / 2, len(names) - 1)) * error
    mean = float(result.mean_effect_re)
    estimate = Estimate(
        mean, mean - reach, mean + reach, LEVEL, "random effects", sum(e.n for e in used)
    )
    tau = math.sqrt(max(0.0, float(result.tau2)))
    homogeneity = result.test_homogeneity()
    return Effect(estimate, tau, max(0.0, float(result.i2)), float(homogeneity.pvalue), names)


@dataclass(frozen=True)
class Statement:
    """One statement: in which pairs it is shown, in which the contrary, in which neither.

    `strict`: in how many it is shown by the report's own, stricter gain; None where it has none.
    """

    text: str
    shown: dict[str, str] = field(default_factory=dict)
    contrary: dict[str, str] = field(default_factory=dict)
    undecided: dict[str, str] = field(default_factory=dict)
    strict: int | None = None

    @property
    def count(self) -> int:
        return len(self.shown) + len(self.contrary) + len(self.undecided)

    @property
    def holds(self) -> bool:
        """Whether it is shown in every pair."""
        return 0 < len(self.shown) == self.count


def statement(text: str, estimates: dict[str, Estimate]) -> Statement:
    """Every pair's difference, above 0 or not, at the level that holds for all pairs together."""
    result = Statement(text)
    for name, estimate in estimates.items():
        wide = at_level(estimate, len(estimates)) if estimate.measurable else estimate
        side = result.undecided
        if wide.measurable and wide.low > 0:
            side = result.shown
        elif wide.measurable and wide.high < 0:
            side = result.contrary
        side[name] = signed(wide)
    return result


def differs(pairs: Sequence[Pair]) -> Statement:
    """Whether any version of a pair lies beside its original, allowing for all that are looked at.

    There is no contrary: a difference too small to be seen is not shown to be none.
    """
    result = Statement(STATEMENTS["differs"])
    for pair in pairs:
        versions = pair.versions()
        if not versions:
            continue
        wide = {n: at_level(e, len(pairs) * len(versions)) for n, e in versions.items()}
        apart = {n: e for n, e in wide.items() if e.measurable and (e.low > 0 or e.high < 0)}
        side = result.shown if apart else result.undecided
        most = max(wide.items(), key=lambda item: abs(item[1].value))
        told = apart or dict([most])
        side[pair.name] = "; ".join(f"{n} {signed(e)}" for n, e in told.items())
    return result


@dataclass(frozen=True)
class Evidence:
    """All that the page says."""

    pairs: tuple[Pair, ...]
    effects: dict[str, tuple[Effect | None, Effect | None]]  # in AUC, in TPR at LOW_FPR
    statements: tuple[Statement, ...]


def evidence(lines: Sequence[Line]) -> Evidence:
    """What the studies say together; those of one pair and other seeds count as one.

    Raises:
      ValueError: where one pair and seed is given twice.
    """
    keys = [(line.pair, line.seed) for line in lines]
    if len(set(keys)) < len(keys):
        pair, seed = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{pair}, seed {seed}: given twice; name one workdir of it.")
    names = dict.fromkeys(line.pair for line in lines)
    pairs = tuple(
        Pair(name, tuple(sorted((x for x in lines if x.pair == name), key=lambda x: x.seed)))
        for name in names
    )

    def over_pairs(of) -> dict[str, Estimate]:
        return {pair.name: each for pair in pairs if (each := of(pair)) is not None}

    effects = {
        key: tuple(
            pooled(over_pairs(lambda pair, key=key, fpr=fpr: pair.gain(key, fpr)))
            for fpr in (None, LOW_FPR)
        )
        for key in EFFECTS
    }
    strict = statement("", over_pairs(lambda pair: pair.strict("sr")))
    sr = statement(STATEMENTS["sr"], over_pairs(lambda pair: pair.gain("sr")))
    statements = (
        differs(pairs),
        dataclasses.replace(sr, strict=len(strict.shown)),
        statement(STATEMENTS["mr_sr"], over_pairs(lambda pair: pair.gain("mr_sr"))),
        statement(STATEMENTS["low"], over_pairs(Pair.low)),
    )
    return Evidence(pairs, effects, statements)
