"""Which executor runs a study's tasks, and in how many workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tf_compleak.engine.processes import Inline, Processes
from tf_compleak.engine.ray_workers import Cluster, parse_resources
from tf_compleak.engine.tasks import Executor


def workers_of(workers: int, threads: int) -> int:
    """`workers`, or if that is 0: how many with `threads` each fit the cores, 8 of them at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return workers or max(1, min(cores, 8) // threads)


def side_by_side(name: str, workers: int, threads: int) -> int:
    """How many tasks that of `--executor=name` runs at once; 0: Ray's cluster decides."""
    if name == "inline":
        return 1
    return workers if name == "ray" else workers_of(workers, threads)


def executor(
    name: str,
    workers: int,
    threads: int,
    logs: Path,
    ray_address: str = "",
    ray_resources: Sequence[str] = (),
    ray_retries: int = 3,
) -> Executor:
    """That of `--executor=name` and its flags; ValueError for words that are no resources."""
    if name == "inline":
        return Inline(threads)
    if name == "ray":
        resources = parse_resources(ray_resources)
        return Cluster(workers, threads, logs, ray_address, resources, ray_retries)
    return Processes(workers_of(workers, threads), threads, logs)
