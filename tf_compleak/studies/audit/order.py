"""The order in which the examples of both sides are asked: mixed, so that it tells nothing.

A version whose answers drift while it is asked must not be able to tell the sides apart by when
they were asked. Every position of the order is therefore as likely a member's as any other, in
proportion to the sides. Rows are numbered members first: 0 .. Nm-1, then the non-members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tf_compleak.data.sides import Side
from tf_compleak.types import seeds

PART = 8192  # examples whose answers are kept together
CHUNK = 64  # neighbours in a file that stay within one part, so that few pages are read
Inputs = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Order:
    """In which order the rows of two sides are asked.

    Attributes:
      sizes: rows of the members and of the non-members.
      parts: int64[P] each, row numbers; together every row once. All but the last have `PART`.
    """

    sizes: tuple[int, int]
    parts: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return sum(self.sizes)

    def in_place(self, answers: Sequence[np.ndarray]) -> np.ndarray:
        """Answers f32[P, C] to the parts, as f32[N, C] in the order of the rows' numbers.

        Raises:
          ValueError: when the number of columns changes from part to part.
        """
        classes = {rows.shape[1] for rows in answers}
        if len(classes) != 1:
            raise ValueError(f"answers with now {min(classes)}, now {max(classes)} columns.")
        together = np.empty((len(self), *classes), np.float32)
        for part, rows in zip(self.parts, answers, strict=True):
            together[part] = rows
        return together


def mixed(sizes: tuple[int, int], seed: int, family: str) -> Order:
    """The order of a family's rows: it depends on the sizes, the seed and the family's name alone.

    Each side's rows are cut into chunks of `CHUNK` neighbours, whose order is drawn. The k-th part
    takes of either side's sequence what is its share (rounded by one random number, so that no
    position is a member's for sure), and its rows are shuffled.
    """
    rng = seeds.generator(seed, "asking", family)
    members, non_members = sizes
    total = members + non_members
    sequences = _chunked(members, rng), members + _chunked(non_members, rng)
    shift = rng.random()
    parts, before = [], (0, 0)
    for end in [*range(PART, total, PART), total]:
        of_members = int(np.floor(end * members / total + shift)) if end < total else members
        until = (of_members, end - of_members)
        rows = [rows[a:b] for rows, a, b in zip(sequences, before, until, strict=True)]
        parts.append(rng.permutation(np.concatenate(rows)))
        before = until
    return Order(sizes, tuple(parts))


def _chunked(size: int, rng: np.random.Generator) -> np.ndarray:
    """int64[size]: 0 .. size-1, chunks of neighbours in a drawn order."""
    starts = rng.permutation(np.arange(0, size, CHUNK, dtype=np.int64))
    rows = (starts[:, None] + np.arange(CHUNK)).ravel()
    return rows[rows < size]


def gathered(
    sides: Sequence[Side], which: np.ndarray, change: Callable[[Inputs], Inputs]
) -> Inputs:
    """What `change` makes of rows `which` (int64[P]) of these sides, in that order.

    `change` is given the rows of both sides together, lest what it does with a batch of one side
    told that side. Only where the sides hold numbers of other types are they changed apart: each
    as its type is to be read, such as bytes in 0..255 beside floats in 0..1.

    Raises:
      ValueError: for NaN or infinity in them, and what `change` raises.
    """
    blocks, first = [], 0
    for side in sides:
        positions = np.flatnonzero((which >= first) & (which < first + len(side)))
        if len(positions):
            positions = positions[np.argsort(which[positions])]
            blocks.append((positions, side.rows(which[positions] - first)))
        first += len(side)
    types = {tuple((name, rows.dtype.char) for name, rows in block.items()) for _, block in blocks}
    if len(types) == 1:
        return change(_scattered(blocks, len(which)))
    return _scattered([(positions, change(block)) for positions, block in blocks], len(which))


def _scattered(blocks: Sequence[tuple[np.ndarray, Inputs]], count: int) -> Inputs:
    """Blocks of rows, each put at its positions among `count`."""
    together = {}
    for name, rows in blocks[0][1].items():
        together[name] = np.empty((count, *rows.shape[1:]), rows.dtype)
        for positions, block in blocks:
            together[name][positions] = block[name]
    return together
