"""Ctrl-C and SIGTERM: an end within seconds, whatever the process is at.

Python hears of a signal only between two of its own instructions: a long call into native code
holds it up. A thread hears of it at once, and ends the process when the orderly end takes too long.
Nothing is lost by that: whatever is in the workdir is whole, and workers go with their parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

GRACE = 3.0
LINE = "\ntf-compleak: {how}; the same command continues from here."
HOW = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Ended(BaseException):
    """A signal that ends the run; `code` is the exit code of a shell's convention."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = signal.Signals(number)

    @property
    def line(self) -> str:
        """What to say about it."""
        return LINE.format(how=HOW[self.number])

    @property
    def code(self) -> int:
        """128 and the number of the signal."""
        return 128 + self.number


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Raise `Ended` on Ctrl-C and SIGTERM inside the block; end the process if that takes long.

    Does nothing outside the main thread, where Python sets no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, bell = os.pipe()
    os.set_blocking(bell, False)
    before = {number: signal.signal(number, _raise) for number in HOW}
    last = signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    finished = threading.Event()
    threading.Thread(target=_watch, args=(heard, finished), daemon=True).start()
    try:
        yield
    finally:
        finished.set()
        signal.set_wakeup_fd(last)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(bell)


def _raise(number: int, _) -> None:
    raise Ended(number)


def _watch(heard: int, finished: threading.Event) -> None:
    while signals := os.read(heard, 64):
        ours = [signal.Signals(number) for number in signals if number in set(HOW)]
        if ours and not finished.wait(GRACE):
            print(Ended(ours[0]).line, file=sys.stderr, flush=True)
            os._exit(Ended(ours[0]).code)
    os.close(heard)
