"""Slices of the best rows, where no row tells anything."""

import numpy as np
import planted

from tf_compleak.leakage import report_rows
from tf_compleak.metrics import intervals
from tf_compleak.types import Estimate
from tf_compleak.types.findings import Findings, Result
from tf_compleak.types.soundness import Sanity


def rows_of_noise(seed: int, count: int = 20, n: int = 600):
    """The AUCs of several rows of scores that know nothing of a family, and these scores."""
    rng, family = np.random.default_rng(seed), planted.family(seed, 0.0, n=n, classes=4)
    scores = {
        (f"attack-{i}", ("original",)): planted.pooled(rng.standard_normal(n), family)
        for i in range(count)
    }
    none = Estimate.unmeasurable("not asked", n)
    results = tuple(
        Result("NR", release, attack, n // 2, n // 2, none, _auc(pooled), {})
        for (attack, release), pooled in scores.items()
    )
    return family, scores, results


def _auc(pooled) -> Estimate:
    return intervals.auc_estimate(pooled.values, pooled.members)


def test_slices_of_the_row_that_is_best_on_the_target_hold_together():
    """The best of 20 rows of noise is above 0.5, and so are its slices."""
    sanity = Sanity.of((), Estimate.unmeasurable("not run", 0))
    wrong, naive = [], []
    for seed in range(200):
        family, scores, results = rows_of_noise(seed)
        findings = Findings({}, {}, (), results, (), sanity)
        slices = report_rows.sliced(findings, scores, family)
        assert {part.name for part in slices} >= {"class=0", "correct"}
        assert {part.count for part in slices} == {20 * len(slices)}
        wrong.append(any(not part.auc.low <= 0.5 <= part.auc.high for part in slices))
        halves = [  # intervals at the level for the slices alone, of the same scores
            (part.auc.value - part.auc.low) * _ratio(len(slices), part.count) for part in slices
        ]
        lows = [part.auc.value - half for part, half in zip(slices, halves, strict=True)]
        naive.append(max(lows) > 0.5)
    assert np.mean(wrong) <= 0.05 < 0.1 < np.mean(naive)


def _ratio(few: int, many: int) -> float:
    levels = (1 - 0.05 / count for count in (few, many))
    less, more = (intervals.normal_quantile(level) for level in levels)
    return less / more
