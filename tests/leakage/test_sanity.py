"""The checks of a report, as rates: how often they void what is sound, and find what is not."""

import numpy as np
import pytest

from tf_compleak.attacks import blind
from tf_compleak.leakage import crossfit, sanity
from tf_compleak.types.soundness import holds_chance

SIDES = [(50, 50), (40, 160), (180, 20)]


def most(level: float, draws: int) -> float:
    """A rate of false alarms that draws with this level exceed once in a thousand times."""
    return 1 - level + 3 * np.sqrt(level * (1 - level) / draws)


def drawn(rng, sides: tuple[int, int], width: int, shift: float = 0.0):
    """Inputs f64[N, width] and members bool[N]; `shift` moves one feature of the members."""
    members = rng.permutation(sum(sides)) < sides[0]
    table = rng.standard_normal((sum(sides), width))
    table[members, 0] += shift
    return table, members


def linear_scores(rng, table: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Cross-fitted scores f64[N] of the plainest classifier: the difference of the means."""
    values, folds = np.empty(len(members)), crossfit.folds_of(members, blind.FOLDS, rng)
    for fold in range(blind.FOLDS):
        others, left_out = folds != fold, folds == fold
        direction = table[others & members].mean(axis=0) - table[others & ~members].mean(axis=0)
        values[left_out] = table[left_out] @ (direction / np.linalg.norm(direction))
    return values


@pytest.mark.parametrize("sides", SIDES)
def test_a_blind_baseline_on_sound_data_fails_once_in_a_hundred(sides):
    rng, draws, alarms = np.random.default_rng(0), 1000, 0
    for _ in range(draws):
        table, members = drawn(rng, sides, width=20)
        alarms += not holds_chance(
            sanity.blind_estimate(linear_scores(rng, table, members), members)
        )
    assert alarms / draws <= most(sanity.LEVEL, draws)


@pytest.mark.slow
@pytest.mark.parametrize("sides", SIDES)
def test_the_baseline_of_reports_on_sound_data_fails_once_in_a_hundred(sides):
    draws, alarms = 1000, 0
    for seed in range(draws):
        table, members = drawn(np.random.default_rng(seed), sides, width=8)
        values = blind.scores(table, members, seed=seed)
        alarms += not holds_chance(sanity.blind_estimate(values, members))
    assert alarms / draws <= most(sanity.LEVEL, draws)


@pytest.mark.parametrize("sides", [(200, 200), (80, 320)])
def test_a_blind_baseline_finds_sides_that_differ(sides):
    for seed in range(5):
        table, members = drawn(np.random.default_rng(seed), sides, width=8, shift=1.5)
        auc = sanity.blind_estimate(blind.scores(table, members, seed=seed), members)
        assert auc.low > 0.5
