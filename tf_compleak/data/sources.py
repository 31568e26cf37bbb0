"""Sources: where examples come from, one line of `SOURCES` each. Nothing is ever downloaded."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.data import array_files, text_files
from tf_compleak.engine import bounded_reads
from tf_compleak.types import Examples, Texts, validators

IMAGES = {".png", ".jpg", ".jpeg", ".bmp"}
FORMATS = ("PNG", "JPEG", "BMP")  # no other reader of Pillow is let near a file
PIXELS_MOST = 2**26  # of one image
TFDS_FEATURES = "tensorflow_datasets."  # modules that a data set's files may name


def load(dataset: str, *, data_dir: str | None = None, tfds_split: str = "train") -> Examples:
    """Examples of a data set: x uint8 or f32 [N, ...], y int64[N], ids[N], max label + 1 classes.

    Numbers other than uint8 become f32; [N, H, W] gets a channel axis. Texts become `Texts`.

    Args:
      dataset: "digits", "tfds:NAME[/config]", "npz:PATH", "image_folder:PATH" or "text:PATH".
      data_dir, tfds_split: folder of prepared TFDS data sets; a split in TFDS's notation.

    Raises:
      ValueError, FileNotFoundError: in one line that says what is wrong, where, and how to mend it.
    """
    scheme, rest = parse(dataset)
    return SOURCES[scheme](rest, data_dir=data_dir, tfds_split=tfds_split)


def parse(dataset: str) -> tuple[str, str]:
    """The source and what follows the colon; ValueError when either is not as it should be."""
    scheme, _, rest = dataset.partition(":")
    validators.choice("--dataset", scheme, SOURCES)
    if (scheme == "digits") == bool(rest):
        example = {"digits": "digits", "tfds": "tfds:cifar10"}.get(scheme, f"{scheme}:PATH")
        raise ValueError(f"--dataset={dataset}: write it as {example}.")
    return scheme, rest


def stamp(dataset: str, data_dir: str | None = None) -> str | None:
    """Which state of which files a data set is read from; None where there are none (any more)."""
    scheme, rest = parse(dataset)
    try:
        files = {
            "npz": lambda: [Path(os.path.expanduser(rest))],
            "text": lambda: [Path(os.path.expanduser(rest))],
            "image_folder": lambda: _images(Path(os.path.expanduser(rest))),
            "tfds": lambda: sorted(_prepared(rest, data_dir).iterdir()),
        }.get(scheme, list)()
        states = [(file, file.stat()) for file in files]
    except (OSError, ValueError):
        return None
    if not states:
        return None
    text = "\n".join(f"{file} {state.st_size} {state.st_mtime_ns}" for file, state in states)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _examples(where: str, x: Any, y: Any, ids: Any = None) -> Examples:
    """What every source ends in: one set of checks and one form."""
    x, y = x if isinstance(x, Texts) else np.asarray(x), np.asarray(y)
    ids = np.arange(len(y) if y.ndim else 0) if ids is None else np.asarray(ids)
    if np.prod(x.shape) == 0:
        raise ValueError(f"{where}: holds no examples; give it some of at least two classes.")
    if not isinstance(x, Texts) and (x.ndim < 2 or x.dtype.kind not in "fiub"):
        got = f"{x.dtype} of shape {x.shape}"
        raise ValueError(f"{where}: inputs must be numbers of shape [N, ...], got {got}.")
    _check_labels(where, y)
    if not len(x) == len(y) == ids.size or ids.ndim != 1:
        raise ValueError(
            f"{where}: {len(x)} inputs, {len(y)} labels, ids of shape {ids.shape}; "
            "give one label and one id for each input."
        )
    validators.distinct(f"{where}: ids", ids)
    x = x if isinstance(x, Texts) else _numbers(where, x)
    return Examples(x, y.astype(np.int64), ids, int(y.max()) + 1)


def _numbers(where: str, x: np.ndarray) -> np.ndarray:
    """uint8 or f32 [N, ...]; [N, H, W] with a channel axis."""
    x = x if x.dtype == np.uint8 else validators.floats(f"{where}: inputs", x)
    return x[..., None] if x.ndim == 3 else x


def _check_labels(where: str, y: np.ndarray) -> None:
    if y.ndim != 1 or y.dtype.kind not in "iu" or not len(y):
        raise ValueError(
            f"{where}: labels must be integers of shape [N], got {y.dtype} of shape {y.shape}."
        )
    if y.min() < 0:
        raise ValueError(f"{where}: label {y.min()} is negative; number classes from 0.")
    if y.min() == y.max():
        raise ValueError(f"{where}: one class only (label {y[0]}); at least two are needed.")
    if y.max() >= len(y):
        raise ValueError(
            f"{where}: label {y.max()} with {len(y)} examples; number classes from 0 without gaps."
        )


def _digits(rest: str, **_) -> Examples:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return _examples("digits", x.reshape(-1, 8, 8) / 16, y)


def _npz(path: str, **_) -> Examples:
    """Arrays x [N, ...] and y [N], optionally ids [N]."""
    found = read_npz(path, needed=("x", "y"))
    return _examples(path, **{key: found[key] for key in ("x", "y", "ids") if key in found})


def read_npz(path: str, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
    """All arrays of an `.npz`, never unpickled; ValueError when it lacks one of `needed`."""
    try:
        return array_files.archive(os.path.expanduser(path), needed, memory())
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such file; npz:PATH names an .npz file.") from error
    except (ValueError, OSError) as error:
        reason = str(error).removeprefix(f"{os.path.expanduser(path)}: ").rstrip(".")
        names = " and ".join(needed)
        raise ValueError(f"{path}: {reason}; an .npz with arrays {names} is expected.") from error


def memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _image_folder(path: str, **_) -> Examples:
    """PATH/CLASS/*.png, or PATH/CLASS/images/* (Tiny-ImageNet); labels by sorted class name."""
    images, names, ids = read_image_folder(path)
    return _examples(path, images, np.unique(names, return_inverse=True)[1], ids)


def read_image_folder(path: str) -> tuple[np.ndarray, list[str], list[str]]:
    """Images uint8[N, H, W(, 3)] of one size, the class and the id (relative path) of each."""
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; image_folder:PATH names one.")
    files = _images(root)
    if not files:
        raise ValueError(f"{path}: no images; make a folder of png or jpg for each class.")
    images = _all_images(path, files)
    sizes = [f"{len(image)} x {image.shape[1]}" for image in images]
    for file, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"{file}: is {size}, the first image is {sizes[0]}; make all one size."
            )
    if any(image.ndim == 3 for image in images):
        images = [i if i.ndim == 3 else np.repeat(i[..., None], 3, axis=2) for i in images]
    ids = [file.relative_to(root).as_posix() for file in files]
    return np.stack(images), [name.split("/")[0] for name in ids], ids


IMAGE_DAMAGE = (  # whatever Pillow's readers make of damaged files
    *(OSError, SyntaxError, ValueError, EOFError, OverflowError, IndexError, KeyError, TypeError),
    *(struct.error, zlib.error, MemoryError),
)


def _all_images(path: str, files: list[Path]) -> list[np.ndarray]:
    """The images; ValueError as soon as they can not all be held."""
    images, size, most = [], 0, memory()
    for file in files:
        images.append(_image(file))
        size += images[-1].nbytes
        if 2 * size > most:  # they are put into one array in the end
            raise ValueError(f"{path}: more images than there is memory for; take fewer.")
    return images


def _images(root: Path) -> list[Path]:
    found = [*root.glob("[!.]*/[!.]*"), *root.glob("[!.]*/images/[!.]*")]
    return sorted(file for file in found if file.suffix.lower() in IMAGES)


def _image(file: Path) -> np.ndarray:
    """uint8 [H, W] for grayscale, [H, W, 3] for everything else."""
    from PIL import Image

    try:
        with (
            warnings.catch_warnings(),
            bounded_reads.opened(file) as data,
        ):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(data, formats=FORMATS) as image:
                if image.mode[0] in "IF":
                    raise ValueError("more than 8 bits a channel")
                if image.width * image.height > PIXELS_MOST:
                    raise ValueError(f"more than {PIXELS_MOST:,} pixels")
                return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    except IMAGE_DAMAGE as error:
        kinds = "not an image of 8 bits (png, jpg, bmp)"
        reason = " ".join(str(error).removeprefix(f"{file}: ").split())[:100].rstrip(".")
        raise ValueError(f"{file}: {kinds}: {reason}; replace or remove it.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"{file}: has more than {PIXELS_MOST:,} pixels; replace or remove it."
        ) from error


def _text(path: str, **_) -> Examples:
    """A .tsv, .csv or .jsonl file; see `text_files.read`."""
    texts, labels = text_files.read(path)
    return _examples(path, Texts.of(texts), labels)


def _tfds(name: str, *, data_dir: str | None, tfds_split: str) -> Examples:
    """A prepared TFDS data set of images or texts with a class label, in file order."""
    x, y = read_tfds(name, data_dir, tfds_split)
    return _examples(f"tfds:{name}", x, y)


def read_tfds(name: str, data_dir: str | None, split: str) -> tuple[np.ndarray | Texts, np.ndarray]:
    """Images uint8[N, H, W, C] or `Texts`, and labels, of a split of a prepared TFDS data set.

    The features say what is what: one image, or all features of text joined by spaces, the title
    first; the class label called "label" where there are several.
    """
    folder = _prepared(name, data_dir)
    import tensorflow_datasets as tfds

    damaged = f"tfds:{name}: damaged files in {folder}; prepare it anew."
    _check_features(name, folder)
    try:
        builder = tfds.builder_from_directory(folder)
    except Exception as error:  # whatever a parser makes of damaged files
        raise ValueError(damaged) from error
    inputs, label = _features(name, builder.info.features)
    wanted = tfds.decode.PartialDecoding(dict.fromkeys([*inputs, label], True))
    try:
        count = builder.info.splits[split].num_examples
        data = builder.as_dataset(split=split, shuffle_files=False, decoders=wanted)
    except (ValueError, KeyError) as error:
        has = ", ".join(builder.info.splits)
        raise ValueError(f"tfds:{name}: split {split} is empty or not there ({has}).") from error
    images = isinstance(builder.info.features[inputs[0]], tfds.features.Image)
    if not 0 <= count <= memory() // 16:
        raise ValueError(damaged)
    collect = _images_of if images else _texts_of
    labels = np.empty(count, np.int64)
    rows = _labelled(data, label, labels, damaged)
    return collect(f"tfds:{name}", rows, inputs, count), labels


def _check_features(name: str, folder: Path) -> None:
    """Refuse features of other modules than TFDS's own, which TFDS would import by their name."""
    for file in ("features.json", "dataset_info.json"):
        try:
            waiting = [bounded_reads.json_object(folder / file)]
        except FileNotFoundError:
            continue
        while waiting:
            value = waiting.pop()
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                named = key in ("type", "pythonClassName", "python_class_name", "proto_cls")
                if named and file == "features.json" and not _is_tfds(item):
                    raise ValueError(
                        f"tfds:{name}: {folder / file} names {ascii(item)[:80]}, which is none of "
                        "TFDS's own features; save what you want of it as npz:PATH."
                    )
                if isinstance(item, (dict, list)):
                    waiting.append(item)


def _is_tfds(item: Any) -> bool:
    return isinstance(item, dict) or (isinstance(item, str) and item.startswith(TFDS_FEATURES))


def _features(name: str, features) -> tuple[list[str], str]:
    """Names of the features that are the input, and of the label."""
    import tensorflow_datasets as tfds

    def of(kind):
        return [key for key, value in features.items() if isinstance(value, kind)]

    images, labels = of(tfds.features.Image), of(tfds.features.ClassLabel)
    texts = sorted(of(tfds.features.Text), key=lambda key: key != "title")
    label = "label" if "label" in labels else labels[0] if len(labels) == 1 else None
    if label is None or len(images) > 1 or not (images or texts):
        has = ", ".join(f"{key}: {type(value).__name__}" for key, value in features.items())
        raise ValueError(
            f"tfds:{name}: needs an image or a text and a class label, has {has}; save what you "
            "want of it as npz:PATH or text:PATH."
        )
    return images or texts, label


def _labelled(data, label: str, labels: np.ndarray, damaged: str):
    """The rows, one by one, while their labels are put into `labels`."""
    rows = data.as_numpy_iterator()
    for index in range(len(labels)):
        try:
            row = next(rows)
        except Exception as error:  # TensorFlow's own errors, which are no ValueError
            raise ValueError(damaged) from error
        labels[index] = row[label]
        yield row


def _images_of(where: str, rows, inputs: list[str], count: int) -> np.ndarray:
    """One array, filled image by image: nothing is held twice."""
    images = None
    for index, row in enumerate(rows):
        image = row[inputs[0]]
        if images is None:
            if count * image.nbytes > memory():
                raise ValueError(f"{where}: more images than there is memory for; take fewer.")
            images = np.empty((count, *image.shape), image.dtype)
        if image.shape != images.shape[1:]:
            raise ValueError(
                f"{where}: images of mixed size (number {index} is {image.shape}, the first "
                f"{images.shape[1:]}); resize them to one size first."
            )
        images[index] = image
    return images


def _texts_of(where: str, rows, inputs: list[str], count: int) -> Texts:
    return Texts.of(
        [" ".join(row[key].decode("utf-8", "replace") for key in inputs) for row in rows]
    )


def _prepared(name: str, data_dir: str | None) -> Path:
    """The folder of a prepared data set: of its only config, where none is named, and newest."""
    if not data_dir:
        raise ValueError(f"--dataset=tfds:{name}: pass --data_dir, the folder it is prepared in.")
    root = Path(os.path.expanduser(data_dir))
    if not root.is_dir():
        raise FileNotFoundError(f"--data_dir={data_dir}: no such folder; see `tfds build`.")
    infos = [*root.glob("*/*/dataset_info.json"), *root.glob("*/*/*/dataset_info.json")]
    infos.sort(key=lambda info: [int(part) for part in re.findall(r"\d+", info.parent.name)])
    folders = {info.parent.parent.relative_to(root).as_posix(): info.parent for info in infos}
    chosen = [key for key in folders if key == name or key.startswith(f"{name}/")]
    if len(chosen) == 1:
        return folders[chosen[0]]
    has = ", ".join(sorted(folders))
    names = [*folders, *(key.split("/")[0] for key in folders)]
    near = chosen or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {' or '.join(f'tfds:{key}' for key in near)}?" if near else ""
    raise FileNotFoundError(
        f"tfds:{name}: not prepared in {root} (has: {has or 'nothing'}).{hint} "
        f"Run `tfds build {name}` where there is a network and pass its folder as --data_dir."
    )


SOURCES = {
    "digits": _digits,
    "tfds": _tfds,
    "npz": _npz,
    "image_folder": _image_folder,
    "text": _text,
}
