"""The program of a worker process: `python -P -m tf_compleak.engine.worker_main DESCRIPTOR`.

It runs the tasks that come on a socket and answers ("progress", done, total, text) now and then,
and ("done", outcome). A script or a notebook that starts a study needs no main guard for it, and a
native crash ends a worker, not the study.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from tf_compleak.engine.tasks import call

PR_SET_PDEATHSIG = 1  # of prctl(2)
QUIET_SECONDS = 0.125  # between two messages on how far a task has come


def main(arguments: Sequence[str]) -> None:
    """Serve tasks on the socket whose file descriptor is the only argument."""
    (descriptor,) = arguments
    connection, parent = Connection(int(descriptor)), os.getppid()
    with contextlib.suppress(OSError, AttributeError):  # Linux: at once, in the middle of anything
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    last = 0.0

    def tell(name: str, done: int, total: int, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > QUIET_SECONDS or done == total:
            last = time.monotonic()
            connection.send(("progress", done, total, text))

    while True:
        try:
            task = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        outcome = call(task, tell)
        connection.send(("done", outcome))
        if outcome.trace:
            with contextlib.suppress(OSError):  # a full disk takes no log either
                print(f"{task.name}\n{outcome.trace}", file=sys.stderr, flush=True)


def _die_with(parent: int) -> None:
    """End this process soon after its parent has gone, however that went."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
