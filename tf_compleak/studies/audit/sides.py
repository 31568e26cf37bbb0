"""The two sides of an audit: examples that a model was trained on, and examples that it was not.

A source is written SCHEME:REST, one line of `SCHEMES` each:

    npz:PATH            arrays y [N] and x [N, ...], or one array for each named input; optional ids
    npy:X.npy,Y.npy     memory-mapped: files larger than memory are fine
    npy:Y.npy           labels only, where every version is given as its outputs
    image_folder:PATH   a folder for each class, classes numbered by their sorted names
    tfds:NAME[/config]:SPLIT    prepared in data_dir, such as tfds:cifar10:train[:5000]
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tf_compleak.data import array_files, sources
from tf_compleak.types import LEAST, validators

BLOCK = 4096  # examples that are held as floats at a time
LABEL_MOST = 2**31 - 1
X = "x"  # the name of an input that has none


@dataclass(frozen=True, eq=False)
class Side:
    """Members or non-members.

    Attributes:
      where: what errors call it, such as "--members=npz:train.npz".
      inputs: [N, ...] of each input, uint8 in 0..255 or float, by name ("x" where the source
        names none); empty where there are only labels.
      labels: int64[N].
      ids: [N] text, unique.
      classes: names of the classes that labels number, where the source has names.
    """

    where: str
    inputs: dict[str, np.ndarray]
    labels: np.ndarray
    ids: np.ndarray
    classes: tuple[str, ...] = ()

    def __post_init__(self):
        n = len(self.labels)
        for name, array in self.inputs.items():
            if len(array) != n:
                raise ValueError(f"{self.where}: {len(array)} rows of {name}, {n} labels.")
        if len(self.ids) != n:
            raise ValueError(f"{self.where}: {len(self.ids)} ids, {n} labels.")
        validators.distinct(f"{self.where}: ids", self.ids)

    def __len__(self) -> int:
        return len(self.labels)

    def blocks(self) -> Iterator[dict[str, np.ndarray]]:
        """The inputs, `BLOCK` examples at a time."""
        for start in range(0, len(self), BLOCK):
            yield self.rows(slice(start, start + BLOCK))

    def rows(self, which) -> dict[str, np.ndarray]:
        """Some of the inputs: uint8 as it is, else f32; ValueError for NaN or infinity."""
        found = {}
        for name, array in self.inputs.items():
            rows = np.array(array[which])
            _release(array)
            named = f"{self.where}: {name}"
            found[name] = rows if rows.dtype == np.uint8 else validators.floats(named, rows)
        return found

    def take(self, which: np.ndarray) -> Side:
        """Some of the examples; memory-mapped inputs are copied."""
        inputs = {name: array[which] for name, array in self.inputs.items()}
        return Side(self.where, inputs, self.labels[which], self.ids[which], self.classes)


def _release(array: np.ndarray) -> None:
    """Let go of the pages of a mapped file that were read; else all of it stays in memory."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def load(source: str, where: str, data_dir: str | None = None) -> Side:
    """The examples of a source; `where` is what errors call it, such as "--members".

    Raises:
      ValueError, FileNotFoundError: in one line, for an unknown scheme, missing or damaged files,
        wrong shapes, labels that are no class numbers, or fewer than 20 examples.
    """
    scheme, _, rest = source.partition(":")
    if not rest and source.endswith(".npz"):
        scheme, rest = "npz", source
    validators.choice(where, scheme, SCHEMES)
    if not rest:
        raise ValueError(f"{where}={source}: write it as {scheme}:PATH.")
    side = SCHEMES[scheme](rest, f"{where}={source}", data_dir)
    validators.at_least(f"{where}={source}: number of examples", len(side), LEAST)
    return side


def of_arrays(x, y, where: str, ids=None, classes: tuple[str, ...] = ()) -> Side:
    """A side of plain arrays: inputs [N, ...] or a dict of them, labels [N], ids [N] or None."""
    inputs = {} if x is None else x if isinstance(x, dict) else {X: x}
    inputs = {name: _numbers(array, f"{where}: {name}") for name, array in inputs.items()}
    y = np.asarray(y)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: labels must be integers of shape [N], got {y.dtype} of shape {y.shape}."
        )
    if len(y) and y.min() < 0:
        raise ValueError(f"{where}: label {y.min()} is negative; number classes from 0.")
    if len(y) and y.max() > LABEL_MOST:
        raise ValueError(f"{where}: label {y.max()} is too large; number classes from 0.")
    ids = np.arange(len(y)) if ids is None else np.asarray(ids)
    return Side(where, inputs, y.astype(np.int64), ids.astype(str), classes)


def _numbers(array, where: str) -> np.ndarray:
    array = array if isinstance(array, np.ndarray) else np.asarray(array)
    if array.dtype.kind not in "fiub" or not array.ndim:
        raise ValueError(f"{where}: must be numbers of shape [N, ...], got {array.dtype}.")
    return array


def _npz(rest: str, where: str, data_dir: str | None) -> Side:
    try:
        found = sources.read_npz(rest, needed=("y",))
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).removeprefix(f'{rest}: ')}") from error
    labels, ids = found.pop("y"), found.pop("ids", None)
    return of_arrays(found, labels, where, ids)


def _npy(rest: str, where: str, data_dir: str | None) -> Side:
    paths = rest.split(",")
    if len(paths) > 2:
        raise ValueError(f"{where}: write it as npy:X.npy,Y.npy, or npy:Y.npy for labels alone.")
    *x, y = (read_npy(path, where) for path in paths)
    return of_arrays(x[0] if x else None, np.array(y), where)


def read_npy(path: str, where: str) -> np.ndarray:
    """A memory-mapped `.npy` array; never unpickled."""
    file = os.path.expanduser(path)
    try:
        return array_files.mapped(file)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{where}: {path}: no such file.") from error
    except (ValueError, OSError) as error:
        reason = str(error).removeprefix(f"{file}: ").rstrip(".")
        raise ValueError(f"{where}: {path}: {reason}; save a plain number array.") from error


def _image_folder(rest: str, where: str, data_dir: str | None) -> Side:
    images, names, ids = sources.read_image_folder(rest)
    classes, labels = np.unique(names, return_inverse=True)
    return of_arrays(images, labels, where, ids, tuple(str(name) for name in classes))


def _tfds(rest: str, where: str, data_dir: str | None) -> Side:
    name, _, split = rest.partition(":")
    inputs, labels = sources.read_tfds(name, data_dir, split or "train")
    if not isinstance(inputs, np.ndarray):
        raise ValueError(
            f"{where}: holds texts; tokenize them as the model does and give npz:PATH with arrays "
            "x (token ids) and y."
        )
    return of_arrays(inputs, labels, where)


SCHEMES = {"npz": _npz, "npy": _npy, "image_folder": _image_folder, "tfds": _tfds}


# Both sides together ------------------------------------------------------------------------------


def paired(members: Side, non_members: Side) -> tuple[Side, Side]:
    """Both sides with class names numbered alike, and inputs of the same names and shapes."""
    if set(members.inputs) != set(non_members.inputs):
        raise ValueError(
            f"{non_members.where}: inputs {sorted(non_members.inputs)}, the members have "
            f"{sorted(members.inputs)}; give both the same."
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
    places = np.array([classes.index(name) for name in side.classes])
    return Side(side.where, side.inputs, places[side.labels], side.ids, classes)


def digests(side: Side) -> np.ndarray:
    """S16[N], a digest of the content of every example, the same whatever its number type."""
    found = []
    for block in side.blocks():
        flat = [rows.astype(np.float32).reshape(len(rows), -1) for _, rows in sorted(block.items())]
        table = np.ascontiguousarray(np.concatenate(flat, axis=1) + np.float32(0))
        found += [hashlib.blake2b(row.data, digest_size=16).digest() for row in table]
    return np.array(found, dtype="S16")


def without_overlap(
    members: Side, non_members: Side, drop: bool
) -> tuple[Side, Side, int, tuple[np.ndarray, np.ndarray]]:
    """Both sides without examples that are in both, how many these are, and digests of the rest.

    Raises:
      ValueError: when there are some and `drop` is false, naming the first and the count.
    """
    mine, others = digests(members), digests(non_members)
    common = np.intersect1d(mine, others)
    if not len(common):
        return members, non_members, 0, (mine, others)
    in_mine, in_others = np.isin(mine, common), np.isin(others, common)
    if not drop:
        first = int(np.flatnonzero(in_mine)[0])
        raise ValueError(
            f"{non_members.where}: {len(common)} example(s) are among the members, too (first: "
            f"member {members.ids[first]}); mend the lists, or pass --drop_overlap to leave them "
            "out on both sides."
        )
    kept = members.take(np.flatnonzero(~in_mine)), non_members.take(np.flatnonzero(~in_others))
    for side in kept:
        validators.at_least(f"{side.where}: examples without the overlap", len(side), LEAST)
    return *kept, len(common), (mine[~in_mine], others[~in_others])
