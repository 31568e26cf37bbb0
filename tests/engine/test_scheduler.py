"""The loop on workers of no substance: lost ones, kinds, needs, order, an end with none left."""

import collections

import pytest

from tf_compleak.engine import executors
from tf_compleak.engine.scheduler import STARTS, STEAL_SECONDS, Lost, Scheduler, Worker
from tf_compleak.engine.tasks import Outcome, Task


class Scripted(Worker):
    """Does what its crew's script says of a task: goes on, is lost, fails with a word, is well."""

    def __init__(self, crew, index, kind):
        super().__init__(index, kind, up=False)
        self.line, self.crew, self.dead = self, crew, False

    def clock(self):
        return self.crew.now

    def send(self, task):
        self.crew.given.append((task.name, self.index, self.kind))

    def hear(self):
        if not self.up:
            if self.crew.never == self.kind:
                raise Lost("no room")
            self.up = True
            return ("up",)
        does = self.crew.script.get(self.task.name, [])
        if does and (word := does.pop(0)) != "well":
            if word == "lost":
                raise Lost("gone")
            if word == "on":
                return ("progress", 1, 2, word)
            return ("done", Outcome(error=word))
        return ("done", Outcome(self.task.name))

    def kill(self):
        self.crew.killed.append(self)


class Crew(Scheduler):
    """Two workers of every kind, a task's kind is its function; a message from all in a second.

    Workers of the kind `never` are lost before they are up, those of the kind `stuck` come up when
    there are no others.
    """

    def __init__(self, script=(), retries=0, never="none", stuck="none", most=2):
        super().__init__(most, retries)
        self.script = {name: list(does) for name, does in dict(script).items()}
        self.never, self.stuck, self.now = never, stuck, 0.0
        self.given, self.killed, self.hired = [], [], []

    def kind(self, task):
        return task.function

    def hire(self, index, kind):
        assert index not in {w.index for w in self.hired if w not in self.killed}
        self.hired.append(Scripted(self, index, kind))
        return self.hired[-1]

    def wait(self, lines, seconds):
        self.now += 1
        return [w for w in lines if w.kind != self.stuck or w.up or not self.living(w.kind)]

    def living(self, kind):
        """Workers of other kinds."""
        return [w for w in self.hired if w not in self.killed and w.kind != kind]


def run(crew, tasks):
    told = []
    with crew:
        outcomes = crew.run(tasks, lambda *news: told.append(news))
    assert collections.Counter(crew.hired) == collections.Counter(crew.killed)
    return outcomes, told


def test_a_lost_workers_task_is_begun_again_before_all_others():
    tasks = [Task(name, "f", ()) for name in "abcd"]
    crew = Crew({"b": ["lost", "lost"]}, retries=2, most=1)
    outcomes, told = run(crew, tasks)
    assert [name for name, *_ in crew.given] == ["a", "b", "b", "b", "c", "d"]
    assert all(outcomes[name].value == name for name in "abcd")
    assert told.count(("b", 0, 1, "begun again: its worker was lost")) == 2
    assert told.count(("b", 1, 1, "")) == 1
    assert {worker.index for worker in crew.hired} == {0}  # the same log goes on


def test_a_task_whose_workers_are_lost_again_and_again_fails():
    crew = Crew({"a": ["lost"] * 9, "b": ["on"] * 9}, retries=2)
    outcomes, told = run(
        crew, [Task("a", "f", ()), Task("b", "f", ()), Task("c", "f", (), "", ("a",))]
    )
    assert outcomes["a"].error == outcomes["c"].error == "lost 3 workers in a row (gone)"
    assert outcomes["b"].value == "b" and told.count(("b", 1, 2, "on")) == 9
    assert [worker.index for worker in crew.hired] == [0, 1, 0, 0]
    assert told.count(("c", 1, 1, outcomes["a"].error)) == 1 and ("c", 0, 1, "") not in told


def test_workers_that_never_start_end_the_run():
    crew = Crew(never="f", retries=1)
    with pytest.raises(OSError, match=r"^no room$"):
        run(crew, [Task("a", "f", ())])
    assert len(crew.hired) == STARTS * 2 + 1 and not crew.given
    assert collections.Counter(crew.hired) == collections.Counter(crew.killed)


def test_tasks_go_to_workers_of_their_kind_and_idle_ones_make_room_for_others():
    tasks = [Task(f"{kind}{i}", kind, (), "graph") for kind in "fg" for i in range(3)]
    crew = Crew(stuck="g")
    outcomes, _ = run(crew, tasks)
    assert len(crew.given) == 6 and all(name[0] == kind for name, _, kind in crew.given)
    assert list(outcomes) == [task.name for task in tasks]
    for order in (tasks, sorted(tasks, key=lambda task: task.name[1])):
        run(both := Crew(), order)
        assert len(both.given) == 6 and all(name[0] == kind for name, _, kind in both.given)
    assert collections.Counter(worker.kind for worker in crew.hired) == {"f": 2, "g": 2}


def test_needs_failures_and_the_order_of_outcomes():
    tasks = [
        Task("last", "f", (), "", ("left", "right")),
        Task("left", "f", (), "", ("first",)),
        Task("right", "f", (), "", ("first",)),
        Task("first", "f", ()),
        Task("too", "f", (), "", ("left", "first")),
    ]
    outcomes, told = run(crew := Crew(most=1), tasks)
    assert list(outcomes) == ["last", "left", "right", "first", "too"]
    assert [name for name, *_ in crew.given] == ["first", "left", "right", "last", "too"]
    outcomes, told = run(crew := Crew({"first": ["broken"]}), tasks)
    assert [name for name, *_ in crew.given] == ["first"]
    assert {outcome.error for outcome in outcomes.values()} == {"broken"}
    assert sorted(told[1:]) == sorted((task.name, 1, 1, "broken") for task in tasks)


def test_no_more_workers_than_tasks_that_could_begin():
    chain = [Task(str(i), "f", (), "", (str(i - 1),) if i else ()) for i in range(4)]
    run(crew := Crew(), chain)
    assert len(crew.hired) == 1
    with pytest.raises(RuntimeError, match=r"never done: a, b$"):
        run(Crew(), [Task("a", "f", (), "", ("b",)), Task("b", "f", (), "", ("a",))])


def test_a_graph_is_traced_again_only_when_waiting_takes_longer():
    """Tasks of one affinity take a second each: so many are left to one worker, more are shared."""
    for count, shared in ((int(STEAL_SECONDS), False), (4 * int(STEAL_SECONDS), True)):
        crew = Crew()
        run(crew, [Task(str(i), "f", (), "graph") for i in range(count)])
        assert (len({index for _, index, _ in crew.given}) == 2) == shared


def test_how_many_workers_fit(monkeypatch):
    monkeypatch.setattr(executors.os, "sched_getaffinity", lambda _: range(12), raising=False)
    fit = {(0, 1): 8, (0, 2): 4, (0, 3): 2, (0, 9): 1, (5, 9): 5}
    assert {key: executors.workers_of(*key) for key in fit} == fit


def test_the_executors_by_name(tmp_path):
    kinds = {
        name: executors.executor(name, 2, 1, tmp_path) for name in ("inline", "processes", "ray")
    }
    assert [type(kind).__name__ for kind in kinds.values()] == ["Inline", "Processes", "Cluster"]
    with pytest.raises(ValueError, match="STAGE:RESOURCE=AMOUNT"):
        executors.executor("ray", 0, 1, tmp_path, "", ["train"])
