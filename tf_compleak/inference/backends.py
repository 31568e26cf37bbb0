"""Opening model files of every kind, for the worker process of `sandbox` only.

Files are untrusted: what each kind is searched for is in `keras_file` and `saved_model`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol

import numpy as np

from tf_compleak.inference import keras_file, saved_model
from tf_compleak.inference.ports import Port
from tf_compleak.inference.tflite_file import TFLite


class Backend(Protocol):
    """An opened file; `run` takes rows of every input, `batch` of them or fewer.

    Rows are f32; those of a quantized `.tflite` input may be in its own integers.
    """

    kind: str
    batch: int
    inputs: list[Port]
    outputs: list[Port]
    output: Port

    def run(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        """The outputs, f32[n, C]."""
        ...


def kind_of(path: str) -> str:
    """ "tflite", "keras", "h5" or "savedmodel", by what is in the file; ValueError for others."""
    file = Path(path).expanduser()
    if file.is_dir():
        return "savedmodel"
    try:
        head = file.open("rb").read(8)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    if not head:
        raise ValueError("is empty; export the model again")
    if head[4:8] == b"TFL3":
        return "tflite"
    if head[:4] == b"PK\x03\x04":
        return "keras"
    if head == b"\x89HDF\r\n\x1a\n":
        return "h5"
    raise ValueError(
        "is no model file: neither .tflite (no TFL3 mark), nor .keras (zip), .h5 (HDF5) or a "
        "SavedModel folder; export the model again"
    )


def load_runtime(path: str) -> None:
    """Import what a file is run on, which takes a time that is not the file's fault.

    What can be refused without it is refused first.
    """
    kind, file = kind_of(path), Path(path).expanduser()
    if kind in ("keras", "h5"):
        keras_file.harmless(file, kind)
    if kind == "savedmodel":
        saved_model.check_folder(file)
    importlib.import_module("ai_edge_litert.interpreter" if kind == "tflite" else "tensorflow")


def open_file(path: str, batch: int, threads: int, output: str, signature: str) -> Backend:
    """The backend of a file or folder; ValueError in one line when it cannot be used."""
    file, kind = Path(path).expanduser(), kind_of(path)
    if kind == "tflite":
        return TFLite(file, batch, threads, output, signature)
    if kind == "savedmodel":
        return saved_model.SavedModel(file, batch, output, signature)
    return keras_file.KerasFile(file, kind, batch, output)
