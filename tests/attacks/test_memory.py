"""No attack and no figure holds an array of N x N or N x Z."""

import tracemalloc

import numpy as np
import planted
import pytest

from tf_compleak import attacks
from tf_compleak.metrics import clustered, intervals, privacy, roc

N = 8000  # N x N booleans are 64 MB
LEAST = N * N  # bytes
WITHOUT_KERAS = sorted(
    name
    for name in attacks.ATTACKS
    if name not in ("samia", "mr", "mr-rf") and not name.endswith(("-mlp", "-rf"))
)


def peak(action):
    """Bytes that it adds at its peak."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def models():
    return planted.halves(0, 1.0, 4, n=N)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ("lira-boosted", "calibrated") else ())
        for name in WITHOUT_KERAS
    ],
)
def test_attacks_hold_no_square_array(models, name):
    entry = attacks.ATTACKS[name]
    release = {"NR": 1, "SR": 2, "MR": 2}[entry.tiers[-1]]
    target, *shadows = (model.select(planted.VERSIONS[:release]) for model in models)
    shadows = shadows[: 2 if "aside" in entry.needs else 1]

    attack = attacks.load(name)  # what it imports does not count

    def fit_and_score():
        fitted = attack.fit(shadows, seed=0)
        fitted.score(target.hidden())
        assert np.isfinite(fitted.threshold)

    assert peak(fit_and_score) < LEAST


@pytest.mark.parametrize(
    "figure",
    [
        intervals.auc_estimate,
        lambda s, m: intervals.auc_difference(s, -s, m),
        lambda s, m: intervals.tpr_at_fpr_estimate(s, m, 0.1, rng=np.random.default_rng(0)),
        lambda s, m: clustered.clustered_auc_estimate(s, m, np.arange(N) // 2),
        lambda s, m: privacy.epsilon_lower_bound(s, m, rng=np.random.default_rng(0)),
        roc.best_threshold,
    ],
)
def test_figures_hold_no_square_array(figure):
    rng = np.random.default_rng(0)
    assert peak(lambda: figure(rng.normal(size=N), np.arange(N) < N // 2)) < LEAST


def test_the_limit_is_one_that_a_square_array_breaks():
    values = np.random.default_rng(0).normal(size=N)
    assert peak(lambda: (values[:, None] > values).sum()) >= LEAST
