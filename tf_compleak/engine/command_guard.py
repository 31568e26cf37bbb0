"""Runs a command that must not outlive the study, nor may anything that it has started.

    python command_guard.py COMMAND...

A program by itself, without anything of ours: the command keeps its own environment. It ends the
command's process group when the command has ended, when it is told to end, and when whoever started
it is no more, which it hears from its standard input: that closes whatever ends the other side.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

NOT_FOUND = 127  # exit code of shells, as is 128 and the number of a signal


def main(command: list[str]) -> int:
    """The exit code of the command."""
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return NOT_FOUND
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: _kill(child))
    threading.Thread(target=_end_with_parent, args=(child,), daemon=True).start()
    if hasattr(os, "waitid"):  # its number stays its own until it is waited for
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    else:
        child.wait()
    _kill(child)  # what it has left running
    code = child.wait()
    return code if code >= 0 else 128 - code


def _kill(child: subprocess.Popen) -> None:
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)


def _end_with_parent(child: subprocess.Popen) -> None:
    while os.read(0, 64):
        pass
    _kill(child)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
