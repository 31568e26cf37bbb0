"""Progress: one live view of the stages on a terminal, now and then a plain line elsewhere.

What is told is described in `journal.py`.
"""

from __future__ import annotations

import math
import re
import statistics
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
        self._seconds: dict[str, list[float]] = defaultdict(list)  # by kind, of finished stages
        self._weights: dict[str, int] = {}  # by title, where one was told
        self._most = 1
        self.titles: set[str] = set()
        self.running: dict[str, float] = {}
        self._shares: dict[str, float] = {}  # of running stages that tell how far they are
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
                self._seconds[_kind(task)].append(now - began)
            self._ended[task] = not text
        else:
            self.running.setdefault(task, now)
            if total > 1:
                self._shares[task] = done / total
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

        A running stage goes on at its own pace where it tells how far it is; others take what
        stages of the same kind took. Kinds that were not measured yet take by their weights, on
        the scale of those measured last. Where workers are idle, what waits does so for what runs.
        """
        means = self._means()
        waiting = self.titles - self._ended.keys() - self.running.keys()
        if not means or not (waiting or self.running):
            return None
        recent = list(means.values())[-RECENT:]
        scale = math.exp(statistics.fmean(math.log(s / w) for s, w in recent))
        running = [self._rest(task, means, scale) for task in self.running]
        after = [_expected(task, self._weight(task), means, scale) for task in waiting]
        width = self._workers or self._most
        longest = max(running, default=0.0)
        if len(running) < width:
            return longest + max(sum(after) / width, max(after, default=0.0))
        return max(longest, (sum(running) + sum(after)) / width, *after)

    def _means(self) -> dict[str, tuple[float, float]]:
        """By kind: mean seconds of a stage, as far as any tells, and the mean weight of these."""
        seconds = {kind: list(values) for kind, values in self._seconds.items() if values}
        for task, share in self._shares.items():
            if share > TELLING:
                passed = self._clock() - self.running[task]
                seconds.setdefault(_kind(task), []).append(passed / share)
        weights = defaultdict(list)
        for task in self.titles:
            weights[_kind(task)].append(self._weight(task))
        return {
            kind: (max(statistics.fmean(values), SHORTEST), statistics.fmean(weights[kind]))
            for kind, values in seconds.items()
        }

    def _weight(self, task: str) -> int:
        return self._weights.get(task, 1)

    def _rest(self, task: str, means: dict, scale: float) -> float:
        """Seconds that a running stage still takes."""
        passed, share = self._clock() - self.running[task], self._shares.get(task, 0.0)
        if share > TELLING:
            return passed * (1 - share) / share
        expected = _expected(task, self._weight(task), means, scale)
        return max(expected - passed, OVERDUE * passed)

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


def _expected(task: str, weight: int, means: dict, scale: float) -> float:
    """Seconds of a stage: those of its kind where it was measured, else by its weight."""
    seconds, _ = means.get(_kind(task), (weight * scale, weight))
    return seconds


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
