"""What the command line says: errors in one line, output that any locale can write.

It ends in silence when nobody reads it any more, as behind `head`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator

REMEDIES = {
    "No space left": "free some space; the same command continues from what is finished.",
    "Disk quota exceeded": "free some space; the same command continues from what is finished.",
    "Permission denied": "name a --workdir that you may write to.",
    "Read-only file system": "name a --workdir that you may write to.",
}
MEMORY = (
    "not enough memory{}; give fewer examples, a smaller --batch_size (run) or --batch (audit), "
    "fewer --workers, or a larger --memory_limit."
)


def line_of(error: BaseException) -> str:
    """What to say about an error: one line, with the remedy where there is one."""
    if isinstance(error, MemoryError):
        line = MEMORY.format(f" ({error})" if str(error) else "")
    elif isinstance(error, RecursionError):
        line = "something that was read is nested too deep; give files that are not."
    elif isinstance(error, UnicodeEncodeError):
        line = f"{ascii(error.object)[:100]} is no text in {error.encoding}; rename it."
    else:
        line = str(error) or type(error).__name__
        line += next((f"; {hint}" for sign, hint in REMEDIES.items() if sign in line), "")
    return printable(line)


def printable(text: str) -> str:
    """A text on one line, without what could steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


def hush() -> None:
    """Libraries do not say that they keep their caches elsewhere where no home can be written."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def write_everything() -> None:
    """Letters that the locale cannot write are written as escapes from now on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Go on in silence where nobody reads stdout any more, also when Python flushes it at last."""
    try:
        yield
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print, and hear at once whether somebody reads it."""
    with unheard():
        print(text, flush=True)
