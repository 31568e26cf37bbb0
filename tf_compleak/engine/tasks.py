"""Tasks that depend on each other, what becomes of them, and running one here."""

from __future__ import annotations

import errno
import functools
import importlib
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from tf_compleak.types.progress import Tell

NOTHING_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # no other task could keep a result


@dataclass(frozen=True)
class Task:
    """A call of `function` ("module:name") with a progress callback and `args`.

    Tasks of one `affinity` share traced graphs; `resources` is what `--ray_resources` calls it by,
    empty for the function's name; `weight`: see `declaration.Declaration`.
    """

    name: str
    function: str
    args: tuple
    affinity: str = ""
    needs: tuple[str, ...] = ()
    resources: str = ""
    weight: int = 1


@dataclass(frozen=True)
class Outcome:
    """What a task returned, or why it failed; `fatal`: on a disk that takes nothing from others."""

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

        OSError when a task meets a full or read-only disk: see `NOTHING_WRITTEN`.
        """
        raise NotImplementedError


def call(task: Task, tell: Tell) -> Outcome:
    """Run one task here; exceptions become outcomes."""
    module, function = task.function.split(":")
    try:
        work = getattr(importlib.import_module(module), function)
        return Outcome(work(functools.partial(_progress, tell, task.name), *task.args))
    except Exception as error:
        disk = _disk_error(error)
        reason = _reason(disk or error)
        return Outcome(error=reason, fatal=disk is not None, trace=traceback.format_exc())


def _disk_error(error: BaseException | None) -> OSError | None:
    """The error of a disk that takes nothing which is, or is behind, this one; None: another."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NOTHING_WRITTEN:
            return error
        error = error.__cause__ or error.__context__
    return None


def _reason(error: Exception) -> str:
    """Why a task failed, in words."""
    if isinstance(error, MemoryError):
        detail = f" ({error})" if str(error) else ""
        return f"not enough memory{detail}; try fewer --workers, or fewer examples"
    plain = isinstance(error, ValueError | OSError) and str(error)
    return str(error) if plain else f"{type(error).__name__}: {error}"


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
