"""Splits: who is in which model's training set. Disjoint, stratified by class, seeded."""

from __future__ import annotations

import numpy as np

from tf_compleak import _checks, _seeds
from tf_compleak.types import Examples, Split


def make_splits(
    examples: Examples,
    *,
    num_members: int,
    num_non_members: int,
    num_shadows: int,
    num_validation: int,
    num_population: int,
    seed: int,
) -> dict[str, Split]:
    """The splits of the "target" and of "shadow-0", "shadow-1", ...

    Every family has members and non-members of its own; validation and population are shared by
    all families; all of these are pairwise disjoint. Every part holds each class in the share that
    it has in the data, to within one example. Parts are drawn in the order target, validation,
    population, shadows, so that one more shadow changes nothing that was there before.

    Raises:
      ValueError: when the data is too small, naming the flags to lower, or a class too rare.
    """
    sizes = {
        "num_members": num_members,
        "num_non_members": num_non_members,
        "num_shadows": num_shadows,
        "num_validation": num_validation,
    }
    for name, size in sizes.items():
        _checks.at_least(f"--{name}", size, 1)
    _checks.at_least("--num_population", num_population, 0)
    _check_size(examples, **sizes, num_population=num_population)
    deck = _Deck(examples, _seeds.generator(seed, "split"))
    target = deck.pair(num_members, num_non_members)
    validation, population = deck.deal(num_validation), deck.deal(num_population)
    pairs = [target, *(deck.pair(num_members, num_non_members) for _ in range(num_shadows))]
    names = ["target", *(f"shadow-{index}" for index in range(num_shadows))]
    return {
        name: Split(members, non_members, validation, population)
        for name, (members, non_members) in zip(names, pairs, strict=True)
    }


def _check_size(
    examples, num_members, num_non_members, num_shadows, num_validation, num_population
) -> None:
    families = 1 + num_shadows
    needed = families * (num_members + num_non_members) + num_validation + num_population
    if needed > len(examples):
        raise ValueError(
            f"data: {len(examples)} examples, {needed} needed ({families} families x "
            f"({num_members} members + {num_non_members} non-members) + {num_validation} validation"
            f" + {num_population} population); lower --num_members, --num_non_members, "
            "--num_shadows, --num_validation or --num_population."
        )
    counts = np.bincount(examples.y, minlength=examples.classes)
    expected = counts * num_members / len(examples)
    rare = int(expected.argmin())
    if expected[rare] < 1:
        raise ValueError(
            f"data: class {rare} has {counts[rare]} of {len(examples)} examples, so that "
            f"{num_members} members need not hold any; raise --num_members or drop the class."
        )


class _Deck:
    """Shuffled examples of every class, dealt out in class shares."""

    def __init__(self, examples: Examples, rng: np.random.Generator):
        self._rng = rng
        order = rng.permutation(len(examples))
        labels = np.asarray(examples.y)[order]
        self._piles = [order[labels == label] for label in range(examples.classes)]
        self._shares = np.array([len(pile) for pile in self._piles]) / len(examples)

    def deal(self, size: int) -> np.ndarray:
        """int64[size] indices, each class by its share (largest remainders get the odd ones)."""
        return self._draw(self._quota(size))

    def pair(self, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
        """Two parts; of equal sizes, they get equal numbers of each class."""
        quota = self._quota(first, each=2 if first == second else 1)
        return self._draw(quota), self._draw(quota if first == second else self._quota(second))

    def _quota(self, size: int, each: int = 1) -> np.ndarray:
        left = np.array([len(pile) for pile in self._piles]) // each
        exact = self._shares * size
        quota = np.minimum(np.floor(exact).astype(int), left)
        while quota.sum() < size:
            short = np.where(quota < left, exact - quota, -np.inf)
            quota[short.argmax()] += 1
        return quota

    def _draw(self, quota: np.ndarray) -> np.ndarray:
        drawn = [pile[:count] for pile, count in zip(self._piles, quota, strict=True)]
        self._piles = [pile[count:] for pile, count in zip(self._piles, quota, strict=True)]
        return self._rng.permutation(np.concatenate(drawn)).astype(np.int64)
