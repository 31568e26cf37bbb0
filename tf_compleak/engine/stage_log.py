"""The log of a stage that runs the user's own code: what that prints, whoever prints it."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

WORKER = "tf_compleak.engine.worker_main"
TAIL = 2**16  # bytes of a log's end that are looked at


def path(logs: Path, title: str) -> Path:
    """Where the log of the stage called `title` is, such as `logs/train-target.log`."""
    return Path(logs) / f"{re.sub(r'[^A-Za-z0-9.]+', '-', title)}.log"


@contextlib.contextmanager
def kept(log: Path) -> Iterator[None]:
    """What is printed inside goes to `log`, anew.

    In a worker process that is all that it and its libraries print. Elsewhere, where a live view
    may write to the same terminal, what Python prints on stdout.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(log.open("w", encoding="utf-8", errors="backslashreplace"))
        redirected = _of_process(file.fileno()) if _in_worker() else None
        stack.enter_context(redirected or contextlib.redirect_stdout(file))
        yield


def _in_worker() -> bool:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name == WORKER


@contextlib.contextmanager
def _of_process(descriptor: int) -> Iterator[None]:
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.flush()
    before = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(descriptor, number)
        yield
    finally:
        for stream in streams:
            stream.flush()
        for number, saved in zip((1, 2), before, strict=True):
            os.dup2(saved, number)
            os.close(saved)


def last_lines(log: Path, most: int = 5) -> str:
    """The last lines of a log that are not blank, joined by " | "; "" where there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [" ".join(line.split())[:200] for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-most:])
