"""A realistic `Report` for the tests, with figures measured on simulated scores."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import planted

from tf_compleak.leakage import gains, report_rows, version_record
from tf_compleak.leakage.pooled_scores import pool
from tf_compleak.leakage.scoring import RunScores
from tf_compleak.metrics import intervals, roc
from tf_compleak.report.report import Report
from tf_compleak.types import ORIGINAL, Estimate, Failure, Release, Version, tier
from tf_compleak.types.comparisons import FamilyAccuracy
from tf_compleak.types.findings import Exposed, Result, Slice
from tf_compleak.types.marginal_leakage import Addition, Marginal, Subset
from tf_compleak.types.observations import Observations
from tf_compleak.types.soundness import Sanity
from tf_compleak.types.versions import default_releases

PRUNED = tuple(f"pruning-0.{percent}" for percent in (60, 70, 80, 90))
CLUSTERED = ("clustering-4", "clustering-8", "clustering-16")
QUANTIZED = ("int8-qat", "int8-ptq", "dynamic-ptq", "float16-ptq")
NAMES = (ORIGINAL, *PRUNED, *CLUSTERED, *QUANTIZED)
FAILED = "pruning-0.90"
REASON = (
    "validation accuracy of the target lost 35.6% of what the original has above guessing (0.970 "
    "to 0.660, guessing 0.100, n = 200), more than --max_accuracy_drop=0.15"
)
STRENGTH = {"entropy": 0.55, "modified-entropy": 0.85, "nasr-lr": 0.8, "nasr-mlp": 0.95}
FPRS = (0.1, 0.01, 0.001)
COMMAND = "tf-compleak run --flagfile=flags/digits.cfg --workdir=/tmp/digits --seed=7"


@functools.cache
def sample(n: int = 2000, leak: float = 1.0, gain: float = 1.0) -> Report:
    """12 versions, 66 rows; `leak` scales what one version tells, `gain` what more add to it."""
    usable = tuple(name for name in NAMES if name != FAILED)
    simulation = _Simulation(n, leak, gain)
    rows = [simulation.row(attack, (name,)) for name in usable for attack in STRENGTH]
    pairs = [(ORIGINAL, name) for name in usable[1:]]
    rows += [simulation.row(kind, pair) for pair in pairs for kind in ("sr2-lr", "sr2-mlp")]
    rows += [simulation.row("mr", release) for release in (usable, usable[1:])]
    return Report(
        study={"dataset": "digits", "seed": 7},
        provenance=_provenance(),
        versions=tuple(_version(index, name, n) for index, name in enumerate(NAMES)),
        results=simulation.with_gains(rows),
        failures=(Failure(FAILED, REASON),),
        sanity=simulation.sanity(),
    )


def without_script(page: str) -> str:
    """A page without the text of its one script, which is the same in all."""
    before, start, rest = page.partition("<script>")
    script, end, after = rest.partition("</script>")
    assert start and end and "<script" not in script
    return before + after


def full() -> Report:
    """Every section with a few rows; the figures of some are not measurable."""
    report = sample()
    row, unmeasured = report.results[0], Estimate.unmeasurable("needs more", 5)
    subsets = tuple(Subset((name,), row.auc, math.nan, 20, 10) for name in ("a", "b"))
    additions = (Addition("a", subsets[0], None), Addition("b", subsets[1], row.auc))
    accuracies = (report.versions[0].member_accuracy, report.versions[0].non_member_accuracy)
    return dataclasses.replace(
        report,
        families=tuple(
            FamilyAccuracy(family, ORIGINAL, *accuracies) for family in ("target", "shadow-0")
        ),
        results=(*report.results[:1], *report.results[-1:]),
        versions=report.versions[:2],
        curve=tuple(dataclasses.replace(row, num_shadows=count) for count in (1, 2)),
        slices=(Slice("class=3", "NR", ("original",), "loss", 10, 10, unmeasured, 1),),
        exposed=(Exposed("full", report.results[:1]), Exposed("round:2", report.results[-1:])),
        marginal=Marginal("auc", "tabular", subsets, subsets, additions, "auc<=1", subsets, 3),
    )


def large(versions: int, attacks: int, classes: int) -> Report:
    """A made-up report: every attack on every release, with gains, and slices by class."""
    report = sample()
    names = (ORIGINAL, *(f"version-{number}" for number in range(1, versions)))
    models = {tier_: report.leading(tier_) for tier_ in ("NR", "SR", "MR")}
    rows = []
    for release in default_releases(names):
        model = models[tier(release)]
        gain = dataclasses.replace(report.leading("SR").gain_any, release=(ORIGINAL,))
        for number in range(attacks):
            auc = dataclasses.replace(model.auc, value=model.auc.value - 0.001 * len(rows) % 0.05)
            gains_ = {"gain_same": gain, "gain_any": gain} if model.tier != "NR" else {}
            if len(release) == 1 and release != (ORIGINAL,):
                gains_ = {"to_original": gain}
            changes = {"release": release, "attack": f"attack-{number}", "auc": auc} | gains_
            rows.append(dataclasses.replace(model, **changes))
    parts = tuple(
        Slice(f"class={label}", row.tier, row.release, row.attack, 20, 20, row.auc, classes)
        for row in (rows[0], rows[versions * attacks], rows[-1])
        for label in range(classes)
    )
    made = zip(names, report.versions, strict=False)
    return dataclasses.replace(
        report,
        versions=tuple(
            dataclasses.replace(of, name=name, status="ok", gzip_bytes=of.gzip_bytes + 7 * place)
            for place, (name, of) in enumerate(made)
        ),
        results=tuple(rows),
        failures=(),
        slices=parts,
    )


def renamed(value, old: str, new: str):
    """Findings with a text exchanged everywhere, also for one that no reader would let pass."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, (tuple, list)):
        return type(value)(renamed(part, old, new) for part in value)
    if isinstance(value, dict):
        return {key: renamed(part, old, new) for key, part in value.items()}
    if not dataclasses.is_dataclass(value):
        return value
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
    return dataclasses.replace(
        value, **{name: renamed(part, old, new) for name, part in fields.items()}
    )


class _Simulation:
    """Scores that share a signal per example, so that paired differences are realistic."""

    def __init__(self, n: int, leak: float, gain: float):
        self._rng = np.random.default_rng(0)
        self._members = np.arange(2 * n) < n
        self._signal = leak * self._rng.exponential(0.9, 2 * n) * self._members
        self._common = self._rng.normal(size=2 * n)
        self._gain = gain
        self._scores: dict = {}

    def _draw(self, attack: str, release: Release) -> np.ndarray:
        noise = self._rng.normal(size=len(self._members))
        private = 0.45 / (1 + self._gain * {"NR": 0, "SR": 0.25, "MR": 1.5}[tier(release)])
        weight = STRENGTH.get(attack, 0.95) - 0.03 * NAMES.index(release[-1]) * (len(release) == 1)
        shared = 1 - 0.12 * self._gain * (len(release) - 1) ** 0.3 * (len(release) > 1)
        return weight * self._signal + shared * self._common + private * noise

    def with_gains(self, rows: list[Result]) -> tuple[Result, ...]:
        members = self._members
        runs = {of: RunScores(values, values, members) for of, values in self._scores.items()}
        pooled = {of: pool([run], [np.arange(len(members))], 1) for of, run in runs.items()}
        return gains.with_gains(rows, pooled, seed=7)

    def row(self, attack: str, release: Release) -> Result:
        scores, members = self._draw(attack, release), self._members
        self._scores[attack, release] = scores
        rng = np.random.default_rng(1)
        return Result(
            tier=tier(release),
            release=release,
            attack=attack,
            n_members=int(members.sum()),
            n_non_members=int((~members).sum()),
            accuracy=intervals.balanced_accuracy_estimate(scores, members, 0.4),
            auc=intervals.auc_estimate(scores, members),
            tpr_at_fpr={
                fpr: intervals.tpr_at_fpr_estimate(scores, members, fpr, rng=rng) for fpr in FPRS
            },
            roc=roc.thin(*roc.roc_curve(scores, members), points=100),
        )

    def sanity(self) -> Sanity:
        noise = np.random.default_rng(3).normal(size=(2, len(self._members)))
        return Sanity(*(intervals.auc_estimate(of, self._members, level=0.99) for of in noise))


def _version(index: int, name: str, n: int) -> Version:
    failed = name == FAILED
    small = {"int8": 4, "clus": 1.02, "dyna": 3.9, "floa": 2}.get(name[:4], 1)
    return Version(
        name=name,
        recipe=name,
        path=f"target/{name}/model.tflite",
        bytes=int(316_432 / small),
        gzip_bytes=int(292_104 / small / (1 + 0.35 * name.startswith(("prun", "clus")))),
        member_accuracy=intervals.proportion(int(n * (0.7 if failed else 0.998)), n),
        non_member_accuracy=intervals.proportion(int(n * (0.66 if failed else 0.97)) - index, n),
        validation_accuracy=intervals.proportion(132 if failed else 194, 200),
        relative_loss=None if name == ORIGINAL else _relative_loss(132 if failed else 194),
        status="failed" if failed else "ok",
        resolution=1 / 256 if name == "int8-ptq" else 0.0,
        notes=("activation ranges found on 100 held-out non-member examples",)
        if name == "int8-ptq"
        else (),
        left_alone=("depthwise/depthwise_kernel",) if name == "pruning-0.60" else (),
        left_alone_share=0.25 if name == "pruning-0.60" else 0.0,
    )


def _relative_loss(correct: int) -> Estimate:
    before, after = intervals.proportion(194, 200), intervals.proportion(correct, 200)
    return version_record.relative_loss(before, after, 0.1)


def two_rows() -> Report:
    """Rows of noise with the scores of their examples, as what is saved beside a report."""
    rng, family = np.random.default_rng(0), planted.family(0, 1.0, n=50)
    keys = [("loss", (ORIGINAL,)), ("mr", (ORIGINAL, "pruning-0.60", "int8-ptq"))]
    return scored_report({key: planted.pooled(rng.normal(size=50), family) for key in keys}, family)


def scored_report(scores: dict, family: Observations) -> Report:
    """The rows of pooled scores of one target, and what they say of its examples."""
    rng = np.random.default_rng(0)
    return Report(
        study={},
        provenance={},
        versions=(),
        results=tuple(report_rows.row(key, pooled, rng) for key, pooled in scores.items()),
        failures=(),
        sanity=Sanity(*(Estimate.unmeasurable("not run", 0) for _ in range(2))),
        scored=report_rows.scored(scores, [family]),
    )


def _provenance() -> dict:
    return {
        "created": "2026-03-04T05:06:07+00:00",
        "command": COMMAND,
        "flags": "--dataset=digits\n--num_members=2000\n--num_shadows=4\n--seed=7\n",
        "seed": 7,
        "workdir": "/tmp/digits",
        "libraries": {"tensorflow": "2.21.0", "numpy": "2.4.6", "scikit-learn": "1.8.0"},
        "python": "3.11.7",
        "platform": "Linux-6.1-x86_64",
        "seconds": 412.3,
        "num_shadows": 4,
        "representative_data": "held-out non-members",
    }
