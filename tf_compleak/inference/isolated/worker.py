"""The isolated process: it serves one model file to `inference.sandbox`, and can do nothing else.

In this order: bounds, libraries, walls, then the first byte of the file. The parent hears what the
walls could not enforce and says whether to go on. Messages are JSON and plain arrays.
"""

from __future__ import annotations

import functools
import importlib
import json
import math
import mmap
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from tf_compleak.inference.isolated import walls

PAUSE = 0.1  # seconds between two messages on how many rows are answered
LIBRARIES = {  # what is imported before the walls, by the kind of file
    "tflite": ("numpy", "ai_edge_litert.interpreter"),
    "onnx": ("numpy", "onnx"),
    "savedmodel": ("numpy", "google.protobuf.message"),
    "keras": ("numpy", "h5py"),
    "h5": ("numpy", "h5py"),
}

OUT_OF_MEMORY = (  # as LiteRT, onnxruntime, TensorFlow and the C++ library say it
    *("bad_alloc", "Cannot allocate memory", "Unable to allocate", "OOM when allocating"),
    *("ResourceExhausted", "RESOURCE_EXHAUSTED", "ailed to allocate memory", "MemoryError"),
)
UNUSED = ("matplotlib", "pandas", "IPython", "pydot", "PIL")  # what Keras draws with


def main(settings: Mapping[str, Any]) -> None:
    """Serve one model file.

    Args:
      settings: "path" and "kind" of it; "parent", a process number; "socket" and "shared",
        descriptors, "size", bytes of the shared memory; "memory", the limit in bytes; "seconds";
        "batch", "threads", "output", "signature"; "making", what is made of it, or "";
        "lists", "walls": false in tests only.
    """
    walls.die_with(settings["parent"])
    walls.limit(settings["memory"])
    connection = Connection(settings["socket"])
    inputs = mmap.mmap(settings["shared"], settings["size"], access=mmap.ACCESS_READ)
    tempfile.tempdir = os.getcwd()  # the private folder: looking for one would mean writing
    sys.modules.update(dict.fromkeys(UNUSED))  # importing one of them is an ImportError
    walls.load_libraries()
    for name in LIBRARIES[settings["kind"]]:
        importlib.import_module(name)
    from tf_compleak.inference.isolated import backends

    isolation = walls.lock([settings["path"]]) if settings["walls"] else "none: switched off"
    try:
        _tell(connection, {"isolation": isolation})
        connection.recv_bytes()  # the parent's word to go on
        _serve(connection, inputs, settings, backends)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is done


def _serve(connection: Connection, inputs: mmap.mmap, settings, backends) -> None:
    limit = max(1, round(settings["seconds"] + 1))  # the parent waits a little less
    try:
        signal.alarm(limit)
        checked = backends.check(settings["path"], settings["kind"], lists=settings["lists"])
        signal.alarm(0)
        _tell(connection, {})
        backends.load_runtime(settings["kind"])  # which takes a time that is not the file's fault
        _tell(connection, {})
        signal.alarm(limit)
        model = backends.open_file(checked, settings)
        signal.alarm(0)
    except Exception as error:
        _fail(connection, error)
        return
    facts = {
        "kind": model.kind,
        "batch": model.batch,
        "inputs": [vars(port) for port in model.inputs],
        "outputs": [vars(port) for port in model.outputs],
        "output": model.outputs.index(model.output),
        "metadata": getattr(model, "metadata", ""),
    }
    _tell(connection, facts)
    while True:
        request = json.loads(connection.recv_bytes())
        try:
            if request.get("make"):
                _make(connection, model, limit)
            else:
                rows = _rows(request, inputs)
                batches = math.ceil(len(next(iter(rows.values()))) / model.batch)
                models = _lanes(model, settings, request["lanes"], batches)
                _answer(connection, models, rows, limit)
        except Exception as error:
            _fail(connection, error)
            return


def _rows(request: dict, inputs: mmap.mmap) -> dict:
    """The rows [n, ...] of every input, views of the shared memory."""
    import numpy as np

    rows, start = {}, request["offset"]
    parts = zip(*(request[key] for key in ("names", "shapes", "dtypes")), strict=True)
    for name, shape, dtype in parts:
        part = np.frombuffer(inputs, dtype, math.prod(shape), start).reshape(shape)
        rows[name], start = part, start + part.nbytes
    return rows


def _lanes(model, settings: Mapping[str, Any], count: int, batches: int) -> Sequence:
    """The model, `count` times where it can be asked so, but no more often than there are batches.

    One that notes what it is asked cannot.
    """
    if settings["making"] or not hasattr(model, "lanes"):
        return [model]
    return model.lanes(min(max(count, settings["threads"]), max(1, batches)))


def _answer(connection: Connection, models: Sequence, parts: dict, limit: int) -> None:
    import numpy as np

    from tf_compleak.inference.isolated import lanes

    count, batch = len(next(iter(parts.values()))), models[0].batch
    starts, blocks = range(0, count, batch), {}

    def run(model, start: int) -> np.ndarray:
        return model.run({name: part[start : start + batch] for name, part in parts.items()})

    done, reported, spoken = 0, 0, time.monotonic()
    signal.alarm(limit)
    askers = [functools.partial(run, model) for model in models]
    for start, outputs in lanes.answers(askers, starts):
        signal.alarm(limit)
        blocks[start] = outputs
        done = min(done + batch, count)
        if done == count or time.monotonic() - spoken > PAUSE:
            _tell(connection, {"rows": done - reported})
            reported, spoken = done, time.monotonic()
    signal.alarm(0)
    outputs = np.concatenate([blocks[start] for start in starts])
    _tell(connection, {"shape": list(outputs.shape)})
    connection.send_bytes(memoryview(outputs).cast("B"))


def _make(connection: Connection, model, limit: int) -> None:
    signal.alarm(limit)
    content = model.made()
    signal.alarm(0)
    _tell(connection, {"bytes": len(content)})
    connection.send_bytes(content)


def _tell(connection: Connection, message: dict) -> None:
    connection.send_bytes(json.dumps(message).encode())


def _fail(connection: Connection, error: Exception) -> None:
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or any(sign in text for sign in OUT_OF_MEMORY):
        text = "needs more memory than it may take; raise --memory_limit"
    if isinstance(error, RecursionError):
        text = "is nested too deep to be read; export the model again"
    _tell(connection, {"error": text[:5000]})
