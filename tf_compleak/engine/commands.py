"""Commands of the user's: run to their end, within a time limit, and with all that they start."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tf_compleak.engine import command_guard, stage_log
from tf_compleak.engine.processes import PATHS_BEFORE
from tf_compleak.types.progress import Progress

TICK = 0.5  # seconds between two looks at the log


def run(command: Sequence[str], log: Path, seconds: float, progress: Progress) -> None:
    """Run a command whose output goes to `log`; the last line of that is told as it goes on.

    Args:
      seconds: how long it may take; 0: as long as it likes.

    Raises:
      ValueError: in one line with the last ones of its output, when it fails or takes too long.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    guard = [sys.executable, "-I", command_guard.__file__, *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            guard,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=_environment(),
            start_new_session=True,
        )
    try:
        code = _ended(process, log, seconds, progress)
    finally:
        process.stdin.close()  # ends it and the command, whatever happened here
        process.wait()
    if code == 0:
        return
    late = f"ran longer than --time_limit={seconds:g} (seconds)"
    how = late if code is None else f"ended with exit code {code}"
    said = stage_log.last_lines(log)
    told = f"its last lines: {said} (all of them: {log})" if said else f"it printed nothing ({log})"
    raise ValueError(f"{shlex.join(command)}: {how}; {told}")


def _ended(process: subprocess.Popen, log: Path, seconds: float, progress: Progress) -> int | None:
    """The exit code; None when the time is over."""
    started = time.monotonic()
    while True:
        try:
            return process.wait(TICK)
        except subprocess.TimeoutExpired:
            progress(0, 1, stage_log.last_lines(log, 1)[:100])
        if seconds and time.monotonic() - started > seconds:
            return None


def _environment() -> dict[str, str]:
    """Ours; of a worker without what is meant for its own Python and TensorFlow alone.

    `TF_DETERMINISTIC_OPS` makes unseeded random operators errors. Numbers of threads stay.
    """
    environment = dict(os.environ)
    if PATHS_BEFORE in environment:
        for name in ("PYTHONPATH", "TF_DETERMINISTIC_OPS"):
            environment.pop(name, None)
        if before := environment.pop(PATHS_BEFORE):
            environment["PYTHONPATH"] = before
    return environment
