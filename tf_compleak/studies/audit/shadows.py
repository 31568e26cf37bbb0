"""Shadows of an audit: a folder each, with the same versions of a model trained on other data.

DIR/NAME.tflite (or .keras, .h5, a SavedModel folder NAME, NAME.members.npy and
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
from pathlib import Path

from tf_compleak.data import duplicates, sides, sources
from tf_compleak.data.sides import Side
from tf_compleak.studies.audit import query
from tf_compleak.studies.audit.query import Family, Given
from tf_compleak.types import validators

MODEL = "model.tflite"
ENDINGS = (".tflite", ".keras", ".h5", ".hdf5", "", f"/{MODEL}")
OF_RUNS, MEMBERSHIP = "versions", "membership"  # folders of a family of `run`
VOCABULARY = "vocabulary"


def family(
    name: str, versions: dict[str, Given], mine: Side, others: Side, drop: bool
) -> tuple[Family, int]:
    """A family of these versions and sides, and how many examples were on both sides."""
    if mine.inputs or mine.texts is not None:
        mine, others, dropped, found = duplicates.without_overlap(mine, others, drop)
        digests = tuple(hashlib.sha256(each.tobytes()).hexdigest() for each in found)
    else:
        dropped = 0
        digests = tuple(
            hashlib.sha256(each.labels.tobytes()).hexdigest() for each in (mine, others)
        )
    return Family(name, versions, (mine, others), digests), dropped


def load(folder: str, names: tuple[str, ...], index: int) -> Family:
    """The shadow in a folder; FileNotFoundError naming what is missing."""
    root = Path(os.path.expanduser(folder))
    if not root.is_dir():
        raise FileNotFoundError(f"--shadows={folder}: no such folder.")
    versions = {name: _version(root, name) for name in names}
    examples = root / MEMBERSHIP if (root / MEMBERSHIP).is_dir() else root
    mine, others = (_side(examples, kind) for kind in ("members", "non_members"))
    shadow, _ = family(f"shadow-{index}", versions, *sides.paired(mine, others), drop=False)
    vocabulary = root / VOCABULARY
    return dataclasses.replace(shadow, vocabulary=str(vocabulary) if vocabulary.exists() else "")


def _version(root: Path, name: str) -> Given:
    validators.name("--versions", name)
    outputs = [root / f"{name}.{kind}.npy" for kind in ("members", "non_members")]
    if all(path.is_file() for path in outputs):
        return query.outputs_of(f"{outputs[0]}+{outputs[1]}")
    for path in (*(root / f"{name}{end}" for end in ENDINGS), root / OF_RUNS / name / MODEL):
        if path.is_file() or (path / "saved_model.pb").is_file():
            return str(path)
    raise FileNotFoundError(
        f"--shadows: {root} lacks version {name}; put it there as {name}.tflite (.keras, .h5, a "
        f"SavedModel folder, or {name}.members.npy and {name}.non_members.npy)."
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
