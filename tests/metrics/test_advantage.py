import numpy as np
import pytest
from scipy import stats

from tf_compleak.metrics import advantage, clustered, intervals


def of(scores, members, threshold):
    return advantage.from_accuracy(intervals.balanced_accuracy_estimate(scores, members, threshold))


def test_advantage_is_the_difference_of_the_rates_and_its_interval_newcombes():
    members = np.arange(200) < 100
    scores = np.concatenate([np.arange(100) < 70, np.arange(100) < 20]).astype(float)
    found = of(scores, members, 0.5)
    tpr, fpr = (stats.binomtest(k, 100).proportion_ci(method="wilson") for k in (70, 20))
    low = 0.5 - np.hypot(0.7 - tpr.low, fpr.high - 0.2)  # Newcombe 1998, method 10
    high = 0.5 + np.hypot(tpr.high - 0.7, 0.2 - fpr.low)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, low, high))
    assert (found.n, found.level) == (200, 0.95)


def test_a_coin_has_none_and_an_oracle_all():
    members = np.arange(400) < 200
    coin = of((np.arange(400) % 2) * 1.0, members, 0.5)
    assert coin.value == 0 and coin.low == pytest.approx(-coin.high)
    oracle = of(members * 1.0, members, 0.5)
    assert oracle.value == oracle.high == 1 and oracle.low > 0.95
    assert of(1.0 - members, members, 0.5).value == -1


def test_advantage_of_a_pooled_accuracy():
    rng = np.random.default_rng(0)
    members, clusters = rng.random(600) < 0.5, np.arange(600) % 100
    pooled = clustered.clustered_balanced_accuracy_estimate(
        rng.normal(size=600) + members, members, 0.5, clusters
    )
    found = advantage.from_accuracy(pooled)
    assert found.value == 2 * pooled.value - 1 and found.low == 2 * pooled.low - 1
    few = advantage.from_accuracy(intervals.Estimate.unmeasurable("too few", 3))
    assert not few.measurable and np.isnan(few.value) and few.method == "too few"
