"""Options: what does not change the figures of a study: where and how it runs."""

from __future__ import annotations

from dataclasses import dataclass

from tf_compleak.engine.ray_workers import parse_resources
from tf_compleak.types import validators

EXECUTORS = ("processes", "inline", "ray")


@dataclass(frozen=True)
class Options:
    """Every field but the last two is a flag of the same name.

    Attributes:
      workdir: the study's folder, or a bucket's URL; audits alone may leave it empty: none is kept.
      data_dir: where prepared TFDS data sets are.
      overwrite: take over a workdir that another study made.
      workers: processes; 0 for one per core, up to 8.
      executor: one of `EXECUTORS`; "inline" is this process, for debugging.
      ray_address, ray_resources, ray_retries: see `engine.ray_workers`.
      command, flags: what the report says about repeating the study.
    """

    workdir: str = ""
    data_dir: str | None = None
    overwrite: bool = False
    workers: int = 0
    executor: str = "processes"
    ray_address: str = ""
    ray_resources: tuple[str, ...] = ()
    ray_retries: int = 3
    command: str = ""
    flags: str = ""

    def __post_init__(self):
        validators.between("--workers", self.workers, 0, 1024)
        validators.choice("--executor", self.executor, EXECUTORS)
        validators.between("--ray_retries", self.ray_retries, 0, 100)
        parse_resources(self.ray_resources)
