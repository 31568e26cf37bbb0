"""Our own `.tflite` files, through the reader that users' files go through; no isolation needed.

Runs on LiteRT (`ai_edge_litert`), which needs no TensorFlow.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tf_compleak.inference.isolated import lanes
from tf_compleak.inference.isolated.tflite_file import TFLite


class TFLiteModel:
    """One loaded `.tflite` file with one input and one output [N, C].

    `threads` ask it side by side, each batch by batch.

    Attributes:
      batch: rows that one call takes; 1 where the file refuses any other size.
      resolution: step of a quantized output, 0.0 for a float one.
      classes: C, the size of the output's last axis.
    """

    def __init__(self, path: str, *, batch: int = 64, threads: int = 1):
        """Load `path`; ValueError in one line when it is no usable classifier file."""
        self._path = str(path)
        try:
            with open(path, "rb") as file:
                if file.read(8)[4:] != b"TFL3":
                    raise ValueError("is not a .tflite file (no TFL3 mark); export the model again")
            self._reader = TFLite(Path(path), batch, threads, output="", signature="")
            self._lanes = self._reader.lanes(threads)
            if len(self._reader.inputs) != 1:
                raise ValueError(f"has {len(self._reader.inputs)} inputs, one expected")
        except OSError as error:
            raise FileNotFoundError(f"{path}: cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}.") from error
        self.batch, self.resolution = self._reader.batch, self._reader.output.scale
        self.classes = self._reader.output.shape[-1]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """f32[N, C] outputs for f32[N, ...] inputs, dequantized, in the order of the inputs."""
        parts = list(self.stream(x))
        return np.concatenate(parts) if parts else np.empty((0, self.classes), np.float32)

    def stream(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """As `predict`, one batch at a time; the last batch is padded inside and cut again."""
        (port,) = self._reader.inputs
        expected = tuple(abs(size) for size in port.shape)
        if x.shape[1:] != expected:
            raise ValueError(
                f"{self._path}: takes inputs of shape {expected}, the data has {x.shape[1:]}; "
                "resize or reshape the data."
            )

        def answer(lane: TFLite, start: int) -> np.ndarray:
            return lane.run({port.name: x[start : start + self.batch]})

        starts = range(0, len(x), self.batch)
        askers = [functools.partial(answer, lane) for lane in self._lanes]
        yield from lanes.in_order(lanes.answers(askers, starts), starts)
