"""The one loop that gives tasks to workers and hears of them, whatever the workers are.

A worker keeps the graphs that it has traced. Tasks with the same `affinity` share graphs, so a
worker is given tasks that it is warm for; a task moves to a cold worker only when waiting would
take longer than tracing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from tf_compleak.engine.tasks import Agenda, Executor, Outcome, Task
from tf_compleak.types.progress import Tell

STEAL_SECONDS = 6.0
TICK = 0.25
STARTS = 10  # how many workers may be lost before they are up, for each time a task may be begun


class Lost(OSError):
    """A worker that is no more, through no fault of its task."""


class Worker:
    """What runs one task at a time; each sort says how to `send`, `hear` and `kill`.

    It is given tasks that ask for its `kind` once it is `up`, and heard on its `line`; it is `warm`
    for the affinities whose graphs it has, with the seconds of the last task of each.
    """

    line: Any
    clock = staticmethod(time.monotonic)

    def __init__(self, index: int, kind: Hashable = None, up: bool = True):
        self.index, self.kind, self.up = index, kind, up
        self.task: Task | None = None
        self.warm: dict[str, float] = {}
        self._began = 0.0

    def send(self, task: Task) -> None:
        """Have it work on a task; what comes of that is heard."""

    def hear(self) -> tuple:
        """("up",), ("progress", done, total, text) or ("done", outcome); raises `Lost`."""

    def kill(self) -> None:
        """End it, whatever it is at."""

    def alive(self) -> bool:
        """Whether it can be given a task, as far as can be told at once."""
        return True

    def begin(self, task: Task) -> None:
        """Be at a task."""
        self.task, self._began = task, self.clock()
        self.warm.setdefault(task.affinity, 0.0)
        self.send(task)

    def finish(self) -> Task:
        """Be at none; the task that it was at."""
        self.warm[self.task.affinity] = self.clock() - self._began
        task, self.task = self.task, None
        return task

    def seconds(self, affinity: str) -> float:
        """What a warm task of that affinity takes here, as far as known."""
        if self.task and self.task.affinity == affinity:
            return max(self.warm[affinity], self.clock() - self._began)
        return self.warm.get(affinity, 0.0)


class Scheduler(Executor):
    """Runs tasks in `most` workers of every kind, again up to `retries` times if one is lost."""

    def __init__(self, most: int, retries: int = 0):
        self._most, self._retries = most, retries
        self._workers: list[Worker] = []

    def hire(self, index: int, kind: Hashable) -> Worker:
        """A new worker of that kind."""

    def wait(self, lines: Sequence, seconds: float) -> Sequence:
        """The lines of workers on which something can be heard; none when so long has gone."""

    def kind(self, task: Task) -> Hashable:
        """The kind of worker that a task asks for."""
        return None

    def __exit__(self, *_) -> None:
        while self._workers:
            self._workers.pop().kill()

    def run(self, tasks: Sequence[Task], tell: Tell) -> dict[str, Outcome]:
        """See `tasks.Executor.run`."""
        agenda = Agenda(tasks, tell)
        while agenda.waiting or any(worker.task for worker in self._workers):
            self._fit(Counter(self.kind(t) for t in agenda.waiting if agenda.can_begin(t)))
            for worker in self._workers:
                self._give(worker, agenda)
            lines = {w.line: w for w in self._workers if w.task or not w.up}
            if not lines:
                names = ", ".join(task.name for task in agenda.waiting)
                raise RuntimeError(f"tasks that wait for what is never done: {names}")
            for line in self.wait(list(lines), TICK):
                self._hear(lines[line], agenda)
        return {task.name: agenda.ended[task.name] for task in tasks}

    def _fit(self, ready: Counter) -> None:
        """Workers for tasks that could begin (`ready`, by kind); none that hold what these want."""
        crowded = not all(worker.up for worker in self._workers)
        for worker in list(self._workers):
            unwanted = crowded and worker.up and worker.kind not in ready
            if not worker.task and (unwanted or not worker.alive()):
                self._dismiss(worker)
        for kind, count in ready.items():
            alike = [worker for worker in self._workers if worker.kind == kind]
            idle = [worker for worker in alike if not worker.task]
            for _ in range(min(self._most - len(alike), count - len(idle))):
                taken = {worker.index for worker in self._workers}
                self._workers.append(self.hire(min({*range(len(taken) + 1)} - taken), kind))

    def _dismiss(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.kill()

    def _give(self, worker: Worker, agenda: Agenda) -> None:
        if worker.up and not worker.task:
            alike = [other for other in self._workers if other.kind == worker.kind]
            waiting = [task for task in agenda.waiting if self.kind(task) == worker.kind]
            ready = [task for task in waiting if agenda.can_begin(task)]
            if task := pick(worker, alike, ready, waiting):
                agenda.begin(task)
                worker.begin(task)

    def _hear(self, worker: Worker, agenda: Agenda) -> None:
        try:
            message, *content = worker.hear()
        except Lost as lost:
            self._dismiss(worker)
            self._lost(worker.task, lost, agenda)
            return
        if message == "progress":
            agenda.tell(worker.task.name, *content)
        elif message == "done":
            agenda.end(worker.finish(), *content)

    def _lost(self, task: Task | None, lost: Lost, agenda: Agenda) -> None:
        count = agenda.begun[task.name if task else ""]
        if task is None:
            agenda.begun[""] += 1
            if count >= STARTS * (self._retries + 1):
                raise lost
        elif count <= self._retries:
            agenda.waiting.insert(0, task)
            agenda.tell(task.name, 0, 1, "begun again: its worker was lost")
        else:
            agenda.end(task, Outcome(error=f"lost {count} workers in a row ({lost})"))


def pick(
    worker: Worker, workers: Sequence[Worker], ready: Sequence[Task], waiting: Sequence[Task]
) -> Task | None:
    """The task of `ready` that an idle worker is given, None when it had better wait."""
    others = [other for other in workers if other is not worker]
    warm_elsewhere = set().union(*(other.warm for other in others))
    queued = Counter(task.affinity for task in waiting)

    def late(affinity: str) -> bool:
        """Whether those that are warm for it will be busy with it for long."""
        return queued[affinity] * max(w.seconds(affinity) for w in others) > STEAL_SECONDS

    rules = (
        lambda affinity: affinity in worker.warm,
        lambda affinity: not affinity or affinity not in warm_elsewhere,
        late,
    )
    return next((task for rule in rules for task in ready if rule(task.affinity)), None)
