"""The time left: over a whole simulated study, the estimate stays near what is truly left."""

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from tf_compleak.engine.declaration import foretell
from tf_compleak.engine.live_view import Tally
from tf_compleak.leakage.sanity import DRAWS
from tf_compleak.studies.run.run_stages import everything
from tf_compleak.studies.study import Study

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import schedule

WITHIN = 2.5  # the estimate is at most so many times too long or too short
WITHIN_ANYWHERE = 4.0  # the same, where some kinds take three times as long beside others
FIRST, LAST = 0.1, 0.95  # shares of the run between which that holds
STUDY = Study(
    num_shadows=1,
    attacks=("entropy", "modified-entropy", "nasr-lr", "nasr-mlp", "sr2-lr", "sr2-mlp", "mr"),
)
QUICKSTART = {  # seconds of a stage on two busy cores, by what its name begins with
    "train": 40, "pruning": 3.5, "int8-qat": 10, "clustering": 11, "original": 0.8, "int8-ptq": 0.8,
    "dynamic": 0.7, "float16": 0.9, "ask": 0.1, "entropy": 0.1, "modified": 0.1, "nasr-lr": 0.4,
    "nasr-mlp": 1.8, "sr2-lr": 0.5, "sr2-mlp": 1.6, "mr": 25, "blind": 5, "what": 34,
}  # fmt: skip


OTHERS = 0.3
EPOCHS = 40
NULL = "null run of "


def seconds_of(name, slower):
    """What a task takes, when its kind is so many times slower than in the quickstart."""
    if name.startswith(NULL):
        return DRAWS * seconds_of(name.removeprefix(NULL), slower)
    kind = next((kind for kind in QUICKSTART if name.startswith(kind)), "")
    return QUICKSTART.get(kind, OTHERS) * slower.get(kind, 1.0)


class Watched(schedule.Simulation):
    """The scheduler on simulated workers; a tally hears what the real ones would tell."""

    def __init__(self, workers, cost):
        super().__init__(workers, cost)
        self.tally = Tally(lambda: self.now, workers)
        self.estimates = []

    def steps(self, task):
        """How many a task tells of; 0: none."""
        return EPOCHS if task.resources == "train" else DRAWS * task.name.startswith(NULL)

    def wait(self, lines, seconds):
        """Tasks tell how far they are until the next one ends; the estimate is noted then."""
        before, (ahead, _) = self.now, self.ends[0]
        for self.now in np.linspace(before, ahead, 6)[1:]:
            for worker in self._workers:
                if worker.task and (steps := self.steps(worker.task)):
                    share = (self.now - worker._began) / self.cost(worker.task, False)
                    self.tally.hear(worker.task.name, int(steps * share * 0.999), steps, "")
            self.estimates.append((self.now, self.tally.seconds_to_go()))
        return super().wait(lines, seconds)


def ratios(workers, slower=None):
    """Of a whole run: (share of it that is over, estimate over what is truly left)."""
    watched = Watched(workers, lambda task, _: seconds_of(task.name, slower or {}))
    foretell(everything(STUDY, STUDY.versions), watched.tally.hear)
    for tasks in schedule.phases(STUDY):
        inside = {task.name for task in tasks}
        for task in tasks:
            watched.tally.hear(task.name, task.weight, 0, "missing")
        watched.run(
            [schedule.dataclasses.replace(t, needs=tuple(inside & set(t.needs))) for t in tasks],
            watched.tally.hear,
        )
    whole = watched.now
    return [
        (now / whole, (estimate or 0.0) / (whole - now))
        for now, estimate in watched.estimates
        if now < LAST * whole
    ]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_time_left_counts_the_whole_plan(workers):
    later = [ratio for share, ratio in ratios(workers) if share > FIRST]
    assert len(later) > 100 and min(later) > 1 / WITHIN and max(later) < WITHIN


def test_the_time_left_holds_where_other_things_are_slow():
    """Bigger models: what builds them is slower; more examples: what attacks them is."""
    building = [kind for kind in itertools.islice(QUICKSTART, 9) if kind != "ask"]
    for kinds in (building, [kind for kind in QUICKSTART if kind not in building]):
        later = [r for share, r in ratios(2, dict.fromkeys(kinds, 3.0)) if share > FIRST]
        assert min(later) > 1 / WITHIN_ANYWHERE and max(later) < WITHIN_ANYWHERE


def test_stages_that_are_called_off_are_not_waited_for():
    now = [0.0]
    tally = Tally(lambda: now[0])
    tally.hear("train a", 3, 0, "missing")
    for title, weight in (("loss x", 3), ("mr x", 6)):
        tally.hear(title, weight, 0, "")
    tally.hear("train a", 0, 1, "")
    now[0] = 30.0
    tally.hear("train a", 1, 1, "")
    assert math.isclose(tally.seconds_to_go(), 30 + 60)
    tally.hear("mr x", 0, 0, "")
    assert math.isclose(tally.seconds_to_go(), 30)
    assert tally.line().startswith("1 of 2 stages done")
