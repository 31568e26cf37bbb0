"""Examples, texts, and who is in one model's training set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.types import validators

LEAST = 20  # members, and non-members, of a target; figures of fewer say nothing


@dataclass(frozen=True, eq=False)
class Texts:
    """N texts as one buffer: UTF-8 `content` uint8[B], text i from `ends[i]` to `ends[i + 1]`.

    `ends` is int64[N + 1], its first entry 0. Both may be memory-mapped.
    """

    content: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str]) -> Texts:
        """The texts in one buffer."""
        parts = [text.encode("utf-8") for text in texts]
        ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(parts), np.uint8), ends)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N,)"""
        return (len(self),)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __iter__(self) -> Iterator[str]:
        return iter(self[np.arange(len(self))])

    def __getitem__(self, indices: np.ndarray) -> list[str]:
        """The texts of `indices`."""
        pairs = zip(self.ends[indices], self.ends[np.asarray(indices) + 1], strict=True)
        return [self.content[start:end].tobytes().decode("utf-8") for start, end in pairs]


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs x[N, ...], labels y int64[N], unique ids[N], C classes.

    Inputs are images (uint8 in 0..255, or float) [N, H, W, channels], tables [N, F] of numbers as
    they are, anything else [N, ...] in float, or `Texts`.
    """

    x: np.ndarray | Texts
    y: np.ndarray
    ids: np.ndarray
    classes: int

    def __post_init__(self):
        if not len(self.x) == len(self.y) == len(self.ids):
            raise ValueError(
                f"x, y, ids: lengths differ ({len(self.x)}, {len(self.y)}, {len(self.ids)})."
            )
        validators.labels("y", self.y, self.classes)
        validators.distinct("ids", self.ids)

    def __len__(self) -> int:
        return len(self.y)

    def inputs(self, indices: np.ndarray) -> np.ndarray:
        """float32 inputs of `indices`; uint8 is scaled from 0..255 to [0, 1], but in tables."""
        x = self.x[indices]
        scaled = x.dtype == np.uint8 and x.ndim > 2
        return x.astype(np.float32) / np.float32(255) if scaled else np.float32(x)


@dataclass(frozen=True, eq=False)
class Split:
    """Who is in one model's training set: pairwise disjoint int64 index arrays into `Examples`."""

    members: np.ndarray
    non_members: np.ndarray
    validation: np.ndarray
    population: np.ndarray

    def __post_init__(self):
        parts = dataclasses.asdict(self)
        for name in ("members", "non_members", "validation"):
            if not len(parts[name]):
                raise ValueError(f"{name}: empty; give it at least one example.")
        together = np.concatenate(list(parts.values()))
        unique, counts = np.unique(together, return_counts=True)
        if (counts > 1).any():
            raise ValueError(
                f"split: example {unique[counts > 1][0]} is in more than one of "
                "members, non_members, validation, population; they must be disjoint."
            )

    @property
    def scored(self) -> np.ndarray:
        """Indices of the examples that are attacked, ascending: their order tells no membership."""
        return np.sort(np.concatenate([self.members, self.non_members]))

    @property
    def is_member(self) -> np.ndarray:
        """bool[N] beside `scored`."""
        return np.isin(self.scored, self.members)

    def shuffled(self, rng: np.random.Generator) -> Split:
        """The same scored examples, members and non-members drawn anew: for the null run."""
        drawn = rng.permutation(self.scored)
        count = len(self.members)
        return dataclasses.replace(self, members=drawn[:count], non_members=drawn[count:])
