"""Splits: disjoint, stratified, seeded; adding a shadow changes nothing that was there before."""

import itertools

import numpy as np
import pytest

from tf_compleak.data import splits
from tf_compleak.types import Examples

PARTS = ("members", "non_members", "validation", "population")
SIZES = {
    "num_members": 50,
    "num_non_members": 50,
    "num_shadows": 2,
    "num_validation": 31,
    "num_population": 47,
}


def examples(*counts: int) -> Examples:
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return Examples(np.zeros((len(y), 1), np.float32), y, np.arange(len(y)), len(counts))


def make(data: Examples, seed: int = 1, **sizes):
    return splits.make_splits(data, **{**SIZES, **sizes}, seed=seed)


DATA = examples(200, 120, 80, 33)


def test_sizes_and_names():
    made = make(DATA, num_non_members=40)
    assert list(made) == ["target", "shadow-0", "shadow-1"]
    for split in made.values():
        assert [len(getattr(split, part)) for part in PARTS] == [50, 40, 31, 47]
        assert all(getattr(split, part).dtype == np.int64 for part in PARTS)


def test_disjoint_but_for_the_shared_parts():
    made = make(DATA)
    own = [part for split in made.values() for part in (split.members, split.non_members)]
    shared = [made["target"].validation, made["target"].population]
    for first, second in itertools.combinations([*own, *shared], 2):
        assert not set(first) & set(second)
    for split in made.values():
        np.testing.assert_array_equal(split.validation, shared[0])
        np.testing.assert_array_equal(split.population, shared[1])


@pytest.mark.parametrize("trial", range(20))
def test_every_part_holds_each_class_in_its_share(trial):
    rng = np.random.default_rng(trial)
    data = examples(*rng.integers(30, 150, size=rng.integers(2, 12)))
    size = (len(data) - 30) // 8  # all but about 30 of the examples are used
    made = make(data, num_members=size, num_non_members=size, num_validation=size)
    counts = np.bincount(data.y)
    for split in made.values():
        for part in (getattr(split, name) for name in PARTS):
            held = np.bincount(data.y[part], minlength=data.classes)
            assert (np.abs(held - counts * len(part) / len(data)) < 1).all()
        np.testing.assert_array_equal(
            np.bincount(data.y[split.members]), np.bincount(data.y[split.non_members])
        )


def test_all_of_a_balanced_set_can_be_used():
    made = make(examples(*[60] * 10), num_members=100, num_non_members=100, num_shadows=1,
                num_validation=100, num_population=100)  # fmt: skip
    assert len(np.unique(np.concatenate([made["target"].scored, made["shadow-0"].scored]))) == 400


def test_order_within_parts_does_not_tell_the_class():
    labels = DATA.y[make(DATA)["target"].members]
    assert (np.diff(labels) < 0).sum() > 5


def test_seed_decides():
    first, again, other = make(DATA), make(DATA), make(DATA, seed=2)
    for name, part in itertools.product(first, PARTS):
        np.testing.assert_array_equal(getattr(first[name], part), getattr(again[name], part))
        assert not np.array_equal(getattr(first[name], part), getattr(other[name], part))


def test_one_more_shadow_changes_no_earlier_part():
    few, more = make(DATA, num_shadows=1), make(DATA, num_shadows=2)
    for name, part in itertools.product(few, PARTS):
        np.testing.assert_array_equal(getattr(few[name], part), getattr(more[name], part))


def test_population_may_be_empty():
    assert len(make(DATA, num_population=0)["target"].population) == 0


@pytest.mark.parametrize("name", SIZES)
def test_sizes_too_low(name):
    low = -1 if name == "num_population" else 0
    with pytest.raises(ValueError, match=f"--{name}: must be at least {low + 1}, got {low}"):
        make(DATA, **{name: low})


def test_too_few_examples():
    with pytest.raises(ValueError) as error:
        make(DATA, num_shadows=5)
    message = str(error.value)
    assert "433 examples, 678 needed" in message
    assert "6 families x (50 members + 50 non-members) + 31 validation + 47 population" in message
    assert all(f"--{name}" in message for name in SIZES)


def test_too_few_by_rounding():
    data = examples(*[9] * 10)
    with pytest.raises(ValueError, match="a few too few to give every part its share"):
        make(data, num_members=22, num_non_members=22, num_shadows=1, num_validation=1,
             num_population=1)  # fmt: skip


@pytest.mark.parametrize("counts", [(300, 300, 2), (300, 300, 0, 2)])
def test_rare_class(counts):
    with pytest.raises(ValueError, match=r"class 2 has \d of 60\d examples.* 50 members"):
        make(examples(*counts))


def test_halves_share_one_pool_and_every_model_draws_its_own_part():
    sizes = {**SIZES, "num_members": 60, "num_non_members": 60, "num_shadows": 5}
    made = splits.make_halves(DATA, **sizes, seed=0)
    pool = made["target"].scored
    for split in made.values():
        np.testing.assert_array_equal(split.scored, pool)
        assert len(split.members) == 60
        np.testing.assert_array_equal(split.validation, made["target"].validation)
        assert not np.isin(split.population, pool).any()
        by_class = np.bincount(DATA.y[split.members], minlength=DATA.classes)
        expected = np.bincount(DATA.y[pool], minlength=DATA.classes) / 2
        assert (np.abs(by_class - expected) <= 1).all()
    inside = np.stack([split.is_member for split in made.values()])
    assert len(np.unique(inside, axis=0)) == 6
    few = splits.make_halves(DATA, **{**sizes, "num_shadows": 2}, seed=0)
    np.testing.assert_array_equal(few["shadow-1"].members, made["shadow-1"].members)


def test_coins_are_fair_and_independent_over_examples_and_models():
    """No count is kept, of members or of classes; the pool is that of halves."""
    data = examples(4000, 2000, 1000)
    sizes = {**SIZES, "num_members": 2000, "num_non_members": 2000, "num_shadows": 3}
    made = splits.make_coins(data, **sizes, seed=0)
    halves = splits.make_halves(data, **sizes, seed=0)
    np.testing.assert_array_equal(made["target"].scored, halves["target"].scored)
    inside = np.stack([split.is_member for split in made.values()])
    assert len(set(inside.sum(axis=1))) > 1
    spread = 3.5 * 0.5 / np.sqrt(inside.shape[1])
    assert (np.abs(inside.mean(axis=1) - 0.5) < spread).all()
    correlations = np.corrcoef(inside)[np.triu_indices(4, 1)]
    assert (np.abs(correlations) < 2 * spread).all()
    few = splits.make_coins(data, **{**sizes, "num_shadows": 1}, seed=0)
    np.testing.assert_array_equal(few["shadow-0"].members, made["shadow-0"].members)
    counts = [
        splits.make_coins(data, **{**sizes, "num_shadows": 1}, seed=seed)["target"].is_member.sum()
        for seed in range(200)
    ]
    assert 0.8 < np.std(counts) / (0.5 * np.sqrt(4000)) < 1.2  # that of 4,000 fair coins
