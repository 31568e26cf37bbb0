import functools
import math

import numpy as np
import pytest
from scipy import stats

from tf_compleak.metrics import one_run, privacy

TRIALS = 300
MOST = int(stats.binom.ppf(0.999, TRIALS, 0.05))  # of TRIALS at the nominal 5 %: a test that fails

# (examples, guesses, correct, alpha, delta): what jax_privacy 2.0.0 finds (auditing.py,
# _epsilon_one_run and _epsilon_one_run_fdp from 0, with dp-accounting 0.6.0), to its tolerance
REFERENCE = {
    (1000, 100, 90, 0.05, 1e-5): (1.6261436787042223, 2.4564050672094146),
    (1000, 1000, 620, 0.05, 1e-5): (0.3803387396969211, 0.7363537292569486),
    (5000, 200, 200, 0.05, 1e-5): (4.055521816066196, 5.95471652177885),
    (2000, 500, 300, 0.05, 1e-3): (0.0, 0.2239665119910712),
    (400, 50, 26, 0.05, 1e-5): (0.0, 0.0),
    (1000, 100, 90, 0.01, 1e-2): (0.0, 0.9133972548155638),
}


def coins(rng, n):
    return rng.random(n) < 0.5


def randomized_response(rng, n, epsilon):
    """The truth with odds exp(epsilon): (epsilon, 0)-private of every coin."""
    members = coins(rng, n)
    said = np.where(rng.random(n) < 1 / (1 + math.exp(-epsilon)), members, ~members)
    return said + 1e-3 * rng.random(n), members


def gaussian(rng, n, mu):
    """Each coin released with Gaussian noise: mu-Gaussian private of every coin."""
    members = coins(rng, n)
    return mu * members + rng.standard_normal(n), members


def told_by_chance(rng, n, delta):
    """All coins at once with probability delta, else noise: (0, delta)-private of every coin."""
    members = coins(rng, n)
    return np.where(rng.random() < delta, 1.0 * members, rng.random(n)), members


def lows(draw, times=TRIALS, seed=0, bound=one_run.steinke, **kwargs):
    rng = np.random.default_rng(seed)
    found = [
        one_run.epsilon_lower_bound(*draw(rng), rng=rng, bound=bound, **kwargs)
        for _ in range(times)
    ]
    return np.array([estimate.low for estimate in found])


@pytest.mark.parametrize("counts, bounds", REFERENCE.items())
def test_bounds_are_those_of_another_implementation(counts, bounds):
    assert one_run.steinke(*counts) == pytest.approx(bounds[0], abs=5e-6)
    assert one_run.gaussian(*counts) == pytest.approx(bounds[1], abs=5e-6)


def test_the_p_value_is_that_of_another_implementation():
    asked = [(1000, 100, 90, 1.0, 0), (1000, 100, 90, 1.5, 1e-5), (1000, 100, 80, 1.0, 1e-4)]
    found = [one_run.p_value(*counts) for counts in asked]  # jax_privacy 2.0.0, _one_run_p_value
    wanted = [2.7358128007661584e-05, 0.018764588474672005, 0.08608493824824695]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_without_delta_the_p_value_is_the_binomial_tail():
    for guesses, correct, epsilon in [(10, 7, 0.0), (40, 40, 2.0), (25, 0, 1.0)]:
        tail = stats.binom.sf(correct - 1, guesses, 1 / (1 + math.exp(-epsilon)))
        assert one_run.p_value(100, guesses, correct, epsilon, 0.0) == pytest.approx(tail)


def test_gaussian_epsilon_is_where_its_curve_has_delta():
    epsilon, mu = 1.7, 0.9
    delta = stats.norm.cdf(mu / 2 - epsilon / mu)
    delta -= math.exp(epsilon) * stats.norm.cdf(-mu / 2 - epsilon / mu)
    assert one_run.gaussian_epsilon(mu, delta) == pytest.approx(epsilon, abs=1e-5)
    assert one_run.gaussian_epsilon(0.0, delta) == 0


@pytest.mark.parametrize("n", [16, 100, 1000])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_randomized_response_is_not_overstated(epsilon, n):
    found = lows(functools.partial(randomized_response, n=n, epsilon=epsilon))
    assert (found > epsilon).sum() <= MOST


def test_randomized_response_is_approached():
    draw = functools.partial(randomized_response, epsilon=1.5)
    gaps = [1.5 - np.median(lows(functools.partial(draw, n=n), 10)) for n in (300, 3000, 300_000)]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 0.1


@pytest.mark.parametrize("mu", [0.5, 1.5])
def test_a_gaussian_mechanism_is_not_overstated_and_its_own_bound_is_nearer(mu):
    draw = functools.partial(gaussian, n=800, mu=mu)
    delta, times = 1e-3, 100
    most, true = stats.binom.ppf(0.999, times, 0.05), one_run.gaussian_epsilon(mu, delta)
    plain = lows(draw, times, delta=delta)
    nearer = lows(draw, times, delta=delta, bound=one_run.gaussian)
    assert (plain > true).sum() <= most and (nearer > true).sum() <= most
    assert np.median(nearer) > np.median(plain) + 0.1


def test_one_run_may_tell_all_at_once():
    """What bounds that take examples for independent draws cannot stand: 30 % are wrong."""
    draw = functools.partial(told_by_chance, n=400, delta=0.3)
    assert (lows(draw, delta=0.3) > 0).sum() <= MOST
    rng = np.random.default_rng(0)
    found = [privacy.epsilon_lower_bound(*draw(rng), delta=0.3, rng=rng).low for _ in range(100)]
    assert (np.array(found) > 0).sum() > stats.binom.ppf(0.999, 100, 0.05)


def test_both_ends_of_the_scores_are_guessed():
    rng = np.random.default_rng(3)
    members = coins(rng, 4000)
    sure = rng.random(4000) < 0.2
    low = one_run.epsilon_lower_bound(np.where(members, 0.0, -1.0 * sure), members, rng=rng).low
    high = one_run.epsilon_lower_bound(np.where(members, 1.0 * sure, 0.0), members, rng=rng).low
    assert min(low, high) > 3


def test_what_cannot_be_measured_says_why():
    rng = np.random.default_rng(0)
    few = one_run.epsilon_lower_bound(np.arange(7.0), np.arange(7) % 2 == 0, rng=rng)
    assert not few.measurable and "needs 8 examples, has 7" in few.method
    scores, members = gaussian(rng, 100, 1.0)
    pure = one_run.epsilon_lower_bound(scores, members, rng=rng, bound=one_run.gaussian)
    assert not pure.measurable and "--delta" in pure.method
    with pytest.raises(ValueError, match="delta: must be at least 0 and below 1"):
        one_run.epsilon_lower_bound(scores, members, delta=1.0, rng=rng)
