"""Opening model files of every kind, in the isolated process only."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tf_compleak.inference.isolated import keras_file, onnx_check, saved_model
from tf_compleak.inference.ports import Port

RUNTIMES = {"tflite": "ai_edge_litert.interpreter", "onnx": "onnxruntime"}  # else TensorFlow


class Backend(Protocol):
    """An opened file; `run` takes rows of every input, `batch` of them or fewer.

    Rows are f32; those of a quantized input may be in its own integers.
    """

    kind: str
    batch: int
    inputs: list[Port]
    outputs: list[Port]
    output: Port

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        """The outputs, f32[n, C]."""
        ...


def check(path: str, kind: str, *, lists: bool = True) -> Any:
    """What is known of a file before a runtime sees it; ValueError for what no list allows.

    `lists` is false in tests of the walls only.
    """
    if kind == "tflite":
        return Path(path)
    if kind == "onnx":
        return onnx_check.check(Path(path), lists=lists)
    if kind == "savedmodel":
        return saved_model.check(Path(path), lists=lists)
    return keras_file.check(Path(path), kind, lists=lists)


def load_runtime(kind: str) -> None:
    """Import what a file is run on."""
    importlib.import_module(RUNTIMES.get(kind, "tensorflow"))


def open_file(checked: Any, settings: dict[str, Any]) -> Backend:
    """The backend of a checked file; ValueError in one line when it cannot be used."""
    kind, batch, output = (settings[key] for key in ("kind", "batch", "output"))
    if kind == "tflite":
        given = (checked, batch, settings["threads"], output, settings["signature"])
        if making := settings["making"]:
            from tf_compleak.inference.isolated.tflite_quantizer import TFLiteQuantizer

            return TFLiteQuantizer(*given, making)
        from tf_compleak.inference.isolated.tflite_file import TFLite

        return TFLite(*given)
    if kind == "onnx":
        if making := settings["making"]:
            from tf_compleak.inference.isolated.onnx_quantizer import OnnxQuantizer

            return OnnxQuantizer(checked, batch, output, making)
        from tf_compleak.inference.isolated.onnx_file import OnnxFile

        return OnnxFile(checked, batch, output)
    if kind == "savedmodel":
        return saved_model.SavedModel(checked, batch, output, settings["signature"])
    return keras_file.KerasFile(checked, batch, output)
