"""Untrusted model files in a process of their own that can do nothing but answer.

What it may use of memory and time is bounded, and it has given up files, sockets, processes and
signals before it reads the file (`isolated.walls`). A native interpreter that meets a damaged file
may crash, loop or fill the memory: that ends the process, and the caller gets one ValueError that
names the file. Messages between the two are JSON and plain arrays of bounded length, never pickles:
a process that a file has taken over cannot run code in the parent.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import mmap
import os
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from tf_compleak.inference import process_group
from tf_compleak.inference.kinds import check_installed, kind_of
from tf_compleak.inference.ports import Port

MESSAGE = 16 * 2**20  # bytes of inputs that are sent at a time
HEADER = 2**20  # bytes that a JSON message may have
COLUMNS = 2**16  # classes that an answer may have
LOG = 2**20  # bytes of what the process prints that are kept
START = 120.0  # seconds that starting Python and the runtime may take
SLACK = 0.2  # seconds beyond the limit in which the process itself says that time is over
PAUSE = 0.1  # seconds that may lie between two words of the process
NONSENSE = "the isolated process answered nonsense."
OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "std::length_error", "Cannot allocate memory")
ENVIRONMENT = (  # what of ours the process may see
    *("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),
    *("SYSTEMROOT", "TF_DETERMINISTIC_OPS", "TF_ENABLE_ONEDNN_OPTS"),
)
DEFENSES = frozenset(("lists", "walls"))  # both; tests take one away to see the other alone
RISKY = ("h5", "keras", "savedmodel")  # kinds whose reader has run code of files before


class SandboxedModel:
    """A model file, opened in an isolated process; a context manager.

    Attributes:
      path, kind: "tflite", "onnx", "keras", "h5" or "savedmodel".
      inputs, outputs: `ports.Port` of each; output: the one that `predict` gives.
      batch: rows of one call.
      metadata: what the file says of how its inputs are prepared; "" for nothing.
      isolation: "full", "partial: ..." or "none: ...", what this machine could not enforce.
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
        trust: bool = False,
        making: str = "",
    ):
        """Open `path`; ValueError in one line when it cannot be used, FileNotFoundError if absent.

        Args:
          batch: rows of one call, where the file leaves that open.
          seconds: limit for opening, and for each batch; memory: limit in bytes.
          output, signature: which, where the file has several.
          making: see `making.Maker`.
          trust: open Keras files and SavedModels also where the process cannot be fully isolated.
        """
        self.path, self._seconds, self._memory = str(path), seconds, memory
        self.kind = kind = kind_of(self.path)
        check_installed(self.path, kind)
        self._is_late, self._process = False, None
        self._held = contextlib.ExitStack()  # what `close` gives back
        settings = {"batch": batch, "threads": threads, "output": output, "signature": signature}
        settings["making"] = making
        try:
            self._start(kind, settings)
            self.isolation = str(self._receive("starting", START).get("isolation", ""))[:500]
            if kind in RISKY and self.isolation != "full" and not trust:
                raise ValueError(
                    f"{self.path}: this machine cannot isolate the process that would read it "
                    f"({self.isolation}), and a {kind} file can run code; export the model to "
                    ".tflite, or pass --trust_files if you trust whoever made it."
                )
            self._send({})
            self._receive("reading", seconds)
            self._receive("starting its runtime", max(seconds, START))
            self._take(self._receive("opening", seconds))
        except BaseException:
            self.close()
            raise

    def _start(self, kind: str, settings: dict) -> None:
        """Start the process; whatever fails half-way, `close` gives back what is held."""
        self._shared = shared_memory(2 * MESSAGE)
        self._held.callback(os.close, self._shared)
        self._memory_map = self._held.enter_context(mmap.mmap(self._shared, 2 * MESSAGE))
        self._folder = tempfile.mkdtemp(prefix="tf-compleak-")
        self._held.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._log, log = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._held.callback(os.close, self._log)
        with contextlib.ExitStack() as passed_on:
            passed_on.callback(os.close, log)
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(log, fcntl.F_SETPIPE_SZ, LOG)
            ours, theirs = map(passed_on.enter_context, socket.socketpair())
            self._connection = self._held.enter_context(Connection(ours.fileno()))
            ours.detach()  # it is the connection's from now on
            self._process = self._popen(kind, settings, theirs.fileno(), log)

    def _popen(self, kind: str, settings: dict, theirs: int, log: int) -> subprocess.Popen:
        libraries = [str(Path(np.__file__).parents[1]), *site.getsitepackages()]
        if site.ENABLE_USER_SITE:
            libraries.append(site.getusersitepackages())
        package = Path(__file__).resolve().parents[1]
        settings |= {"socket": theirs, "shared": self._shared, "size": 2 * MESSAGE}
        settings |= {
            "path": os.path.abspath(os.path.expanduser(self.path)),
            "kind": kind,
            "memory": self._memory,
            "seconds": self._seconds,
            "parent": os.getpid(),
            "libraries": libraries,
            "package": str(package),
            "lists": "lists" in DEFENSES,
            "walls": "walls" in DEFENSES,
        }
        script = str(package / "inference" / "isolated" / "launch.py")
        return process_group.start(
            [sys.executable, "-I", "-X", "utf8", script, json.dumps(settings)],
            pass_fds=[theirs, self._shared],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=self._environment(str(settings["threads"])),
            cwd=self._folder,
        )

    def _environment(self, threads: str) -> dict[str, str]:
        return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | {
            "PATH": os.defpath,
            "HOME": self._folder,
            "TMPDIR": self._folder,
            "KERAS_HOME": self._folder,
            "KERAS_BACKEND": "tensorflow",
            "HDF5_USE_FILE_LOCKING": "FALSE",
            "HDF5_PLUGIN_PRELOAD": "::",  # no filter of a file's choice is loaded
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": "1",
            "TF_NUM_INTRAOP_THREADS": threads,
            "TF_NUM_INTEROP_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            "ORT_DISABLE_TELEMETRY": "1",
        }

    def _take(self, facts: dict) -> None:
        try:
            self.batch = int(facts["batch"])
            self.inputs, self.outputs = (
                [Port.from_json(port) for port in facts[key][:1000]]
                for key in ("inputs", "outputs")
            )
            self.output = self.outputs[int(facts["output"])]
            self.metadata = _line(str(facts.get("metadata", "")))[:300]
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise ValueError(f"{self.path}: {NONSENSE}") from error
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Refuse what would fill the memory of this process, whatever the other one says."""
        shapes = [port.shape for port in self.inputs]
        size = 4 * sum(math.prod(map(abs, shape)) for shape in shapes)
        if size > MESSAGE:
            raise ValueError(
                f"{self.path}: takes examples of {size} bytes, at most {MESSAGE} can be given."
            )
        if not 1 <= self.batch <= 65536 or self.batch * size > 2**30:
            raise ValueError(f"{self.path}: takes {self.batch} examples of {size} bytes at a time.")
        if not self.output.shape or self.output.shape[-1] > COLUMNS:
            raise ValueError(
                f"{self.path}: answers with {list(self.output.shape)} numbers an example, "
                f"[classes] with at most {COLUMNS} is expected."
            )

    def __enter__(self) -> SandboxedModel:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def predict(
        self,
        inputs: dict[str, np.ndarray],
        on_batch: Callable[[int], None] = lambda rows: None,
        quantized: bool = False,
        lanes: int = 1,
    ) -> np.ndarray:
        """f32[N, C] outputs, dequantized, for f32 rows [N, ...] of every input by name.

        Args:
          on_batch: told now and then how many more rows are answered.
          quantized: rows of quantized inputs are in the input's own integers already.
          lanes: how many batches are answered side by side, where the file lets them be; more than
            `threads` where cores are idle. It changes no answer.

        Raises:
          ValueError: in one line, when the file fails on them, crashes, or exceeds a limit.
        """
        rows = [
            np.ascontiguousarray(
                inputs[port.name], port.dtype if quantized and port.scale else np.float32
            )
            for port in self.inputs
        ]
        count = len(rows[0])
        size = sum(part[:1].nbytes for part in rows) or 1
        if size > MESSAGE:
            raise ValueError(
                f"{self.path}: one example has {size} bytes, at most {MESSAGE} can be."
            )
        block = MESSAGE // size
        block = max(block // self.batch, 1) * self.batch if block >= self.batch else block
        blocks = [[part[at : at + block] for part in rows] for at in range(0, count, block)]
        parts, upcoming = [], self._put(blocks[0], 0) if blocks else {}
        for number, cut in enumerate(blocks, start=1):
            self._send(upcoming | {"lanes": lanes})
            if number < len(blocks):  # put in place while the one before is answered
                upcoming = self._put(blocks[number], number)
            parts.append(self._answers(len(cut[0]), on_batch))
        if not parts:
            return np.empty((0, max(1, self.output.shape[-1])), np.float32)
        return np.concatenate(parts)

    def _put(self, rows: Sequence[np.ndarray], number: int) -> dict:
        """Rows of every input in one half of the shared memory, as the request says them."""
        offset = start = number % 2 * MESSAGE
        for part in rows:
            region = np.frombuffer(self._memory_map, part.dtype, part.size, start)
            np.copyto(region.reshape(part.shape), part)
            start += part.nbytes
            del region  # the map can be closed only when nothing looks into it
        shapes, dtypes = ([list(p.shape) for p in rows], [p.dtype.name for p in rows])
        names = [port.name for port in self.inputs]
        return {"shapes": shapes, "dtypes": dtypes, "names": names, "offset": offset}

    def _answers(self, count: int, on_batch) -> np.ndarray:
        """f32[count, C], what the process says to a request."""
        done = 0
        while done < count:
            fresh = self._receive("answering", self._seconds + PAUSE).get("rows")
            whole = type(fresh) is int and (fresh % self.batch == 0 or fresh == count - done)
            if not whole or not 1 <= fresh <= count - done:
                raise ValueError(f"{self.path}: {NONSENSE}")
            done += fresh
            on_batch(fresh)
        shape = self._receive("answering", self._seconds).get("shape")
        good = isinstance(shape, list) and [type(size) for size in shape] == [int, int]
        if (
            not good
            or shape[0] != count
            or self.output.shape[-1] not in (-1, shape[1])
            or not 1 <= shape[1] <= COLUMNS
            or 4 * count * shape[1] > 2**31
        ):
            text = _line(repr(shape))[:100]
            raise ValueError(f"{self.path}: answered {count} examples with shape {text}.")
        data = self._receive_bytes("answering", self._seconds, 4 * count * shape[1])
        if len(data) != 4 * count * shape[1]:
            raise ValueError(f"{self.path}: {NONSENSE}")
        return np.frombuffer(data, np.float32).reshape(count, shape[1])

    def close(self) -> None:
        """End the process and all that it may have started; may be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process_group.kill(process)
            process.wait()
        self._held.close()

    def _send(self, message: dict) -> None:
        # a process that died is met when it is heard; one that never reads lets the pipe fill
        with contextlib.suppress(OSError), self._ending(self._seconds):
            self._connection.send_bytes(json.dumps(message).encode())

    def _receive(self, doing: str, seconds: float) -> dict:
        text = self._receive_bytes(doing, seconds, HEADER)
        try:
            message = json.loads(text)
        except (ValueError, RecursionError) as error:  # also a number of too many digits
            raise ValueError(f"{self.path}: {NONSENSE}") from error
        if not isinstance(message, dict):
            raise ValueError(f"{self.path}: {NONSENSE}")
        if "error" in message:
            raise ValueError(f"{self.path}: {_line(str(message['error']))}.")
        return message

    def _receive_bytes(self, doing: str, seconds: float, most: int) -> bytes:
        late = f"no answer within {self._seconds:g} s of {doing}; the file is damaged, or needs "
        late = f"{self.path}: {late}more time: raise --time_limit."
        if not self._connection.poll(seconds + SLACK):
            raise ValueError(late)
        try:
            with self._ending(seconds):  # half a message, then nothing
                return self._connection.recv_bytes(most)
        except (EOFError, OSError) as error:
            line = late if self._is_late else f"{self.path}: {self._obituary(doing)}"
            raise ValueError(line) from error

    @contextlib.contextmanager
    def _ending(self, seconds: float) -> Iterator[None]:
        """End the process if the block takes longer."""
        timer = threading.Timer(seconds + SLACK, self._end_late)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end_late(self) -> None:
        self._is_late = True
        process_group.kill(self._process)

    def _printed(self) -> str:
        """What the process has printed, at most the first MiB."""
        parts = []
        with contextlib.suppress(OSError):
            while part := os.read(self._log, LOG):
                parts.append(part)
        return b"".join(parts).decode("utf-8", "replace")

    def _obituary(self, doing: str) -> str:
        if not process_group.has_ended(self._process, within=5.0):
            return f"sent what is no answer while {doing}; the file is damaged or hostile."
        process_group.kill(self._process)
        code, log = self._process.wait(), self._printed()
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
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _line(text: str) -> str:
    """Text as one printable line."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())[:600].rstrip(".")
