"""What a source holds: for an audit one of its two sides, examples trained on or not."""

from __future__ import annotations

import dataclasses
import mmap
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tf_compleak.types import Texts, validators

BLOCK = 4096  # examples that are held as floats at a time
LABEL_MOST = 2**31 - 1
X = "x"  # the name of an input that has none


@dataclass(frozen=True, eq=False)
class Side:
    """Members or non-members.

    Attributes:
      where: what errors call it, such as "--members=npz:train.npz".
      inputs: [N, ...] of each input, uint8 in 0..255 or float, by name ("x" where the source
        names none); empty where there are only labels, or texts.
      labels: int64[N].
      ids: [N], unique; text in an audit.
      classes: names of the classes that labels number, where the source has names.
      texts: N texts, where the source holds such.
    """

    where: str
    inputs: dict[str, np.ndarray]
    labels: np.ndarray
    ids: np.ndarray
    classes: tuple[str, ...] = ()
    texts: Texts | None = None

    def __post_init__(self):
        for name, values in (*self.inputs.items(), ("text", self.texts)):
            if values is not None and len(values) != len(self):
                raise ValueError(f"{self.where}: {len(values)} rows of {name}, {len(self)} labels.")
        if self.ids.shape != self.labels.shape:
            raise ValueError(
                f"{self.where}: ids of shape {self.ids.shape}, {len(self)} labels; give one id for "
                "each."
            )
        validators.distinct(f"{self.where}: ids", self.ids)

    def __len__(self) -> int:
        return len(self.labels)

    def blocks(self) -> Iterator[dict[str, np.ndarray]]:
        """The inputs, `BLOCK` examples at a time."""
        for start in range(0, len(self), BLOCK):
            yield self.rows(slice(start, start + BLOCK))

    def rows(self, which) -> dict[str, np.ndarray]:
        """Some of the inputs: uint8 as it is, else f32; ValueError for NaN or infinity."""
        block = {}
        for name, array in self.inputs.items():
            rows = np.array(array[which])
            _release(array)
            named = f"{self.where}: {name}"
            block[name] = rows if rows.dtype == np.uint8 else validators.floats(named, rows)
        return block

    def take(self, which: np.ndarray) -> Side:
        """Some of the examples; memory-mapped inputs are copied."""
        return dataclasses.replace(
            self,
            inputs={name: array[which] for name, array in self.inputs.items()},
            labels=self.labels[which],
            ids=self.ids[which],
            texts=None if self.texts is None else Texts.of(self.texts[which]),
        )


def _release(array: np.ndarray) -> None:
    """Let go of the pages of a mapped file that were read; else all of it stays in memory."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def of_arrays(x, y, where: str, ids=None, classes: tuple[str, ...] = ()) -> Side:
    """The one set of checks of everything that is read or given.

    Args:
      x: inputs [N, ...], a dict of them by name, `Texts`, or None where there are only labels.
      y, ids, classes: labels [N]; ids [N] or None; names of the classes that labels number.
      where: what errors call it.

    Raises:
      ValueError: in one line, for inputs that are no numbers, labels that are no class numbers,
        ids that are not unique, or different lengths.
    """
    texts = x if isinstance(x, Texts) else None
    named = {} if x is texts else x if isinstance(x, dict) else {X: x}  # texts, or None
    inputs = {name: _numbers(array, f"{where}: {name}") for name, array in named.items()}
    y = np.asarray(y)
    validators.class_numbers(where, y)
    if len(y) and y.min() < 0:
        raise ValueError(f"{where}: label {y.min()} is negative; number classes from 0.")
    if len(y) and y.max() > LABEL_MOST:
        raise ValueError(f"{where}: label {y.max()} is too large; number classes from 0.")
    ids = np.arange(len(y)) if ids is None else np.asarray(ids)
    return Side(where, inputs, y.astype(np.int64), ids, classes, texts)


def _numbers(array, where: str) -> np.ndarray:
    array = array if isinstance(array, np.ndarray) else np.asarray(array)
    if array.dtype.kind not in "fiub" or not array.ndim:
        got = f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"{where}: must be numbers of shape [N, ...], got {got}.")
    return array


# Both sides together ------------------------------------------------------------------------------


def paired(members: Side, non_members: Side) -> tuple[Side, Side]:
    """Both sides with class names numbered alike, and inputs of the same names and shapes."""
    names = [
        sorted(side.inputs) + ["texts"] * (side.texts is not None)
        for side in (members, non_members)
    ]
    if names[0] != names[1]:
        raise ValueError(
            f"{non_members.where}: inputs {names[1]}, the members have {names[0]}; give both the "
            "same."
        )
    for name, array in members.inputs.items():
        other = non_members.inputs[name]
        if array.shape[1:] != other.shape[1:]:
            raise ValueError(
                f"{non_members.where}: {name} has shape {list(other.shape[1:])}, the members' "
                f"{list(array.shape[1:])}; give both the same."
            )
    if bool(members.classes) != bool(non_members.classes):
        raise ValueError(f"{non_members.where}: only one side names its classes; use one kind.")
    union = tuple(sorted({*members.classes, *non_members.classes}))
    return _renumbered(members, union), _renumbered(non_members, union)


def _renumbered(side: Side, classes: tuple[str, ...]) -> Side:
    if side.classes == classes:
        return side
    numbers = np.array([classes.index(name) for name in side.classes])
    return dataclasses.replace(side, labels=numbers[side.labels], classes=classes)
