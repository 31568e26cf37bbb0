"""From data to a model's input: scale, channels, size, order of axes; from outputs to confidences.

Data are uint8 in 0..255 or float in 0..1; scales are meant for images.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable

import numpy as np

from tf_compleak.types import Output, outputs, validators

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
AUTO = "auto"

SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "0-1": lambda unit: unit,
    "-1-1": lambda unit: 2 * unit - 1,
    "imagenet": lambda unit: _standardized(unit),
}
PREPROCESSES = (AUTO, "none", *SCALES)
POINTWISE = ("none", "0-1", "-1-1")  # the same for every pixel and channel

Shape = tuple[int, ...]


def scale_for(scale: float, zero: int, dtype: str, is_bytes: bool) -> str:
    """What `auto` means for an input: by the range its quantization can hold, else by the data.

    Args:
      scale, zero, dtype: of the model's input; scale 0 where it is not quantized.
      is_bytes: whether the data is uint8.
    """
    if (dtype in ("uint8", "int8", "int16") and scale == 0) or not is_bytes:
        return "none"
    if scale == 0:
        return "0-1"
    limits = np.iinfo(dtype)
    low, high = (scale * (limit - zero) for limit in (limits.min, limits.max))
    ranges = {"none": (0, 255), "0-1": (0, 1), "-1-1": (-1, 1), "imagenet": (-2.12, 2.64)}
    return min(ranges, key=lambda name: abs(ranges[name][0] - low) + abs(ranges[name][1] - high))


def function(how: str) -> Callable[[np.ndarray], np.ndarray]:
    """The function of `--preprocess`: a name of `PREPROCESSES`, or "module:function" of the user's.

    Raises:
      ValueError: for an unknown name, or a function that is not there or cannot be called. The
        function itself, in one line, where the user's raises or returns no numbers for each row.
    """
    if how == "none":
        return lambda rows: np.asarray(rows, np.float32)
    if ":" not in how:
        validators.choice("--preprocess", how, (*PREPROCESSES, "module:function"))
        return lambda rows: SCALES[how](_unit(rows, how))
    module, _, name = how.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: no file of a folder stands in for a library
    try:
        change = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a module of the user's raises
        raise ValueError(f"--preprocess={how}: cannot be imported ({_line(error)}).") from error
    if not callable(change):
        raise ValueError(f"--preprocess={how}: is a {type(change).__name__}, no function.")
    return lambda rows: _of_user(change, rows, how)


def _of_user(change: Callable, rows: np.ndarray, how: str) -> np.ndarray:
    """What the user's function makes of rows: numbers [N, ...], finite."""
    try:
        prepared = np.asarray(change(rows))
    except Exception as error:  # whatever a function of the user's raises
        raise ValueError(
            f"--preprocess={how}: raised {type(error).__name__} ({_line(error)}) on rows of shape "
            f"{list(rows.shape)}; mend it."
        ) from error
    if prepared.dtype.kind not in "fiub" or prepared.ndim < 1 or len(prepared) != len(rows):
        raise ValueError(
            f"--preprocess={how}: returned {prepared.dtype} of shape {list(prepared.shape)} for "
            f"{len(rows)} rows; it must return numbers, one row for each."
        )
    return validators.floats(f"--preprocess={how}: what it returned", prepared)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _standardized(unit: np.ndarray) -> np.ndarray:
    """By ImageNet's colors, in the last axis or, where that holds none, the second of images."""
    if unit.ndim == 4 and unit.shape[1] == 3 != unit.shape[3]:
        return (unit - MEAN[:, None, None]) / DEVIATION[:, None, None]
    return (unit - MEAN) / DEVIATION


def _unit(rows: np.ndarray, how: str) -> np.ndarray:
    if rows.dtype == np.uint8:
        return rows.astype(np.float32) / np.float32(255)
    if len(rows) and (rows.min() < -0.01 or rows.max() > 1.01):
        raise ValueError(
            f"--preprocess={how}: takes uint8 data, or floats in 0..1; these lie in "
            f"{rows.min():g}..{rows.max():g}. Pass --preprocess=none if they are as the model "
            "takes them."
        )
    return np.asarray(rows, np.float32)


def fitted(rows: np.ndarray, shape: Shape) -> np.ndarray:
    """Rows [N, ...] in the shape [N, *shape] of an input; -1 in `shape` stands for any size.

    Images are resized (bilinear), one gray channel becomes three, channels move first where the
    input has them first (last where it has them last), and other inputs are reshaped if their size
    allows. Which axis holds channels is told by the shapes: the one that has 1 or 3 of them, or
    the data's own number.

    Raises:
      ValueError: where nothing of this makes them fit.
    """
    if _fits(rows.shape[1:], shape):
        return rows
    if rows.ndim == 4 and len(shape) == 3:
        if _is_first(rows.shape[1:]):
            rows = np.moveaxis(rows, 1, 3)
        first = _is_first(shape) or shape == (rows.shape[3], *rows.shape[1:3])
        height, width, channels = (shape[1], shape[2], shape[0]) if first else shape
        if rows.shape[3] == 1 and channels == 3:
            rows = np.repeat(rows, 3, axis=3)
        if rows.shape[3] == channels or channels == -1:
            rows = _resized(rows, height, width)
            return np.ascontiguousarray(rows.transpose(0, 3, 1, 2)) if first else rows
    if -1 not in shape and math.prod(shape) == math.prod(rows.shape[1:]):
        return rows.reshape(len(rows), *shape)
    raise ValueError(
        f"takes inputs of shape {list(shape)}, the data has {list(rows.shape[1:])}; reshape the "
        "data, or name a function by --preprocess=module:function."
    )


def _is_first(shape: Shape) -> bool:
    """Whether images of this shape have their channels first."""
    return shape[0] in (1, 3) and shape[2] not in (1, 3)


def _fits(have: Shape, want: Shape) -> bool:
    return len(have) == len(want) and all(w in (-1, h) for h, w in zip(have, want, strict=True))


def _resized(rows: np.ndarray, height: int, width: int) -> np.ndarray:
    sizes = zip((height, width), rows.shape[1:3], strict=True)
    height, width = (size if size > 0 else have for size, have in sizes)
    if rows.shape[1:3] == (height, width):
        return rows
    from PIL import Image

    images = np.empty((len(rows), height, width, rows.shape[3]), rows.dtype)
    for index, row in enumerate(rows):
        for channel in range(rows.shape[3]):
            plane = Image.fromarray(np.ascontiguousarray(row[..., channel]))
            resized = plane.resize((width, height), Image.Resampling.BILINEAR)
            images[index, ..., channel] = np.asarray(resized)
    return images


# Outputs ------------------------------------------------------------------------------------------


def decide(answers: np.ndarray, step: float = 0.0) -> Output:
    """Whether a sample of outputs [N, C] are probabilities or logits; one column: a sigmoid's.

    `step` is that of a quantized output, where the file tells it; else it is looked for.
    """
    inside = answers.min() >= -1e-6 and answers.max() <= 1 + outputs.ROUNDING
    if not inside or answers.shape[1] == 1:
        return "probabilities" if inside else "logits"
    off, allowed = outputs.excess(answers, step or outputs.resolution(answers))
    return "probabilities" if off.max() <= allowed else "logits"


def probabilities(answers: np.ndarray, kind: Output) -> np.ndarray:
    """f32[N, C] confidences of outputs f32[N, C]; one column becomes two, for classes 0 and 1."""
    if answers.shape[1] == 1:
        second = np.float64(answers[:, 0])
        if kind == "logits":
            second = 1 / (1 + np.exp(-second))
        return np.float32(np.stack([1 - second, second], axis=1))
    if kind == "probabilities":
        return np.maximum(np.asarray(answers, np.float32), 0)
    from tf_compleak.inference.observe import softmax

    return softmax(answers)
