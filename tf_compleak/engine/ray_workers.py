"""Ray: the workers of a study on the machines of a cluster, chosen by `--executor=ray`.

A Ray actor stands for a worker: it starts the same worker process as `processes.Processes` does, so
that figures are the same, and passes on what that says. When its machine is lost, its task is given
to another. All machines must see the workdir and the data under the same paths.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from tf_compleak.engine.processes import Process
from tf_compleak.engine.scheduler import Lost, Scheduler, Worker
from tf_compleak.engine.tasks import Task

STAGES = ("data", "train", "version", "extra", "attack")
PROBE_SECONDS = 5.0
Resources = tuple[tuple[str, float], ...]  # ("cpu", 2.0), ("gpu", 1.0), or names of the cluster's


def parse_resources(words: Sequence[str]) -> dict[str, Resources]:
    """ "train:gpu=1" and the like, by stage; ValueError naming the word that is none."""
    amounts: dict[str, dict[str, float]] = {}
    for word in words:
        stage, _, rest = word.partition(":")
        name, _, amount = rest.partition("=")
        with contextlib.suppress(ValueError):
            if stage in STAGES and name and float(amount) >= 0:
                amounts.setdefault(stage, {})[name] = float(amount)
                continue
        raise ValueError(
            f"--ray_resources: {word!r}; write STAGE:RESOURCE=AMOUNT, such as train:gpu=1; stages: "
            f"{', '.join(STAGES)}."
        )
    return {stage: tuple(sorted(by_name.items())) for stage, by_name in amounts.items()}


def stage_of(task: Task) -> str:
    """The stage of `STAGES` that a task belongs to; sanity runs are attacks."""
    name = task.resources or task.function.split(":")[1]
    return name if name in STAGES else "attack"


class Cluster(Scheduler):
    """Runs tasks on a Ray cluster.

    Args:
      workers: at most so many of a kind; 0: as many as fit the cluster's CPUs.
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
        super().__init__(workers, retries)
        self._threads, self._logs = threads, str(logs)
        self._address, self._resources, self._ours = address, resources or {}, False

    def __enter__(self) -> Self:
        self._ray = _imported()
        if not self._ray.is_initialized():
            _connect(self._ray, self._address)
            self._ours = True
        if not self._most:
            cpus = self._ray.cluster_resources().get("CPU", 1)
            self._most = max(1, int(cpus // self._threads))
        return self

    def __exit__(self, *exception) -> None:
        super().__exit__(*exception)
        if self._ours:
            self._ray.shutdown()

    def kind(self, task: Task) -> Resources:
        return self._resources.get(stage_of(task), ())

    def hire(self, index: int, kind: Resources) -> Actor:
        return Actor(self._ray, index, self._threads, kind, self._logs)

    def wait(self, lines: Sequence, seconds: float) -> Sequence:
        return self._ray.wait(lines, timeout=seconds)[0]


class Actor(Worker):
    """A worker of the cluster as the driver sees it, and the line that it is heard on."""

    def __init__(self, ray, index: int, threads: int, resources: Resources, logs: str):
        super().__init__(index, resources, up=False)
        amounts = dict(resources)
        cpus, gpus = amounts.pop("cpu", threads), amounts.pop("gpu", 0)
        kind = ray.remote(Host).options(num_cpus=cpus, num_gpus=gpus, resources=amounts or None)
        self._ray = ray
        self._actor = kind.remote(index, threads, logs, os.getcwd(), list(sys.path))
        self.line = self._actor.ready.remote()

    def send(self, task: Task) -> None:
        self.line = self._actor.run.options(num_returns="streaming").remote(task)

    def hear(self) -> tuple:
        try:
            if self.up:
                return self._ray.get(next(self.line))
            self._ray.get(self.line)
        except self._ray.exceptions.RayError as error:
            never = "" if self.up else "--executor=ray: workers cannot be started: "
            raise Lost(never + str(error).splitlines()[0]) from error
        self.up = True
        return ("up",)

    def kill(self) -> None:
        with contextlib.suppress(Exception):
            self._ray.kill(self._actor)


class Host:
    """The Ray actor itself: a worker process on whatever machine this is."""

    def __init__(self, index: int, threads: int, logs: str, folder: str, paths: list[str]):
        try:
            os.chdir(folder)
        except OSError as error:
            raise OSError(
                f"{socket.gethostname()} has no {folder}; a cluster needs shared folders"
            ) from error
        sys.path += [path for path in paths if path not in sys.path and os.path.isdir(path)]
        self._start = lambda: Process(index, threads, Path(logs))
        self._process = self._start()

    def ready(self) -> str:
        """The machine's name, once the worker is there."""
        return socket.gethostname()

    def run(self, task: Task) -> Iterator[tuple]:
        """Yields what the worker says, ("progress", done, total, text), then ("done", outcome)."""
        if not self._process.alive():
            self._process.kill()
            self._process = self._start()
        self._process.begin(task)
        for message in iter(self._process.hear, None):
            yield message
            if message[0] == "done":
                return


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
