"""Progress on the terminal: finished tasks, and a bar for each task under way."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

QUIET_SECONDS = 10.0


class Live:
    """Shows what `pipeline.run` tells: bars on a terminal, now and then a line elsewhere."""

    def __init__(self, console: Console):
        self._console = console
        self._bars: dict[str, int] = {}
        self._finished = 0
        self._spoken = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._all = self._progress.add_task("tasks finished", total=None, text="")

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(self, *_) -> None:
        self._progress.stop()

    def tell(self, task: str, done: int, total: int, text: str) -> None:
        """Take one piece of news: `task` has done `done` of `total`; done = total = 1 ends it."""
        short = task if len(task) <= 40 else f"{task[:37]}..."
        if total == 1:
            self._end(task, short, text)
        elif task not in self._bars:
            self._bars[task] = self._progress.add_task(short, total=total, text=text)
        else:
            self._progress.update(self._bars[task], completed=done, total=total, text=text)

    def _end(self, task: str, short: str, text: str) -> None:
        self._finished += 1
        self._progress.update(self._all, completed=self._finished)
        if task in self._bars:
            self._progress.remove_task(self._bars.pop(task))
        slow = time.monotonic() - self._spoken > QUIET_SECONDS
        if slow and text != "failed" and not self._console.is_terminal:
            self._spoken = time.monotonic()
            self._console.print(f"{self._finished} tasks, the last: {short} done", markup=False)
