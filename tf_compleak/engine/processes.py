"""Executors: run tasks that depend on each other, in this process or in several.

A worker keeps the graphs that it has traced. Tasks with the same `affinity` share graphs, so a
worker is given tasks that it is warm for; a task moves to a cold worker only when waiting would
take longer than tracing.

Workers are plain `python -m tf_compleak.engine.processes` on a socket: a script or a notebook
that starts a study needs no main guard, and a native crash ends a worker, not the study.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import functools
import importlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

STEAL_SECONDS = 6.0
TICK = 0.25
PR_SET_PDEATHSIG = 1  # of prctl(2)

Report = Callable[[str, int, int, str], None]  # task, done, total, text


@dataclass(frozen=True)
class Task:
    """A call of `function` ("module:name") with a progress callback and `args`."""

    name: str
    function: str
    args: tuple
    affinity: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a task returned, or why it failed; `fatal` when nothing else can go well either."""

    value: Any = None
    error: str | None = None
    fatal: bool = False
    trace: str = ""


class Executor(Protocol):
    """Runs tasks; usable as a context manager."""

    def run(self, tasks: Sequence[Task], report: Report) -> dict[str, Outcome]:
        """The outcome of every task by name; a task whose needs failed fails with their reason."""
        ...


def call(task: Task, report: Report) -> Outcome:
    """Run one task here; exceptions become outcomes."""
    module, function = task.function.split(":")
    try:
        work = getattr(importlib.import_module(module), function)
        return Outcome(work(functools.partial(_progress, report, task.name), *task.args))
    except Exception as error:
        fatal = isinstance(error, (OSError, MemoryError))
        plain = (fatal or isinstance(error, ValueError)) and str(error)
        text = str(error) if plain else f"{type(error).__name__}: {error}"
        return Outcome(error=text, fatal=fatal, trace=traceback.format_exc())


def _progress(report: Report, name: str, done: int, total: int, text: str = "") -> None:
    """What a task says of itself; 1 of 1 would say that it has ended, which its executor does."""
    scale = 2 if total == 1 else 1
    report(name, scale * done, scale * total, text)


class Inline:
    """Runs every task in this process, in order.

    TensorFlow is set up as in a worker, unless this process has loaded it already: then figures may
    differ in the last digits.
    """

    def __init__(self, threads: int = 1):
        if "tensorflow" not in sys.modules:
            os.environ.update({k: v for k, v in _environment(threads).items() if k[:3] == "TF_"})

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *_) -> None:
        pass

    def run(self, tasks: Sequence[Task], report: Report) -> dict[str, Outcome]:
        """See `Executor.run`."""
        outcomes: dict[str, Outcome] = {}
        for task in tasks:
            report(task.name, 0, 1, "")
            outcomes[task.name] = broken(task, outcomes) or call(task, report)
            stop_if_fatal(outcomes[task.name])
            report(task.name, 1, 1, outcomes[task.name].error or "")
        return outcomes


class Processes:
    """Runs tasks in `workers` processes with `threads` threads each."""

    def __init__(self, workers: int, threads: int, logs: Path):
        self._count, self._threads, self._logs = workers, threads, logs
        self._workers: list[Worker] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_) -> None:
        for worker in self._workers:
            worker.kill()

    def run(self, tasks: Sequence[Task], report: Report) -> dict[str, Outcome]:
        """See `Executor.run`; OSError when a task meets a full disk or the like."""
        waiting, outcomes = list(tasks), {}
        while len(self._workers) < min(self._count, len(waiting)):
            self._workers.append(Worker(len(self._workers), self._threads, self._logs))
        while waiting or any(worker.task for worker in self._workers):
            for task in [task for task in waiting if broken(task, outcomes)]:
                outcomes[task.name] = broken(task, outcomes)
                waiting.remove(task)
                report(task.name, 1, 1, outcomes[task.name].error)
            self._replace_dead()
            for worker in self._workers:
                task = None if worker.task else pick(worker, self._workers, waiting, outcomes)
                if task:
                    waiting.remove(task)
                    worker.start(task)
                    report(task.name, 0, 1, "")
            busy = {w.connection: w for w in self._workers if w.task}
            for connection in wait(list(busy), timeout=TICK):
                self._receive(busy[connection], outcomes, report)
        return outcomes

    def _replace_dead(self) -> None:
        """New workers for those that died, at a task or while they had none."""
        for place, worker in enumerate(self._workers):
            if not worker.task and not worker.alive():
                worker.kill()
                self._workers[place] = Worker(worker.index, self._threads, self._logs)

    def _receive(self, worker: Worker, outcomes: dict, report: Report) -> None:
        task = worker.task
        try:
            kind, *message = worker.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            outcomes[task.name] = Outcome(error=worker.obituary())
            worker.task = None
            report(task.name, 1, 1, outcomes[task.name].error)
            return
        if kind == "progress":
            report(task.name, *message)
            return
        outcomes[task.name] = worker.finish(message[0])
        stop_if_fatal(outcomes[task.name])
        report(task.name, 1, 1, outcomes[task.name].error or "")


class Warm(Protocol):
    """What the choice of a task needs to know of a worker."""

    warm: Collection[str]  # the affinities whose graphs it has

    def seconds(self, affinity: str) -> float:
        """What a warm task of that affinity takes there, as far as known."""
        ...


def pick(
    worker: Warm, workers: Sequence[Warm], waiting: Sequence[Task], finished: Container[str]
) -> Task | None:
    """The task that an idle worker is given, None when it had better wait."""
    ready = [task for task in waiting if all(need in finished for need in task.needs)]
    for task in ready:
        if task.affinity in worker.warm:
            return task
    others = [other for other in workers if other is not worker]
    warm_elsewhere = set().union(*(other.warm for other in others))
    for task in ready:
        if not task.affinity or task.affinity not in warm_elsewhere:
            return task
    queued = collections.Counter(task.affinity for task in waiting)
    for task in ready:
        seconds = max(other.seconds(task.affinity) for other in others)
        if seconds * queued[task.affinity] > STEAL_SECONDS:
            return task
    return None


def _paths() -> str:
    """Where this process imports from; not the current folder, which may be a stranger's."""
    return os.pathsep.join(path for path in sys.path if os.path.isabs(path))


class Worker:
    """One child process, the task it is at, and the affinities it is warm for; a `Warm`."""

    def __init__(self, index: int, threads: int, logs: Path):
        self.index, self.task, self._started = index, None, 0.0
        self.warm: dict[str, float] = {}  # affinity -> seconds of the last task
        logs.mkdir(parents=True, exist_ok=True)
        self.log = logs / f"worker-{index}.log"
        ours, theirs = socket.socketpair()
        with open(self.log, "a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tf_compleak.engine.processes", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **_environment(threads), "PYTHONPATH": _paths()},
                start_new_session=True,
            )
        theirs.close()
        self.connection = Connection(ours.detach())

    def start(self, task: Task) -> None:
        self.task, self._started = task, time.monotonic()
        self.warm.setdefault(task.affinity, 0.0)
        with contextlib.suppress(OSError):  # a worker that just died is met when it is heard
            self.connection.send(task)

    def alive(self) -> bool:
        return self._process.poll() is None

    def finish(self, outcome: Outcome) -> Outcome:
        self.warm[self.task.affinity] = time.monotonic() - self._started
        self.task = None
        return outcome

    def seconds(self, affinity: str) -> float:
        """What a warm task of that affinity takes here, as far as known."""
        if self.task and self.task.affinity == affinity:
            return max(self.warm[affinity], time.monotonic() - self._started)
        return self.warm.get(affinity, 0.0)

    def obituary(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # alive, but what it sends is no message
            self._process.kill()
            code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        hint = "; out of memory? try --workers=1" if code == -signal.SIGKILL else ""
        return f"the worker process died ({how}) in {self.task.name}; see {self.log}{hint}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.connection.close()


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
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def broken(task: Task, outcomes: dict[str, Outcome]) -> Outcome | None:
    """The outcome of a task that cannot begin, since one that it needs failed; else None."""
    reasons = [outcomes[need].error for need in task.needs if need in outcomes]
    return next((Outcome(error=reason) for reason in reasons if reason), None)


def stop_if_fatal(outcome: Outcome) -> None:
    """Raise OSError for an outcome after which nothing else can go well, such as a full disk."""
    if outcome.fatal:
        raise OSError(outcome.error)


def _die_with(parent: int) -> None:
    """End this process soon after its parent has gone, however that went."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _serve(connection: Connection) -> None:
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):  # Linux: at once, in the middle of anything
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    last = 0.0

    def report(name: str, done: int, total: int, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > TICK / 2 or done == total:
            last = time.monotonic()
            connection.send(("progress", done, total, text))

    while True:
        try:
            task = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        outcome = call(task, report)
        connection.send(("done", outcome))
        if outcome.trace:
            with contextlib.suppress(OSError):  # a full disk takes no log either
                print(f"{task.name}\n{outcome.trace}", file=sys.stderr, flush=True)


def main(arguments: Iterable[str]) -> None:
    """Serve tasks on the socket whose file descriptor is the only argument."""
    (descriptor,) = arguments
    _serve(Connection(int(descriptor)))


if __name__ == "__main__":
    from tf_compleak.engine import processes  # the classes that the other side pickles by this name

    processes.main(sys.argv[1:])
