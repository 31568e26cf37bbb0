"""Tasks that depend on each other, what becomes of them, and running one here."""

from __future__ import annotations

import functools
import importlib
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from tf_compleak.types.progress import Tell


@dataclass(frozen=True)
class Task:
    """A call of `function` ("module:name") with a progress callback and `args`.

    Tasks of one `affinity` share traced graphs; `resources` is what `--ray_resources` calls it by,
    empty for the function's name.
    """

    name: str
    function: str
    args: tuple
    affinity: str = ""
    needs: tuple[str, ...] = ()
    resources: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a task returned, or why it failed; `fatal` when nothing else can go well either."""

    value: Any = None
    error: str | None = None
    fatal: bool = False
    trace: str = ""


class Executor:
    """Runs tasks; a context manager, which ends whatever it has started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        """Nothing of it goes on."""

    def run(self, tasks: Sequence[Task], tell: Tell) -> dict[str, Outcome]:
        """The outcome of every task by name; a task whose needs failed fails with their reason.

        OSError when a task meets a full disk or the like.
        """
        raise NotImplementedError


def call(task: Task, tell: Tell) -> Outcome:
    """Run one task here; exceptions become outcomes."""
    module, function = task.function.split(":")
    try:
        work = getattr(importlib.import_module(module), function)
        return Outcome(work(functools.partial(_progress, tell, task.name), *task.args))
    except Exception as error:
        fatal = isinstance(error, (OSError, MemoryError))
        plain = (fatal or isinstance(error, ValueError)) and str(error)
        text = str(error) if plain else f"{type(error).__name__}: {error}"
        return Outcome(error=text, fatal=fatal, trace=traceback.format_exc())


def _progress(tell: Tell, name: str, done: int, total: int, text: str = "") -> None:
    """What a task says of itself; 1 of 1 would say that it has ended, which its executor does."""
    scale = 2 if total == 1 else 1
    tell(name, scale * done, scale * total, text)


class Agenda:
    """The tasks of one run: those that wait, how often they were begun, how the others ended."""

    def __init__(self, tasks: Sequence[Task], tell: Tell):
        self.waiting, self.tell = list(tasks), tell
        self.begun: Counter[str] = Counter()
        self.ended: dict[str, Outcome] = {}

    def can_begin(self, task: Task) -> bool:
        """Whether all that a waiting task needs has ended, and so well."""
        return self.ended.keys() >= set(task.needs)

    def begin(self, task: Task) -> None:
        """Say that a task begins; it waits no longer."""
        self.waiting.remove(task)
        self.begun[task.name] += 1
        self.tell(task.name, 0, 1, "")

    def end(self, task: Task, outcome: Outcome) -> None:
        """Say how a task ended, and that those which needed it fail, too; OSError if fatal."""
        if outcome.fatal:
            raise OSError(outcome.error)
        self.ended[task.name] = outcome
        self.tell(task.name, 1, 1, outcome.error or "")
        for dependent in list(self.waiting) if outcome.error else ():
            if task.name in dependent.needs and dependent in self.waiting:
                self.waiting.remove(dependent)
                self.end(dependent, Outcome(error=outcome.error))
