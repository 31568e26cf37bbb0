"""A simulated schedule: the pipeline's own tasks, given out by its own loop to simulated workers.

What a task takes is told by a function. Idle workers look again whenever a task ends, the real ones
every quarter of a second too.
"""

import dataclasses
import heapq
from collections.abc import Callable, Sequence

from tf_compleak.engine.scheduler import Scheduler, Worker
from tf_compleak.engine.tasks import Outcome, Task
from tf_compleak.leakage.question_stages import scored
from tf_compleak.studies.run import run_stages
from tf_compleak.studies.run.source import Source
from tf_compleak.studies.study import Study
from tf_compleak.types import progress

Cost = Callable[[Task, bool], float]  # task, whether the worker is warm for it -> seconds


class Simulated(Worker):
    """A worker that needs no time, and says when a task would have ended; heard on its index."""

    def __init__(self, simulation: "Simulation", index: int):
        super().__init__(index)
        self.line, self._simulation = index, simulation

    def clock(self) -> float:
        """The simulation's time, in seconds."""
        return self._simulation.now

    def begin(self, task: Task) -> None:
        """Note when the task will have ended."""
        seconds = self._simulation.cost(task, task.affinity in self.warm)
        super().begin(task)
        self._simulation.busy += seconds
        heapq.heappush(self._simulation.ends, (self._simulation.now + seconds, self.index))

    def hear(self) -> tuple:
        """That its task has ended."""
        return ("done", Outcome())


class Simulation(Scheduler):
    """The scheduler on simulated workers: waiting moves the clock to where the next task ends."""

    def __init__(self, workers: int, cost: Cost):
        super().__init__(workers)
        self.cost, self.now, self.busy = cost, 0.0, 0.0
        self.ends: list[tuple[float, int]] = []  # when a worker will have ended its task

    def hire(self, index: int, kind: None) -> Simulated:
        """See `Scheduler.hire`."""
        return Simulated(self, index)

    def wait(self, lines: Sequence[int], seconds: float) -> list[int]:
        """See `Scheduler.wait`."""
        self.now, index = heapq.heappop(self.ends)
        return [index]


def simulate(phases: Sequence[Sequence[Task]], workers: int, cost: Cost) -> tuple[float, float]:
    """Seconds until all phases are done, one after the other, and the workers' busy seconds."""
    simulation = Simulation(workers, cost)
    for tasks in phases:
        names = {task.name for task in tasks}
        inside = [tuple(need for need in task.needs if need in names) for task in tasks]
        simulation.run(
            [dataclasses.replace(t, needs=n) for t, n in zip(tasks, inside, strict=True)],
            progress.silent,
        )
    return simulation.now, simulation.busy


class Planned(Source):
    """A study's source before there are any files: enough to say which tasks need which."""

    def __init__(self, study: Study):
        self.study, self.root, self.own_code = study, "", ""


def phases(study: Study, usable: Sequence[str] = ()) -> list[list[Task]]:
    """The tasks of a study as `pipeline.run` hands them to its executor: building, attacking.

    `usable` are the versions that did not fail; by default all.
    """
    source, usable = Planned(study), tuple(usable) or study.versions
    attacking = [*run_stages.asking_more(study, usable), *scored(study.plan(usable))]
    return [
        [stage.task(source, tuple(need.title for need in stage.needs(source))) for stage in phase]
        for phase in (run_stages.building(study), attacking)
    ]


def spread(lengths: Sequence[float], places: int) -> float:
    """Seconds until jobs of these lengths are done, each begun in order at the next free place."""
    free = [0.0] * places
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    return max(free)
