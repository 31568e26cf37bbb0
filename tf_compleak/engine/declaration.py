"""What a stage is, said once: its name, folder, inputs, flags, function and affinity.

From that follow its fingerprint, its needs as a task, why it is to be done, and its lines in
`--dry_run`, `show`, the journal and the live view. To add a stage: a subclass (a frozen dataclass
whose fields say which one it is, such as the family) and the function that it names.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from tf_compleak.engine.stage import Stage
from tf_compleak.engine.tasks import Executor, Outcome, Task
from tf_compleak.types.progress import Progress, Tell


class Opener(NamedTuple):
    """How a worker opens what stages come from: "module:function" and its arguments."""

    function: str
    arguments: tuple

    def open(self) -> Any:
        """What the function gives for the arguments."""
        return _named(self.function)(*self.arguments)


class Source(Protocol):
    """What stages come from: it knows their flags, and how a worker opens it again."""

    def flags(self, *names: str) -> dict[str, Any]:
        """The flags of these names, as JSON values."""
        ...

    def opener(self) -> Opener:
        """How a worker opens the same."""
        ...


@dataclass(frozen=True)
class Declaration:
    """A stage of any source.

    Class attributes:
      name: of the kind of stage, with a number that is raised when what it computes changes.
      work: "module:function", called as (progress, source, declaration, folder, facts): it fills
        the folder, and the dict of what `stage.json` says it found.
      depends: the flags that its fingerprint holds.
      resources: the kind of task that `--ray_resources` calls it by.
      weight: about how long it takes beside others, until one of its kind has been measured: in
        the quickstart 1 is about a tenth of a second.
    """

    name: ClassVar[str]
    work: ClassVar[str]
    depends: ClassVar[tuple[str, ...]] = ()
    resources: ClassVar[str] = "attack"
    weight: ClassVar[int] = 1

    @property
    def title(self) -> str:
        """What it is called on the terminal, in logs and under failures; unique in a study."""
        raise NotImplementedError

    @property
    def affinity(self) -> str:
        """Tasks of one affinity share traced graphs; "" for none."""
        return ""

    def folder(self, source: Any) -> os.PathLike:
        """Where it is kept."""
        raise NotImplementedError

    def inputs(self, source: Any) -> dict[str, Any]:
        """What it comes from beside flags, as JSON values: fingerprints and digests."""
        raise NotImplementedError

    def needs(self, source: Any) -> Sequence[Declaration]:
        """The stages that it reads."""
        return ()

    def flags(self, source: Any) -> dict[str, Any]:
        """The values of the flags that it depends on."""
        return source.flags(*self.depends)

    def stage(self, source: Any) -> Stage:
        """Its folder and the fingerprint that it must carry."""
        flags = {"flags": values} if (values := self.flags(source)) else {}
        return Stage.of(self.folder(source), stage=self.name, **flags, **self.inputs(source))

    def why(self, source: Any, thorough: bool = True) -> str:
        """Why it is to be done (again); empty when it is finished."""
        return self.stage(source).why(thorough)

    def task(self, source: Any, needs: tuple[str, ...]) -> Task:
        """The task that makes it, after those called `needs`."""
        arguments, function = (source.opener(), self), f"{__name__}:perform"
        return Task(
            self.title, function, arguments, self.affinity, needs, self.resources, self.weight
        )


def perform(progress: Progress, opener: Opener, declaration: Declaration) -> None:
    """Make one stage, in a worker."""
    source = opener.open()
    with declaration.stage(source).writing() as (folder, facts):
        _named(declaration.work)(progress, source, declaration, folder, facts)


def pending(declarations: Sequence[Declaration], source: Any) -> list[tuple[Task, str]]:
    """The tasks that are to be done, each with its reason, in the order given."""
    reasons = {stage: why for stage in declarations if (why := stage.why(source))}
    titles = {stage.title for stage in reasons}
    return [
        (stage.task(source, _titles(stage.needs(source), titles)), why)
        for stage, why in reasons.items()
    ]


def executed(
    executor: Executor, declarations: Sequence[Declaration], source: Any, tell: Tell
) -> dict[str, Outcome]:
    """Do what is to be done, telling first why; the outcomes by title."""
    tasks = pending(declarations, source)
    reasons = {task.name: why for task, why in tasks}
    call_off([stage for stage in declarations if stage.title not in reasons], tell)
    for task, why in tasks:
        tell(task.name, task.weight, 0, why)
    return executor.run([task for task, _ in tasks], tell)


def foretell(declarations: Sequence[Declaration], tell: Tell) -> None:
    """Tell of stages that will be declared later: the time left counts them, too."""
    for stage in declarations:
        tell(stage.title, stage.weight, 0, "")


def call_off(declarations: Sequence[Declaration], tell: Tell) -> None:
    """Tell of stages that are not to be done, or not any more."""
    for stage in declarations:
        tell(stage.title, 0, 0, "")


def _titles(needs: Sequence[Declaration], pending_titles: set[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(need.title for need in needs if need.title in pending_titles))


def _named(text: str) -> Any:
    module, name = text.split(":")
    return getattr(importlib.import_module(module), name)
