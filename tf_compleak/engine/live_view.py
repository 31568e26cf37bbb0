"""Progress: one live view of the stages on a terminal, now and then a plain line elsewhere.

What is told is described in `journal.py`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live as Screen
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

QUIET_SECONDS = 10.0
LONG_SECONDS = 30.0  # between two lines on a stage that goes on
TELLING = 0.02  # share of a stage from which its own pace says how long the rest takes
DAMAGED = "damaged"


class Tally:
    """Counts what is told: stages to do, running, done, failed; their rate and the time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._started: float | None = None
        self._seconds: dict[str, list[float]] = defaultdict(list)  # by kind, of finished stages
        self._most = 1
        self.titles: set[str] = set()
        self.running: dict[str, float] = {}
        self._shares: dict[str, float] = {}  # of running stages that tell how far they are
        self.done = 0
        self.failed = 0

    def hear(self, task: str, done: int, total: int, text: str) -> None:
        """Take one piece of news."""
        self.titles.add(task)
        if total == 0:
            return
        now = self._clock()
        self._started = now if self._started is None else self._started
        if done == total == 1:
            began = self.running.pop(task, None)
            self._shares.pop(task, None)
            if began is not None and not text:
                self._seconds[_kind(task)].append(now - began)
            self.failed += bool(text)
            self.done += not text
        else:
            self.running.setdefault(task, now)
            if total > 1:
                self._shares[task] = done / total
            self._most = max(self._most, len(self.running))

    @property
    def ended(self) -> int:
        """Stages that are done or have failed."""
        return self.done + self.failed

    def rate(self) -> float:
        """Stages a minute that have ended."""
        passed = 0.0 if self._started is None else self._clock() - self._started
        return 60 * self.ended / passed if passed > 0 else 0.0

    def seconds_to_go(self) -> float | None:
        """Seconds to go, over the workers; None: not known.

        A running stage goes on at its own pace where it tells how far it is; others take what
        stages of the same kind took.
        """
        every = [value for values in self._seconds.values() for value in values]
        open_, now = len(self.titles) - self.ended, self._clock()
        paced = {
            task: (now - self.running[task]) * (1 - share) / share
            for task, share in self._shares.items()
            if share > TELLING
        }
        waiting = open_ - len(paced)
        if not open_ or (waiting and not every):
            return None
        mean = sum(every) / len(every) if every else 0.0
        work = mean * (open_ - len(self.running)) + sum(paced.values())
        for task, began in self.running.items():
            if task not in paced:
                kind_seconds = self._seconds[_kind(task)] or [mean]
                work += max(0.0, sum(kind_seconds) / len(kind_seconds) - (now - began))
        return work / self._most

    def line(self) -> str:
        """The numbers in words."""
        seconds = self.seconds_to_go()
        parts = [
            f"{self.done} of {len(self.titles)} stages done",
            *([f"{self.failed} failed"] if self.failed else []),
            f"{len(self.running)} running",
            f"{self.rate():.1f} a minute",
            *([f"about {_minutes(seconds)} left"] if seconds is not None else []),
        ]
        return ", ".join(parts)


def _kind(task: str) -> str:
    return task.split(" ", 1)[0]


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Live:
    """Shows what `pipeline.run` tells."""

    def __init__(self, console: Console):
        self._console = console
        self.tally = Tally()
        self._bars: dict[str, int] = {}
        self._failure = ""
        self._spoken = time.monotonic()
        self._progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
        )
        self._screen = Screen(
            get_renderable=self._view, console=console, transient=True, refresh_per_second=4
        )

    def __enter__(self) -> Live:
        if self._console.is_terminal:
            self._screen.start()
        return self

    def __exit__(self, *_) -> None:
        self._screen.stop()

    def _view(self) -> Group:
        return Group(Text(self.tally.line()), Text(self._failure, style="red"), self._progress)

    def tell(self, task: str, done: int, total: int, text: str) -> None:
        """Take one piece of news."""
        self.tally.hear(task, done, total, text)
        if total == 0:
            if text.startswith(DAMAGED):
                self._say(f"{task}: {text}; made again")
        elif done == total == 1:
            self._end(task, text)
        else:
            self._move(task, done, total, text)

    def _move(self, task: str, done: int, total: int, text: str) -> None:
        if task not in self._bars:
            short = task if len(task) <= 40 else f"{task[:37]}..."
            self._bars[task] = self._progress.add_task(escape(short), total=None, text="")
        if (done, total) != (0, 1):
            self._progress.update(self._bars[task], completed=done, total=total, text=escape(text))
        if not self._console.is_terminal and time.monotonic() - self._spoken > LONG_SECONDS:
            self._say(f"{self.tally.line()}; {task}: {done:,} of {total:,}")

    def _end(self, task: str, error: str) -> None:
        if task in self._bars:
            self._progress.remove_task(self._bars.pop(task))
        if error:  # the report has all of them, or the error that ends the run
            self._failure = f"{task} failed: {error}"
        elif not self._console.is_terminal and time.monotonic() - self._spoken > QUIET_SECONDS:
            self._say(f"{self.tally.line()}; the last: {task}")

    def _say(self, line: str) -> None:
        self._spoken = time.monotonic()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
