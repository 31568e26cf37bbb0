"""Sources: where examples come from. A source is one function and one line of `SOURCES`.

`digits`, `tfds:NAME[/config]`, `npz:PATH`, `image_folder:PATH`. Nothing is ever downloaded.
"""

from __future__ import annotations

import difflib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak import _checks
from tf_compleak.types import Examples

IMAGES = {".png", ".jpg", ".jpeg", ".bmp"}


def load(dataset: str, *, data_dir: str | None = None, tfds_split: str = "train") -> Examples:
    """Examples of a data set: x uint8 or f32 [N, ...], y int64[N], ids[N].

    Args:
      dataset: "digits", "tfds:NAME[/config]", "npz:PATH" or "image_folder:PATH".
      data_dir: folder of prepared TFDS data sets.
      tfds_split: in TFDS's notation.

    Raises:
      ValueError, FileNotFoundError: in one line that says what is wrong, where, and how to mend it.
    """
    scheme, rest = parse(dataset)
    return SOURCES[scheme](rest, data_dir=data_dir, tfds_split=tfds_split)


def parse(dataset: str) -> tuple[str, str]:
    """The source and what follows the colon; ValueError when either is not as it should be."""
    scheme, _, rest = dataset.partition(":")
    _checks.choice("--dataset", scheme, SOURCES)
    if (scheme == "digits") == bool(rest):
        example = {"digits": "digits", "tfds": "tfds:cifar10"}.get(scheme, f"{scheme}:PATH")
        raise ValueError(f"--dataset={dataset}: write it as {example}.")
    return scheme, rest


def _examples(where: str, x: Any, y: Any, ids: Any = None) -> Examples:
    """What every source ends in: one set of checks and one form."""
    x, y = np.asarray(x), np.asarray(y)
    if not len(x):
        raise ValueError(f"{where}: holds no examples.")
    if len(x) != len(y):
        raise ValueError(f"{where}: {len(x)} inputs but {len(y)} labels; they must match.")
    if x.dtype.kind not in "fiub":
        raise ValueError(f"{where}: inputs must be numbers, got dtype {x.dtype}.")
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: labels must be integers in one row, got {y.dtype} of shape {y.shape}."
        )
    if y.min() < 0:
        raise ValueError(f"{where}: label {y.min()} is negative; number classes from 0.")
    _checks.finite(f"{where}: inputs", x)
    if len(np.unique(y)) < 2:
        raise ValueError(f"{where}: one class only (label {y[0]}); at least two are needed.")
    x = x if x.dtype == np.uint8 else x.astype(np.float32)
    ids = np.arange(len(x)) if ids is None else np.asarray(ids)
    return Examples(x[..., None] if x.ndim == 3 else x, y.astype(np.int64), ids, int(y.max()) + 1)


def _digits(rest: str, **_) -> Examples:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return _examples("digits", digits.images / 16, digits.target)


def _npz(path: str, **_) -> Examples:
    """Arrays x [N, ...] and y [N], optionally ids [N]; never unpickled."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; --dataset=npz:PATH names an .npz file.")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = {"x", "y"} - set(file.files)
            if missing:
                raise ValueError(
                    f"lacks {', '.join(sorted(missing))} (has {', '.join(file.files)})"
                )
            arrays = {name: file[name] for name in ("x", "y", "ids") if name in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error)
        if "allow_pickle" in reason or "pickle" in reason:
            reason = "holds Python objects, which are never loaded; save plain number arrays"
        raise ValueError(f"{path}: {reason}; an .npz with arrays x and y is expected.") from error
    return _examples(path, arrays["x"], arrays["y"], arrays.get("ids"))


def _image_folder(path: str, **_) -> Examples:
    """PATH/CLASS/*.png, or PATH/CLASS/images/* (Tiny-ImageNet); labels by sorted class name."""
    root = Path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; --dataset=image_folder:PATH names one.")
    classes = sorted(entry for entry in root.iterdir() if entry.is_dir())
    files = [
        (file, label)
        for label, folder in enumerate(classes)
        for file in sorted([*folder.glob("*"), *folder.glob("images/*")])
        if file.suffix.lower() in IMAGES
    ]
    if not files:
        raise ValueError(f"{path}: no images; a folder for each class with png or jpg is expected.")
    images = [_image(file) for file, _ in files]
    if any(image.ndim == 3 for image in images):
        images = [
            image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in images
        ]
    for (file, _), image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(
                f"{file}: is {image.shape[0]} x {image.shape[1]}, the first image is "
                f"{images[0].shape[0]} x {images[0].shape[1]}; resize all images to one size."
            )
    ids = [file.relative_to(root).as_posix() for file, _ in files]
    return _examples(path, np.stack(images), np.array([label for _, label in files]), ids)


def _image(file: Path) -> np.ndarray:
    """uint8 [H, W] for grayscale, [H, W, 3] for everything else."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file}: cannot be read as an image; replace or remove it.") from error


def _tfds(name: str, *, data_dir: str | None, tfds_split: str) -> Examples:
    """A prepared TFDS data set with an image and a class label, in file order."""
    import tensorflow_datasets as tfds

    builder = _builder(tfds, name, data_dir)
    features = builder.info.features
    image = [k for k, v in features.items() if isinstance(v, tfds.features.Image)]
    label = [k for k, v in features.items() if isinstance(v, tfds.features.ClassLabel)]
    if not image or not label:
        raise ValueError(
            f"tfds:{name}: needs an image and a class label, has {', '.join(features)}."
        )
    try:
        data = builder.as_dataset(
            split=tfds_split,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding({image[0]: True, label[0]: True}),
        )
    except (ValueError, KeyError) as error:
        known = ", ".join(builder.info.splits)
        raise ValueError(f"--tfds_split={tfds_split}: not in {name} (has: {known}).") from error
    images, labels = [], []
    for row in data.as_numpy_iterator():
        images.append(row[image[0]])
        labels.append(row[label[0]])
    if len({one.shape for one in images}) > 1:
        raise ValueError(f"tfds:{name}: images of mixed size; resize them to one size first.")
    return _examples(f"tfds:{name}", np.stack(images) if images else [], np.array(labels))


def _builder(tfds, name: str, data_dir: str | None):
    if not data_dir:
        raise ValueError(
            f"--dataset=tfds:{name}: pass --data_dir with the folder of the prepared data set; "
            "nothing is downloaded."
        )
    root = Path(data_dir).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"--data_dir={data_dir}: no such folder.")
    try:
        return tfds.builder_from_directory(_newest(root / name))
    except (FileNotFoundError, ValueError) as error:
        have = sorted(entry.name for entry in root.iterdir() if not entry.name.startswith("."))
        near = difflib.get_close_matches(name.split("/")[0], have, n=1)
        hint = f" Did you mean tfds:{near[0]}?" if near and near[0] != name else ""
        raise FileNotFoundError(
            f"tfds:{name}: not prepared in {root} (has: {', '.join(have) or 'nothing'}).{hint} "
            f"Run `tfds build {name}` where there is a network and pass its folder as --data_dir."
        ) from error


def _newest(folder: Path) -> Path:
    """The folder with dataset_info.json: of a config and of the highest version."""
    if (folder / "dataset_info.json").is_file():
        return folder
    inside = [e for e in folder.iterdir() if e.is_dir()] if folder.is_dir() else []
    versions = [e for e in inside if e.name.replace(".", "").isdigit()]
    if versions:
        return max(versions, key=lambda e: [int(part) for part in e.name.split(".")])
    configs = [e for e in inside if not e.name.startswith(".")]
    if len(configs) == 1:
        return _newest(configs[0])
    raise FileNotFoundError(f"{folder}: no prepared data set")


SOURCES = {"digits": _digits, "tfds": _tfds, "npz": _npz, "image_folder": _image_folder}
