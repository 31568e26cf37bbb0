"""Duplicates: examples of the same content, by one rule for runs and audits.

Two examples are one where their texts are the same letters, or their inputs the same numbers in
float32, which is what models take; labels and ids do not count. A duplicate of a member is in the
training set whatever side it is put on, so it never stands among the non-members.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from dataclasses import dataclass

import numpy as np

from tf_compleak.data import sides
from tf_compleak.data.sides import Side
from tf_compleak.types import LEAST, Examples, Texts, validators

AT_ONCE = 2**22  # numbers that are held as floats for their digests


def digests(side: Side) -> np.ndarray:
    """S16[N], a digest of the text, or of the inputs whatever their number type, of each."""
    if side.texts is not None:
        spans = (side.texts.content[a:b] for a, b in itertools.pairwise(side.texts.ends))
        return np.array([hashlib.blake2b(s, digest_size=16).digest() for s in spans], "S16")
    rows_digests = []
    for block in side.blocks():
        inputs = [rows.reshape(len(rows), -1) for _, rows in sorted(block.items())]
        step = max(1, AT_ONCE // max(1, sum(rows.shape[1] for rows in inputs)))
        for start in range(0, len(inputs[0]), step):
            flat = [rows[start : start + step].astype(np.float32) for rows in inputs]
            table = np.ascontiguousarray(np.concatenate(flat, axis=1) + np.float32(0))
            rows_digests += [hashlib.blake2b(row.data, digest_size=16).digest() for row in table]
    return np.array(rows_digests, dtype="S16")


# Runs: one set of examples, from which all splits are drawn ---------------------------------------


@dataclass(frozen=True)
class Dropped:
    """What was left out of so many `examples`: how many, and how many of these by another label."""

    examples: int
    count: int
    relabelled: int

    def sentence(self) -> str:
        """What a reader should know; "" where nothing was left out."""
        if not self.count:
            return ""
        labels = f"; {self.relabelled} of them had another label than the one that was kept"
        return (
            f"{self.count} of {self.examples} examples were left out before the split, since an "
            f"earlier one has the same content{labels if self.relabelled else ''}."
        )


def without_duplicates(examples: Examples) -> tuple[Examples, Dropped]:
    """The first example of every content, in order, and what was left out.

    The label of the first counts, too. Texts are held in memory, arrays are copied; where there are
    no duplicates, the same object is returned.
    """
    side = sides.of_arrays(examples.x, examples.y, "data", examples.ids)
    _, first, of_content = np.unique(digests(side), return_index=True, return_inverse=True)
    relabelled = int((examples.y != examples.y[first][of_content]).sum())
    dropped = Dropped(len(examples), len(examples) - len(first), relabelled)
    if not dropped.count:
        return examples, dropped
    rows = np.sort(first)
    x = Texts.of(examples.x[rows]) if isinstance(examples.x, Texts) else examples.x[rows]
    distinct = dataclasses.replace(examples, x=x, y=examples.y[rows], ids=examples.ids[rows])
    return distinct, dropped


# Audits: two sides --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Distinct:
    """Members and non-members of which no two have the same content.

    Attributes:
      sides: both; rows: int64[N] of those that were given; digests: S16[N] of each.
      overlap: contents that were on both sides; repeated: examples left out within either.
    """

    sides: tuple[Side, Side]
    rows: tuple[np.ndarray, np.ndarray]
    digests: tuple[np.ndarray, np.ndarray]
    overlap: int
    repeated: tuple[int, int]

    @property
    def given(self) -> tuple[int, int]:
        """How many examples either side had."""
        pairs = zip(self.rows, self.repeated, strict=True)
        return tuple(len(rows) + count + self.overlap for rows, count in pairs)

    def sentences(self) -> list[str]:
        """What a reader should know; [] where nothing was left out."""
        lines = [
            f"{side.where}: {count} of {size} examples were left out, since an earlier one has the "
            "same content."
            for side, size, count in zip(self.sides, self.given, self.repeated, strict=True)
            if count
        ]
        if self.overlap:
            are = "example is" if self.overlap == 1 else "examples are"
            lines.append(f"{self.overlap} {are} on both sides, and left out of either.")
        return lines


def distinct_sides(members: Side, non_members: Side, drop: bool) -> Distinct:
    """The first example of every content of either side, without those that are on both.

    Raises:
      ValueError: when some are on both and `drop` is false, naming the first and the count; when
        fewer than 20 are left.
    """
    given, of_rows = (members, non_members), (digests(members), digests(non_members))
    common = np.intersect1d(*of_rows)
    if len(common) and not drop:
        first = int(np.flatnonzero(np.isin(of_rows[0], common))[0])
        raise ValueError(
            f"{non_members.where}: {len(common)} example(s) are among the members, too (first: "
            f"member {members.ids[first]}); mend the lists, or pass --drop_overlap to leave them "
            "out on both sides."
        )
    firsts = [np.sort(np.unique(side, return_index=True)[1]) for side in of_rows]
    rows = [
        first[~np.isin(side[first], common)] for side, first in zip(of_rows, firsts, strict=True)
    ]
    for side, left in zip(given, rows, strict=True):
        validators.at_least(f"{side.where}: examples of different content", len(left), LEAST)
    return Distinct(
        tuple(_taken(side, left) for side, left in zip(given, rows, strict=True)),
        tuple(rows),
        tuple(side[left] for side, left in zip(of_rows, rows, strict=True)),
        len(common),
        tuple(len(side) - len(first) for side, first in zip(given, firsts, strict=True)),
    )


def _taken(side: Side, rows: np.ndarray) -> Side:
    return side if len(rows) == len(side) else side.take(rows)
