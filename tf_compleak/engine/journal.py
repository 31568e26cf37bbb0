"""What happened to each stage, kept in the workdir: `logs/stages.jsonl` and a log for each stage.

What is told, as (task, done, total, text):
  (task, weight, 0, "")    it is to be done later; `weight`: see `declaration.Declaration`
  (task, 0, 0, "")         it is not to be done, or not any more
  (task, weight, 0, why)   it is to be done, and why
  (task, 0, 1, "")         a worker has begun it (or begins it again: a text says why)
  (task, done, total, text)    it has come that far
  (task, 1, 1, error)      it has ended; an empty text: well
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from pathlib import Path

from tf_compleak.engine import bounded_reads
from tf_compleak.types.progress import Tell

EVENTS = "stages.jsonl"


class Journal:
    """Passes on what is told, and writes it down; a disk that takes no log stops no run."""

    def __init__(self, folder: Path, tell: Tell):
        self._folder, self._tell = Path(folder), tell
        self._planned: set[str] = set()  # the rest is work of this process that is kept nowhere
        self._began: dict[str, float] = {}

    def tell(self, task: str, done: int, total: int, text: str) -> None:
        """Take one piece of news."""
        with contextlib.suppress(OSError):
            self._note(task, done, total, text)
        self._tell(task, done, total, text)

    def _note(self, task: str, done: int, total: int, text: str) -> None:
        if total == 0 and text:
            self._planned.add(task)
            self._say(task, f"to do: {text}")
        if total == 0 or task not in self._planned:
            return
        if (done, total) == (0, 1):
            self._began[task] = time.monotonic()
            self._say(task, text or "begun")
        elif done == total == 1:
            seconds = time.monotonic() - self._began.pop(task, time.monotonic())
            state = "failed" if text else "done"
            self._event(task=task, state=state, seconds=round(seconds, 3), error=text)
            self._say(task, f"{state} after {seconds:.1f} s{f': {text}' if text else ''}")
        else:
            self._say(task, f"{done}/{total} {text}")

    def _event(self, **facts) -> None:
        line = json.dumps({"at": _now(), **facts}, allow_nan=False)
        self._append(self._folder / EVENTS, line)

    def _say(self, task: str, text: str) -> None:
        self._append(log_of(self._folder, task), f"{_now()} {text}")

    def _append(self, path: Path, line: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def log_of(folder: Path, task: str) -> Path:
    """Where the log of a stage is."""
    return Path(folder) / f"{re.sub(r'[^A-Za-z0-9.+,-]', ' ', task)[:120]}.log"


def failed(folder: Path) -> dict[str, str]:
    """The error of every task whose last end was a failure."""
    errors: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in bounded_reads.text(Path(folder) / EVENTS, follow=False).splitlines():
            with contextlib.suppress(ValueError, KeyError):
                event = bounded_reads.parsed(line, EVENTS)
                errors[str(event["task"])] = str(event["error"])
    return {task: error for task, error in errors.items() if error}


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
