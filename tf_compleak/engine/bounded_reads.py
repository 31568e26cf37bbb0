"""Reading what others made: regular files only, of bounded size, and JSON of bounded depth.

A name can stand for a pipe that never ends, for a device, or for a link that leads elsewhere. All
that is read of a file that this process did not write is read through here.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

JSON_MOST = 64 * 2**20  # bytes
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


def opened(path: str | os.PathLike, *, follow: bool = True) -> BinaryIO:
    """A regular file, opened for reading.

    Args:
      follow: whether the name may be a symbolic link to one.

    Raises:
      FileNotFoundError, OSError: where there is none.
      ValueError: for a folder, a pipe, a socket, a device, which are never waited for, and for
        what this user may not read.
    """
    path = os.fspath(path)
    if "\0" in path:
        raise ValueError(f"{path!r}: holds a NUL character; name a file.")
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        _check_regular(path, os.stat(path, follow_symlinks=follow).st_mode)
        file = os.fdopen(os.open(path, flags), "rb")
    except PermissionError as error:
        raise unreadable(path) from error
    try:
        _check_regular(path, os.fstat(file.fileno()).st_mode)  # it may have been exchanged
    except ValueError:
        file.close()
        raise
    return file


def unreadable(path: str | os.PathLike) -> ValueError:
    """What is raised for a file or a folder that this user may not read."""
    return ValueError(
        f"{os.fspath(path)}: may not be read by this user; give the right to (chmod u+r, and u+x "
        "on its folder), or name a copy of your own."
    )


def _check_regular(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise ValueError(f"{path}: is {kind}; a regular file is needed.")


def content(path: os.PathLike | str, most: int = JSON_MOST, *, follow: bool = True) -> bytes:
    """All bytes of a file, in a folder or a bucket; ValueError where they are more than `most`."""
    if not isinstance(path, str | os.PathLike):  # in a bucket
        size = path.stat().st_size
        data = path.read_bytes() if size <= most else b""
    else:
        with opened(path, follow=follow) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(most + 1) if size <= most else b""
    if max(size, len(data)) > most:
        raise ValueError(f"{path}: has more than {most / 2**20:g} MiB, as none of its kind has.")
    return data


def text(path: os.PathLike | str, most: int = JSON_MOST, *, follow: bool = True) -> str:
    """The UTF-8 text of a file; ValueError where it is none, or of more than `most` bytes."""
    try:
        return content(path, most, follow=follow).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not a text file in UTF-8 ({error.reason}).") from error


def json_object(path: os.PathLike | str, most: int = JSON_MOST, *, follow: bool = True) -> dict:
    """The JSON object that a file holds.

    Raises:
      FileNotFoundError, OSError: where there is no file, or none that may be read.
      ValueError: in one line, for anything else than an object, or one that is nested too deep.
    """
    return parsed(text(path, most, follow=follow), path)


def parsed(text: str, where: os.PathLike | str) -> dict[str, Any]:
    """The JSON object of a text; `where` is what a ValueError calls it."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{where}: is nested too deep for JSON of this tool.") from error
    except ValueError as error:
        raise ValueError(f"{where}: is no JSON ({error}).") from error
    if not isinstance(value, dict):
        raise ValueError(f"{where}: holds no JSON object.")
    return value


def entries(root: str | os.PathLike) -> Iterator[os.DirEntry]:
    """Everything below a folder, folders first; symbolic links are named, never followed."""
    folders = [os.fspath(root)]
    while folders:
        with os.scandir(folders.pop()) as scan:
            for entry in scan:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                yield entry


def check_plain(root: str | os.PathLike, argument: str) -> None:
    """Refuse a folder in which anything is neither a regular file nor a folder.

    The folder itself may be a symbolic link: it is what the user named.

    Raises:
      ValueError: naming the first link, pipe, socket or device.
    """
    for entry in entries(root):
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
        except FileNotFoundError:  # another process has just removed it
            continue
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            kind = KINDS.get(stat.S_IFMT(mode), "no regular file")
            name = Path(entry.path).relative_to(root).as_posix()
            raise ValueError(
                f"{argument}: holds {name}, which is {kind}; such are never followed, remove it."
            )
