import math

import numpy as np
import pytest
from scipy import stats

from tf_compleak.metrics import bootstrap, roc


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
    "fpr, n, shift, noises, most, times",
    [
        (0.1, 300, 1.0, (0.7, 0.7), 1, 300),
        *(
            pytest.param(*row, 1000, marks=pytest.mark.slow)  # 20 s a row
            for row in [
                (0.1, 300, 1.0, (0.7, 0.7), 1),
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
def test_paired_difference_of_rates_coverage(fpr, n, shift, noises, most, times):
    """Conservative (an upper bound of 1) where few lie above the threshold or few differ."""
    rng, held, truth = np.random.default_rng(0), 0, true_difference(fpr, shift, noises)
    for _ in range(times):
        (first, second), members = two_scores(rng, n, shift, noises)
        found = bootstrap.paired_tpr_difference(first, second, members, fpr, rng=rng, draws=150)
        held += found.low <= truth <= found.high
    assert 0.93 <= held / times <= most


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
