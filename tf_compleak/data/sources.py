"""Sources: where examples come from, one line of `SOURCES` each, the same for every flag.

Nothing is ever downloaded, and nothing unpickled.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np

from tf_compleak.data import array_files, id_lists, image_folder, sides, text_files, tfds_folder
from tf_compleak.data.sides import Side
from tf_compleak.types import LEAST, Examples, Texts, validators


def load(dataset: str, *, data_dir: str | None = None, tfds_split: str = "train") -> Examples:
    """Examples of a data set: x uint8 or f32 [N, ...], y int64[N], ids[N], max label + 1 classes.

    Numbers other than uint8 become f32; [N, H, W] gets a channel axis. Texts become `Texts`.

    Args:
      dataset: a source, see `SOURCES`.
      data_dir, tfds_split: folder of prepared TFDS data sets; a split in TFDS's notation, for
        sources that name none.

    Raises:
      ValueError, FileNotFoundError: in one line that says what is wrong, where, and how to mend it.
    """
    scheme, rest = parse(dataset)
    return _examples(SOURCES[scheme](rest, data_dir, tfds_split, (sides.X,)))


def load_side(source: str, flag: str, data_dir: str | None = None) -> Side:
    """A side of an audit; `flag` is what errors call it, such as "--members".

    Raises:
      ValueError, FileNotFoundError: in one line that begins with the flag and the source, for an
        unknown scheme, what cannot be a side, missing or damaged files, wrong shapes, labels that
        are no class numbers, or fewer than 20 examples.
    """
    scheme, rest = parse(source, flag)
    where = f"{flag}={source}"
    try:
        side = SOURCES[scheme](rest, data_dir, "train", ())
        side = dataclasses.replace(side, where=where, ids=side.ids.astype(str))
    except (ValueError, OSError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(f"{where}: {str(error).removeprefix(f'{rest}: ')}") from error
    validators.at_least(f"{where}: number of examples", len(side), LEAST)
    return side


def parse(source: str, flag: str = "--dataset") -> tuple[str, str]:
    """The scheme and what follows the colon; ValueError when either is not as it should be."""
    scheme, _, rest = source.partition(":")
    if not rest and source.endswith(".npz"):
        scheme, rest = "npz", source
    validators.choice(flag, scheme, SOURCES)
    if (scheme == "digits") == bool(rest):
        examples = {"digits": scheme, "tfds": "tfds:cifar10", "npy": "npy:X.npy,Y.npy"}
        examples["ids"] = "ids:LIST.csv@npz:PATH"
        example = examples.get(scheme, f"{scheme}:PATH")
        raise ValueError(f"{flag}={source}: write it as {example}.")
    return scheme, rest


def stamp(dataset: str, data_dir: str | None = None) -> str | None:
    """Which state of which files a data set is read from; None where there are none (any more)."""
    scheme, rest = parse(dataset)
    if scheme == "ids":
        path, source = _list_and_source(rest)
        states = [_state(path), *([] if source == "digits" else [stamp(source, data_dir)])]
        return None if None in states else hashlib.sha256("".join(states).encode()).hexdigest()[:24]
    parts = {"digits": [], "npy": rest.split(","), "tfds": []}.get(scheme, [rest])
    files = [Path(os.path.expanduser(part)) for part in parts]
    try:
        if scheme == "tfds":
            files = sorted(tfds_folder.prepared(rest.partition(":")[0], data_dir).iterdir())
        if scheme == "image_folder":
            files = image_folder.files_of(files[0])
        states = [(file, file.stat()) for file in files]
    except (OSError, ValueError):
        return None
    if not states:
        return None
    text = "\n".join(f"{file} {state.st_size} {state.st_mtime_ns}" for file, state in states)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _state(path: str) -> str | None:
    try:
        state = os.stat(os.path.expanduser(path))
    except (OSError, ValueError):
        return None
    return f"{path} {state.st_size} {state.st_mtime_ns}"


def _examples(side: Side) -> Examples:
    """What a training takes: one input, two classes or more, numbered without gaps."""
    where, x, y = side.where, side.inputs.get(sides.X, side.texts), side.labels
    if x is None:
        raise ValueError(f"{where}: holds labels alone; training takes npy:X.npy,Y.npy.")
    if np.prod(x.shape) == 0:
        raise ValueError(f"{where}: holds no examples; give it some of at least two classes.")
    if y.min() == y.max():
        raise ValueError(f"{where}: one class only (label {y[0]}); at least two are needed.")
    if y.max() >= len(y):
        raise ValueError(
            f"{where}: label {y.max()} with {len(y)} examples; number classes from 0 without gaps."
        )
    if not isinstance(x, Texts):
        if x.ndim < 2:
            raise ValueError(f"{where}: inputs have shape {x.shape}; give each a row of numbers.")
        x = x if x.dtype == np.uint8 else validators.floats(f"{where}: inputs", x)
        x = x[..., None] if x.ndim == 3 else x
    return Examples(x, y, side.ids, int(y.max()) + 1)


# Readers: what follows the colon, data_dir, TFDS's default split and names of the inputs that are
# wanted (none: all that are there) -> `Side`. Their errors begin with what follows the colon. -----


def _digits(rest: str, data_dir: str | None, split: str, inputs: tuple[str, ...]) -> Side:
    if not inputs:
        why = "is for run only: it has no part that your model was trained on"
        raise ValueError(f"{why}; save both sides as npz:PATH.")
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return sides.of_arrays(x.reshape(-1, 8, 8) / 16, y, "digits")


def _npz(path: str, data_dir: str | None, split: str, inputs: tuple[str, ...]) -> Side:
    arrays = array_files.archive(path, (*inputs, "y"))
    y, ids = arrays.pop("y"), arrays.pop("ids", None)
    return sides.of_arrays({name: arrays[name] for name in inputs or arrays}, y, path, ids)


def _npy(rest: str, *_) -> Side:
    paths = rest.split(",")
    if len(paths) > 2:
        raise ValueError(f"{rest}: write it as npy:X.npy,Y.npy, or npy:Y.npy for labels alone.")
    *x, y = map(array_files.mapped, paths)
    return sides.of_arrays(x[0] if x else None, y, rest)


def _tfds(rest: str, data_dir: str | None, split: str, *_) -> Side:
    name, _, part = rest.partition(":")
    return sides.of_arrays(*tfds_folder.read(name, data_dir, part or split), f"tfds:{name}")


def _image_folder(path: str, *_) -> Side:
    images, names, ids = image_folder.read(path)
    classes, labels = np.unique(names, return_inverse=True)
    return sides.of_arrays(images, labels, path, ids, tuple(classes.tolist()))


def _ids(rest: str, data_dir: str | None, split: str, inputs: tuple[str, ...]) -> Side:
    path, source = _list_and_source(rest)
    scheme, of_source = parse(source, "ids")
    wanted = (sides.X,) if scheme == "digits" else inputs
    side = SOURCES[scheme](of_source, data_dir, split, wanted)
    if not len(side):
        raise ValueError(f"{source}: holds no examples.")
    return id_lists.chosen(side, id_lists.read(path), path, source)


def _list_and_source(rest: str) -> tuple[str, str]:
    """The list's path and the source that it is of."""
    for place, letter in enumerate(rest):
        path, source = rest[:place], rest[place + 1 :]
        named = source.partition(":")[0] in SOURCES or source.endswith(".npz")
        if letter == "@" and source.startswith("ids:"):
            break
        if letter == "@" and path and named:
            return path, source
    raise ValueError(f"{rest}: write it as ids:LIST.csv@SOURCE, such as ids:a.csv@npz:all.npz.")


def _text(path: str, *_) -> Side:
    texts, labels, classes = text_files.read(path)
    return sides.of_arrays(Texts.of(texts), labels, path, classes=classes)


SOURCES = {
    "digits": _digits,
    "npz": _npz,
    "npy": _npy,
    "tfds": _tfds,
    "image_folder": _image_folder,
    "text": _text,
    "ids": _ids,
}
LISTING = """\
  digits                      scikit-learn's 1,797 handwritten digits, embedded; run only
  npz:PATH                    arrays x and y, ids if any; audit: x, or one for each input of a model
  npy:X.npy,Y.npy             memory-mapped; audit: npy:Y.npy alone where all versions are outputs
  tfds:NAME[/config][:SPLIT]  prepared in --data_dir, such as tfds:cifar10:train[:5000]
  image_folder:PATH           a folder for each class; classes numbered by their sorted names
  text:PATH                   .tsv, .csv or .jsonl with text and label
  ids:LIST@SOURCE             those of a source whose ids a .csv, .tsv, .jsonl or .txt lists
"""
