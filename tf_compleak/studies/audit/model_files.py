"""The content of model files: read in blocks, regular files only, folders within bounds."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tf_compleak.engine import bounded_reads

BLOCK = 2**20  # bytes that are read at a time
MOST = 10_000  # entries of a model's folder
DEEPEST = 16  # folders within folders
LARGEST = 2**36  # bytes of all its files
GZIP = 31  # zlib's number for a gzip stream of the largest window


def content(path: str) -> dict[str, Any]:
    """sha256, bytes and gzipped bytes of a model file, or of all files of a folder together.

    Raises:
      FileNotFoundError, ValueError, OSError: in one line, where there is none, for what is no
        regular file (a FIFO would never end), for folders of more than `MOST` entries or deeper
        than `DEEPEST`, for links that lead out of the folder, and for what cannot be read.
    """
    root = Path(path).expanduser()
    digest, size, gzipped = hashlib.sha256(), 0, 0
    try:
        if not root.exists():
            raise FileNotFoundError(f"{path}: no such file; --versions names model files.")
        files = sorted(_files(root, path)) if root.is_dir() else [root]
        for file in files:
            name = os.fsencode(file.relative_to(root)) if root.is_dir() else b""
            digest.update(name + b"\0")
            if file.is_symlink() and file.is_dir():
                digest.update(os.fsencode(os.readlink(file)))
                continue
            size += os.stat(file).st_size
            if size > LARGEST:
                raise ValueError(f"{path}: has more than {LARGEST / 2**30:g} GiB; name a model.")
            file_digest, packed = _digests(file, root, path)
            digest.update(file_digest)
            gzipped += packed
    except PermissionError as error:
        raise bounded_reads.unreadable(path) from error
    except OSError as error:
        if error.errno is None:  # one of ours, in words
            raise
        raise OSError(f"{path}: cannot be read ({error.strerror}).") from error
    return {"sha256": digest.hexdigest(), "bytes": size, "gzip_bytes": gzipped}


def _files(root: Path, path: str) -> Iterator[Path]:
    """All files below a folder, and links to folders below it (which are not followed)."""
    inside, waiting, entries = root.resolve(), [(root, 1)], 0
    while waiting:
        folder, depth = waiting.pop()
        with os.scandir(folder) as scanned:
            for entry in scanned:
                entries += 1
                if entries > MOST:
                    raise ValueError(f"{path}: holds more than {MOST} files; name a model alone.")
                if entry.is_symlink() and not _leads_inside(Path(entry.path), inside):
                    raise ValueError(
                        f"{path}: {entry.name!a} is a link that leads nowhere or out of the "
                        "folder; put the file itself there."
                    )
                if not entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)
                elif depth < DEEPEST:
                    waiting.append((Path(entry.path), depth + 1))
                else:
                    raise ValueError(
                        f"{path}: holds folders more than {DEEPEST} deep; name a model alone."
                    )


def _leads_inside(link: Path, inside: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(inside)
    except (OSError, RuntimeError):  # dangling, or a loop
        return False


def _digests(file: Path, root: Path, path: str) -> tuple[bytes, int]:
    """SHA-256 and gzipped bytes of a regular file; ValueError for any other kind."""
    digest, packer, packed = hashlib.sha256(), zlib.compressobj(9, wbits=GZIP), 0
    try:
        with bounded_reads.opened(file) as opened:
            while block := opened.read(BLOCK):
                digest.update(block)
                packed += len(packer.compress(block))
    except ValueError as error:
        inside = "" if file == root else f"{file.relative_to(root).as_posix()!a} "
        reason = str(error).removeprefix(f"{file}: ")
        raise ValueError(f"{path}: {inside}{reason}") from error
    return digest.digest(), packed + len(packer.flush())
