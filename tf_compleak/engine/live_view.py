"""Progress: one live view of the stages on a terminal, now and then a plain line elsewhere.

What is told is described in `journal.py`.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live as Screen
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

QUIET_SECONDS = 10.0
LONG_SECONDS = 30.0  # between two lines on a stage that goes on
TELLING = 0.02  # share of a stage from which its own pace says how long the rest takes
SHORTEST = 0.01  # seconds that a kind of stage counts for at least
RECENT = 6  # kinds measured last, by which those that were not are judged
OVERDUE = 0.2  # of what it took so long: what a stage that takes longer than its kind still takes
DAMAGED = "damaged"


class Tally:
    """Counts what is told: stages to do, running, done, failed; their rate and the time left.

    `workers`: how many stages can run side by side; 0: as many as did since the last pause.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, workers: int = 0):
        self._clock, self._workers = clock, workers
        self._started: float | None = None
        self._measured: dict[str, list[tuple[float, int]]] = {}  # seconds and weights, by kind
        self._weights: dict[str, int] = {}  # by title, where one was told
        self._most = 1
        self.titles: set[str] = set()
        self.running: dict[str, float] = {}
        self._shares: dict[str, tuple[float, float]] = {}  # told of running stages, and after what
        self._ended: dict[str, bool] = {}  # by title: whether it is done

    def hear(self, task: str, done: int, total: int, text: str) -> None:
        """Take one piece of news."""
        if total == 0:
            self._expect(task, done, text)
            return
        self.titles.add(task)
        now = self._clock()
        self._started = now if self._started is None else self._started
        if done == total == 1:
            began = self.running.pop(task, None)
            self._shares.pop(task, None)
            if began is not None and not text:
                pair = (now - began, self._weight(task))
                self._measured.setdefault(_kind(task), []).append(pair)
            self._ended[task] = not text
        else:
            self.running.setdefault(task, now)
            share = done / total if total > 1 else 0.0
            if share > max(TELLING, self._shares.get(task, (0.0,))[0]):
                self._shares[task] = (share, now - self.running[task])
            self._most = max(self._most, len(self.running))

    def _expect(self, task: str, weight: int, why: str) -> None:
        """Take the news that a stage is to be done, or is not."""
        if not weight and not why:
            if task not in self._ended:
                self.titles.discard(task)
            return
        self.titles.add(task)
        if weight:
            self._weights[task] = weight
        if not self.running:  # another part of the study, which may run fewer side by side
            self._most = 1

    @property
    def done(self) -> int:
        """Stages that went well."""
        return sum(self._ended.values())

    @property
    def failed(self) -> int:
        """Stages that have failed."""
        return len(self._ended) - self.done

    def rate(self) -> float:
        """Stages a minute that have ended."""
        passed = 0.0 if self._started is None else self._clock() - self._started
        return 60 * len(self._ended) / passed if passed > 0 else 0.0

    def seconds_to_go(self) -> float | None:
        """Seconds to go, over the workers; None: not known, or nothing is.

        A running stage goes on at its own pace where it tells how far it is; others take by their
        weights what stages of the same kind took, or of the kinds measured last. Where workers are
        idle, what waits does so for what runs.
        """
        paces = self._paces()
        waiting = self.titles - self._ended.keys() - self.running.keys()
        if not paces or not (waiting or self.running):
            return None
        scale = statistics.geometric_mean(list(paces.values())[-RECENT:])
        whole = {
            task: self._weight(task) * paces.get(_kind(task), scale)
            for task in waiting | self.running.keys()
        }
        after = [whole[task] for task in waiting]
        running = [self._rest(task, whole[task]) for task in self.running]
        width, longest = self._workers or self._most, max(running, default=0.0)
        if len(running) < width:
            return longest + max(sum(after) / width, max(after, default=0.0))
        return max(longest, (sum(running) + sum(after)) / width, *after)

    def _paces(self) -> dict[str, float]:
        """Seconds for a weight of 1 by kind, of stages that have ended or tell how far they are."""
        seconds = {kind: list(pairs) for kind, pairs in self._measured.items()}
        for task, (share, passed) in self._shares.items():
            seconds.setdefault(_kind(task), []).append((passed / share, self._weight(task)))
        sums = {
            kind: [sum(column) for column in zip(*pairs, strict=True)]
            for kind, pairs in seconds.items()
        }
        return {kind: max(taken, SHORTEST) / weight for kind, (taken, weight) in sums.items()}

    def _weight(self, task: str) -> int:
        return self._weights.get(task, 1)

    def _rest(self, task: str, whole: float) -> float:
        """Seconds that a running stage still takes, which takes so many as a whole."""
        passed = self._clock() - self.running[task]
        if task in self._shares:
            share, after = self._shares[task]
            whole = after / share
        return max(whole - passed, OVERDUE * passed)

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
    """What tasks of one kind begin with: "pruning" of "pruning-0.60 target"."""
    return re.sub(r"-[\d.]+$", "", task.split(" ", 1)[0])


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Live:
    """Shows what `pipeline.run` tells."""

    def __init__(self, console: Console, workers: int = 0):
        self._console = console
        self.tally = Tally(workers=workers)
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
