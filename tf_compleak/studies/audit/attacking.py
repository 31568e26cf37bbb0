"""Which attacks an audit runs on what, and running those that are not there yet."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tf_compleak.attacks import suits
from tf_compleak.data import sides
from tf_compleak.engine.processes import Inline, Processes
from tf_compleak.engine.tasks import Executor, Task
from tf_compleak.studies.audit import scoring
from tf_compleak.studies.audit.query import Family
from tf_compleak.studies.audit.settings import Audit, Where
from tf_compleak.types import Failure, default_releases, seeds

BLIND_MOST = 20_000
LARGE = 500_000  # examples from which attacks run one at a time: each holds all of them
BLIND = "blind baseline"


def jobs(settings: Audit, exposure: str) -> list[scoring.Job]:
    """Every attack on every release that it suits, for one exposure."""
    releases = settings.releases or default_releases(settings.names)
    families = ("target", *(f"shadow-{index}" for index in range(len(settings.shadows))))
    folds = 0 if settings.shadows else settings.folds
    found = [
        scoring.Job(exposure, attack, release, families, folds, settings.seed)
        for attack in settings.attacks
        for release in releases
        if suits(attack, release)
    ]
    if not found:
        raise ValueError(
            f"--attacks={','.join(settings.attacks)} suit none of the releases of "
            f"{', '.join(settings.names)}."
        )
    return found


def null_job(settings: Audit) -> scoring.Job:
    """The job that is repeated with membership drawn anew: of the most versions, the last such."""
    widest = max(reversed(jobs(settings, settings.exposure[0])), key=lambda job: len(job.release))
    return dataclasses.replace(widest, null=True)


def run(settings: Audit, where: Where, root: Path, target: Family, tell) -> list[Failure]:
    """Run what is not there yet, widest releases first; the jobs that failed."""
    wanted = [job for name in settings.exposure for job in jobs(settings, name)]
    wanted.sort(key=lambda job: -len(job.release))
    tasks = [
        Task(job.title, "tf_compleak.studies.audit.scoring:attack", (root, job), job.attack)
        for job in (*wanted, null_job(settings))
        if scoring.stage_of(root, job).facts() is None
    ]
    key = blind_key(settings, target)
    if target.sides[0].inputs and scoring.blind_stage(root, key).facts() is None:
        table, members = _blind_table(target, settings.seed)
        args = (root, table, members, seeds.integer(settings.seed, "blind"), key)
        tasks.append(Task(BLIND, "tf_compleak.studies.audit.scoring:blind", args, "blind"))
    with _executor(settings, where, root, sum(map(len, target.sides))) as executor:
        outcomes = executor.run(tasks, tell)
    return [Failure(name, each.error) for name, each in outcomes.items() if each.error]


def _executor(settings: Audit, where: Where, root: Path, examples: int) -> Executor:
    if where.executor == "inline":
        return Inline(settings.threads)
    workers = attackers(where, settings.threads, examples)
    return Processes(workers, settings.threads, root / "logs")


def attackers(where: Where, threads: int, examples: int) -> int:
    """How many attacks run side by side: one where the examples are many and no number is asked."""
    return 1 if examples >= LARGE and not where.workers else where.processes(threads)


def blind_key(settings: Audit, target: Family) -> str:
    """What the blind baseline's scores depend on."""
    return f"{target.digests} {settings.seed}"


def _blind_table(target: Family, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What the blind baseline sees, of at most `BLIND_MOST` examples, and their membership."""
    from tf_compleak.attacks import blind

    tables, members = [], []
    for side, member in zip(target.sides, (True, False), strict=True):
        rng = seeds.generator(seed, "blind", str(member))
        rows = np.sort(rng.permutation(len(side))[: BLIND_MOST // 2])
        for start in range(0, len(rows), sides.BLOCK):
            which = rows[start : start + sides.BLOCK]
            flat = [
                np.float32(part).reshape(len(which), -1)
                for _, part in sorted(side.rows(which).items())
            ]
            summary = blind.summary(np.concatenate(flat, axis=1))
            tables.append(np.column_stack([summary, side.labels[which]]))
        members.append(np.full(len(rows), member))
    return np.concatenate(tables), np.concatenate(members)
