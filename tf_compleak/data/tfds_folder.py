"""Prepared TFDS data sets of images or texts with a class label; nothing is ever downloaded."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from tf_compleak.data import array_files
from tf_compleak.engine import bounded_reads
from tf_compleak.types import Texts

MODULES = "tensorflow_datasets."  # that a data set's files may name


def read(name: str, data_dir: str | None, split: str) -> tuple[np.ndarray | Texts, np.ndarray]:
    """Images uint8[N, H, W, C] or `Texts`, and labels int64[N], of a split, in file order.

    The features say what is what: one image, or all features of text joined by spaces, the title
    first; the class label called "label" where there are several.

    Raises:
      ValueError, FileNotFoundError: in one line that says what is missing, damaged or not fit.
    """
    folder = prepared(name, data_dir)
    import tensorflow_datasets as tfds

    damaged = f"tfds:{name}: damaged files in {folder}; prepare it anew."
    _check_features(name, folder)
    try:
        builder = tfds.builder_from_directory(folder)
    except Exception as error:  # whatever a parser makes of damaged files
        raise ValueError(damaged) from error
    inputs, label = _features(name, builder.info.features)
    decoders = tfds.decode.PartialDecoding(dict.fromkeys([*inputs, label], True))
    try:
        count = builder.info.splits[split].num_examples
        data = builder.as_dataset(split=split, shuffle_files=False, decoders=decoders)
    except (ValueError, KeyError) as error:
        has = ", ".join(builder.info.splits)
        raise ValueError(f"tfds:{name}: split {split} is empty or not there ({has}).") from error
    if not 0 <= count <= array_files.memory() // 16:
        raise ValueError(damaged)
    labels = np.empty(count, np.int64)
    rows = _labelled(data, label, labels, damaged)
    if isinstance(builder.info.features[inputs[0]], tfds.features.Image):
        return _images_of(f"tfds:{name}", rows, inputs[0], count), labels
    texts = [" ".join(row[key].decode("utf-8", "replace") for key in inputs) for row in rows]
    return Texts.of(texts), labels


def _check_features(name: str, folder: Path) -> None:
    """Refuse features of other modules than TFDS's own, which TFDS would import by their name."""
    for file in ("features.json", "dataset_info.json"):
        try:
            waiting = [bounded_reads.json_object(folder / file)]
        except FileNotFoundError:
            continue
        except ValueError as error:
            reason = str(error).rstrip(".")
            raise ValueError(
                f"tfds:{name}: damaged files in {folder}; prepare it anew ({reason})."
            ) from error
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
    return isinstance(item, dict) or (isinstance(item, str) and item.startswith(MODULES))


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


def _images_of(where: str, rows, feature: str, count: int) -> np.ndarray:
    """One array, filled image by image: nothing is held twice."""
    images = None
    for index, row in enumerate(rows):
        image = row[feature]
        if images is None:
            if count * image.nbytes > array_files.memory():
                raise ValueError(f"{where}: more images than there is memory for; take fewer.")
            images = np.empty((count, *image.shape), image.dtype)
        if image.shape != images.shape[1:]:
            raise ValueError(
                f"{where}: images of mixed size (number {index} is {image.shape}, the first "
                f"{images.shape[1:]}); resize them to one size first."
            )
        images[index] = image
    return images


def prepared(name: str, data_dir: str | None) -> Path:
    """The folder of a prepared data set: of its only config, where none is named, and newest."""
    if not data_dir:
        raise ValueError(f"tfds:{name}: pass --data_dir, the folder it is prepared in.")
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
