"""Inputs and outputs of model files, whatever their kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

DTYPES = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 bfloat16 "
    "string object complex64 complex128".split()
)


@dataclass(frozen=True)
class Port:
    """An input or output.

    Attributes:
      name: without the decorations of exporters.
      shape: of one example; -1 where any size goes.
      dtype: a NumPy name.
      scale, zero: of a quantized port; scale 0 where it is none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero: int = 0

    @classmethod
    def from_json(cls, port: dict) -> Port:
        """From what the isolated process says; ValueError for what no input or output can be."""
        name, shape, dtype = str(port["name"]), port["shape"], str(port["dtype"])
        scale, zero = float(port["scale"]), int(port["zero"])
        sizes = tuple(int(size) for size in shape)
        if not (name.isprintable() and len(name) <= 500 and dtype in DTYPES):
            raise ValueError(f"an input or output {name[:80]!r} of type {dtype[:80]!r}.")
        if len(sizes) > 8 or not all(-1 <= size <= 2**31 for size in sizes):
            raise ValueError(f"{name}: shape {list(sizes[:9])}.")
        if not (0 <= scale < 1e30 and abs(zero) < 2**31):
            raise ValueError(f"{name}: scale {scale}, zero point {zero}.")
        return cls(name, sizes, dtype, scale, zero)


def chosen(ports: list[Port], wanted: str) -> int:
    """The number of the output that is asked for; ValueError that lists them when it is unclear."""
    names = [port.name for port in ports]
    if wanted in names:
        number = names.index(wanted)
    elif wanted.isdecimal() and int(wanted) < len(ports):
        number = int(wanted)
    elif wanted or len(ports) != 1:
        has = ", ".join(f"{port.name} {list(port.shape)}" for port in ports)
        said = f"has no output {wanted!r}" if wanted else f"has {len(ports)} outputs"
        raise ValueError(f"{said}; choose by --output=NAME or its number: {has}")
    else:
        number = 0
    shape = ports[number].shape
    if not shape or any(size != 1 for size in shape[:-1]):
        raise ValueError(
            f"output {names[number]} has shape {list(shape)} for an example, [classes] is "
            "expected; is this a classifier?"
        )
    return number


def clean(name: str) -> str:
    return re.sub(r"^serving_default_|:\d+$", "", name)


def rows_of(outputs: np.ndarray, count: int) -> np.ndarray:
    """f32[n, C] of outputs [n, 1, ..., C]."""
    if len(outputs) != count:
        raise ValueError(f"answers {count} examples with {len(outputs)} rows")
    return np.ascontiguousarray(outputs.reshape(count, -1), np.float32)


def tensor_port(tensor, name: str) -> Port:
    shape = tuple(-1 if size is None else int(size) for size in tensor.shape[1:])
    dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
    return Port(name, shape, dtype)


def cast(rows: np.ndarray, dtype: str) -> np.ndarray:
    if dtype in ("float32", "float16", "float64"):
        return rows.astype(dtype, copy=False)
    if dtype == "bfloat16":
        return rows
    return np.rint(rows).astype(dtype)
