"""Words of a command line: lists whose items may hold commas, flagfiles of bounded size."""

from __future__ import annotations

import os
import re

from tf_compleak.engine import bounded_reads

FLAGFILE_MOST = 2**20  # bytes
FLAGFILES_MOST = 20  # that name each other
QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def split(text: str) -> list[str]:
    """The items between commas; what is in quotation marks, anywhere in an item, keeps its commas.

    Raises:
      ValueError: for a quotation mark that is not closed.
    """
    if not text.strip():
        return []
    items = re.findall(r'(?:^|,)((?:[^,"]|"(?:[^"]|"")*")*)', text)
    if ",".join(items) != text:
        raise ValueError("a quotation mark is not closed; write one of a name twice, in quotes")
    return [QUOTED.sub(lambda part: part[1].replace('""', '"'), item.strip()) for item in items]


def check_flagfiles(arguments: list[str]) -> None:
    """Refuse flagfiles that are no small text files, before they are read to the end.

    Raises:
      ValueError: in one line, also for many that name each other.
    """
    waiting, seen = list(arguments), set()
    while waiting:
        word = waiting.pop(0).strip()
        if not re.match(r"--?flagfile(=|$)", word):
            continue
        name = word.partition("=")[2] if "=" in word else next(iter(waiting), "")
        path = os.path.abspath(os.path.expanduser(name.strip().strip("\"'")))
        if not name or path in seen:
            continue
        seen.add(path)
        if len(seen) > FLAGFILES_MOST:
            raise ValueError(f"--flagfile={name}: more than {FLAGFILES_MOST} name each other.")
        waiting += _lines(name, path)


def _lines(name: str, path: str) -> list[str]:
    try:
        return bounded_reads.text(path, FLAGFILE_MOST).splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).removeprefix(f"{path}: ")
        raise ValueError(f"--flagfile={name}: {reason.rstrip('.')}; name a flagfile.") from error
