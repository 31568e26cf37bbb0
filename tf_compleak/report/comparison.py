"""Two reports held against each other: does this release leak more than the last one?

Rows of the same attack on the same release are compared: paired, where both reports have the scores
of the same examples (by a digest of their content) with the same membership, else as independent
samples, from both intervals. The intervals of one metric hold for all its rows together
(Bonferroni), so that a regression is not found merely because many rows were looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_compleak.leakage import gains
from tf_compleak.leakage.plan import Key
from tf_compleak.metrics import clustered, intervals, two_samples
from tf_compleak.metrics.grammar import Metric
from tf_compleak.metrics.paired_rates import ClusteredRates, Row, tpr_difference
from tf_compleak.report import wording
from tf_compleak.types import STRONGEST, Estimate, seeds
from tf_compleak.types.findings import Findings, Result, Scored

PAIRED, APART = "paired", "independent samples"
CONTENT = ("data_sha256", "ids_sha256")  # of the examples, or of the ids that a caller gave them


@dataclass(frozen=True)
class Difference:
    """One metric of one row: in the last report, in this one, and this less the last."""

    release: tuple[str, ...]
    attack: str
    metric: Metric
    last: Estimate
    this: Estimate
    difference: Estimate
    how: str

    @property
    def worse(self) -> bool:
        """Whether the interval of the difference lies wholly above 0."""
        return self.difference.measurable and self.difference.low > 0


@dataclass(frozen=True)
class Comparison:
    """All differences, and one sentence for everything that cannot be compared.

    `dropped` names the rows of the last report that this one no longer has: nothing to judge.
    """

    differences: tuple[Difference, ...]
    incomparable: tuple[str, ...]
    dropped: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "schema": 1,
            "differences": [
                {
                    "release": list(of.release),
                    "attack": of.attack,
                    "metric": str(of.metric),
                    "last": of.last.to_json(),
                    "this": of.this.to_json(),
                    "difference": of.difference.to_json(),
                    "how": of.how,
                    "worse": of.worse,
                }
                for of in self.differences
            ],
            "incomparable": list(self.incomparable),
            "dropped": list(self.dropped),
        }


def compare(last: Findings, this: Findings, metrics: Sequence[Metric] = ()) -> Comparison:
    """The rows that both reports have, by AUC and every TPR, or by the metrics given."""
    missing = [*_void("first", last), *_void("second", this)]
    if (other := _other_data(last, this)) is not None:
        return Comparison((), (*missing, other))
    rows = _rows(last), _rows(this)
    keys = [key for key in rows[0] if key in rows[1]]
    dropped, added = (
        tuple(
            f"{attack} on {'+'.join(release)}"
            for attack, release in mine
            if (attack, release) not in others
        )
        for mine, others in (rows, rows[::-1])
    )
    missing += [f"{row}: in the second report only." for row in added]
    if not keys:
        missing.append("The reports have no row in common.")
    pairs = _Pairs.of(last, this, keys)
    differences: list[Difference] = []
    for metric in metrics or _metrics(rows, keys):
        made = [_difference(metric, key, rows, pairs) for key in keys]
        compared = [of for of in made if of is not None and of.difference.measurable]
        missing += [
            _unmeasured(metric, key, of)
            for key, of in zip(keys, made, strict=True)
            if of not in compared
        ]
        differences += [_jointly(of, len(compared)) for of in compared]
    return Comparison(tuple(differences), tuple(missing), dropped)


def _void(name: str, report: Findings) -> Iterator[str]:
    if warnings := report.sanity.warnings():
        yield f"The {name} report is void: {' '.join(warnings)}"


def _other_data(last: Findings, this: Findings) -> str | None:
    """Why two runs, which name their data, have figures that do not belong together."""
    names = [report.study.get("dataset") for report in (last, this)]
    if None in names or names[0] == names[1]:
        return None
    return f"The reports are of different data: {names[0]} and {names[1]}."


def _rows(report: Findings) -> dict[Key, Result]:
    """The rows that lead on each release, by attack and release.

    All rows where the strongest attacker has none on some.
    """
    rows = [row for row in report.results if row.attack == STRONGEST]
    return {(row.attack, row.release): row for row in rows or wording.ordered(report)}


def _metrics(rows: tuple[Mapping[Key, Result], ...], keys: Sequence[Key]) -> list[Metric]:
    """AUC, and every TPR that some row of both reports shows."""
    shown = [
        {rate for key in keys for rate, of in report[key].tpr_at_fpr.items() if of.measurable}
        for report in rows
    ]
    rates = sorted(set.intersection(*shown), reverse=True)
    return [Metric("auc"), *(Metric("tpr", rate) for rate in rates)]


def _figure(row: Result, metric: Metric) -> Estimate | None:
    return row.tpr_at_fpr.get(metric.fpr) if metric.fpr else getattr(row, metric.name)


def _difference(metric: Metric, key: Key, rows, pairs: _Pairs | None) -> Difference | None:
    """None where one of the reports has no such figure."""
    last, this = (_figure(report[key], metric) for report in rows)
    if last is None or this is None:
        return None
    difference, how = two_samples.difference(this, last), APART
    if pairs is not None and difference.measurable and metric.name in ("auc", "tpr"):
        difference, how = pairs.difference(key, metric), PAIRED
    return Difference(key[1], key[0], metric, last, this, difference, how)


def _unmeasured(metric: Metric, key: Key, made: Difference | None) -> str:
    reason = made.difference.method if made else "not in both reports"
    return f"{metric} of {key[0]} on {'+'.join(key[1])}: {reason}."


def _jointly(of: Difference, count: int) -> Difference:
    wider = gains.stretch(of.difference.level, count)
    estimate = of.difference.widened(wider, f"{count} rows together", (-1, 1))
    return dataclasses.replace(of, difference=estimate)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Scores of both reports on the same examples in the same order, by row."""

    last: Mapping[Key, np.ndarray]
    this: Mapping[Key, np.ndarray]
    members: np.ndarray
    clusters: np.ndarray | None

    @classmethod
    def of(cls, last: Findings, this: Findings, keys: Sequence[Key]) -> _Pairs | None:
        """None where the examples are not known to be the same, or attacks were cross-fitted.

        Cross-fitted scores vary with the folds, too, which a paired variance would not hold.
        """
        scored = last.scored, this.scored
        if any(of is None for of in scored) or not keys or _cross_fitted(last, this):
            return None
        if not _same_content(last, this):
            return None
        orders = [np.lexsort((of.ids, of.targets)) for of in scored]
        if not _same(*scored, *orders):
            return None
        first, order = scored[0], orders[0]
        clusters = None
        if len(np.unique(first.targets)) > 1:
            clusters = np.unique(first.ids[order], return_inverse=True)[1]
        values = [
            {(row.attack, row.release): of.values[i][order] for i, row in enumerate(report.results)}
            for report, of, order in zip((last, this), scored, orders, strict=True)
        ]
        return cls(*values, first.members[order], clusters)

    def difference(self, key: Key, metric: Metric) -> Estimate:
        """This less the last, in AUC or in TPR."""
        scores = self.this[key], self.last[key]
        if metric.name == "auc" and self.clusters is None:
            return intervals.auc_difference(*scores, self.members)
        if metric.name == "auc":
            return clustered.clustered_auc_difference(*scores, self.members, self.clusters)
        rng = seeds.generator(0, "compare", key[0], *key[1], str(metric))
        rows = {i: Row.of(of, self.members) for i, of in enumerate(scores)}
        if self.clusters is None:
            return tpr_difference(rows[0], rows[1], metric.fpr, rng=rng)
        return ClusteredRates(rows, self.clusters, [metric.fpr], rng).difference(0, 1, metric.fpr)


def _cross_fitted(*reports: Findings) -> bool:
    return any(row.shadow_auc is None for report in reports for row in report.results)


def _same_content(last: Findings, this: Findings) -> bool:
    """Whether both say what their examples are, and the same: ids alone may be row numbers."""
    digests = [tuple(of.provenance.get(name) for name in CONTENT) for of in (last, this)]
    return digests[0] == digests[1] and any(digests[0])


def _same(first: Scored, second: Scored, order: np.ndarray, other: np.ndarray) -> bool:
    return len(order) == len(other) and all(
        np.array_equal(getattr(first, name)[order], getattr(second, name)[other])
        for name in ("ids", "labels", "members", "targets")
    )
