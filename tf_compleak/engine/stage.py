"""A stage: a folder that holds its files and a `stage.json` that says what they came from.

`stage.json` has the fingerprint, the components that it is the digest of, the size and SHA-256 of
every file, and what the stage found out (facts). Sizes are checked whenever a stage is asked for;
SHA-256 once per process, when it is asked for first.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tf_compleak.engine import bounded_reads, file_store
from tf_compleak.engine.file_store import StorePath

RECORD = "stage.json"
NUMPY_FULL = re.compile(r"\d+ requested and \d+ written")  # numpy's words for a full disk
SCHEMA = 2  # of workdirs: 1 had neither components nor checksums

_verified: set[tuple[str, str]] = set()


def fingerprint(**facts: Any) -> str:
    """A short digest of JSON-able facts: equal facts, equal digest, in any process."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 of arrays: their types, shapes and content."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(f"{array.dtype}{array.shape}".encode())
        whole.update(np.ascontiguousarray(array).view(np.uint8).data)
    return whole.hexdigest()


class Damaged(OSError):
    """A finished stage whose files are not what its record says."""


class Stage:
    """One stage's folder and the fingerprint that it must carry to be believed.

    `components` are what the fingerprint is the digest of: with them, `why` can name what changed.
    """

    def __init__(
        self, path: os.PathLike, fingerprint: str, components: dict[str, Any] | None = None
    ):
        self.path = file_store.path(path)
        self.fingerprint = fingerprint
        self.components = components or {}

    @classmethod
    def of(cls, path: os.PathLike, **components: Any) -> Stage:
        """The stage that comes from these JSON-able components."""
        return cls(path, fingerprint(**components), components)

    def record(self) -> dict[str, Any] | None:
        """What `stage.json` says, whatever it is of; None when there is none to read."""
        return read(self.path)

    def facts(self) -> dict[str, Any] | None:
        """What the finished stage recorded, None when it has to be done (again)."""
        record = self.record()
        if record is None or not self._is_mine(record) or damage(self.path, record):
            return None
        return record["facts"]

    def why(self, thorough: bool = True) -> str:
        """Why it has to be done (again); empty when it is finished. `thorough`: see `damage`."""
        if file_store.is_local(self.path) and os.path.islink(self.path):
            return f"damaged: {self.path.name} is a symbolic link"
        record = self.record()
        if record is None:
            exists = (self.path / RECORD).exists()
            return f"damaged: {RECORD} cannot be read" if exists else "missing"
        if record.get("schema") != SCHEMA:
            return f"made under schema {record.get('schema', 1)} of workdirs, this is {SCHEMA}"
        if record["fingerprint"] != self.fingerprint:
            return "; ".join(changes(record.get("components", {}), self.components))
        broken = damage(self.path, record, thorough)
        return f"damaged: {broken}" if broken else ""

    def folder(self) -> Path:
        """A folder of this machine with the finished stage's files; Damaged if they are not."""
        record = self.record()
        reason = self.why()
        if reason:
            raise Damaged(f"{self.path}: {reason}; the same command does it again.")
        return file_store.fetched(self.path, list(record["files"]), record["made"]["id"])

    def _is_mine(self, record: dict) -> bool:
        return record.get("schema") == SCHEMA and record["fingerprint"] == self.fingerprint

    @contextlib.contextmanager
    def writing(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """A folder to fill and a dict of facts to record; both appear whole when the block ends."""
        started = time.monotonic()
        aside = file_store.scratch(self.path)
        try:
            facts: dict[str, Any] = {}
            yield aside, facts
            record = self._new_record(aside, facts, time.monotonic() - started)
            text = json.dumps(record, indent=1, allow_nan=False)
            (aside / RECORD).write_text(text, encoding="utf-8")
            self._check_ours()
            before = (self.record() or {}).get("files", ())
            try:
                file_store.put(aside, self.path, RECORD, before)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or self.facts() is None:
                    raise
                shutil.rmtree(aside)  # another process has just finished the same
        except BaseException as error:
            shutil.rmtree(aside, ignore_errors=True)
            if isinstance(error, OSError) and NUMPY_FULL.search(str(error)):
                full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                raise full from error
            raise

    def _new_record(self, folder: Path, facts: dict, seconds: float) -> dict[str, Any]:
        files = {
            path.relative_to(folder).as_posix(): sums(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        now = datetime.datetime.now(datetime.UTC)
        origin = {
            "at": now.isoformat(timespec="seconds"),
            "writing_seconds": round(seconds, 3),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        origin["id"] = fingerprint(files=files, at=now.isoformat(), by=origin)
        return {
            "schema": SCHEMA,
            "fingerprint": self.fingerprint,
            "components": self.components,
            "facts": facts,
            "files": files,
            "made": origin,
        }

    def _check_ours(self) -> None:
        """Refuse to replace what no stage has written."""
        if not self.path.exists() or (self.path / RECORD).exists():
            return
        if file_store.is_local(self.path) and any(self.path.iterdir()):
            raise ValueError(
                f"{self.path}: holds files that are not this tool's; move them away, or name "
                "another --workdir."
            )


def read(folder: StorePath) -> dict[str, Any] | None:
    """The record of the stage in a folder; None when there is none, or none that can be read."""
    try:
        if file_store.is_local(folder) and os.path.islink(folder):
            return None
        record = bounded_reads.json_object(folder / RECORD, follow=False)
        return record if _is_record(record) else None
    except (OSError, ValueError, RecursionError):
        return None


def _is_record(record: dict[str, Any]) -> bool:
    """Whether a record is of the form that `Stage.writing` gives it."""
    if not (isinstance(record.get("facts"), dict) and isinstance(record.get("fingerprint"), str)):
        return False
    if type(record.get("schema", 1)) is not int:
        return False
    if record.get("schema", 1) != SCHEMA:
        return True
    files, origin = record.get("files"), record.get("made")
    return (
        isinstance(record.get("components"), dict)
        and isinstance(files, dict)
        and all(is_inside(name) and _is_sum(checksums) for name, checksums in files.items())
        and isinstance(origin, dict)
        and isinstance(origin.get("at"), str)
        and re.fullmatch(r"[0-9A-Za-z]{1,64}", str(origin.get("id"))) is not None
    )


def is_inside(name: str) -> bool:
    """Whether a file's name, with / between its parts, leads nowhere out of its folder."""
    parts = PurePosixPath(name).parts
    return bool(parts) and "\0" not in name and "/".join(parts) == name and ".." not in parts


def _is_sum(checksums: Any) -> bool:
    return (
        isinstance(checksums, dict)
        and type(checksums.get("bytes")) is int
        and checksums["bytes"] >= 0
        and isinstance(checksums.get("sha256"), str)
    )


def sums(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file."""
    with bounded_reads.opened(path, follow=False) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest}


def damage(folder: StorePath, record: dict, thorough: bool = True) -> str:
    """What is wrong with a finished stage's files, empty when nothing is.

    Without `thorough`, files are not read: only their sizes are compared.
    """
    files, identity = record["files"], (str(folder), record["made"]["id"])
    for name, checksums in files.items():
        try:
            size = _size(folder, name)
        except OSError:
            return f"{name} is missing"
        except ValueError:
            return f"{name} is no regular file, or lies behind a symbolic link"
        if size != checksums["bytes"]:
            return f"{name} has {size} bytes, not {checksums['bytes']}"
    if thorough and identity not in _verified:
        local = file_store.fetched(folder, list(files), identity[1])
        for name, checksums in files.items():
            if sums(local / name)["sha256"] != checksums["sha256"]:
                return f"{name} is not what was written (SHA-256 differs)"
        _verified.add(identity)
    return ""


def _size(folder: StorePath, name: str) -> int:
    """Bytes of a stage's file; ValueError where it is no regular file of this folder."""
    if not file_store.is_local(folder):
        return (folder / name).stat().st_size
    path, parts = Path(folder), PurePosixPath(name).parts
    for part in parts[:-1]:
        path /= part
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise ValueError(name)
    state = os.lstat(path / parts[-1])
    if not stat.S_ISREG(state.st_mode):
        raise ValueError(name)
    return state.st_size


def changes(old: dict[str, Any], new: dict[str, Any], most: int = 3) -> list[str]:
    """One text for each component that differs; "something it came from" where none is known."""
    before, after = dict(_flat(old)), dict(_flat(new))
    keys = [*after, *(key for key in before if key not in after)]
    texts = [
        f"{key}: {_short(before.get(key))} there, {_short(after.get(key))} here"
        if _plain(before.get(key)) and _plain(after.get(key))
        else f"{key} changed"
        for key in keys
        if before.get(key) != after.get(key)
    ]
    more = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return [*texts[:most], *more] or ["something it came from changed"]


def _flat(components: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in components.items():
        name = f"--{key}" if prefix == "flags " else f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{key} ")
        else:
            yield name, value


def _plain(value: Any) -> bool:
    """Whether a value says something to people; digests do not."""
    return not (isinstance(value, str) and len(value) in (24, 64) and value.isalnum())


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
