"""The interpreter layer: batches of float inputs in, float32 outputs of a `.tflite` file out.

Runs on LiteRT (`ai_edge_litert`), which needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tf_compleak.inference.quantized import dequantized, is_ids, is_integer, quantized, step


class TFLiteModel:
    """One loaded `.tflite` file with one input and one output [N, C].

    Attributes:
      batch: rows that one call takes; 1 where the file refuses any other size.
      resolution: step of a quantized output, 0.0 for a float one.
    """

    def __init__(self, path: str, *, batch: int = 64, threads: int = 1):
        """Load `path`; ValueError in one line when it is no usable classifier file."""
        self._path = str(path)
        self._content = _read(self._path)
        self._threads = threads
        self.batch = batch
        if batch == 1 or not self._resize(batch):
            self.batch = 1
            self._interpreter = self._open()
        self._input = self._only(self._interpreter.get_input_details(), "input")
        self._output = self._only(self._interpreter.get_output_details(), "output")
        self.resolution = self._step()

    @property
    def classes(self) -> int:
        """C, the size of the output's last axis."""
        return int(self._output["shape"][-1])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """f32[N, C] outputs for f32[N, ...] inputs, dequantized, in the order of the inputs."""
        parts = list(self.stream(x))
        return np.concatenate(parts) if parts else np.empty((0, self.classes), np.float32)

    def stream(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """As `predict`, one batch at a time; the last batch is padded inside and cut again."""
        expected = tuple(int(size) for size in self._input["shape"][1:])
        if x.shape[1:] != expected:
            raise ValueError(
                f"{self._path}: takes inputs of shape {expected}, the data has {x.shape[1:]}; "
                "resize or reshape the data."
            )
        for start in range(0, len(x), self.batch):
            rows = x[start : start + self.batch]
            count = len(rows)
            if count < self.batch:
                padding = np.zeros((self.batch - count, *expected), rows.dtype)
                rows = np.concatenate([rows, padding])
            yield self._invoke(rows)[:count]

    def _invoke(self, rows: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], quantized(rows, self._input))
        self._interpreter.invoke()
        return dequantized(self._interpreter.get_tensor(self._output["index"]), self._output)

    def _open(self) -> Interpreter:
        try:
            interpreter = Interpreter(model_content=self._content, num_threads=self._threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{self._path}: cannot be run as a .tflite file ({error}).") from error
        return interpreter

    def _resize(self, batch: int) -> bool:
        """Try a batch size on a fresh interpreter: a refused resize leaves it unusable."""
        self._interpreter = self._open()
        detail = self._interpreter.get_input_details()[0]
        try:
            self._interpreter.resize_tensor_input(detail["index"], [batch, *detail["shape"][1:]])
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError):
            return False
        return self._rows_agree(batch)

    def _rows_agree(self, batch: int) -> bool:
        """Whether rows do not depend on their place: some files answer a batch with one row."""
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        rng = np.random.default_rng(0)
        probe = rng.random((batch, *self._input["shape"][1:]), dtype=np.float32)
        together = self._invoke(probe)
        self._interpreter.set_tensor(self._input["index"], quantized(probe[::-1], self._input))
        self._interpreter.invoke()
        turned = dequantized(self._interpreter.get_tensor(self._output["index"]), self._output)
        if len(together) != batch:
            return False
        tolerance = 1e-4 + self._step()
        return bool(np.allclose(together, turned[::-1], atol=tolerance, equal_nan=True))

    def _only(self, details: list[dict], what: str) -> dict:
        if len(details) != 1:
            names = ", ".join(detail["name"] for detail in details)
            raise ValueError(f"{self._path}: has {len(details)} {what}s ({names}), one expected.")
        if what == "output" and len(details[0]["shape"]) != 2:
            raise ValueError(
                f"{self._path}: output shape {list(details[0]['shape'])}, [examples, classes] "
                "expected; is this a classifier?"
            )
        return details[0]

    def _step(self) -> float:
        """Of a quantized output; 0 for a float one. Inputs of int32 are token ids."""
        for detail in (self._input, self._output):
            if is_integer(detail) and not (detail is self._input and is_ids(detail)):
                try:
                    step(detail)
                except ValueError as error:
                    raise ValueError(f"{self._path}: {error}.") from error
        return step(self._output)[0] if is_integer(self._output) else 0.0


def _read(path: str) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise FileNotFoundError(f"{path}: cannot be read ({error.strerror}).") from error
    if content[4:8] != b"TFL3":
        raise ValueError(f"{path}: is not a .tflite file (no TFL3 mark); export the model again.")
    return content
