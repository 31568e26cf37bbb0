"""Where a workdir lies: a folder on this machine or a shared disk, or a bucket (`gs://`, `s3://`).

Paths in folders are pathlib's, those in buckets universal_pathlib's, on fsspec. A folder is renamed
into place; object storage has no rename, but puts each object whole or not at all: there the record
that names all others is put last.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tf_compleak.engine import bounded_reads

if TYPE_CHECKING:
    from upath import UPath

StorePath: TypeAlias = "Path | UPath"
ASIDE = ".aside-"
SCHEMES = ("gs://", "s3://", "az://", "hf://")


def path(where: str | os.PathLike | StorePath) -> StorePath:
    """A path of a workdir; ValueError in one line for a scheme that no library here speaks."""
    text = _text(where)
    if "://" not in text:
        return Path(text)
    if not text.startswith(SCHEMES):
        schemes = ", ".join(SCHEMES)
        raise ValueError(f"--workdir={text}: unknown scheme; known: {schemes}, or a plain folder.")
    import fsspec
    from upath import UPath

    try:
        fsspec.get_filesystem_class(text.partition("://")[0])
    except ImportError as error:
        raise ValueError(f"--workdir={text}: {error}.") from error
    return UPath(text)


def is_local(where: str | os.PathLike | StorePath) -> bool:
    """Whether the system's own calls (rename, lock, memory map) work on a path."""
    return "://" not in _text(where)


def _text(where: str | os.PathLike | StorePath) -> str:
    return os.fspath(where) if isinstance(where, str | os.PathLike) else str(where)


def refuse_link(where: os.PathLike) -> None:
    """Raise ValueError when a path is a symbolic link, which could lead anywhere."""
    if is_local(where) and os.path.islink(where):
        raise ValueError(f"{where}: is a symbolic link; such are never followed, remove it.")


def write_text(where: str | os.PathLike | StorePath, text: str) -> None:
    """Write a file aside and rename it, so that it is there in full or not at all.

    Raises:
      ValueError: when the file is a symbolic link.
    """
    where = path(where)
    if not is_local(where):
        where.write_text(text, encoding="utf-8")
        return
    refuse_link(where)
    where.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=ASIDE, dir=where.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(aside, 0o644)
        os.replace(aside, where)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def scratch(beside: StorePath) -> Path:
    """A new folder of this machine to fill: beside a local path, so that it can be renamed."""
    if not is_local(beside):
        return Path(tempfile.mkdtemp(prefix=ASIDE))
    beside.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=ASIDE, dir=beside.parent))


def put(folder: Path, where: StorePath, last: str, ours: Collection[str] = ()) -> None:
    """Make `where` what `folder` is; the file called `last`, which names the others, comes last.

    Args:
      ours: files of `where` that go with it when it is replaced; others stay in it.

    Raises:
      ValueError: when `where` is a symbolic link, or holds one.
    """
    if is_local(where):
        refuse_link(where)
        folder.chmod(0o755)
        if Path(where).exists():
            _keep_others(folder, Path(where), ours)
        _rename(folder, Path(where))
        return
    (where / last).unlink(missing_ok=True)
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    for name in (*(name for name in names if name != last), last):
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes((folder / name).read_bytes())
    shutil.rmtree(folder)


def _keep_others(folder: Path, where: Path, ours: Collection[str]) -> None:
    """Put what somebody else left in `where` into `folder`, which is to replace it."""
    bounded_reads.check_plain(where, os.fspath(where))
    for entry in bounded_reads.entries(where):
        name = Path(entry.path).relative_to(where)
        stays = folder / name
        if entry.is_dir(follow_symlinks=False) or name.as_posix() in ours or stays.exists():
            continue
        stays.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(entry.path, stays, follow_symlinks=False)
        except OSError:  # disks without hard links
            shutil.copy2(entry.path, stays, follow_symlinks=False)


def _rename(folder: Path, where: Path) -> None:
    if where.exists():
        old = tempfile.mkdtemp(prefix=ASIDE, dir=where.parent)
        os.replace(where, old)
        shutil.rmtree(old)
    os.replace(folder, where)


def fetched(where: StorePath, names: list[str], identity: str) -> Path:
    """A folder of this machine with these files of `where`: itself, or a copy per process."""
    if is_local(where):
        return Path(where)
    copy = Path(_cache()) / identity
    for name in names:
        if not (copy / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((where / name).read_bytes())
    return copy


@functools.cache
def _cache() -> str:
    folder = tempfile.mkdtemp(prefix="tf-compleak-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def clean(root: StorePath, folders: Collection[str]) -> None:
    """Remove what a killed process left aside: in a folder, and below some of its folders."""
    if not is_local(root) or not root.exists():
        return
    for entry in list(bounded_reads.entries(root)):
        parts = Path(entry.path).relative_to(root).parts
        if not entry.name.startswith(ASIDE) or (len(parts) > 1 and parts[0] not in folders):
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink(missing_ok=True)
