import math

import numpy as np
import pytest
from scipy import stats

from tf_compleak.metrics import bootstrap, intervals, roc


def sample(rng, n_members=60, n_non_members=50, shift=1.0):
    members = rng.permutation(np.arange(n_members + n_non_members) < n_members)
    return rng.normal(size=len(members)) + shift * members, members


def log_ratio(scores, members):
    """A skewed statistic: the logarithm of the ratio of the mean exponentials."""
    return math.log(np.exp(scores[members]).mean() / np.exp(scores[~members]).mean())


def difference(scores, members):
    return scores[members].mean() - scores[~members].mean()


@pytest.mark.parametrize("statistic", [log_ratio, difference, roc.auc])
def test_bca_equals_scipy(statistic):
    scores, members = sample(np.random.default_rng(0))

    def of_two(inside, outside):
        both = np.concatenate([inside, outside])
        return statistic(both, np.arange(len(both)) < len(inside))

    twin = stats.bootstrap(
        (scores[members], scores[~members]),
        of_two,
        method="BCa",
        n_resamples=20_000,
        vectorized=False,
        rng=np.random.default_rng(1),
    ).confidence_interval
    found = bootstrap.stratified_bca(
        statistic, scores, members, rng=np.random.default_rng(2), draws=20_000
    )
    width = twin.high - twin.low
    assert found.low == pytest.approx(twin.low, abs=0.03 * width)
    assert found.high == pytest.approx(twin.high, abs=0.03 * width)
    assert found.value == pytest.approx(statistic(scores, members)) and found.n == 110


def test_acceleration_of_groups_is_that_of_the_jackknife():
    """Of a difference of means it is in closed form: a sixth of the standardized third moment."""
    rng = np.random.default_rng(3)
    n = 20_000
    kinds = np.arange(2 * n) < n
    scores = rng.exponential(size=2 * n) * np.where(kinds, 3.0, 1.0)
    found = bootstrap._acceleration(difference, scores, kinds, rng)
    squares = cubes = 0.0
    for sign, x in ((1, scores[kinds]), (-1, scores[~kinds])):
        squares += ((x - x.mean()) ** 2).sum() / n**2
        cubes += sign * ((x - x.mean()) ** 3).sum() / n**3
    truth = cubes / (6 * squares**1.5)
    assert found == pytest.approx(truth, abs=0.006)  # noise of 400 groups; 1.96 times it is nothing
    few = scores[np.r_[:90, n : n + 90]], np.arange(180) < 90
    squares = cubes = 0.0
    for sign, x in ((1, few[0][:90]), (-1, few[0][90:])):
        squares += ((x - x.mean()) ** 2).sum() / 90**2
        cubes += sign * ((x - x.mean()) ** 3).sum() / 90**3
    exact = cubes / (6 * squares**1.5)
    assert bootstrap._acceleration(difference, *few, rng) == pytest.approx(exact, rel=1e-9)


def test_without_bias_or_skew_it_is_the_percentile_interval():
    replicates = np.linspace(-1, 1, 1001)
    levels = bootstrap._bca_levels(0.0, replicates, 0.0, 1.959964)
    np.testing.assert_allclose(levels, [0.025, 0.975], atol=1e-6)
    shifted = bootstrap._bca_levels(0.2, replicates, 0.0, 1.959964)
    assert (shifted > levels).all()
    skewed = bootstrap._bca_levels(0.0, replicates, 0.05, 1.959964)
    assert (skewed > levels).all()


def test_members_and_non_members_are_resampled_apart():
    rng, seen = np.random.default_rng(4), set()

    def statistic(scores, members):
        seen.add((len(scores), int(members.sum())))
        assert (scores[members] >= 100).all() and (scores[~members] < 100).all()
        return float(scores.mean())

    members = np.arange(50) % 5 == 0
    bootstrap.stratified_bca(statistic, np.arange(50) + 100.0 * members, members, rng=rng)
    assert seen == {(50, 10), (49, 9), (49, 10)}


def test_the_same_seed_gives_the_same_interval():
    scores, members = sample(np.random.default_rng(5))
    first, again, wide = (
        bootstrap.stratified_bca(
            log_ratio, scores, members, rng=np.random.default_rng(1), level=level
        )
        for level in (0.9, 0.9, 0.99)
    )
    assert first == again and wide.low < first.low < first.high < wide.high
    assert first.method == "stratified BCa bootstrap" and first.level == 0.9


def test_what_does_not_vary_is_not_measurable():
    rng = np.random.default_rng(6)
    constant = bootstrap.stratified_bca(roc.auc, np.zeros(40), np.arange(40) < 20, rng=rng)
    assert not constant.measurable and "no resample" in constant.method
    few = bootstrap.stratified_bca(roc.auc, np.arange(40.0), np.arange(40) < 1, rng=rng)
    assert not few.measurable and "has 1 and 39" in few.method


def test_bad_input_is_refused():
    rng = np.random.default_rng(7)
    scores, members = sample(rng)
    for bad in ({"level": 95}, {"draws": 10}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            bootstrap.stratified_bca(roc.auc, scores, members, rng=rng, **bad)
    with pytest.raises(ValueError, match="NaN"):
        bootstrap.stratified_bca(roc.auc, np.append(scores[1:], np.nan), members, rng=rng)


def coverage(statistic, truth, n, shift, times, draws):
    rng, hits = np.random.default_rng(0), 0
    for _ in range(times):
        found = bootstrap.stratified_bca(statistic, *sample(rng, n, n, shift), rng=rng, draws=draws)
        hits += found.low <= truth <= found.high
    return hits / times


def test_bca_coverage():
    assert 0.93 <= coverage(difference, 1.0, 50, 1.0, times=1000, draws=200) <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 200])
def test_bca_coverage_in_full(n):
    assert 0.93 <= coverage(difference, 1.0, n, 1.0, times=1000, draws=1000) <= 0.975


@pytest.mark.slow
def test_bca_coverage_of_auc():
    truth = float(stats.norm.cdf(1 / math.sqrt(2)))
    assert 0.93 <= coverage(roc.auc, truth, 100, 1.0, times=1000, draws=500) <= 0.975


@pytest.mark.slow
def test_bca_of_the_auc_agrees_with_delong():
    scores, members = sample(np.random.default_rng(8), 1000, 1000)
    found = bootstrap.stratified_bca(roc.auc, scores, members, rng=np.random.default_rng(0))
    delong = intervals.auc_estimate(scores, members)
    assert (found.low, found.high) == pytest.approx((delong.low, delong.high), abs=0.002)


def two_scores(rng, n, shift, noises):
    """Scores that share half their noise, of n members and n non-members."""
    members = np.arange(2 * n) < n
    common = rng.standard_normal(2 * n) + shift * members
    return [common + noise * rng.standard_normal(2 * n) for noise in noises], members


def true_difference(fpr, shift, noises):
    """Of the TPRs at `fpr`."""
    cut = stats.norm.isf(fpr)
    rates = [stats.norm.sf(cut - shift / math.sqrt(1 + noise**2)) for noise in noises]
    return float(rates[0] - rates[1])


@pytest.mark.parametrize(
    "fpr, n, shift, noises, most",
    [
        (0.1, 300, 1.0, (0.7, 0.7), 1),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in [
                (0.1, 100, 1.0, (0.7, 0.7), 1),
                (0.1, 1000, 2.0, (0.7, 1.0), 0.975),
                (0.1, 300, 1.0, (0.3, 1.5), 1),
                (0.1, 300, 3.0, (0.1, 0.4), 1),
                (0.1, 300, 5.0, (0.3, 0.8), 1),
                (0.01, 1000, 1.0, (0.7, 0.7), 1),
                (0.01, 3000, 2.0, (0.5, 0.5), 1),
                (0.01, 3000, 2.5, (0.3, 1.5), 0.975),
            ]
        ),
    ],
)
def test_paired_difference_of_rates_coverage(fpr, n, shift, noises, most):
    """Conservative (an upper bound of 1) where few lie above the threshold or few differ."""
    rng, held, truth = np.random.default_rng(0), 0, true_difference(fpr, shift, noises)
    for _ in range(1000):
        (first, second), members = two_scores(rng, n, shift, noises)
        found = bootstrap.paired_tpr_difference(first, second, members, fpr, rng=rng, draws=150)
        held += found.low <= truth <= found.high
    assert 930 <= held <= 1000 * most


def test_paired_difference_of_rates_is_that_of_the_curves():
    (first, second), members = two_scores(np.random.default_rng(0), 150, 1.0, (0.5, 1.0))
    found = bootstrap.paired_tpr_difference(
        first, second, members, 0.1, rng=np.random.default_rng(1)
    )
    naive = [roc.tpr_at_fpr(scores, members, 0.1) for scores in (first, second)]
    assert found.value == pytest.approx(naive[0] - naive[1])
    assert found.low < found.value < found.high


def test_rates_that_never_differ_are_no_certainty():
    members = np.arange(400) < 200
    scores = np.float64(members)
    found = bootstrap.paired_tpr_difference(
        scores, 2 * scores, members, 0.1, rng=np.random.default_rng(0)
    )
    assert found.value == 0 and found.low < -0.01 and found.high > 0.01
