import itertools

import numpy as np
import pytest
from scipy import stats

from tf_compleak.metrics import roc


def sample(seed, n_members=60, n_non_members=50, shift=1.0, step=0.0):
    """Binormal scores in mixed order; `step` > 0 rounds them, which makes ties."""
    rng = np.random.default_rng(seed)
    members = rng.permutation(np.arange(n_members + n_non_members) < n_members)
    scores = rng.normal(size=len(members)) + shift * members
    return (np.round(scores / step) * step if step else scores), members


def naive_auc(scores, members):
    pairs = itertools.product(scores[members], scores[~members])
    return float(np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs]))


def naive_curve(scores, members):
    cuts = sorted(set(scores), reverse=True)
    points = [(0.0, 0.0)]
    points += [((scores >= c)[~members].mean(), (scores >= c)[members].mean()) for c in cuts]
    return np.transpose(points)


def naive_tpr_at_fpr(scores, members, fpr):
    """The best step, then of the tie at which the next one stands the share that fits."""
    outside, inside = scores[~members], scores[members]
    allowed = int(fpr * len(outside))
    if allowed == len(outside):
        return 1.0
    cut = np.sort(outside)[::-1][allowed]  # the first non-member that may not be called a member
    share = (allowed - (outside > cut).sum()) / (outside == cut).sum()
    return (inside > cut).mean() + share * (inside == cut).mean()


CASES = [sample(seed, step=step) for seed in range(4) for step in (0.0, 0.25, 1.0)]
CASES += [sample(9, 7, 90, step=1 / 256), sample(10, 1, 1), sample(11, 40, 3, shift=-2.0)]
CONSTANT = np.full(20, 0.3), np.arange(20) < 8


@pytest.mark.parametrize("scores, members", [*CASES, CONSTANT])
def test_auc_equals_all_pairs(scores, members):
    assert roc.auc(scores, members) == pytest.approx(naive_auc(scores, members), abs=1e-12)


@pytest.mark.parametrize("scores, members", [*CASES, CONSTANT])
def test_curve_equals_every_cut(scores, members):
    np.testing.assert_allclose(roc.roc_curve(scores, members), naive_curve(scores, members))


@pytest.mark.parametrize("scores, members", [*CASES, CONSTANT])
def test_auc_is_the_area_of_the_curve(scores, members):
    fpr, tpr = roc.roc_curve(scores, members)
    assert np.trapezoid(tpr, fpr) == pytest.approx(roc.auc(scores, members), abs=1e-12)


@pytest.mark.parametrize("scores, members", [*CASES, CONSTANT])
@pytest.mark.parametrize("fpr", [0, 0.01, 0.02, 0.1, 0.1 * 3, 0.5, 1])
def test_tpr_at_fpr_equals_the_best_step_and_its_share_of_a_tie(scores, members, fpr):
    naive = naive_tpr_at_fpr(scores, members, fpr + 1e-9)
    assert roc.tpr_at_fpr(scores, members, fpr) == pytest.approx(naive)


@pytest.mark.parametrize("scores, members", [*CASES, CONSTANT])
def test_best_threshold_equals_brute_force(scores, members):
    values = np.unique(scores)
    cuts = [values[0] - 1, *(values[1:] + values[:-1]) / 2, values[-1] + 1]
    best = max(roc.balanced_accuracy(scores, members, cut) for cut in cuts)
    threshold = roc.best_threshold(scores, members)
    assert np.isfinite(threshold) and threshold not in values
    assert roc.balanced_accuracy(scores, members, threshold) == pytest.approx(best)


def test_best_threshold_lies_midway_and_takes_the_highest_of_equals():
    members = np.array([False, True, False, True])
    assert roc.best_threshold(np.array([1.0, 2.0, 3.0, 5.0]), members) == 4.0
    scores, order = np.array([1.0, 2.0, 3.0, 5.0]), [2, 0, 3, 1]
    assert roc.best_threshold(scores[order], members[order]) == 4.0


@pytest.mark.parametrize("low", [1.0, -1e-300, 1e308, 0.1])
def test_best_threshold_parts_neighbouring_floats(low):
    scores, members = np.array([low, np.nextafter(low, np.inf)]), np.array([False, True])
    threshold = roc.best_threshold(scores, members)
    assert roc.balanced_accuracy(scores, members, threshold) == 1.0


def test_best_threshold_of_a_reversed_score_predicts_nobody():
    scores, members = np.array([3.0, 2.0, 1.0]), np.array([False, True, True])
    threshold = roc.best_threshold(scores, members)
    assert np.isfinite(threshold) and (scores < threshold).all()


def test_float32_scores_are_cut_in_double_precision():
    neighbours = np.float32(0.5) + np.arange(3, dtype=np.float32) * np.spacing(np.float32(0.5))
    members = np.array([False, True])
    for scores in (neighbours[:2], neighbours[1:]):  # a midpoint in float32 fails for one of them
        assert roc.balanced_accuracy(scores, members, roc.best_threshold(scores, members)) == 1.0


def test_balanced_accuracy_counts_a_score_at_the_threshold_as_member():
    scores, members = np.array([1.0, 1.0, 0.0, 2.0]), np.array([True, False, False, True])
    assert roc.balanced_accuracy(scores, members, 1.0) == pytest.approx((1 + 0.5) / 2)


def test_balanced_accuracy_does_not_depend_on_the_share_of_members():
    scores, members = sample(3, 20, 30)
    more = np.concatenate([scores, np.tile(scores[members], 9)])
    labels = np.concatenate([members, np.ones(9 * 20, dtype=bool)])
    expected = roc.balanced_accuracy(scores, members, 0.4)
    assert roc.balanced_accuracy(more, labels, 0.4) == pytest.approx(expected)


def test_tpr_at_fpr_does_not_interpolate_between_scores():
    scores, members = np.array([3.0, 2.0, 1.0, 0.0]), np.array([False, True, False, True])
    assert roc.tpr_at_fpr(scores, members, 0.49) == 0.0
    assert roc.tpr_at_fpr(scores, members, 0.5) == 0.5


def test_tpr_at_fpr_of_a_tie_is_that_of_ties_broken_at_random():
    """Saturated scores: the best step has TPR 0, an attacker who tosses coins has more."""
    rng = np.random.default_rng(0)
    members = np.arange(4000) < 2000
    scores = np.minimum(rng.normal(size=4000) + members, 0.8)
    coins = [roc.tpr_at_fpr(scores + 1e-9 * rng.random(4000), members, 0.01) for _ in range(400)]
    tied = (scores == 0.8)[~members].sum()
    assert tied > 200  # above the 20 that are allowed: the best step has TPR 0
    assert roc.tpr_at_fpr(scores, members, 0.01) == pytest.approx(np.mean(coins), abs=1 / tied)


@pytest.mark.parametrize("fpr", [0.0, 0.1, 0.25, 0.9, 1.0])
def test_a_score_that_is_the_same_for_all_has_the_tpr_of_its_fpr(fpr):
    assert roc.tpr_at_fpr(np.zeros(60), np.arange(60) < 20, fpr) == pytest.approx(fpr)


def test_the_tie_at_an_fpr_is_counted():
    scores, members = (
        np.array([9.0, 5, 5, 5, 5, 1]),
        np.array([True, True, False, False, True, False]),
    )
    assert roc.tie_at_fpr(scores, members, 0.5) == roc.Tie(2, 2)
    assert roc.tie_at_fpr(scores, members, 0.1) == roc.Tie(2, 2)
    assert roc.tie_at_fpr(scores, members, 0.7) is None  # the next non-member stands alone
    assert roc.tie_at_fpr(scores, members, 1.0) is None


def test_binormal_closed_forms():
    scores, members = sample(0, 200_000, 200_000, shift=1.2)
    assert roc.auc(scores, members) == pytest.approx(stats.norm.cdf(1.2 / np.sqrt(2)), abs=0.004)
    for fpr in (0.1, 0.01, 0.001):
        truth = stats.norm.cdf(1.2 + stats.norm.ppf(fpr))
        assert roc.tpr_at_fpr(scores, members, fpr) == pytest.approx(truth, rel=0.08)
    assert roc.best_threshold(scores, members) == pytest.approx(0.6, abs=0.1)


def test_a_monotone_transform_changes_nothing():
    scores, members = sample(2, step=0.25)
    other = np.exp(3 * scores)
    assert roc.auc(other, members) == roc.auc(scores, members)
    np.testing.assert_array_equal(roc.roc_curve(other, members), roc.roc_curve(scores, members))


def step_value(fpr, tpr, rates):
    return np.asarray(tpr)[np.searchsorted(fpr, rates, side="right") - 1]


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_thin_looks_the_same(shift):
    fpr, tpr = roc.roc_curve(*sample(4, 20_000, 20_000, shift=shift))
    thin = roc.thin(fpr, tpr, points=200)
    assert 100 < len(thin.fpr) <= 200
    assert (thin.fpr[0], thin.tpr[0], thin.fpr[-1], thin.tpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(thin.fpr) >= 0).all() and (np.diff(thin.tpr) >= 0).all()
    rates = np.geomspace(1e-3, 1, 500)
    exact, kept = step_value(fpr, tpr, rates), step_value(thin.fpr, thin.tpr, rates * (1 + 1e-5))
    assert np.abs(np.log10(kept / exact)).max() < 0.06  # decades
    assert (kept - exact).min() > -0.02


def test_thin_keeps_only_points_of_the_curve():
    fpr, tpr = roc.roc_curve(*sample(5, 3000, 3000))
    given = {(float(f"{f:.6g}"), float(f"{t:.6g}")) for f, t in zip(fpr, tpr, strict=True)}
    thin = roc.thin(fpr, tpr, points=50)
    assert len(thin.fpr) <= 50 and set(zip(thin.fpr, thin.tpr, strict=True)) <= given


def test_thin_keeps_a_short_curve_and_drops_inner_points_of_runs():
    scores, members = np.array([5.0, 4, 3, 2, 1]), np.array([True, True, False, False, True])
    thin = roc.thin(*roc.roc_curve(scores, members))
    assert thin.fpr == (0, 0, 1, 1) and thin.tpr == (0, 0.666667, 0.666667, 1)
    assert roc.thin(*roc.roc_curve(*CONSTANT)) == roc.Roc((0, 1), (0, 1))
    assert roc.thin(*roc.roc_curve(*sample(1)), points=2) == roc.Roc((0, 1), (0, 1))


@pytest.mark.parametrize(
    "arguments",
    [([0, 1], [0, 1], 1), ([0, 1], [0, 0.5, 1], 9), ([0, 0.5], [0, 1], 9), ([0], [0], 9)],
)
def test_thin_refuses(arguments):
    with pytest.raises(ValueError, match=r"points|fpr"):
        roc.thin(*arguments)


FUNCTIONS = {
    "balanced_accuracy": lambda s, m: roc.balanced_accuracy(s, m, 0.0),
    "best_threshold": roc.best_threshold,
    "roc_curve": roc.roc_curve,
    "tpr_at_fpr": lambda s, m: roc.tpr_at_fpr(s, m, 0.1),
    "auc": roc.auc,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_input_is_refused(name):
    scores, members = sample(0)
    for labels in (np.ones_like(members), np.zeros_like(members), members[1:], members.astype(int)):
        with pytest.raises(ValueError, match="scores"):
            FUNCTIONS[name](scores, labels)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN or infinite"):
            FUNCTIONS[name](np.append(scores[1:], bad), members)


def test_bad_rates_and_thresholds_are_refused():
    for fpr in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="fpr"):
            roc.tpr_at_fpr(*sample(0), fpr)
    for threshold in (np.nan, np.inf):
        with pytest.raises(ValueError, match="threshold"):
            roc.balanced_accuracy(*sample(0), threshold)
