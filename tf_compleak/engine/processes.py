"""Executors on this machine: in this process, or in several that are started for it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Hashable, Sequence
from multiprocessing import connection
from pathlib import Path

from tf_compleak.engine.scheduler import Scheduler, Worker
from tf_compleak.engine.tasks import Agenda, Executor, Outcome, Task, call
from tf_compleak.types.progress import Tell

PATHS_BEFORE = "TF_COMPLEAK_PYTHONPATH"  # a worker's: what PYTHONPATH was before it was ours
__all__ = ["Executor", "Inline", "Outcome", "Process", "Processes", "Task", "call"]


class Inline(Executor):
    """Runs every task in this process, in order.

    TensorFlow is set up as in a worker, unless this process has loaded it already: then figures may
    differ in the last digits.
    """

    def __init__(self, threads: int = 1):
        if "tensorflow" not in sys.modules:
            os.environ.update({k: v for k, v in _environment(threads).items() if k[:3] == "TF_"})

    def run(self, tasks: Sequence[Task], tell: Tell) -> dict[str, Outcome]:
        """See `tasks.Executor.run`."""
        agenda = Agenda(tasks, tell)
        while agenda.waiting:
            task = agenda.waiting[0]
            agenda.begin(task)
            agenda.end(task, call(task, tell))
        return {task.name: agenda.ended[task.name] for task in tasks}


class Processes(Scheduler):
    """Runs tasks in at most `workers` processes with `threads` threads each."""

    wait = staticmethod(connection.wait)

    def __init__(self, workers: int, threads: int, logs: Path):
        super().__init__(workers)
        self._threads, self._logs = threads, logs

    def hire(self, index: int, kind: Hashable) -> Process:
        return Process(index, self._threads, self._logs)


class Process(Worker):
    """A worker that is a process on this machine; see `worker_main`."""

    def __init__(self, index: int, threads: int, logs: Path):
        super().__init__(index)
        logs.mkdir(parents=True, exist_ok=True)
        self._log = logs / f"worker-{index}.log"
        ours, theirs = socket.socketpair()
        program = "tf_compleak.engine.worker_main"
        # where this process imports from; not the current folder, which may be a stranger's
        paths = os.pathsep.join(path for path in sys.path if os.path.isabs(path))
        with theirs, open(self._log, "a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", program, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    **_environment(threads),
                    "PYTHONPATH": paths,
                    PATHS_BEFORE: os.environ.get("PYTHONPATH", ""),
                },
                start_new_session=True,
            )
        self.line = connection.Connection(ours.detach())

    def send(self, task: Task) -> None:
        with contextlib.suppress(OSError):  # a worker that just died is met when it is heard
            self.line.send(task)

    def hear(self) -> tuple:
        try:
            return self.line.recv()
        except (EOFError, OSError, pickle.UnpicklingError):  # its task may be what it died of
            return ("done", Outcome(error=self._obituary()))

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.line.close()

    def _obituary(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # alive, but what it sends is no message
            self._process.kill()
            code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        hint = "; out of memory? try --workers=1" if code == -signal.SIGKILL else ""
        return f"the worker process died ({how}) in {self.task.name}; see {self._log}{hint}"


def _environment(threads: int) -> dict[str, str]:
    count = str(threads)
    return {
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "TF_DETERMINISTIC_OPS": "1",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # workers share an accelerator's memory
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
