"""Quantized versions of somebody else's model file, made in its isolated process."""

from __future__ import annotations

from typing import Any

from tf_compleak.inference.sandbox import NONSENSE, SandboxedModel
from tf_compleak.types import validators

WAYS = ("int8-dynamic", "int8-static")
CALIBRATED = ("int8-static",)  # go by what the tensors hold on examples
MAKERS = {"onnx": "onnxruntime"}  # kinds of files, and whose quantizer makes versions of them
ROOM = 2**24  # bytes that a quantized file may have beyond twice those of its source


class Maker(SandboxedModel):
    """A float model file that is quantized where it is opened.

    What is asked of one that is calibrated (`predict`) sets the ranges of its numbers.
    """

    def __init__(self, path: str, *, making: str, **settings: Any):
        """Open `path`; `making` is one of `WAYS`, the settings are those of `SandboxedModel`.

        Raises:
          ValueError: in one line, also for a kind of file that no quantizer here takes.
        """
        validators.choice("--make", making, WAYS)
        super().__init__(path, making=making, **settings)
        if self.kind not in MAKERS:
            self.close()
            kinds = ", ".join(f".{kind}" for kind in MAKERS)
            raise ValueError(
                f"{path}: is a {self.kind} file; --make={making} takes {kinds}: make the version "
                "by the tool that made this one, and name it by --versions."
            )

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
