import itertools
import math

import numpy as np
import pytest
from scipy import stats

from tf_compleak.metrics import clustered, intervals, roc


def pooled(rng, examples, targets, shift, shared=0.5, spread=0.0):
    """Halves: every target was trained on a random half; scores, members, ids of the examples.

    A score is the example's difficulty (a `shared` part of the variance), the noise of its target,
    and for members a normal effect around `shift`, the same in all targets.
    """
    members = np.argsort(rng.random((targets, examples)), axis=1) < examples // 2
    difficulty = math.sqrt(shared) * rng.normal(size=examples)
    effect = shift + spread * rng.normal(size=examples)
    noise = math.sqrt(1 - shared) * rng.normal(size=members.shape)
    scores = difficulty + noise + effect * members
    return scores.ravel(), members.ravel(), np.tile(np.arange(examples), targets)


def true_auc(shift, spread=0.0):
    return float(stats.norm.cdf(shift / math.sqrt(2 + spread**2)))


def true_accuracy(shift, spread=0.0):
    """At the threshold shift / 2."""
    tnr, tpr = (stats.norm.cdf(shift / 2 / math.sqrt(1 + s**2)) for s in (0, spread))
    return float(tnr + tpr) / 2


def true_tpr(shift, spread, fpr):
    return float(stats.norm.sf((stats.norm.isf(fpr) - shift) / math.sqrt(1 + spread**2)))


def coverage(estimate, truth, times, seed=0, measurable=0.99):
    rng, found = np.random.default_rng(seed), []
    for _ in range(times):
        one = estimate(rng)
        if one.measurable:
            assert one.low <= one.value <= one.high and one.high - one.low > 0
            found.append(one.low <= truth <= one.high)
    assert len(found) >= measurable * times
    return np.mean(found)


def accuracy_of(draw, threshold, level=0.95):
    scores, members, clusters = draw
    return clustered.clustered_balanced_accuracy_estimate(
        scores, members, threshold, clusters, level
    )


def naive_obuchowski(scores, members, clusters):
    """AUC and its variance, by loops over pairs and clusters (Biometrics 1997, formula 5)."""
    m, n = members.sum(), (~members).sum()
    wins = {}
    for i, j in itertools.product(np.flatnonzero(members), np.flatnonzero(~members)):
        wins[i, j] = (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
    area = sum(wins.values()) / (m * n)
    s10 = s01 = s11 = with_members = with_others = 0
    for cluster in set(clusters):
        inside = [i for i in np.flatnonzero(members) if clusters[i] == cluster]
        outside = [j for j in np.flatnonzero(~members) if clusters[j] == cluster]
        a = sum(sum(wins[i, j] for j in np.flatnonzero(~members)) / n - area for i in inside)
        b = sum(sum(wins[i, j] for i in np.flatnonzero(members)) / m - area for j in outside)
        with_members, with_others = with_members + bool(inside), with_others + bool(outside)
        s10, s01, s11 = s10 + a * a, s01 + b * b, s11 + a * b
    count = len(set(clusters))
    s10 *= with_members / ((with_members - 1) * m)
    s01 *= with_others / ((with_others - 1) * n)
    s11 *= count / (count - 1)
    return area, s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("step", [0, 0.5])
def test_auc_equals_obuchowskis_loops(step, monkeypatch):
    monkeypatch.setattr(intervals, "SMALL", 0)
    scores, members, clusters = pooled(np.random.default_rng(0), 40, 3, 1.0)
    scores = np.round(scores / step) * step if step else scores
    area, variance = naive_obuchowski(scores, members, clusters)
    found = clustered.clustered_auc_estimate(scores, members, 7 * clusters - 90, level=0.9)
    half = stats.norm.ppf(0.95) * math.sqrt(variance) / (area * (1 - area))
    bounds = stats.logistic.cdf(stats.logistic.ppf(area) + np.array([-half, half]))
    np.testing.assert_allclose([found.value, found.low, found.high], [area, *bounds])
    assert found.n == 120 and found.method == "DeLong, clustered, logit"


def test_one_score_an_example_is_the_plain_estimate():
    rng = np.random.default_rng(1)
    members = np.arange(900) < 400
    a, b = rng.normal(size=(2, 900)) + members
    ids = rng.permutation(900)
    pairs = [
        (clustered.clustered_auc_estimate(a, members, ids), intervals.auc_estimate(a, members)),
        (
            clustered.clustered_auc_difference(a, b, members, ids),
            intervals.auc_difference(a, b, members),
        ),
    ]
    for found, plain in pairs:
        assert (found.value, found.low, found.high) == pytest.approx(
            (plain.value, plain.low, plain.high)
        )
    found = accuracy_of((a, members, ids), 0.5)
    plain = intervals.balanced_accuracy_estimate(a, members, 0.5)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.002)


@pytest.mark.parametrize("fpr", [0.1, 0.03])
def test_tpr_of_one_score_an_example_has_the_plain_law(fpr):
    rng = np.random.default_rng(2)
    members = np.arange(1000) < 500
    scores = rng.normal(size=1000) + members
    kwargs = {"rng": rng, "draws": 20_000}
    found = clustered.clustered_tpr_at_fpr_estimate(scores, members, np.arange(1000), fpr, **kwargs)
    plain = intervals.tpr_at_fpr_estimate(scores, members, fpr, **kwargs)
    assert found.value == plain.value == roc.tpr_at_fpr(scores, members, fpr)
    width = plain.high - plain.low
    assert found.low == pytest.approx(plain.low, abs=0.06 * width)
    assert found.high == pytest.approx(plain.high, abs=0.06 * width)


def test_weighted_rates_equal_weighted_curves():
    """One draw against the definition: repeat the same weights by hand."""
    scores, members, clusters = pooled(np.random.default_rng(3), 60, 4, 1.0)
    scores = np.round(scores * 4) / 4  # ties
    pool = clustered._pool(scores, members, clusters)
    fp, tp = roc.step_counts(scores, members)
    rates = clustered._weighted_rates(pool, fp, tp, 0.2, 0.0, 300, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    weights, coins = rng.standard_exponential((300, 60)), rng.integers(0, 2, 300)
    order = np.argsort(-scores, kind="stable")
    s, m, c = scores[order], members[order], clusters[order]
    for w, coin, rate in zip(weights, coins, rates, strict=True):
        outside = np.cumsum(w[c[~m]])
        above = max((outside <= 0.2 * outside[-1]).sum() - coin, 0)
        cut = np.sort(s[~m])[::-1][above]  # the first non-member beyond those that may be caught
        share = (above - (s[~m] > cut).sum()) / (s[~m] == cut).sum()
        caught = w[c[m & (s > cut)]].sum() + share * w[c[m & (s == cut)]].sum()
        assert rate == pytest.approx(caught / w[c[m]].sum())


def test_memory_does_not_change_the_law(monkeypatch):
    draw = pooled(np.random.default_rng(4), 200, 4, 1.0)
    whole = clustered.clustered_tpr_at_fpr_estimate(*draw, 0.1, rng=np.random.default_rng(0))
    monkeypatch.setattr(clustered, "_CELLS", 10_000)
    parts = clustered.clustered_tpr_at_fpr_estimate(*draw, 0.1, rng=np.random.default_rng(0))
    assert parts.value == whole.value
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), abs=0.02)


@pytest.mark.parametrize("examples", [40, 150, 700])
def test_errors_that_cancel_are_no_certainty(examples):
    """Complementary halves and scores that know the example only: the AUC is 1/2 in any draw."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        members = rng.permutation(examples) < examples // 2
        one, other = rng.normal(size=(2, examples))
        both = np.concatenate([members, ~members]), np.tile(np.arange(examples), 2)
        scores = np.tile(one, 2), np.tile(other, 2)
        for found in (
            clustered.clustered_auc_estimate(scores[0], *both),
            clustered.clustered_auc_difference(*scores, *both),
            clustered.clustered_balanced_accuracy_estimate(scores[0], both[0], 0.3, both[1]),
        ):
            assert found.high - found.low > 1 / examples, found


def test_copies_of_a_score_add_nothing():
    """Ten equal targets hold what one holds: the interval stays, where the plain one shrinks."""
    once = pooled(np.random.default_rng(5), 300, 1, 1.0)
    many = tuple(np.tile(x, 10) for x in once)
    auc, tenfold = (clustered.clustered_auc_estimate(*draw) for draw in (once, many))
    assert (tenfold.value, tenfold.low, tenfold.high) == pytest.approx(
        (auc.value, auc.low, auc.high)
    )
    plain = intervals.auc_estimate(*many[:2])
    assert plain.high - plain.low < 0.4 * (auc.high - auc.low)
    accuracy, tenfold = accuracy_of(once, 0.5), accuracy_of(many, 0.5)
    assert (tenfold.low, tenfold.high) == pytest.approx((accuracy.low, accuracy.high))
    tpr, tenfold = (
        clustered.clustered_tpr_at_fpr_estimate(
            *draw, 0.1, rng=np.random.default_rng(0), draws=5000
        )
        for draw in (once, many)
    )
    assert tenfold.high - tenfold.low == pytest.approx(tpr.high - tpr.low, rel=0.12)


def test_measurable_counts_examples_not_scores():
    scores, members, ids = pooled(np.random.default_rng(6), 60, 1, 1.0)
    rng = np.random.default_rng(0)
    many = [np.tile(x, 10) for x in (scores, members, ids)]  # 300 scores of 30 non-members
    found = clustered.clustered_tpr_at_fpr_estimate(*many, 0.1, rng=rng)
    assert not found.measurable
    assert found.method == "needs false positives worth 10 examples, has 30 worth 3.0"
    assert clustered.clustered_tpr_at_fpr_estimate(*many, 0.5, rng=rng).measurable
    found = clustered.clustered_tpr_at_fpr_estimate(*many, 0.03, rng=rng)
    assert found.method == "needs 334 non-members, has 300"


def test_too_few_examples_show_nothing():
    scores, members, ids = pooled(np.random.default_rng(7), 29, 10, 1.0)
    found = [
        clustered.clustered_auc_estimate(scores, members, ids),
        clustered.clustered_auc_difference(scores, -scores, members, ids),
        accuracy_of((scores, members, ids), 0.5),
        clustered.clustered_tpr_at_fpr_estimate(
            scores, members, ids, 0.1, rng=np.random.default_rng(0)
        ),
    ]
    for one in found:
        assert not one.measurable and "needs 30 examples as members" in one.method


def test_no_variance_is_no_certainty():
    _, members, ids = pooled(np.random.default_rng(8), 100, 6, 1.0)
    for scores, value in ((members * 1.0, 1.0), (np.zeros(600), 0.5), (1.0 - members, 0.0)):
        found = clustered.clustered_auc_estimate(scores, members, ids)
        assert found.value == value and found.method == "rule of three, clustered"
        assert 0.05 < found.high - found.low < 0.1  # 50 pairs of examples, not 300 of scores
        same = clustered.clustered_auc_difference(scores, 2 * scores, members, ids)
        assert same.value == 0 and -0.2 < same.low < 0 < same.high < 0.2
    perfect = accuracy_of((members * 1.0, members, ids), 0.5)
    assert perfect.value == perfect.high == 1 and 0.9 < perfect.low < 0.95


@pytest.mark.parametrize("shape, value", [("constant", 0.1), ("apart", 1)])
def test_tpr_of_extreme_scores(shape, value):
    _, members, ids = pooled(np.random.default_rng(9), 200, 4, 1.0)
    scores = members * (shape == "apart") * 1.0
    found = clustered.clustered_tpr_at_fpr_estimate(
        scores, members, ids, 0.1, rng=np.random.default_rng(0)
    )
    assert found.value == pytest.approx(value) and found.low <= value <= found.high
    assert 0.005 < found.high - found.low < (0.05 if shape == "apart" else 0.1)


def test_the_same_seed_gives_the_same_interval():
    draw = pooled(np.random.default_rng(10), 200, 4, 1.0)
    first, again, wide = (
        clustered.clustered_tpr_at_fpr_estimate(
            *draw, 0.1, rng=np.random.default_rng(1), level=level
        )
        for level in (0.9, 0.9, 0.99)
    )
    assert first == again and wide.low < first.low < first.high < wide.high


def test_swapping_the_two_mirrors_the_difference():
    a, members, ids = pooled(np.random.default_rng(11), 100, 5, 1.0)
    b = a + np.random.default_rng(12).normal(size=len(a))
    one = clustered.clustered_auc_difference(a, b, members, ids)
    other = clustered.clustered_auc_difference(b, a, members, ids)
    assert (one.value, one.low) == pytest.approx((-other.value, -other.high))
    assert one.value == pytest.approx(roc.auc(a, members) - roc.auc(b, members))


def test_forty_thousand_scores_are_measured():
    scores, members, ids = pooled(np.random.default_rng(13), 4000, 10, 1.0, 0.5, 0.5)
    rng = np.random.default_rng(0)
    for estimate in (
        lambda: clustered.clustered_auc_estimate(scores, members, ids),
        lambda: clustered.clustered_auc_difference(scores, -scores, members, ids),
        lambda: accuracy_of((scores, members, ids), 0.5),
        lambda: clustered.clustered_tpr_at_fpr_estimate(scores, members, ids, 0.1, rng=rng),
        lambda: clustered.clustered_tpr_at_fpr_estimate(scores, members, ids, 0.001, rng=rng),
    ):
        assert estimate().measurable


ESTIMATES = {
    "auc": lambda s, m, c: clustered.clustered_auc_estimate(s, m, c),
    "difference": lambda s, m, c: clustered.clustered_auc_difference(s, -s, m, c),
    "accuracy": lambda s, m, c: accuracy_of((s, m, c), 0.0),
    "tpr": lambda s, m, c: clustered.clustered_tpr_at_fpr_estimate(
        s, m, c, 0.1, rng=np.random.default_rng(0)
    ),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_bad_input_is_refused(name):
    scores, members, ids = pooled(np.random.default_rng(14), 100, 3, 1.0)
    for bad in (ids[1:], ids * 0.5, ids[:, None]):
        with pytest.raises(ValueError, match="clusters: must be 300 integers"):
            ESTIMATES[name](scores, members, bad)
    with pytest.raises(ValueError, match="NaN"):
        ESTIMATES[name](np.append(scores[1:], np.nan), members, ids)
    with pytest.raises(ValueError, match="members"):
        ESTIMATES[name](scores, np.ones_like(members), ids)


def test_bad_rates_are_refused():
    draw, rng = pooled(np.random.default_rng(15), 100, 3, 1.0), np.random.default_rng(0)
    for fpr in (0, 1.5, np.nan):
        with pytest.raises(ValueError, match="fpr"):
            clustered.clustered_tpr_at_fpr_estimate(*draw, fpr, rng=rng)
    with pytest.raises(ValueError, match="draws"):
        clustered.clustered_tpr_at_fpr_estimate(*draw, 0.1, rng=rng, draws=10)
    with pytest.raises(ValueError, match="level"):
        clustered.clustered_auc_estimate(*draw, level=95)
    assert clustered.clustered_tpr_at_fpr_estimate(*draw, 1.0, rng=rng).value == 1


DESIGNS = pytest.mark.parametrize(
    "examples, targets, shift, shared, spread",
    [
        (40, 10, 1.0, 0.5, 0.0),
        (200, 2, 2.0, 0, 1),
        *(
            pytest.param(*row, marks=pytest.mark.slow)  # the same simulation, other effects
            for row in ((50, 10, 1.0, 0.5, 0.5), (60, 4, 0.3, 0.9, 0.0))
        ),
    ],
)


@DESIGNS
def test_auc_coverage(examples, targets, shift, shared, spread):
    found = coverage(
        lambda rng: clustered.clustered_auc_estimate(
            *pooled(rng, examples, targets, shift, shared, spread)
        ),
        true_auc(shift, spread),
        1000,
    )
    assert 0.93 <= found <= (0.975 if examples >= intervals.SMALL else 1)


FEW = [(34, 4), (50, 10), (60, 1), (90, 3)]
ACCURATE = [(34, 4, 3.0), (60, 1, 2.0)]
QUICK = [(34, 4, 0.99, True), (60, 1, 0.5, False)]
GRID = pytest.mark.parametrize(
    "examples, targets, auc, other",
    [
        pytest.param(*cell, marks=[] if cell in QUICK else pytest.mark.slow)
        for cell in (
            (*size, auc, other)
            for size, auc, other in itertools.product(FEW, (0.5, 0.8, 0.95, 0.99), (False, True))
        )
    ],
)


def shift_of(auc):
    return math.sqrt(2) * stats.norm.ppf(auc)


@GRID
def test_auc_of_few_examples_is_covered(examples, targets, auc, other):
    """Conservative by construction, as for independent examples: the wider of two intervals."""
    shared = 0.9 if other else 0.1
    found = coverage(
        lambda rng: clustered.clustered_auc_estimate(
            *pooled(rng, examples, targets, shift_of(auc), shared)
        ),
        auc,
        1000,
        measurable=0.9,
    )
    assert found >= 0.93


@DESIGNS
def test_balanced_accuracy_coverage(examples, targets, shift, shared, spread):
    found = coverage(
        lambda rng: accuracy_of(pooled(rng, examples, targets, shift, shared, spread), shift / 2),
        true_accuracy(shift, spread),
        1000,
    )
    assert 0.93 <= found <= 0.975


@pytest.mark.parametrize(
    "examples, targets, shift",
    [
        pytest.param(*size, shift, marks=[] if (*size, shift) in ACCURATE else pytest.mark.slow)
        for size, shift in itertools.product(FEW, (2.0, 3.0))
    ],
)
def test_balanced_accuracy_of_few_examples_is_covered(examples, targets, shift):
    found = coverage(
        lambda rng: accuracy_of(pooled(rng, examples, targets, shift), shift / 2),
        true_accuracy(shift),
        1000,
        measurable=0.9,
    )
    assert found >= 0.93


def two_attacks(rng, examples, targets, shift=1.0, shared=0.7, noise=1.0):
    """b is a with noise of its own around the same effect."""
    scores, members, ids = pooled(rng, examples, targets, shift, shared)
    return scores, scores + noise * rng.normal(size=len(scores)), members, ids


def difference_coverage(examples, targets, shift, shared, noise, **kwargs):
    return coverage(
        lambda rng: clustered.clustered_auc_difference(
            *two_attacks(rng, examples, targets, shift, shared, noise)
        ),
        true_auc(shift) - true_auc(shift / math.sqrt(1 + noise**2)),
        1000,
        **kwargs,
    )


@pytest.mark.parametrize(
    "examples, targets", [(120, 6), pytest.param(200, 3, marks=pytest.mark.slow)]
)
def test_auc_difference_coverage(examples, targets):
    assert 0.93 <= difference_coverage(examples, targets, 1.0, 0.7, 1.0) <= 0.975


@GRID
def test_auc_difference_of_few_examples_is_covered(examples, targets, auc, other):
    """DeLong's alone covers as little as 88 % here."""
    noise = 0.3 if other else 1.0
    found = difference_coverage(examples, targets, shift_of(auc), 0.5, noise, measurable=0.9)
    assert found >= 0.93


def test_plain_intervals_do_not_cover_pooled_figures():
    """Why this module exists: hard examples are caught in every target."""
    found = coverage(
        lambda rng: intervals.tpr_at_fpr_estimate(
            *pooled(rng, 400, 10, 1.0, 0.9, 0.5)[:2], 0.1, rng=rng
        ),
        true_tpr(1.0, 0.5, 0.1),
        500,
    )
    assert found < 0.9


def tpr_coverage(fpr, examples, targets, shift, shared, spread, times, draws=500):
    return coverage(
        lambda rng: clustered.clustered_tpr_at_fpr_estimate(
            *pooled(rng, examples, targets, shift, shared, spread), fpr, rng=rng, draws=draws
        ),
        true_tpr(shift, spread, fpr),
        times,
        measurable=0.9,
    )


def test_tpr_at_fpr_coverage():
    assert 0.93 <= tpr_coverage(0.1, 200, 2, 1.0, 0.5, 0.5, 1000) <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("fpr", [0.1, 0.2])
def test_tpr_at_fpr_coverage_of_saturated_scores(fpr):
    """21 % of non-members tie at the top; closed form, ties broken at random."""
    outside, inside = stats.norm.sf([0.8, 0.8 - 1.0])

    def draw(rng):
        scores, members, ids = pooled(rng, 200, 4, 1.0)
        return clustered.clustered_tpr_at_fpr_estimate(
            np.minimum(scores, 0.8), members, ids, fpr, rng=rng, draws=500
        )

    assert coverage(draw, fpr / outside * inside, 1000) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize(
    "fpr, examples, targets, shift, shared, spread",
    [
        (0.1, 200, 1, 1.0, 0.5, 0.0),
        (0.1, 100, 10, 1.0, 0.9, 0.0),
        (0.1, 100, 10, 0.0, 0.5, 0.0),
        (0.1, 200, 10, 2.0, 0.5, 0.5),
        (0.1, 400, 4, 1.0, 1.0, 0.5),
        (0.01, 400, 10, 1.0, 0.5, 0.5),
        (0.01, 1000, 4, 0.0, 0.5, 0.0),
    ],
)
def test_tpr_at_fpr_coverage_in_full(fpr, examples, targets, shift, shared, spread):
    assert 0.93 <= tpr_coverage(fpr, examples, targets, shift, shared, spread, 1000) <= 0.975


@pytest.mark.slow
def test_tpr_at_fpr_coverage_of_halves_of_4000():
    """The size of the shared study: 10 targets, 40,000 scores."""
    found = tpr_coverage(0.001, 4000, 10, 1.0, 0.5, 0.5, 1000, draws=200)
    assert 0.93 <= found <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("auc", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("shared", [0.1, 0.9])
def test_auc_coverage_in_full(auc, shared):
    found = coverage(
        lambda rng: clustered.clustered_auc_estimate(*pooled(rng, 120, 8, shift_of(auc), shared)),
        auc,
        3000,
    )
    assert 0.935 <= found <= 0.965


def test_more_is_looked_at_where_the_first_weights_are_not_enough():
    rng = np.random.default_rng(6)
    weights, columns = rng.standard_exponential((50, 30)), rng.integers(0, 30, 200)
    allowed = np.linspace(0, 1.1, 50) * weights[:, columns].sum(axis=1)
    expected = (np.cumsum(weights[:, columns], axis=1) <= allowed[:, None]).sum(axis=1)
    for most in (1, 7, 200):
        found = clustered._reached(weights, columns, allowed, most)
        np.testing.assert_array_equal(found, expected)
