import json
import math

import numpy as np
import pytest
from scipy import stats

from tf_compleak.metrics import privacy

TRIALS = 500
MOST = int(stats.binom.ppf(0.999, TRIALS, 0.05))  # of TRIALS at the nominal 5 %: a test that fails


def noise(rng, n, levels=0):
    scores = rng.random(2 * n)
    return (np.round(scores * levels) if levels else scores), np.arange(2 * n) < n


def randomized_response(rng, n, epsilon, delta=0.0):
    """The truth with odds exp(epsilon), and with probability delta the truth, marked as such."""
    members = np.arange(2 * n) < n
    honest = rng.random(2 * n) < 1 / (1 + math.exp(-epsilon))
    marked = rng.random(2 * n) < delta
    said = np.where(honest | marked, members, ~members)
    return np.where(said, 1.0, -1.0) * np.where(marked, 2, 1), members


def lows(draw, times=TRIALS, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    found = [privacy.epsilon_lower_bound(*draw(rng), rng=rng, **kwargs) for _ in range(times)]
    return np.array([estimate.low for estimate in found])


def greedy_bound(scores, members, tail):
    """What the corrections are there against: the best of all thresholds, each taken alone."""
    best = -math.inf
    for sign, kind in ((1, members), (-1, ~members)):
        inside, outside = np.sort(sign * scores[kind]), np.sort(sign * scores[~kind])
        hits = len(inside) - np.searchsorted(inside, outside)
        alarms = len(outside) - np.arange(len(outside))
        counts = privacy._Counts(hits, len(inside), alarms, len(outside))
        best = max(best, float(privacy._log_ratio(counts, 0.0, tail).max()))
    return best


@pytest.mark.parametrize("n, levels", [(10, 0), (200, 0), (200, 5), (1000, 0)])
def test_noise_proves_nothing(n, levels):
    found = lows(lambda rng: noise(rng, n, levels))
    assert (found > 0).sum() <= MOST


def test_the_tolerance_on_noise_can_fail():
    rng = np.random.default_rng(0)
    found = [greedy_bound(*noise(rng, 2000), 0.05) > 0 for _ in range(200)]
    assert sum(found) > 2 * MOST * 200 / TRIALS  # the maximum without a correction is caught


def test_the_half_that_measures_does_not_choose():
    """Two bounds at 2.5 % both fail on noise in 0.3 %; chosen on the same half, in 5 %."""
    found = lows(lambda rng: noise(rng, 2000))
    assert (found > 0).sum() <= stats.binom.ppf(0.999, TRIALS, 0.003)


@pytest.mark.parametrize("level", [0.5, 0.8])
def test_noise_proves_nothing_at_low_levels(level):
    found = lows(lambda rng: noise(rng, 200), level=level)
    assert (found > 0).sum() <= stats.binom.ppf(0.999, TRIALS, 1 - level)


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
@pytest.mark.parametrize("n", [50, 1000])
def test_randomized_response_is_not_overstated(epsilon, n):
    found = lows(lambda rng: randomized_response(rng, n, epsilon))
    assert (found > epsilon).sum() <= MOST


def test_randomized_response_is_approached():
    epsilon, gaps = 1.5, []
    for n in (300, 3000, 30_000, 300_000):
        found = lows(lambda rng, n=n: randomized_response(rng, n, epsilon), times=10)
        gaps.append(epsilon - np.median(found))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[1] < 0.3 and gaps[-1] < 0.03


def test_delta_is_taken_off():
    def draw(rng):
        return randomized_response(rng, 1000, 1.0, delta=0.05)

    assert (lows(draw, delta=0.05) > 1.0).sum() <= MOST
    assert (lows(draw, times=100) > 1.0).mean() > 0.5  # marked answers: no limit at 0
    pure = lows(lambda rng: randomized_response(rng, 1000, 1.0), times=50)
    less = lows(lambda rng: randomized_response(rng, 1000, 1.0), times=50, delta=0.1)
    assert 0.4 < np.median(less) < np.median(pure)


def test_both_directions_are_used():
    rng = np.random.default_rng(3)
    members = np.arange(4000) < 2000
    scores = np.where(members, 0.0, (rng.random(4000) < 0.3) * -1.0)  # only non-members are sure
    found = privacy.epsilon_lower_bound(scores, members, rng=rng)
    assert found.low > 3
    mirrored = privacy.epsilon_lower_bound(-scores, ~members, rng=rng)
    assert mirrored.low > 3


def test_separation_gives_the_closed_form():
    members = np.arange(2000) < 1000
    found = privacy.epsilon_lower_bound(members * 1.0, members, rng=np.random.default_rng(0))
    n, tail = 500, 0.05 / 2  # of the half that measures, for either of two rates
    miss = 1 - tail ** (1 / n)  # 0 of n: the upper Clopper-Pearson bound
    most = math.log((1 - miss) / miss)
    assert found.low <= most + 1e-9
    assert found.low > most - 0.7  # ties may cost a few ranks


def test_a_report_can_hold_it():
    draw = randomized_response(np.random.default_rng(0), 500, 1.0)
    found, again = (
        privacy.epsilon_lower_bound(*draw, rng=np.random.default_rng(4)) for _ in range(2)
    )
    assert found.to_json() == again.to_json()
    assert 0 <= found.low <= found.value and math.isnan(found.high) and found.measurable
    assert found.method == "one-sided Clopper-Pearson, split" and found.n == 1000
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["high"] is None


def test_a_higher_level_proves_less():
    found = [
        lows(lambda rng: randomized_response(rng, 500, 1.0), times=50, level=level).mean()
        for level in (0.5, 0.95, 0.999)
    ]
    assert found == sorted(found, reverse=True) and found[0] > found[2] + 0.1


@pytest.mark.parametrize("n", [4, 5, 33])
def test_constant_and_few_scores(n):
    members = np.arange(2 * n) < n
    rng = np.random.default_rng(0)
    assert privacy.epsilon_lower_bound(np.zeros(2 * n), members, rng=rng).low == 0
    few = privacy.epsilon_lower_bound(np.arange(9.0), np.arange(9) < 3, rng=rng, delta=0.5)
    assert not few.measurable and "has 3 and 6" in few.method


def test_bad_input_is_refused():
    rng = np.random.default_rng(0)
    scores, members = noise(rng, 20)
    for delta in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match="delta"):
            privacy.epsilon_lower_bound(scores, members, delta=delta, rng=rng)
    with pytest.raises(ValueError, match="level"):
        privacy.epsilon_lower_bound(scores, members, level=95, rng=rng)
    with pytest.raises(ValueError, match="NaN"):
        privacy.epsilon_lower_bound(np.append(scores[1:], np.nan), members, rng=rng)
    with pytest.raises(ValueError, match="members"):
        privacy.epsilon_lower_bound(scores, np.ones_like(members), rng=rng)


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 1000, 10_000])
def test_noise_proves_nothing_in_full(n):
    found = lows(lambda rng: noise(rng, n), times=2000, seed=1)
    assert (found > 0).sum() <= stats.binom.ppf(0.999, 2000, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 10_000])
def test_gaussian_mechanism_is_not_overstated(n):
    """Scores N(0, 1) against N(1, 1) are (epsilon, delta)-private in closed form."""
    epsilon = 1.0
    delta = stats.norm.cdf(0.5 - epsilon) - math.exp(epsilon) * stats.norm.cdf(-0.5 - epsilon)

    def draw(rng):
        members = np.arange(2 * n) < n
        return rng.normal(size=2 * n) + members, members

    assert (lows(draw, delta=delta) > epsilon).sum() <= MOST
