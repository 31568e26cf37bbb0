import math

import numpy as np
import pytest
from scipy import stats

from tf_compleak.metrics import intervals, roc


def binormal(rng, n_members, n_non_members, shift, levels=0):
    """Scores and members; `levels` > 0 makes them probabilities in steps of 1 / levels."""
    members = np.arange(n_members + n_non_members) < n_members
    scores = rng.normal(size=len(members)) + shift * members
    return (np.round(stats.norm.cdf(scores) * levels) / levels if levels else scores), members


def correlated(rng, n, shift_a, shift_b, rho=0.7):
    members = np.arange(2 * n) < n
    noise = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=2 * n)
    return noise[:, 0] + shift_a * members, noise[:, 1] + shift_b * members, members


def binormal_auc(shift):
    return float(stats.norm.cdf(shift / math.sqrt(2)))


def shift_of(auc):
    return float(math.sqrt(2) * stats.norm.ppf(auc))


def binormal_tpr(shift, fpr):
    return float(stats.norm.cdf(shift + stats.norm.ppf(fpr)))


def coverage(estimate, truth, times, seed=0):
    """Share of `times` samples whose interval holds the truth; each must hold its own value."""
    rng, hits = np.random.default_rng(seed), 0
    for _ in range(times):
        found = estimate(rng)
        assert found.measurable and found.high - found.low > 0
        assert found.low <= found.value <= found.high
        hits += found.low <= truth <= found.high
    return hits / times


def naive_placements(scores, members):
    inside, outside = scores[members], scores[~members]
    kernel = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)
    return kernel.mean(axis=1), kernel.mean(axis=0)


@pytest.mark.parametrize("levels", [0, 5, 256])
@pytest.mark.parametrize("sizes", [(30, 40), (2, 60), (50, 2)])
def test_delong_equals_the_placement_values(levels, sizes, monkeypatch):
    monkeypatch.setattr(intervals, "SMALL", 0)
    scores, members = binormal(np.random.default_rng(1), *sizes, 1.0, levels)
    v10, v01 = naive_placements(scores, members)
    value, error = v10.mean(), math.sqrt(v10.var(ddof=1) / sizes[0] + v01.var(ddof=1) / sizes[1])
    found = intervals.auc_estimate(scores, members, level=0.9)
    half = stats.norm.ppf(0.95) * error / (value * (1 - value))
    logit = math.log(value / (1 - value))
    bounds = [1 / (1 + math.exp(-(logit + sign * half))) for sign in (-1, 1)]
    np.testing.assert_allclose([found.value, found.low, found.high], [value, *bounds])
    assert found.value == pytest.approx(roc.auc(scores, members))
    assert (found.n, found.level, found.method) == (sum(sizes), 0.9, "DeLong, logit")


@pytest.mark.parametrize("levels", [0, 256])
def test_paired_delong_equals_the_placement_values(levels, monkeypatch):
    monkeypatch.setattr(intervals, "SMALL", 0)
    rng = np.random.default_rng(2)
    a, b, members = correlated(rng, 40, 1.0, 0.5)
    if levels:
        a, b = (np.round(stats.norm.cdf(s) * levels) / levels for s in (a, b))
    (a10, a01), (b10, b01) = naive_placements(a, members), naive_placements(b, members)
    variance = (a10 - b10).var(ddof=1) / 40 + (a01 - b01).var(ddof=1) / 40 + 2 / 40**2 / 4
    found, half = intervals.auc_difference(a, b, members), 1.959964 * math.sqrt(variance)
    value = roc.auc(a, members) - roc.auc(b, members)
    np.testing.assert_allclose(
        [found.value, found.low, found.high], [value, value - half, value + half], rtol=1e-6
    )
    other = intervals.auc_difference(b, a, members)
    assert (other.value, other.low) == pytest.approx((-found.value, -found.high))


@pytest.mark.parametrize("differ", [0.5, 2, 10])
@pytest.mark.parametrize("n", [60, 350])
def test_auc_difference_is_covered_where_few_examples_differ(n, differ):
    """b is a but for `differ` examples on average. DeLong's alone covers 80 to 90 %."""
    share, auc = differ / (2 * n), binormal_auc(1.5)
    members = np.arange(2 * n) < n

    def draw(rng):
        first = rng.normal(size=2 * n) + 1.5 * members
        second = np.where(rng.random(2 * n) < share, rng.normal(size=2 * n), first)
        return intervals.auc_difference(first, second, members)

    assert coverage(draw, share * (auc - 0.5), 1000) >= 0.93


def test_pairing_narrows_the_difference():
    a, b, members = correlated(np.random.default_rng(3), 200, 1.0, 0.9, rho=0.95)
    paired = intervals.auc_difference(a, b, members)
    alone = [intervals.auc_estimate(s, members) for s in (a, b)]
    unpaired = math.hypot(*[found.high - found.low for found in alone])
    assert paired.high - paired.low < unpaired / 2


@pytest.mark.parametrize("scores", [[4.0, 3, 2, 1], [1.0, 2, 3, 4], [1.0, 1, 1, 1]])
def test_no_variance_is_no_certainty(scores):
    members = np.array([True, True, False, False])
    found = intervals.auc_estimate(np.array(scores), members)
    assert found.value == roc.auc(np.array(scores), members)
    assert 0 <= found.low <= found.value <= found.high <= 1 and found.high - found.low > 0.5


def test_perfect_separation_gives_the_exact_bound():
    members = np.arange(300) < 100
    found = intervals.auc_estimate(members * 1.0 + np.random.default_rng(0).random(300), members)
    exact = intervals.proportion(100, 100)
    assert (found.low, found.high) == pytest.approx((exact.low, 1.0))


def test_equal_rankings_differ_by_zero_but_not_for_certain():
    scores, members = binormal(np.random.default_rng(5), 100, 100, 1.0)
    found = intervals.auc_difference(scores, np.exp(scores), members)
    assert found.value == 0 and -0.05 < found.low < 0 < found.high < 0.05
    apart = intervals.auc_difference(members * 1.0, members * -1.0, members)
    assert apart.value == apart.high == 1 and 0.9 < apart.low < 1


def test_one_member_shows_nothing():
    scores, members = binormal(np.random.default_rng(6), 1, 50, 1.0)
    for found in (
        intervals.auc_estimate(scores, members),
        intervals.auc_difference(scores, -scores, members),
    ):
        assert not found.measurable and "has 1 and 50" in found.method


def test_proportion_equals_scipy():
    for successes, n in [(0, 10), (10, 10), (3, 10), (997, 1000), (1, 1)]:
        exact = stats.binomtest(successes, n).proportion_ci(0.9, method="exact")
        found = intervals.proportion(successes, n, level=0.9)
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
        assert found.value == successes / n and found.n == n


def test_proportion_covers_for_every_rate():
    for n, rate in [(10, 0.05), (30, 0.5), (200, 0.97), (350, 0.01)]:
        counts = np.arange(n + 1)
        found = [intervals.proportion(count, n) for count in counts]
        held = [estimate.low <= rate <= estimate.high for estimate in found]
        assert stats.binom.pmf(counts, n, rate)[held].sum() >= 0.95  # exact, no simulation


def test_balanced_accuracy_interval_in_closed_form():
    members = np.arange(200) < 100
    scores = np.concatenate([np.arange(100) < 70, np.arange(100) < 20]).astype(float)
    found = intervals.balanced_accuracy_estimate(scores, members, 0.5)
    tpr, tnr = (stats.binomtest(k, 100).proportion_ci(method="wilson") for k in (70, 80))
    low = 0.75 - math.hypot(0.7 - tpr.low, 0.8 - tnr.low) / 2
    high = 0.75 + math.hypot(tpr.high - 0.7, tnr.high - 0.8) / 2
    assert (found.value, found.low, found.high) == pytest.approx((0.75, low, high))
    perfect = intervals.balanced_accuracy_estimate(members * 1.0, members, 0.5)
    assert perfect.value == perfect.high == 1 and 0.95 < perfect.low < 1


def test_tpr_at_fpr_value_is_the_step_and_repeats_with_the_seed():
    scores, members = binormal(np.random.default_rng(7), 300, 400, 1.0)
    first, again = (
        intervals.tpr_at_fpr_estimate(scores, members, 0.1, rng=np.random.default_rng(1))
        for _ in range(2)
    )
    assert first == again and first.value == roc.tpr_at_fpr(scores, members, 0.1)
    assert first.n == 700


def test_tpr_at_fpr_is_wider_than_at_a_known_threshold():
    scores, members = binormal(np.random.default_rng(8), 1000, 1000, 1.0)
    found = intervals.tpr_at_fpr_estimate(scores, members, 0.01, rng=np.random.default_rng(0))
    alone = intervals.proportion(round(found.value * 1000), 1000)
    assert found.high - found.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize("shape, value", [("constant", 0.1), ("apart", 1.0), ("saturated", 0.1)])
def test_tpr_at_fpr_of_extreme_scores(shape, value):
    members = np.arange(400) < 200
    scores = members * 1.0
    if shape != "apart":
        scores = np.zeros(400) if shape == "constant" else (np.arange(400) % 2).astype(float)
    found = intervals.tpr_at_fpr_estimate(scores, members, 0.1, rng=np.random.default_rng(0))
    assert found.value == pytest.approx(value)
    assert found.low <= found.value <= found.high
    assert 0.005 < found.high - found.low < (0.03 if shape == "apart" else 0.13)
    tied = {"constant": "a tie of 200 members and 200 non-members", "saturated": "a tie of 100"}
    assert tied.get(shape, "") in found.method
    assert ("tie" in found.method) == (shape in tied)


def test_too_few_non_members_are_said_to_be():
    assert intervals.measurable(100, 0.1) and not intervals.measurable(99, 0.1)
    assert intervals.measurable(10_000, 0.001) and not intervals.measurable(9_999, 0.001)
    assert intervals.measurable(100, 1 - 0.9)  # 0.0999...98
    scores, members = binormal(np.random.default_rng(9), 500, 5000, 1.0)
    found = intervals.tpr_at_fpr_estimate(scores, members, 0.001, rng=np.random.default_rng(0))
    assert not found.measurable and math.isnan(found.value) and math.isnan(found.low)
    assert found.method == "needs 10,000 non-members, has 5,000"


ESTIMATES = {
    "auc": lambda s, m, level: intervals.auc_estimate(s, m, level),
    "difference": lambda s, m, level: intervals.auc_difference(s, s[::-1], m, level),
    "accuracy": lambda s, m, level: intervals.balanced_accuracy_estimate(s, m, 0.0, level),
    "tpr": lambda s, m, level: intervals.tpr_at_fpr_estimate(
        s, m, 0.1, rng=np.random.default_rng(0), level=level
    ),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_a_higher_level_is_wider(name):
    scores, members = binormal(np.random.default_rng(4), 300, 300, 0.5)
    wide, narrow = (ESTIMATES[name](scores, members, level) for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


@pytest.mark.parametrize("name", ESTIMATES)
def test_bad_input_is_refused(name):
    scores, members = binormal(np.random.default_rng(4), 200, 200, 0.5)
    for labels in (np.ones_like(members), np.zeros_like(members), members[1:]):
        with pytest.raises(ValueError, match="scores"):
            ESTIMATES[name](scores, labels, 0.95)
    with pytest.raises(ValueError, match="NaN"):
        ESTIMATES[name](np.append(scores[1:], np.nan), members, 0.95)
    for level in (0, 1, 95, np.nan):
        with pytest.raises(ValueError, match="level"):
            ESTIMATES[name](scores, members, level)


def test_tpr_at_one_in_ten_thousand():
    rng = np.random.default_rng(11)
    scores, members = binormal(rng, 2000, 100_000, 2.0)
    found = intervals.tpr_at_fpr_estimate(scores, members, 1e-4, rng=rng)
    outside = np.sort(scores[~members])[::-1]
    assert found.value == (scores[members] > outside[10]).mean()  # 10 of 100,000 may be above
    truth = binormal_tpr(2.0, 1e-4)
    assert found.low < truth < found.high and found.high - found.low < 2 * truth
    few = intervals.tpr_at_fpr_estimate(scores[:-1], members[:-1], 1e-4, rng=rng)
    assert few.method == "needs 100,000 non-members, has 99,999"


def test_bad_counts_and_rates_are_refused():
    for successes, n in [(-1, 10), (11, 10), (0, 0), (0.7, 10), (np.nan, 10)]:
        with pytest.raises(ValueError, match=r"successes|n:"):
            intervals.proportion(successes, n)
    for fpr in (0, -0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match="fpr"):
            intervals.measurable(100, fpr)
    with pytest.raises(ValueError, match="draws"):
        intervals.tpr_at_fpr_estimate(
            *binormal(np.random.default_rng(0), 200, 200, 1.0),
            0.1,
            rng=np.random.default_rng(0),
            draws=10,
        )


def designs(names, quick, further):
    """Rows of which the further ones are slow: they simulate what the quick ones do, elsewhere."""
    slow = [pytest.param(*row, marks=pytest.mark.slow) for row in further]
    return pytest.mark.parametrize(names, [*quick, *slow])


@designs("n, auc", [(100, 0.6), (300, 0.8)], [(300, 0.6), (100, 0.8), (350, 0.5)])
def test_auc_coverage(n, auc):
    shift = shift_of(auc)
    found = coverage(lambda rng: intervals.auc_estimate(*binormal(rng, n, n, shift)), auc, 1000)
    assert 0.93 <= found <= 0.975


UNEQUAL = [(20, 20), (20, 200), (200, 20), (50, 50), (20, 1000), (80, 800)]
QUICK = [(20, 20, 0.95), (20, 200, 0.95), (200, 20, 0.5)]
FURTHER = [(*sizes, auc) for sizes in UNEQUAL for auc in (0.5, 0.95) if (*sizes, auc) not in QUICK]


@designs("m, n, auc", QUICK, FURTHER)
def test_auc_of_few_examples_is_covered_at_any_sizes(m, n, auc):
    """Conservative by construction: the wider of two intervals, hence no upper bound but 1."""
    shift = shift_of(auc)
    found = coverage(lambda rng: intervals.auc_estimate(*binormal(rng, m, n, shift)), auc, 1000)
    assert found >= 0.93


def test_newcombes_interval_ends_where_the_auc_is_z_standard_errors_off():
    value, m, n, z = 0.9, 20, 200, 1.96
    ends = intervals.newcombe(value, m, n, z)
    for end in ends:
        q1, q2, more = end / (2 - end), 2 * end**2 / (1 + end), (m + n) / 2 - 1  # Hanley & McNeil
        spread = more * (q1 - end**2) + more * (q2 - end**2)
        error = math.sqrt((end * (1 - end) + spread) / (m * n))
        assert abs(end - value) == pytest.approx(z * error, rel=1e-6)
    assert ends[0] < value < ends[1]


@designs(
    "n, shift_a, shift_b",
    [(20, 3.0, 2.0), (50, 1.0, 0.7)],
    [(20, 1.0, 0.7), (20, 2.0, 2.0), (50, 2.0, 2.0), (50, 3.0, 2.0)],
)
def test_auc_difference_of_few_examples_is_covered(n, shift_a, shift_b):
    truth = binormal_auc(shift_a) - binormal_auc(shift_b)
    found = coverage(
        lambda rng: intervals.auc_difference(*correlated(rng, n, shift_a, shift_b)), truth, 1000
    )
    assert found >= 0.93


@pytest.mark.parametrize("level, low, high", [(0.8, 0.76, 0.84), (0.99, 0.98, 0.999)])
def test_auc_coverage_at_other_levels(level, low, high):
    found = coverage(
        lambda rng: intervals.auc_estimate(*binormal(rng, 200, 100, 0.5), level),
        binormal_auc(0.5),
        1000,
    )
    assert low <= found <= high


@designs("shift_a, shift_b", [(1.0, 0.7)], [(0.3, 0.3)])
def test_auc_difference_coverage(shift_a, shift_b):
    truth = binormal_auc(shift_a) - binormal_auc(shift_b)
    found = coverage(
        lambda rng: intervals.auc_difference(*correlated(rng, 100, shift_a, shift_b)), truth, 1000
    )
    assert 0.93 <= found <= 0.975


@pytest.mark.parametrize(
    "shift", [1.0, *(pytest.param(shift, marks=pytest.mark.slow) for shift in (0.0, 4.0))]
)
def test_balanced_accuracy_coverage(shift):
    truth = float(stats.norm.cdf(shift / 2))
    found = coverage(
        lambda rng: intervals.balanced_accuracy_estimate(
            *binormal(rng, 100, 100, shift), shift / 2
        ),
        truth,
        1000,
    )
    assert 0.93 <= found <= 0.975


SAME = [(20, 20, 2.0, 0.1), (300, 300, 1.0, 1.0)]  # where few differ, where many do
OTHERS = [
    (*sizes, *effect)
    for sizes in ((20, 20), (30, 200), (300, 300))
    for effect in ((1.0, 1.0), (3.0, 1.0), (2.0, 0.1))
    if (*sizes, *effect) not in SAME
]


@designs("n_members, n_non_members, shift, noise", SAME, OTHERS)
def test_balanced_accuracy_difference_coverage(n_members, n_non_members, shift, noise):
    """Conservative by construction where few differ: one more of each cell is added."""
    members = np.arange(n_members + n_non_members) < n_members

    def draw(rng):
        first = rng.standard_normal(len(members)) + shift * (members - 0.5)
        second = first + noise * rng.standard_normal(len(members))
        return intervals.balanced_accuracy_difference(first, second, members)

    rates = stats.norm.cdf([shift / 2, shift / 2 / math.sqrt(1 + noise**2)])
    found = coverage(draw, float(rates[0] - rates[1]), 1000)
    assert 0.93 <= found <= (0.975 if n_members == 300 and noise == 1 else 1)


def test_balanced_accuracy_difference_is_that_of_the_accuracies():
    members = np.arange(300) < 100
    first, second = np.random.default_rng(0).normal(size=(2, 300)) + members - 0.5
    found = intervals.balanced_accuracy_difference(first, second, members)
    each = [roc.balanced_accuracy(margins, members, 0.0) for margins in (first, second)]
    assert found.value == pytest.approx(each[0] - each[1])
    assert found.low < found.value < found.high
    same = intervals.balanced_accuracy_difference(first, first, members)
    assert same.low < same.value == 0 < same.high


def tpr_coverage(fpr, n, shift, times, n_members=None):
    return coverage(
        lambda rng: intervals.tpr_at_fpr_estimate(
            *binormal(rng, n_members or n, n, shift), fpr, rng=rng
        ),
        binormal_tpr(shift, fpr),
        times,
    )


@designs("fpr, n", [(0.1, 350)], [(0.01, 1000)])
def test_tpr_at_fpr_coverage(fpr, n):
    assert 0.93 <= tpr_coverage(fpr, n, 1.0, times=1000) <= 0.975


SATURATED = 0.8  # scores above it are all equal: 21 % of non-members


def saturated_tpr(shift, fpr):
    """Closed form, ties broken at random."""
    outside, inside = stats.norm.sf([SATURATED, SATURATED - shift])
    return float(fpr / outside * inside) if fpr <= outside else binormal_tpr(shift, fpr)


@designs("fpr, n", [(0.1, 350)], [(0.01, 1000), (0.2, 350), (0.3, 350)])
def test_tpr_at_fpr_coverage_of_saturated_scores(fpr, n):
    """Conservative: the interval holds the chance of the coins, too."""

    def draw(rng):
        scores, members = binormal(rng, n, n, 1.0)
        return intervals.tpr_at_fpr_estimate(np.minimum(scores, SATURATED), members, fpr, rng=rng)

    found = coverage(draw, saturated_tpr(1.0, fpr), 1000)
    assert 0.93 <= found <= (0.975 if fpr == 0.3 else 1)


def test_auc_coverage_of_probabilities_in_256_steps():
    reference = binormal(np.random.default_rng(99), 300_000, 300_000, 1.0, levels=256)
    found = coverage(
        lambda rng: intervals.auc_estimate(*binormal(rng, 150, 150, 1.0, levels=256)),
        roc.auc(*reference),
        1000,
    )
    assert 0.93 <= found <= 0.975


def test_tpr_at_fpr_coverage_of_probabilities_in_256_steps():
    reference = binormal(np.random.default_rng(98), 300_000, 300_000, 1.0, levels=256)
    found = coverage(
        lambda rng: intervals.tpr_at_fpr_estimate(
            *binormal(rng, 350, 350, 1.0, levels=256), 0.1, rng=rng
        ),
        roc.tpr_at_fpr(*reference, 0.1),
        1000,
    )
    assert 0.93 <= found <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("auc", [0.5, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("n", [100, 350, 1000])
def test_auc_coverage_in_full(n, auc):
    shift = shift_of(auc)
    found = coverage(lambda rng: intervals.auc_estimate(*binormal(rng, n, n, shift)), auc, 4000)
    assert 0.935 <= found <= 0.965


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("n", [20, 100, 1000])
def test_balanced_accuracy_coverage_in_full(n, shift):
    found = coverage(
        lambda rng: intervals.balanced_accuracy_estimate(*binormal(rng, n, n, shift), shift / 2),
        float(stats.norm.cdf(shift / 2)),
        4000,
    )
    assert 0.935 <= found <= 0.965


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.95])
def test_auc_difference_coverage_in_full(rho):
    truth = binormal_auc(1.0) - binormal_auc(0.7)
    found = coverage(
        lambda rng: intervals.auc_difference(*correlated(rng, 350, 1.0, 0.7, rho)), truth, 4000
    )
    assert 0.935 <= found <= 0.965


@pytest.mark.slow
@pytest.mark.parametrize(
    "fpr, n, shift, n_members",
    [
        (0.1, 350, 0.0, 350),
        (0.1, 350, 1.0, 350),
        (0.1, 350, 3.0, 350),
        (0.1, 350, 0.0, 30),
        (0.1, 100, 1.0, 100),
        (0.01, 1000, 0.0, 1000),
        (0.01, 1000, 1.0, 1000),
        (0.01, 5000, 1.0, 5000),
        (0.001, 10_000, 1.0, 10_000),
    ],
)
def test_tpr_at_fpr_coverage_in_full(fpr, n, shift, n_members):
    assert 0.935 <= tpr_coverage(fpr, n, shift, 4000, n_members) <= 0.975


@pytest.mark.slow
def test_tpr_at_one_in_ten_thousand_coverage():
    assert 0.93 <= tpr_coverage(1e-4, 100_000, 2.0, 1000, n_members=2000) <= 0.975
