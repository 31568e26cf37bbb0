"""Ray: the workers of a study on the machines of a cluster, chosen by `--executor=ray`.

A Ray actor stands for a worker: it starts the same worker process as `executors.Processes` does, so
that figures are the same, and passes on what that says. When its machine is lost, its task is given
to another. All machines must see the workdir and the data under the same paths.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tf_compleak.engine.processes import Outcome, Report, Task, Worker, broken, pick, stop_if_fatal

STAGES = ("data", "train", "version", "extra", "attack")
PROBE_SECONDS = 5.0
WAIT_SECONDS = 0.5
Resources = tuple[tuple[str, float], ...]  # ("cpu", 2.0), ("gpu", 1.0), or names of the cluster's


def parse_resources(words: Sequence[str]) -> dict[str, Resources]:
    """ "train:gpu=1" and the like, by stage; ValueError naming the word that is none."""
    found: dict[str, dict[str, float]] = {}
    for word in words:
        stage, _, rest = word.partition(":")
        name, _, amount = rest.partition("=")
        with contextlib.suppress(ValueError):
            if stage in STAGES and name and float(amount) >= 0:
                found.setdefault(stage, {})[name] = float(amount)
                continue
        raise ValueError(
            f"--ray_resources: {word!r}; write STAGE:RESOURCE=AMOUNT, such as train:gpu=1; stages: "
            f"{', '.join(STAGES)}."
        )
    return {stage: tuple(sorted(each.items())) for stage, each in found.items()}


def stage_of(task: Task) -> str:
    """The stage of `STAGES` that a task belongs to; sanity runs are attacks."""
    name = task.function.split(":")[1]
    return name if name in STAGES else "attack"


class Host:
    """The Ray actor: a worker process on whatever machine this is."""

    def __init__(self, index: int, threads: int, logs: str, folder: str, paths: list[str]):
        try:
            os.chdir(folder)
        except OSError as error:
            raise OSError(
                f"{socket.gethostname()} has no {folder}; a cluster needs shared folders"
            ) from error
        sys.path += [path for path in paths if path not in sys.path and os.path.isdir(path)]
        self._make = lambda: Worker(index, threads, Path(logs))
        self._worker = self._make()

    def ready(self) -> str:
        """The machine's name, once the worker is there."""
        return socket.gethostname()

    def run(self, task: Task) -> Iterator[tuple]:
        """Yields what the worker says, ("progress", done, total, text), then ("done", outcome)."""
        if not self._worker.alive():
            self._worker = self._make()
        self._worker.start(task)
        while True:
            try:
                message = self._worker.connection.recv()
            except (EOFError, OSError, pickle.UnpicklingError):
                message = ("done", Outcome(error=self._worker.obituary()))
            yield message
            if message[0] == "done":
                self._worker.task = None
                return


class Cluster:
    """Runs tasks on a Ray cluster; see `executors.Executor`.

    Args:
      workers: at most so many at a time; 0: as many as fit the cluster's CPUs.
      threads: of each worker, and the CPUs that it asks for unless `resources` say otherwise.
      address: HOST:PORT of the cluster, "auto" for the one on this machine, empty: a new one here.
      resources: by stage, see `parse_resources`.
      retries: how often a task is begun again when its machine or actor is lost.
    """

    def __init__(
        self,
        workers: int,
        threads: int,
        logs: Path,
        address: str = "",
        resources: dict[str, Resources] | None = None,
        retries: int = 3,
    ):
        self._count, self._threads, self._logs = workers, threads, str(logs)
        self._address, self._resources, self._retries = address, resources or {}, retries
        self._workers: list[_Remote] = []
        self._made, self._ours = 0, False

    def __enter__(self) -> Cluster:
        self._ray = _imported()
        if not self._ray.is_initialized():
            _connect(self._ray, self._address)
            self._ours = True
        if not self._count:
            cpus = self._ray.cluster_resources().get("CPU", 1)
            self._count = max(1, int(cpus // self._threads))
        return self

    def __exit__(self, *_) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        if self._ours:
            self._ray.shutdown()

    def run(self, tasks: Sequence[Task], report: Report) -> dict[str, Outcome]:
        """See `Executor.run`."""
        waiting, outcomes, begun = list(tasks), {}, Counter()
        while waiting or any(worker.task for worker in self._workers):
            for task in [task for task in waiting if broken(task, outcomes)]:
                outcomes[task.name] = broken(task, outcomes)
                waiting.remove(task)
                report(task.name, 1, 1, outcomes[task.name].error)
            self._fit(waiting, outcomes)
            for worker in self._workers:
                self._give(worker, waiting, outcomes, begun, report)
            self._listen(waiting, outcomes, begun, report)
        return outcomes

    def _needs(self, task: Task) -> Resources:
        return self._resources.get(stage_of(task), ())

    def _fit(self, waiting: list[Task], outcomes: dict) -> None:
        """New workers for tasks that could begin; none that hold what others wait for."""
        ready = Counter(
            self._needs(task) for task in waiting if all(need in outcomes for need in task.needs)
        )
        for needs, count in ready.items():
            there = [worker for worker in self._workers if worker.resources == needs]
            idle = [worker for worker in there if not worker.task]
            for _ in range(min(self._count - len(there), count - len(idle))):
                self._workers.append(self._new(needs))
        if any(not worker.up for worker in self._workers):
            for worker in list(self._workers):
                if worker.up and not worker.task and worker.resources not in ready:
                    worker.kill()
                    self._workers.remove(worker)

    def _new(self, needs: Resources) -> _Remote:
        self._made += 1
        return _Remote(self._ray, self._made, self._threads, needs, self._logs)

    def _give(self, worker: _Remote, waiting, outcomes, begun: Counter, report: Report) -> None:
        if worker.task or not worker.up:
            return
        alike = [other for other in self._workers if other.resources == worker.resources]
        mine = [task for task in waiting if self._needs(task) == worker.resources]
        task = pick(worker, alike, mine, outcomes)
        if task:
            waiting.remove(task)
            begun[task.name] += 1
            worker.start(task)
            report(task.name, 0, 1, "")

    def _listen(self, waiting, outcomes, begun: Counter, report: Report) -> None:
        heard = {worker.line: worker for worker in self._workers if worker.line is not None}
        ready, _ = self._ray.wait(list(heard), num_returns=1, timeout=WAIT_SECONDS)
        for line in ready:
            worker, task = heard[line], heard[line].task
            try:
                kind, *message = worker.hear()
            except self._ray.exceptions.RayError as error:
                self._lost(worker, str(error).splitlines()[0], waiting, outcomes, begun, report)
                continue
            if kind == "progress":
                report(task.name, *message)
            elif kind == "done":
                outcomes[task.name] = worker.finish(message[0])
                stop_if_fatal(outcomes[task.name])
                report(task.name, 1, 1, outcomes[task.name].error or "")

    def _lost(self, worker: _Remote, reason: str, waiting, outcomes, begun, report) -> None:
        """A worker that is no more: its task is begun again elsewhere, unless it has been often."""
        self._workers.remove(worker)
        worker.kill()
        if worker.task is None:
            if begun["a worker"] >= 10 * (self._retries + 1):
                raise OSError(f"--executor=ray: workers cannot be started: {reason}")
            begun["a worker"] += 1
            return
        if begun[worker.task.name] <= self._retries:
            report(worker.task.name, 0, 1, "begun again: its worker was lost")
            waiting.insert(0, worker.task)
            return
        error = f"lost {begun[worker.task.name]} workers in a row ({reason})"
        outcomes[worker.task.name] = Outcome(error=error)
        report(worker.task.name, 1, 1, error)


class _Remote:
    """A worker of the cluster as the driver sees it: its task, and the line that it is heard on."""

    def __init__(self, ray, index: int, threads: int, resources: Resources, logs: str):
        wanted = dict(resources)
        cpus, gpus = wanted.pop("cpu", threads), wanted.pop("gpu", 0)
        kind = ray.remote(Host).options(num_cpus=cpus, num_gpus=gpus, resources=wanted or None)
        self._ray, self.resources = ray, resources
        self._actor = kind.remote(index, threads, logs, os.getcwd(), list(sys.path))
        self.line = self._actor.ready.remote()
        self.task, self.up, self._started = None, False, 0.0
        self.warm: dict[str, float] = {}

    def start(self, task: Task) -> None:
        self.task, self._started = task, time.monotonic()
        self.warm.setdefault(task.affinity, 0.0)
        self.line = self._actor.run.options(num_returns="streaming").remote(task)

    def hear(self) -> tuple:
        """The next thing it says; RayError when it is lost."""
        if self.task is None:
            self._ray.get(self.line)
            self.up, self.line = True, None
            return ("up",)
        return self._ray.get(next(self.line))

    def finish(self, outcome: Outcome) -> Outcome:
        self.warm[self.task.affinity] = time.monotonic() - self._started
        self.task = self.line = None
        return outcome

    def seconds(self, affinity: str) -> float:
        """See `executors.Warm`."""
        if self.task and self.task.affinity == affinity:
            return max(self.warm[affinity], time.monotonic() - self._started)
        return self.warm.get(affinity, 0.0)

    def kill(self) -> None:
        with contextlib.suppress(Exception):
            self._ray.kill(self._actor)


def _imported():
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise ValueError(
            "--executor=ray: Ray is not installed; pip install 'tf-compleak[ray]'."
        ) from error
    return ray


def _connect(ray, address: str) -> None:
    if address.startswith("ray://"):
        raise ValueError(
            f"--ray_address={address}: Ray Client is not supported; run on a machine of the "
            "cluster, with HOST:PORT or auto."
        )
    unreachable = (
        f"--ray_address={address}: no Ray cluster answers there; start one with "
        "`ray start --head`, or leave the flag out to start one for this run."
    )
    host, _, port = address.rpartition(":")
    if host:
        try:
            socket.create_connection((host, int(port)), PROBE_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            raise ValueError(unreachable) from error
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address or "local",
            log_to_driver=False,
            logging_level="error",
            include_dashboard=None if address else False,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ValueError(unreachable if address else f"--executor=ray: {error}") from error
    finally:
        with contextlib.suppress(ValueError):  # Ray sets a handler of its own
            signal.signal(signal.SIGTERM, before)
