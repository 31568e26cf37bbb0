"""A process with a group of its own, that ends with all that it has started."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

PAUSE = 0.005  # seconds between two looks


def start(command: list[str], **settings) -> subprocess.Popen:
    """Start a process that leads a new session; `settings` are those of `Popen`."""
    popen = functools.partial(subprocess.Popen, start_new_session=True, **settings)
    return _starter(os.getpid()).submit(popen, command).result()


@functools.cache
def _starter(process: int) -> ThreadPoolExecutor:
    """What starts processes: they end with the thread that did (`die_with`), so it has to stay."""
    return ThreadPoolExecutor(1)


def has_ended(leader: subprocess.Popen, within: float) -> bool:
    """Whether it ends within so many seconds; it is not waited for, so its number stays its own."""
    if not hasattr(os, "waitid"):  # macOS until Python 3.13: what calls this has met its end
        time.sleep(0.1)
        return True
    end = time.monotonic() + within
    while leader.returncode is None:
        if os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE)
    return True


def kill(leader: subprocess.Popen) -> None:
    """End a process and its group: before `wait`, after which its number can be another's."""
    if leader.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(leader.pid, signal.SIGKILL)
