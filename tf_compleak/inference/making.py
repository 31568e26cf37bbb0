"""Quantized versions of somebody else's model file, made in its isolated process."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from tf_compleak.inference.kinds import kind_of
from tf_compleak.inference.sandbox import NONSENSE, SandboxedModel
from tf_compleak.types import validators

WAYS = ("int8-dynamic", "int4-dynamic", "int8-static")
CALIBRATED = ("int8-static",)  # go by what the tensors hold on examples
ROOM = 2**24  # bytes that a quantized file may have beyond twice those of its source


@dataclass(frozen=True)
class Quantizer:
    """Who makes versions of a kind of files: a package, what it is called, and its ways."""

    package: str
    name: str
    ways: tuple[str, ...]


QUANTIZERS = {  # by the kind of file
    "tflite": Quantizer("litert_quantizer", "litert-quantizer", WAYS),
    "onnx": Quantizer("onnxruntime", "onnxruntime", ("int8-dynamic", "int8-static")),
}


class Maker(SandboxedModel):
    """A float model file that is quantized where it is opened.

    What is asked of one that is calibrated (`predict`) sets the ranges of its numbers.
    """

    def __init__(self, path: str, *, making: str, **settings: Any):
        """Open `path`; `making` is one of `WAYS`, the settings are those of `SandboxedModel`.

        Raises:
          ValueError: in one line, also for a kind of file that no quantizer here takes, and where
            the quantizer is not installed.
        """
        check(str(path), making)
        super().__init__(path, making=making, **settings)

    def made(self, most: int) -> bytes:
        """The quantized file.

        Args:
          most: bytes of the source.

        Raises:
          ValueError: in one line, where it cannot be quantized, or exceeds a limit.
        """
        self._send({"make": True})
        size = self._receive("making a version", self._seconds).get("bytes")
        if type(size) is not int or not 0 < size <= 2 * most + ROOM:
            raise ValueError(f"{self.path}: {NONSENSE}")
        content = self._receive_bytes("making a version", self._seconds, size)
        if len(content) != size:
            raise ValueError(f"{self.path}: {NONSENSE}")
        return content


def check(path: str, way: str) -> str:
    """The kind of a file that a version can be made of so; see `Maker` for what is raised."""
    validators.choice("--make", way, WAYS)
    kind = kind_of(path)
    quantizer = QUANTIZERS.get(kind)
    if quantizer is None or way not in quantizer.ways:
        takes = [f".{name}" for name, of in QUANTIZERS.items() if way in of.ways]
        raise ValueError(
            f"{path}: is a file of kind {kind}; --make={way} takes {', '.join(takes)}: make the "
            "version by the tool that made this one, and name it by --versions."
        )
    if importlib.util.find_spec(quantizer.package) is None:
        raise ValueError(
            f"--make={way}: made by {quantizer.name}, which is not installed; "
            f"pip install {quantizer.name}."
        )
    return kind
