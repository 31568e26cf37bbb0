"""A simulated schedule: the pipeline's own tasks on simulated workers, by its own rule.

Which task an idle worker gets is decided by `executors.pick`, the rule of the real executors; what
a task takes is told by a function. Idle workers look again whenever a task ends, the real ones
every quarter of a second too.
"""

import dataclasses
import heapq
from collections.abc import Callable, Sequence

from tf_compleak.engine.processes import Task, pick
from tf_compleak.studies.run import planning
from tf_compleak.studies.study import Study

Cost = Callable[[Task, bool], float]  # task, whether the worker is warm for it -> seconds


class Worker:
    """A simulated worker; see `executors.Warm`."""

    def __init__(self, clock: "Clock"):
        self._clock = clock
        self.warm: dict[str, float] = {}
        self.task: Task | None = None
        self.started = self.busy = 0.0

    def seconds(self, affinity: str) -> float:
        """What a warm task of that affinity takes here, as far as known."""
        if self.task and self.task.affinity == affinity:
            return max(self.warm[affinity], self._clock.now - self.started)
        return self.warm.get(affinity, 0.0)


@dataclasses.dataclass
class Clock:
    """The time of a simulation, in seconds."""

    now: float = 0.0


def simulate(phases: Sequence[Sequence[Task]], workers: int, cost: Cost) -> tuple[float, float]:
    """Seconds until all phases are done, one after the other, and the workers' busy seconds."""
    clock = Clock()
    crew = [Worker(clock) for _ in range(workers)]
    for tasks in phases:
        _phase(list(tasks), crew, clock, cost)
    return clock.now, sum(worker.busy for worker in crew)


def _phase(waiting: list[Task], crew: list[Worker], clock: Clock, cost: Cost) -> None:
    finished, events, names = {}, [], {task.name for task in waiting}
    waiting = [
        dataclasses.replace(task, needs=tuple(n for n in task.needs if n in names))
        for task in waiting
    ]
    while waiting or events:
        for index, worker in enumerate(crew):
            task = None if worker.task else pick(worker, crew, waiting, finished)
            if task:
                waiting.remove(task)
                seconds = cost(task, task.affinity in worker.warm)
                worker.warm.setdefault(task.affinity, 0.0)
                worker.task, worker.started = task, clock.now
                heapq.heappush(events, (clock.now + seconds, index))
        clock.now, index = heapq.heappop(events)
        worker = crew[index]
        finished[worker.task.name] = worker.warm[worker.task.affinity] = clock.now - worker.started
        worker.busy += clock.now - worker.started
        worker.task = None


def phases(study: Study, usable: Sequence[str] = ()) -> list[list[Task]]:
    """The tasks of a study as `pipeline.run` hands them to its executor: building, attacking.

    `usable` are the versions that did not fail; by default all.
    """
    building = [step.task for step in planning.building(study, "")]
    attacking = [
        step.task for step in planning.attacking(study, "", tuple(usable) or study.versions)
    ]
    return [building, attacking]


def spread(lengths: Sequence[float], places: int) -> float:
    """Seconds until jobs of these lengths are done, each begun in order at the next free place."""
    free = [0.0] * places
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    return max(free)
