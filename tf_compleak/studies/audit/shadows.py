"""Shadows of an audit: a folder each, with the same versions of a model trained on other data.

DIR/NAME.tflite (or .onnx, .keras, .h5, a SavedModel folder NAME, NAME.members.npy and
    NAME.non_members.npy with outputs) for every version NAME of the audit
DIR/members.npz, DIR/non_members.npz        arrays x, y as `npz:` takes them; or
DIR/members/, DIR/non_members/              image folders; or
DIR/members_x.npy, DIR/members_y.npy, ...   memory-mapped (_x not needed with outputs); or
DIR/members.tsv, DIR/non_members.tsv        texts and labels as `text:` takes them; with them
DIR/vocabulary                              a file or folder, where it is not --vocabulary's
A shadow of a run with --save_examples is such a folder, too: WORKDIR/families/shadow-0.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_compleak.data import duplicates, sides, sources
from tf_compleak.data.sides import Side
from tf_compleak.leakage.shared_examples import Lists, harmful
from tf_compleak.studies.audit.given_versions import Given, outputs_of
from tf_compleak.studies.audit.query import Family
from tf_compleak.types import validators

MODEL = "model.tflite"
ENDINGS = (".tflite", ".onnx", ".keras", ".h5", ".hdf5", "", f"/{MODEL}")
OF_RUNS, MEMBERSHIP = "versions", "membership"  # folders of a family of `run`
VOCABULARY = "vocabulary"


class LeftOut(NamedTuple):
    """Examples of a family that were left out: contents on both sides, and what to say of all."""

    overlap: int = 0
    cautions: tuple[str, ...] = ()


def family(
    name: str, versions: dict[str, Given], members: Side, non_members: Side, drop: bool
) -> tuple[Family, LeftOut]:
    """A family of these versions and sides, no two of its examples of the same content."""
    if not members.inputs and members.texts is None:
        given = (members, non_members)
        prints = tuple(hashlib.sha256(side.labels.tobytes()).hexdigest() for side in given)
        return Family(name, versions, given, prints), LeftOut()
    distinct = duplicates.distinct_sides(members, non_members, drop)
    prints = tuple(hashlib.sha256(side.tobytes()).hexdigest() for side in distinct.digests)
    of_rows = {key: _of_rows(key, given, distinct) for key, given in versions.items()}
    left_out = LeftOut(distinct.overlap, tuple(distinct.sentences()))
    return Family(name, of_rows, distinct.sides, prints, contents=distinct.digests), left_out


def _of_rows(name: str, given: Given, distinct: duplicates.Distinct) -> Given:
    """Outputs of the examples that are left; any other version as it is."""
    if not isinstance(given, tuple) or not distinct.sentences():
        return given
    arrays = [np.asarray(array) for array in given]
    for array, side, size in zip(arrays, distinct.sides, distinct.given, strict=True):
        if array.ndim not in (1, 2) or len(array) != size:
            raise ValueError(
                f"version {name}: outputs of shape {list(array.shape)} for {side.where}, which has "
                f"{size} examples; give one row for each."
            )
    return tuple(array[rows] for array, rows in zip(arrays, distinct.rows, strict=True))


def load(folder: str, names: tuple[str, ...], index: int) -> tuple[Family, LeftOut]:
    """The shadow in a folder; FileNotFoundError naming what is missing."""
    root = Path(os.path.expanduser(folder))
    if not root.is_dir():
        raise FileNotFoundError(f"--shadows={folder}: no such folder.")
    versions = {name: _version(root, name) for name in names}
    examples = root / MEMBERSHIP if (root / MEMBERSHIP).is_dir() else root
    pair = sides.paired(*(_side(examples, kind) for kind in ("members", "non_members")))
    shadow, left_out = family(f"shadow-{index}", versions, *pair, drop=False)
    vocabulary = root / VOCABULARY
    if vocabulary.exists():
        shadow = dataclasses.replace(shadow, vocabulary=str(vocabulary))
    return shadow, left_out


def shared(families: Sequence[Family], folders: Sequence[str], allowed: bool) -> tuple[str, ...]:
    """Cautions about shadows whose lists tell the target's membership.

    Raises:
      ValueError: where there are such and they are not allowed, naming the first.
    """
    target, *others = map(_lists, families)
    faults = {} if target is None else harmful(target, others)
    lines = [f"--shadows={folders[index]}: {fault}" for index, fault in faults.items()]
    if lines and not allowed:
        raise ValueError(
            f"{lines[0]}. Name a shadow with examples of its own, or with members drawn anew from "
            "a common pool; or pass --allow_shared_examples."
        )
    return tuple(f"{line}." for line in lines)


def _lists(family: Family) -> Lists | None:
    """Members and non-members by content; None where there is none."""
    if family.contents is None:
        return None
    members = np.repeat([True, False], list(map(len, family.contents)))
    return Lists(np.concatenate(family.contents), members, family.contents[0][:0])


def _version(root: Path, name: str) -> Given:
    validators.version("--versions", name)
    outputs = [root / f"{name}.{kind}.npy" for kind in ("members", "non_members")]
    if all(path.is_file() for path in outputs):
        return outputs_of(name, outputs)
    of_run = (root / OF_RUNS / name / f"model{end}" for end in ENDINGS)
    for path in (*(root / f"{name}{end}" for end in ENDINGS), *of_run):
        if path.is_file() or (path / "saved_model.pb").is_file():
            return str(path)
    raise FileNotFoundError(
        f"--shadows: {root} lacks version {name}; put it there as {name}.tflite (.onnx, .keras, "
        f".h5, a SavedModel folder, or {name}.members.npy and {name}.non_members.npy)."
    )


def _side(root: Path, kind: str) -> Side:
    x, y = (root / f"{kind}_{name}.npy" for name in ("x", "y"))
    where = f"--shadows={root}: {kind}"
    if (root / f"{kind}.npz").is_file():
        return sources.load_side(f"npz:{root / kind}.npz", where)
    if y.is_file():
        return sources.load_side(f"npy:{x},{y}" if x.is_file() else f"npy:{y}", where)
    if (root / f"{kind}.tsv").is_file():
        return sources.load_side(f"text:{root / kind}.tsv", where)
    if (root / kind).is_dir():
        return sources.load_side(f"image_folder:{root / kind}", where)
    raise FileNotFoundError(
        f"--shadows: {root} lacks {kind}; put it there as {kind}.npz, {kind}_x.npy and "
        f"{kind}_y.npy, {kind}.tsv of texts, or an image folder {kind}."
    )
