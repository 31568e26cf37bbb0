"""Paired differences of TPRs: values, ties, coverage."""

import math

import numpy as np
import pytest
import resampling
from scipy import stats

from tf_compleak.metrics import paired_rates, roc
from tf_compleak.metrics.paired_rates import ClusteredRates, Row


def two_rows(rng, n, shift, noises):
    """Scores that share half their noise, of n members and n non-members."""
    members = np.arange(2 * n) < n
    common = rng.standard_normal(2 * n) + shift * members
    return [Row.of(common + noise * rng.standard_normal(2 * n), members) for noise in noises]


def true_difference(fpr, shift, noises):
    cut = stats.norm.isf(fpr)
    rates = [stats.norm.sf(cut - shift / math.sqrt(1 + noise**2)) for noise in noises]
    return float(rates[0] - rates[1])


def test_the_value_is_that_of_the_two_rates_ties_too():
    rng = np.random.default_rng(0)
    members = rng.random(400) < 0.5
    for digits in (8, 0):
        first, second = (np.round(rng.normal(size=400) + members, digits) for _ in range(2))
        rows = [Row.of(scores, members) for scores in (first, second)]
        for fpr in (0.1, 0.2):
            expected = [roc.tpr_at_fpr(scores, members, fpr) for scores in (first, second)]
            assert rows[0].caught(fpr)[members].mean() == pytest.approx(expected[0])
            others = rows[0].caught(fpr)[~members]
            assert others.sum() == pytest.approx(roc.allowed(len(others), fpr))
            estimate = paired_rates.tpr_difference(*rows, fpr, rng=rng)
            assert estimate.value == pytest.approx(expected[0] - expected[1])
            assert estimate.low <= estimate.value <= estimate.high
    assert not paired_rates.tpr_difference(*rows, 0.01, rng=rng).measurable


def test_rows_that_agree_are_not_certain_to_and_a_clear_difference_is_seen():
    rng = np.random.default_rng(0)
    row, _ = two_rows(rng, 500, 1.0, (0.5, 0.5))
    same = paired_rates.tpr_difference(row, row, 0.1, rng=rng)
    assert same.value == 0 and -0.02 < same.low < 0 < same.high < 0.02
    clear, weak = two_rows(rng, 2000, 2.0, (0.1, 2.0))
    assert paired_rates.tpr_difference(clear, weak, 0.1, rng=rng).low > 0.1


def test_the_interval_is_no_wider_than_the_bootstraps():
    rng = np.random.default_rng(1)
    rows = two_rows(rng, 600, 1.0, (0.7, 0.7))
    scores = (row.scores for row in rows)
    low, high = resampling.paired_tpr_difference(*scores, rows[0].members, 0.1, rng)
    counted = paired_rates.tpr_difference(*rows, 0.1, rng=rng)
    ratio = (counted.high - counted.low) / (high - low)
    assert 0.6 < ratio < 1.1


@pytest.mark.parametrize(
    ("fpr", "n", "shift", "noises", "times"),
    [
        (0.1, 300, 1.0, (0.7, 0.7), 200),
        *(
            pytest.param(*row, 1000, marks=pytest.mark.slow)
            for row in (
                (0.1, 100, 1.0, (0.7, 0.7)),
                (0.1, 1000, 2.0, (0.7, 1.0)),
                (0.1, 300, 1.0, (0.3, 1.5)),
                (0.1, 300, 3.0, (0.1, 0.4)),
                (0.01, 1000, 1.0, (0.7, 0.7)),
                (0.01, 2000, 2.5, (0.3, 1.5)),
                (0.01, 3000, 2.0, (0.5, 0.5)),
            )
        ),
    ],
)
def test_coverage(fpr, n, shift, noises, times):
    rng, truth = np.random.default_rng(0), true_difference(fpr, shift, noises)
    covered = 0
    for _ in range(times):
        estimate = paired_rates.tpr_difference(*two_rows(rng, n, shift, noises), fpr, rng=rng)
        covered += estimate.low <= truth <= estimate.high
    assert 0.93 <= covered / times <= 0.995


def pooled(rng, examples, targets, shift, noises):
    """Scores of every example by several targets, members of half of them; examples differ."""
    clusters = np.tile(np.arange(examples), targets)
    members = rng.random(len(clusters)) < 0.5
    hard = np.tile(rng.standard_normal(examples), targets)
    common = rng.standard_normal(len(clusters)) * 0.6 + 0.8 * hard + shift * members
    scores = [common + noise * rng.standard_normal(len(clusters)) for noise in noises]
    return {name: Row.of(of, members) for name, of in zip("ab", scores, strict=True)}, clusters


def test_one_score_an_example_is_the_same_law():
    rng = np.random.default_rng(0)
    rows = dict(zip("ab", two_rows(rng, 1000, 1.0, (0.7, 0.7)), strict=True))
    independent = paired_rates.tpr_difference(rows["a"], rows["b"], 0.1, rng=rng)
    clustered = ClusteredRates(rows, np.arange(2000), (0.1,), rng).difference("a", "b", 0.1)
    assert clustered.value == independent.value
    ratio = (clustered.high - clustered.low) / (independent.high - independent.low)
    assert 0.85 < ratio < 1.25


@pytest.mark.slow
def test_coverage_of_pooled_rows():
    rng, noises = np.random.default_rng(0), (0.3, 0.8)
    rows, clusters = pooled(rng, 400_000, 2, 1.0, noises)
    truth = np.subtract(*(roc.tpr_at_fpr(r.scores, r.members, 0.1) for r in rows.values()))
    covered = 0
    for _ in range(400):
        rows, clusters = pooled(rng, 300, 4, 1.0, noises)
        estimate = ClusteredRates(rows, clusters, (0.1,), rng).difference("a", "b", 0.1)
        covered += estimate.low <= truth <= estimate.high
    assert 0.92 <= covered / 400 <= 0.995
