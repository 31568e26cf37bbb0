"""Numbers to and from a TF-Lite tensor, by the scale and zero point that its details tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def is_integer(detail: dict) -> bool:
    """Whether the tensor holds integers."""
    return np.issubdtype(detail["dtype"], np.integer)


def is_ids(detail: dict) -> bool:
    """Whether the tensor holds plain int32 numbers, such as token ids."""
    return detail["dtype"] == np.int32 and detail["quantization"][0] == 0


def step(detail: dict) -> tuple[float, int]:
    """Scale and zero point; ValueError where an integer tensor has none."""
    scale, zero = detail["quantization"]
    if scale == 0:
        raise ValueError(
            f"{detail['name']} is {np.dtype(detail['dtype']).name} without a quantization scale; "
            "its values cannot be read"
        )
    return float(scale), int(zero)


def quantized(rows: np.ndarray, detail: dict) -> np.ndarray:
    """f32 rows as the tensor takes them; integers without a scale are rounded and clipped."""
    dtype = detail["dtype"]
    if not is_integer(detail):
        return rows.astype(dtype, copy=False)
    if rows.dtype == dtype and is_ids(detail):
        return rows
    limits = np.iinfo(dtype)
    scale, zero = detail["quantization"]
    if scale == 0:
        steps = np.rint(rows)
        return np.clip(steps, limits.min, limits.max).astype(dtype)
    steps = np.multiply(rows, np.float32(1 / scale), dtype=np.float32)
    np.rint(steps, out=steps)
    low, high = np.float32(limits.min - zero), np.float32(limits.max - zero)
    np.clip(steps, low, high, out=steps)
    steps += np.float32(zero)
    return steps.astype(dtype)


def table(change: Callable[[np.ndarray], np.ndarray], detail: dict) -> np.ndarray:
    """What the tensor takes for each of the 256 bytes, changed by a function of single numbers."""
    return quantized(change(np.arange(256, dtype=np.uint8)), detail)


def looked_up(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`table[rows]` for uint8 rows; faster where the table holds bytes, too."""
    if table.itemsize > 1:
        return table[rows]
    translated = rows.tobytes().translate(table.tobytes())
    return np.frombuffer(translated, table.dtype).reshape(rows.shape)


def dequantized(rows: np.ndarray, detail: dict) -> np.ndarray:
    """What the tensor holds as f32."""
    if not is_integer(detail):
        return rows.astype(np.float32, copy=False)
    scale, zero = step(detail)
    return (rows.astype(np.float32) - np.float32(zero)) * np.float32(scale)
