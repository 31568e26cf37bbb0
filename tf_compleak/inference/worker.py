"""The process in which `sandbox` has model files opened and asked."""

from __future__ import annotations

import json
import math
import mmap
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection

import numpy as np

PAUSE = 0.1  # seconds between two messages on how many rows are answered


def main(arguments: Iterable[str]) -> None:
    """Serve one model file.

    Args:
      arguments: descriptors of the socket and of the memory that inputs are in, the size of that
        memory, and the limit of all memory in bytes.
    """
    descriptor, shared, size, memory = (int(each) for each in arguments)
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    connection = Connection(descriptor)
    inputs = mmap.mmap(shared, size, access=mmap.ACCESS_READ)
    try:
        _serve(connection, inputs)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is done


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _serve(connection: Connection, inputs: mmap.mmap) -> None:
    settings = json.loads(connection.recv_bytes())
    limit = max(1, round(settings["seconds"] + 1))  # the parent waits a little less
    try:
        from tf_compleak.inference import backends

        backends.load_runtime(settings["path"])
        _tell(connection, {})
        signal.alarm(limit)
        model = backends.open_file(
            settings["path"],
            settings["batch"],
            settings["threads"],
            settings["output"],
            settings["signature"],
        )
    except Exception as error:
        _fail(connection, error)
        return
    signal.alarm(0)
    facts = {
        "kind": model.kind,
        "batch": model.batch,
        "inputs": [vars(port) for port in model.inputs],
        "outputs": [vars(port) for port in model.outputs],
        "output": model.outputs.index(model.output),
    }
    _tell(connection, facts)
    while True:
        asked = json.loads(connection.recv_bytes())
        parts, start = {}, 0
        for name, shape, dtype in zip(
            *(asked[k] for k in ("names", "shapes", "dtypes")), strict=True
        ):
            rows = np.frombuffer(inputs, dtype, math.prod(shape), start).reshape(shape)
            parts[name], start = rows, start + rows.nbytes
        try:
            _answer(connection, model, parts, limit)
        except Exception as error:
            _fail(connection, error)
            return


def _answer(connection: Connection, model, parts: dict[str, np.ndarray], limit: int) -> None:
    count, told, spoken = len(next(iter(parts.values()))), 0, time.monotonic()
    found = []
    for start in range(0, count, model.batch):
        signal.alarm(limit)
        rows = {name: part[start : start + model.batch] for name, part in parts.items()}
        found.append(model.run(rows))
        done = min(start + model.batch, count)
        if done == count or time.monotonic() - spoken > PAUSE:
            _tell(connection, {"rows": done - told})
            told, spoken = done, time.monotonic()
    signal.alarm(0)
    outputs = np.concatenate(found)
    _tell(connection, {"shape": list(outputs.shape)})
    connection.send_bytes(memoryview(outputs).cast("B"))


def _tell(connection: Connection, message: dict) -> None:
    connection.send_bytes(json.dumps(message).encode())


def _fail(connection: Connection, error: Exception) -> None:
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError):
        text = "needs more memory than it may take; raise --memory_limit"
    _tell(connection, {"error": text[:5000]})


if __name__ == "__main__":
    main(sys.argv[1:])
