"""False discovery rates: a naive twin, and what is stated against what comes true."""

import numpy as np
import pytest

from tf_compleak.metrics.false_discovery import false_discovery_rates


def test_a_naive_twin():
    rng = np.random.default_rng(0)
    members = rng.random(80) < 0.5
    scores = np.round(rng.normal(size=80) + members, 1)  # with ties
    rates = false_discovery_rates(scores, members)
    for score, rate in zip(scores, rates, strict=True):
        stated = []
        for threshold in scores[scores <= score]:
            errors = 1 + (scores[~members] >= threshold).sum()
            stated.append(errors / ((scores[members] >= threshold).sum() + errors))
        assert rate == min(stated)
    assert false_discovery_rates(np.array([2.0, 1.0]), np.array([True, False])).tolist() == [
        pytest.approx(1 / 2),
        pytest.approx(2 / 3),
    ]


@pytest.mark.parametrize("leak", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4])
def test_no_more_are_wrong_than_is_stated(leak, rate):
    """Of all that are named at a rate, among the members and as many other non-members."""
    rng, shares, draws = np.random.default_rng(0), [], 1500
    members = np.arange(200) < 100
    for _ in range(draws):
        scores, others = rng.normal(size=200) + leak * members, rng.normal(size=100)
        named = scores[false_discovery_rates(scores, members) <= rate]
        if not len(named):
            shares.append(0.0)
            continue
        errors = int((others >= named.min()).sum())
        shares.append(errors / ((scores[members] >= named.min()).sum() + errors))
    mean, error = np.mean(shares), np.std(shares) / np.sqrt(draws)
    assert mean <= rate + 2 * error
    if leak == 2.5:
        assert mean > 0.6 * rate  # not by naming nobody


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="finite"):
        false_discovery_rates(np.array([np.nan, 1.0]), np.array([True, False]))
