"""Gains over what a release itself holds, and differences to the original."""

import dataclasses

import numpy as np
import planted
import pytest

from tf_compleak.leakage import pooled_scores, report_rows, scoring
from tf_compleak.metrics import intervals, roc

ORIGINAL, SMALL, TINY = ("original",), ("small",), ("tiny",)
PAIR, SEVERAL = ("original", "small"), ("original", "small", "tiny")


class Draw:
    """Scores of rows that share what is hard about an example."""

    def __init__(self, seed, n):
        self.rng = np.random.default_rng(seed)
        self.members = np.arange(2 * n) < n
        self.common = self.rng.normal(size=2 * n)

    def pooled(self, leak, noise=0.5):
        values = self.common + leak * self.members + noise * self.rng.normal(size=len(self.common))
        run = scoring.RunScores(values, values, self.members)
        return pooled_scores.pool([run], [np.arange(len(values))], 1)


@pytest.fixture(scope="module")
def scores():
    """A strong attack on one version of another release; on the pair the same attack gains."""
    draw = Draw(0, 1500)
    return {
        ("tabular", ORIGINAL): draw.pooled(1.0),
        ("tabular", SMALL): draw.pooled(1.05),
        ("rmia", ORIGINAL): draw.pooled(1.3),
        ("rmia", TINY): draw.pooled(2.0),
        ("tabular", PAIR): draw.pooled(1.3, 0.1),
        ("tabular", SEVERAL): draw.pooled(1.3, 0.1),
        ("mr", SEVERAL): draw.pooled(1.0),
    }


@pytest.fixture(scope="module")
def table(scores):
    return {(row.attack, row.release): row for row in report_rows.rows(scores, 0)}


def test_a_gain_is_over_the_versions_of_the_release(table):
    row = table["tabular", PAIR]
    assert row.gain_same.attack == "tabular" and row.gain_same.among == 2
    assert row.gain_same.release == max(
        (ORIGINAL, SMALL), key=lambda release: table["tabular", release].auc.value
    )
    assert row.gain_any.among == 3 and row.gain_any.release != TINY
    assert row.gain_same.auc.low > 0
    assert table["mr", SEVERAL].gain_same is None and table["mr", SEVERAL].gain_any.among == 4
    assert table["tabular", SEVERAL].gain_any.attack == "rmia"
    assert (row.auc_gain, row.gain_over) == (
        row.gain_any.auc, (row.gain_any.release, row.gain_any.attack)
    )  # fmt: skip


def test_every_figure_is_the_least_of_the_differences(table, scores):
    for key in (("tabular", PAIR), ("tabular", SEVERAL), ("mr", SEVERAL)):
        row = table[key]
        gain = row.gain_any
        within = [k for k in table if len(k[1]) == 1 and k[1][0] in key[1]]
        aucs = [table[k].auc.value for k in within]
        assert gain.auc.value == pytest.approx(row.auc.value - max(aucs))
        assert gain.auc.low < gain.auc.value < gain.auc.high
        for fpr in (0.1, 0.01):
            rates = [table[k].tpr_at_fpr[fpr].value for k in within]
            assert gain.tpr_at_fpr[fpr].value == pytest.approx(
                row.tpr_at_fpr[fpr].value - max(rates)
            )
            assert gain.tpr_at_fpr[fpr].low <= gain.tpr_at_fpr[fpr].high
        assert not gain.tpr_at_fpr[0.0001].measurable


def test_every_single_version_is_compared_with_the_original(table, scores):
    small = table["tabular", SMALL].to_original
    assert (small.release, small.attack, small.among) == (ORIGINAL, "tabular", 1)
    first, second = scores["tabular", SMALL], scores["tabular", ORIGINAL]
    assert small.auc == intervals.auc_difference(first.values, second.values, first.members)
    expected = [roc.tpr_at_fpr(of.values, of.members, 0.1) for of in (first, second)]
    assert small.tpr_at_fpr[0.1].value == pytest.approx(expected[0] - expected[1])
    assert table["rmia", TINY].to_original.auc.low > 0
    assert table["tabular", ORIGINAL].to_original is None
    assert table["tabular", PAIR].to_original is None


def test_what_is_not_looked_at_could_not_be_the_least(table, scores, monkeypatch):
    """All references of a row, against those that are near the best only."""
    from tf_compleak.leakage import gains

    monkeypatch.setattr(gains, "_half_width", lambda estimate: np.inf)
    whole = {(row.attack, row.release): row for row in report_rows.rows(scores, 0)}
    for key, row in table.items():
        assert row.gain_any == whole[key].gain_any, key


@pytest.mark.slow
@pytest.mark.parametrize("leaks", [(1.0, 1.0, 1.0, 1.0), (1.0, 0.9, 0.8, 0.7)])
def test_the_interval_holds_the_gain_over_the_best_version(leaks):
    """Whichever version is the best on the target: the least true difference, in 95 %."""
    names = [(f"v{index}",) for index in range(len(leaks))]
    release = tuple(name for (name,) in names)
    truth, covered, above = {}, 0, 0
    for seed in range(-1, 400):
        draw = Draw(seed + 1, 60_000 if seed < 0 else 300)
        scores = {
            ("tabular", name): draw.pooled(leak) for name, leak in zip(names, leaks, strict=True)
        }
        scores["tabular", release] = draw.pooled(1.1, 0.3)
        if seed < 0:
            aucs = [roc.auc(of.values, of.members) for of in scores.values()]
            truth = aucs[-1] - max(aucs[:-1])
            continue
        rows = report_rows.with_gains(
            [report_rows.row(key, of, np.random.default_rng(0)) for key, of in scores.items()],
            scores,
            seed,
        )
        gain = rows[-1].gain_same.auc
        covered += gain.low <= truth <= gain.high
        above += gain.low > truth
    assert covered / 400 >= 0.93 and above / 400 <= 0.04


def test_pooled_rows_have_gains_too():
    families = planted.halves(0, 1.5, 3, n=200)
    rng = np.random.default_rng(0)
    keys = [("tabular", ORIGINAL), ("tabular", SMALL), ("tabular", PAIR)]
    scores = {}
    for key, leak in zip(keys, (1.0, 1.2, 2.0), strict=True):
        runs = []
        for family in families:
            values = rng.normal(size=200) + leak * family.members
            runs.append(scoring.RunScores(values, values, family.members))
        scores[key] = pooled_scores.pool(runs, [np.arange(200)] * 3, 2)
    row = report_rows.rows(scores, 0)[2]
    assert "clustered" in row.gain_same.auc.method and row.gain_same.auc.low > 0
    gain = row.gain_same.tpr_at_fpr[0.1]
    assert "Bayesian bootstrap" in gain.method and gain.low <= gain.value <= gain.high


def test_cross_fitted_gains_are_wider(scores):
    noisy = {key: dataclasses.replace(of, noise=0.3) for key, of in scores.items()}
    wider = {(row.attack, row.release): row for row in report_rows.rows(noisy, 0)}
    plain = {(row.attack, row.release): row for row in report_rows.rows(scores, 0)}
    key = ("tabular", PAIR)
    for gain, narrow in (
        (wider[key].gain_same.auc, plain[key].gain_same.auc),
        (wider[key].gain_same.tpr_at_fpr[0.1], plain[key].gain_same.tpr_at_fpr[0.1]),
    ):
        assert "cross-fitting" in gain.method
        assert gain.high - gain.low > 1.2 * (narrow.high - narrow.low)
