"""Splits: who is in which model's training set. Disjoint, stratified by class, seeded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tf_compleak.types import Examples, Split, seeds, validators


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
        "num_validation": num_validation,
    }
    for name, size in sizes.items():
        validators.at_least(f"--{name}", size, 1)
    validators.at_least("--num_shadows", num_shadows, 1)
    validators.at_least("--num_population", num_population, 0)
    _check_size(examples, 1 + num_shadows, **sizes, num_population=num_population)
    deck = _Deck(examples.y, examples.classes, seeds.generator(seed, "split"))
    target = deck.family(num_members, num_non_members)
    validation, population = deck.part(num_validation), deck.part(num_population)
    families = [target, *(deck.family(num_members, num_non_members) for _ in range(num_shadows))]
    names = ["target", *(f"shadow-{index}" for index in range(num_shadows))]
    return {
        name: Split(members, non_members, validation, population)
        for name, (members, non_members) in zip(names, families, strict=True)
    }


def make_halves(
    examples: Examples,
    *,
    num_members: int,
    num_non_members: int,
    num_shadows: int,
    num_validation: int,
    num_population: int,
    seed: int,
) -> dict[str, Split]:
    """As `make_splits`, but every model is trained on a random part of one and the same pool.

    The pool holds num_members + num_non_members examples; each model's members are `num_members` of
    them, its non-members the others. Every example has models that saw it and models that did not,
    and every model can play the target (Carlini et al., S&P 2022, section 4.4).

    Raises:
      ValueError: when the data is too small, naming the flags to lower, or a class too rare.
    """

    def half(pool: np.ndarray, name: str) -> np.ndarray:
        rng = seeds.generator(seed, "halves", name)
        return _Deck(examples.y[pool], examples.classes, rng).part(num_members)

    sizes = (num_members, num_non_members, num_shadows, num_validation, num_population)
    return _from_one_pool(examples, *sizes, seed, half)


def make_coins(
    examples: Examples,
    *,
    num_members: int,
    num_non_members: int,
    num_shadows: int,
    num_validation: int,
    num_population: int,
    seed: int,
) -> dict[str, Split]:
    """As `make_halves`, but a fair coin of its own decides of every example and model.

    So numbers of members differ from model to model, and classes are not kept in their shares: what
    one run proves about epsilon rests on that independence (Steinke et al., NeurIPS 2023, section
    2; `metrics.one_run`).

    Raises:
      ValueError: when the data is too small, naming the flags to lower.
    """

    def drawn(pool: np.ndarray, name: str) -> np.ndarray:
        rng = seeds.generator(seed, "coins", name)
        return rng.permutation(np.flatnonzero(rng.random(len(pool)) < 0.5))

    sizes = (num_members, num_non_members, num_shadows, num_validation, num_population)
    return _from_one_pool(examples, *sizes, seed, drawn)


MAKERS = {"disjoint": make_splits, "halves": make_halves, "coins": make_coins}  # by --split


def _from_one_pool(
    examples: Examples,
    num_members: int,
    num_non_members: int,
    num_shadows: int,
    num_validation: int,
    num_population: int,
    seed: int,
    draw: Callable[[np.ndarray, str], np.ndarray],
) -> dict[str, Split]:
    """Splits of one pool; `draw` (pool, family) gives the places in it of a family's members."""
    sizes = {
        "num_members": num_members,
        "num_non_members": num_non_members,
        "num_validation": num_validation,
    }
    for name, size in {**sizes, "num_shadows": num_shadows}.items():
        validators.at_least(f"--{name}", size, 1)
    validators.at_least("--num_population", num_population, 0)
    _check_size(examples, 1, **sizes, num_population=num_population)
    deck = _Deck(examples.y, examples.classes, seeds.generator(seed, "split"))
    pool = np.sort(np.concatenate(deck.family(num_members, num_non_members)))
    validation, population = deck.part(num_validation), deck.part(num_population)
    splits = {}
    for name in ["target", *(f"shadow-{index}" for index in range(num_shadows))]:
        chosen = draw(pool, name)
        inside = np.zeros(len(pool), dtype=bool)
        inside[chosen] = True
        splits[name] = Split(pool[chosen], pool[~inside], validation, population)
    return splits


def _check_size(
    examples, families, num_members, num_non_members, num_validation, num_population
) -> None:
    needed = families * (num_members + num_non_members) + num_validation + num_population
    if needed > len(examples):
        raise ValueError(
            f"data: {len(examples)} examples, {needed} needed ({families} families x "
            f"({num_members} members + {num_non_members} non-members) + {num_validation} validation"
            f" + {num_population} population); lower --num_members, --num_non_members, "
            "--num_shadows, --num_validation or --num_population."
        )


class _Deck:
    """Shuffled examples of every class, dealt out in class shares."""

    def __init__(self, labels: np.ndarray, classes: int, rng: np.random.Generator):
        self._rng = rng
        order = rng.permutation(len(labels))
        labels = np.asarray(labels)[order]
        self._piles = [order[labels == label] for label in range(classes)]
        self._counts = np.array([len(pile) for pile in self._piles])  # int[C], before any draw
        self._owed = np.zeros(classes)  # f64[C], what earlier parts rounded away

    def family(self, members: int, non_members: int) -> tuple[np.ndarray, np.ndarray]:
        """Members and non-members; of equal sizes, they get equal numbers of each class."""
        equal = members == non_members
        quota = self._quota(members, parts=2 if equal else 1)
        if not quota.all():
            rare = int(quota.argmin())
            raise ValueError(
                f"data: class {rare} has {self._counts[rare]} of {self._counts.sum()} examples, so "
                f"{members} members would hold none; raise --num_members or drop the class."
            )
        return self._draw(quota), self._draw(quota if equal else self._quota(non_members))

    def part(self, size: int) -> np.ndarray:
        """int64[size] indices, each class by its share."""
        return self._draw(self._quota(size))

    def _quota(self, size: int, parts: int = 1) -> np.ndarray:
        """int[C] summing to `size`: shares rounded down, or up where most is owed.

        Plain largest remainders would round the same classes up in every part, and run out.
        """
        exact = self._counts * size / self._counts.sum()
        unused = np.array([len(pile) for pile in self._piles]) // parts
        quota = np.floor(exact).astype(int)
        up = np.flatnonzero((exact > quota) & (unused > quota))
        short = size - quota.sum()
        if (unused < quota).any() or len(up) < short:
            raise ValueError(
                f"data: {self._counts.sum()} examples are a few too few to give every part its "
                f"share of each class; leave about {2 * len(unused)} unused: lower --num_members, "
                "--num_non_members, --num_shadows, --num_validation or --num_population."
            )
        first = np.argsort(-(exact - quota + self._owed)[up], kind="stable")[:short]
        quota[up[first]] += 1
        return quota

    def _draw(self, quota: np.ndarray) -> np.ndarray:
        drawn = [pile[:count] for pile, count in zip(self._piles, quota, strict=True)]
        self._piles = [pile[count:] for pile, count in zip(self._piles, quota, strict=True)]
        self._owed += self._counts * quota.sum() / self._counts.sum() - quota
        return self._rng.permutation(np.concatenate(drawn)).astype(np.int64)
