"""Untrusted model files in a process of their own, with limits of time and memory.

A native interpreter that meets a damaged file may crash, loop or fill the memory. Here that ends
the worker, and the caller gets one ValueError that names the file. Messages between the two are
JSON and plain arrays of bounded length, never pickles: a worker that a file has taken over cannot
run code in the parent.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import numpy as np

from tf_compleak.inference.ports import Port
from tf_compleak.inference.worker import PAUSE

MESSAGE = 16 * 2**20  # bytes of inputs that are sent at a time
HEADER = 2**20  # bytes that a JSON message may have
START = 120.0  # seconds that starting Python and the runtime may take
OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "std::length_error", "Cannot allocate memory")


class SandboxedModel:
    """A model file, opened in a worker process; a context manager.

    Attributes:
      path, kind: "tflite", "keras", "h5" or "savedmodel".
      inputs, outputs: `ports.Port` of each; output: the one that `predict` gives.
      batch: rows of one call.
    """

    def __init__(
        self,
        path: str,
        *,
        batch: int = 64,
        threads: int = 1,
        seconds: float = 60.0,
        memory: int = 8 * 2**30,
        output: str = "",
        signature: str = "",
    ):
        """Open `path`; ValueError in one line when it cannot be used, FileNotFoundError if absent.

        Args:
          batch: rows of one call, where the file leaves that open.
          seconds: limit for opening, and for each batch; memory: limit in bytes.
          output, signature: which, where the file has several.
        """
        self.path, self._seconds, self._memory = str(path), seconds, memory
        if not os.path.exists(os.path.expanduser(self.path)):
            raise FileNotFoundError(f"{self.path}: no such file.")
        self._shared = shared_memory(MESSAGE)
        self._memory_map = mmap.mmap(self._shared, MESSAGE)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._start(threads)
        try:
            settings = {"batch": batch, "threads": threads, "output": output}
            self._send({"path": self.path, "seconds": seconds, "signature": signature, **settings})
            self._receive("starting", max(seconds, START))
            self._take(self._receive("opening", seconds))
        except BaseException:
            self.close()
            raise

    def _start(self, threads: int) -> None:
        ours, theirs = socket.socketpair()
        count = str(threads)
        numbers = (theirs.fileno(), self._shared, MESSAGE, self._memory)
        arguments = ["tf_compleak.inference.worker", *map(str, numbers)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            pass_fds=[theirs.fileno(), self._shared],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "OMP_NUM_THREADS": count,
                "OPENBLAS_NUM_THREADS": "1",
                "TF_NUM_INTRAOP_THREADS": count,
                "TF_NUM_INTEROP_THREADS": "1",
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "CUDA_VISIBLE_DEVICES": "",
            },
            start_new_session=True,
        )
        theirs.close()
        self._connection = Connection(ours.detach())

    def _take(self, facts: dict) -> None:
        try:
            self.kind, self.batch = str(facts["kind"]), int(facts["batch"])
            self.inputs, self.outputs = (
                [Port(**{**port, "shape": tuple(port["shape"])}) for port in facts[key]]
                for key in ("inputs", "outputs")
            )
            self.output = self.outputs[int(facts["output"])]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{self.path}: the worker process answered nonsense.") from error
        if not 1 <= self.batch <= 2**20:
            raise ValueError(f"{self.path}: takes {self.batch} examples at a time.")

    def __enter__(self) -> SandboxedModel:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def predict(
        self,
        inputs: dict[str, np.ndarray],
        on_batch: Callable[[int], None] = lambda rows: None,
        quantized: bool = False,
    ) -> np.ndarray:
        """f32[N, C] outputs, dequantized, for f32 rows [N, ...] of every input by name.

        Args:
          on_batch: told now and then how many more rows are answered.
          quantized: rows of quantized inputs are in the input's own integers already.

        Raises:
          ValueError: in one line, when the file fails on them, crashes, or exceeds a limit.
        """
        names = [port.name for port in self.inputs]
        rows = [
            np.ascontiguousarray(
                inputs[port.name], port.dtype if quantized and port.scale else np.float32
            )
            for port in self.inputs
        ]
        count = len(rows[0])
        each = sum(part[:1].nbytes for part in rows) or 1
        if each > MESSAGE:
            raise ValueError(
                f"{self.path}: one example has {each} bytes, at most {MESSAGE} can be."
            )
        block = MESSAGE // each
        block = max(block // self.batch, 1) * self.batch if block >= self.batch else block
        parts = []
        for start in range(0, count, block):
            cut = [part[start : start + block] for part in rows]
            parts.append(self._block(names, cut, on_batch))
        if not parts:
            return np.empty((0, max(1, self.output.shape[-1])), np.float32)
        return np.concatenate(parts)

    def _block(self, names: Sequence[str], rows: list[np.ndarray], on_batch) -> np.ndarray:
        count, start = len(rows[0]), 0
        for part in rows:
            place = np.frombuffer(self._memory_map, part.dtype, part.size, start)
            np.copyto(place.reshape(part.shape), part)
            start += part.nbytes
            del place  # the map can be closed only when nothing looks into it
        shapes, dtypes = ([list(p.shape) for p in rows], [p.dtype.name for p in rows])
        self._send({"shapes": shapes, "dtypes": dtypes, "names": list(names)})
        done = 0
        while done < count:
            told = self._receive("answering", self._seconds + PAUSE)
            fresh = min(int(told.get("rows", 0)), count - done)
            if fresh < 1:
                raise ValueError(f"{self.path}: the worker process answered nonsense.")
            done += fresh
            on_batch(fresh)
        shape = self._receive("answering", self._seconds).get("shape")
        good = isinstance(shape, list) and len(shape) == 2 and shape[0] == count
        if not good or not 1 <= shape[1] <= 2**20 or 4 * count * shape[1] > 2**31:
            raise ValueError(f"{self.path}: answered {count} examples with shape {shape}.")
        data = self._receive_bytes("answering", self._seconds, 4 * count * shape[1])
        if len(data) != 4 * count * shape[1]:
            raise ValueError(f"{self.path}: the worker process answered nonsense.")
        return np.frombuffer(data, np.float32).reshape(count, shape[1])

    def close(self) -> None:
        """End the worker; may be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._connection.close()
            self._log.close()
            self._memory_map.close()
            os.close(self._shared)

    def _send(self, message: dict) -> None:
        with contextlib.suppress(OSError):  # a worker that died is met when it is heard
            self._connection.send_bytes(json.dumps(message).encode())

    def _receive(self, doing: str, seconds: float) -> dict:
        try:
            message = json.loads(self._receive_bytes(doing, seconds, HEADER))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{self.path}: the worker process answered nonsense.") from error
        if not isinstance(message, dict):
            raise ValueError(f"{self.path}: the worker process answered nonsense.")
        if "error" in message:
            raise ValueError(f"{self.path}: {_line(str(message['error']))}.")
        return message

    def _receive_bytes(self, doing: str, seconds: float, most: int) -> bytes:
        if not self._connection.poll(seconds):
            raise ValueError(
                f"{self.path}: no answer within {self._seconds:g} s of {doing}; the file is "
                "damaged, or needs more time: raise --time_limit."
            )
        try:
            return self._connection.recv_bytes(most)
        except (EOFError, OSError) as error:
            raise ValueError(f"{self.path}: {self._obituary(doing)}") from error

    def _obituary(self, doing: str) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return f"sent what is no answer while {doing}; the file is damaged or hostile."
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 4096))
        log = self._log.read().decode("utf-8", "replace")
        limit = f"more than {self._memory / 2**30:.3g} GiB"
        if code == -signal.SIGALRM:
            return (
                f"no answer within {self._seconds:g} s of {doing}; the file is damaged, or needs "
                "more time: raise --time_limit."
            )
        if code == -signal.SIGKILL or any(sign in log for sign in OUT_OF_MEMORY):
            return f"needs {limit} of memory for {doing}; raise --memory_limit."
        how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
        said = [line for line in log.splitlines() if line.strip()]
        tail = f" ({_line(said[-1])})" if said and code >= 0 else ""
        return (
            f"the interpreter crashed while {doing} ({how}){tail}; the file is damaged or made for "
            "another runtime: export it again."
        )


def shared_memory(size: int) -> int:
    """A file descriptor of memory that two processes can map, and neither can shrink."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            os.ftruncate(file.fileno(), size)
            return os.dup(file.fileno())
    descriptor = os.memfd_create("tf-compleak", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return descriptor


def _line(text: str) -> str:
    """Text as one printable line."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())[:600].rstrip(".")
