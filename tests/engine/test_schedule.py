"""The simulator of benchmarks/schedule.py: closed forms, and the pipeline's own tasks."""

import sys
from pathlib import Path

import pytest

from tf_compleak.engine.tasks import Task
from tf_compleak.studies.study import Study

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import schedule
import studies


def second(task, warm):
    return 1.0


def test_closed_forms():
    apart = [Task(str(i), "m:f", ()) for i in range(12)]
    for workers, seconds in ((1, 12), (3, 4), (8, 2), (64, 1)):
        assert schedule.simulate([apart], workers, second) == (seconds, 12)
    chain = [Task(str(i), "m:f", (), needs=(str(i - 1),) if i else ()) for i in range(5)]
    assert schedule.simulate([chain], 4, second) == (5, 5)
    assert schedule.simulate([apart[:3], apart[3:6]], 64, second) == (2, 6)  # phases wait
    assert schedule.spread([3, 3, 2, 2, 2], 2) == 7


def test_tracing_costs_once_a_worker_and_tasks_stay_where_it_is_done():
    tasks = [Task(f"{kind}{i}", "m:f", (), kind) for i in range(4) for kind in ("x", "y")]
    cold = []

    def cost(task, warm):
        cold.append(not warm)
        return 1.0 if warm else 11.0

    assert schedule.simulate([tasks], 2, cost) == (14, 28)
    assert sum(cold) == 2


def test_a_studys_phases_are_its_tasks():
    study = Study(num_shadows=5, attacks=("entropy", "sr2-lr", "mr"))
    building, attacking = schedule.phases(study)
    assert len(building) == 2 * 6 + 2 * 6 * 12  # lists of members, training; versions, answers
    strongest = 12 + 11 + 2 + 1  # on every release, and its null run
    assert len(attacking) == 12 + 11 + 2 + 3 + 2 + strongest  # attacks, null runs, other checks
    took, work = schedule.simulate([building, attacking], 8, second)
    assert work == len(building) + len(attacking)
    assert work / 8 <= took <= work / 8 + 12
    with pytest.raises(RuntimeError, match=r"never done: a$"):
        schedule.simulate([[Task("a", "m:f", (), needs=("a",))]], 1, second)


def test_benchmarks_run_the_shipped_quickstart():
    study = studies.quickstart()
    assert study.dataset == "digits" and len(study.versions) == 8 and study.targets == 4
    assert len(studies.digits().versions) == 12
