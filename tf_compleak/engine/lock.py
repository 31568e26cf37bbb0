"""The lock of a workdir: one process at a time; `lock.json` says in words who it is.

The system's lock on a file beside it (filelock) decides among all processes that see that file, and
is free the moment its process ends, whatever ended it. Others (on a disk that locks on each machine
for itself, or not at all; at the same bucket from elsewhere) go by the words: their owner renews
them every `BEAT` seconds, and counts as dead after `PATIENCE` seconds without. A disk that does not
lock at all is said in one line, and so is a lock that another has taken over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import logging
import os
import shlex
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from tf_compleak.engine import bounded_reads, file_store
from tf_compleak.engine.file_store import StorePath

NAME = "lock.json"
FILE = "lock"  # what the system locks; in the folder while the lock is held, and after a kill
BEAT = 10.0
PATIENCE = 60.0
MOST = 2**16  # bytes of the words
NEVER = (errno.ENOSYS, errno.EOPNOTSUPP)  # of disks that lock nothing, whoever asks
MOMENT = 1.0  # to wait for the file, which `is_alive` may hold for an instant

NO_LOCKS = (
    "--workdir=%s: its disk locks no files (%s); lock.json alone, renewed every %.0f s, says that "
    "it is in use. Start no two commands on it at once, or name a folder of this machine."
)
TAKEN_OVER = (
    "--workdir=%s: taken over by process %s on %s, since this one did not renew its lock for a "
    "while; stop one of the two."
)
_LOG = logging.getLogger("tf_compleak")  # where nobody has set up logging: a line on stderr


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock."""

    host: str
    pid: int
    since: str
    command: str

    @classmethod
    def this(cls) -> Owner:
        """This process."""
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
        return cls(socket.gethostname(), os.getpid(), since, command)


FIELDS = dataclasses.fields(Owner)


@contextlib.contextmanager
def held(root: StorePath) -> Iterator[None]:
    """Hold the lock of a folder that exists; ValueError naming the owner when another does."""
    me, stop = Owner.this(), threading.Event()
    with _file_lock(root) as locked:
        if not (locked and _locks_same_file(root)) and age(root) < PATIENCE:
            raise ValueError(_refusal(root))
        file_store.write_text(root / NAME, content(root, me, locked))
        if not (locked and file_store.is_local(root)):  # of two who write at once, the last wins
            time.sleep(1.0)
            if owner(root) not in (None, me):
                raise ValueError(_refusal(root))
        beats = threading.Thread(target=_beat, args=(root, me, locked, stop), daemon=True)
        beats.start()
        try:
            yield
        finally:
            stop.set()
            beats.join(PATIENCE)  # a beat that came after the end would leave a lock of nobody
            with contextlib.suppress(OSError):
                if owner(root) == me:
                    (root / NAME).unlink()


def owner(root: StorePath) -> Owner | None:
    """Who holds the lock of a folder, dead or alive; None: nobody, or nobody that can be read."""
    return _owner(_record(root))


def _owner(record: dict) -> Owner | None:
    values = record.get("owner")
    if not isinstance(values, dict) or values.keys() != {field.name for field in FIELDS}:
        return None
    right = all(type(values[f.name]) is (int if f.name == "pid" else str) for f in FIELDS)
    return Owner(**values) if right else None


def is_alive(root: StorePath) -> bool:
    """Whether the owner of a lock still runs, as far as can be told from here."""
    if _locks_same_file(root):
        with contextlib.suppress(OSError):
            return _is_locked(root)
    return age(root) < PATIENCE


def age(root: StorePath) -> float:
    """Seconds since a lock was renewed: on the clock of its disk, or as a bucket's lock says.

    Infinite where there is no lock that can be read.
    """
    if owner(root) is None:
        return float("inf")
    try:
        if not file_store.is_local(root):
            return max(0.0, time.time() - _record(root)["renewed"])
        with tempfile.TemporaryFile(dir=root) as probe:
            return os.fstat(probe.fileno()).st_mtime - os.stat(root / NAME).st_mtime
    except (OSError, TypeError, KeyError):
        return float("inf")


def content(root: StorePath, owner: Owner, locked: bool = True) -> str:
    """The words of a lock of this machine's, renewed now; `locked`: by the system, too."""
    file = _identity(root) if locked else ""
    words = {"owner": dataclasses.asdict(owner), "file": file, "renewed": time.time()}
    return json.dumps(words, indent=1, allow_nan=False)


def _record(root: StorePath) -> dict:
    try:
        return bounded_reads.json_object(root / NAME, MOST, follow=False)
    except (OSError, ValueError):
        return {}


def _locks_same_file(root: StorePath) -> bool:
    """Whether the owner locks the same file as this process would."""
    return _record(root).get("file") == _identity(root)


def _identity(root: StorePath) -> str:
    """What tells the locked file from one of the same name elsewhere: machine, disk and folder."""
    machine, folder = Path("/etc/machine-id"), os.stat(_file(root).parent)
    name = machine.read_text(encoding="ascii").strip() if machine.exists() else ""
    return f"{socket.gethostname()} {name} {folder.st_dev}:{folder.st_ino}"


def _file(root: StorePath) -> Path:
    """The file that the system locks: in the folder, or for a bucket on this machine."""
    if file_store.is_local(root):
        return Path(root, FILE)
    digest = hashlib.sha256(str(root).encode()).hexdigest()[:24]
    return Path(tempfile.gettempdir(), f"tf-compleak-{os.getuid()}-{digest}.{FILE}")


@contextlib.contextmanager
def _file_lock(root: StorePath) -> Iterator[bool]:
    """Hold the system's lock; False where there is none to be had; ValueError: another holds it."""
    lock = filelock.FileLock(_file(root), timeout=MOMENT, fallback_to_soft=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(_refusal(root)) from None
    except OSError as error:  # a disk without locks, or a file that another user made
        _LOG.warning(NO_LOCKS, root, error.strerror, BEAT)
        if error.errno in NEVER:
            with contextlib.suppress(OSError):
                _file(root).unlink()
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            _file(root).unlink()  # while it is locked: whoever waits for it looks again
        lock.release()


def _is_locked(root: StorePath) -> bool:
    try:
        file = os.open(_file(root), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        return not filelock.lock_descriptor(file, blocking=False)
    finally:
        os.close(file)


def _refusal(root: StorePath) -> str:
    other, remedy = owner(root), "wait for it or stop it, or name another --workdir."
    if other is None:
        return f"--workdir={root}: in use by another process; {remedy}"
    text = (
        f"--workdir={root}: in use by process {other.pid} on {other.host} since {other.since} "
        f"({other.command}); {remedy}"
    )
    if not _locks_same_file(root):
        text += (
            f" It renewed its lock {age(root):.0f} s ago, and counts as dead after {PATIENCE:.0f} s"
            " without."
        )
    return text


def _beat(root: StorePath, me: Owner, locked: bool, stop: threading.Event) -> None:
    """Renew the lock until it is given back, or is not this process's any more."""
    while not stop.wait(BEAT):
        with contextlib.suppress(OSError, ValueError):  # a disk that is away for a moment
            if not _renewed(root, me, locked):
                return


def _renewed(root: StorePath, me: Owner, locked: bool) -> bool:
    """Renew a lock; False where it is gone, or another's: it is never made anew."""
    try:
        holder = _owner(bounded_reads.json_object(root / NAME, MOST, follow=False))
    except FileNotFoundError:
        return False
    if holder != me:
        if holder is not None:
            _LOG.warning(TAKEN_OVER, root, holder.pid, holder.host)
        return False
    if file_store.is_local(root):
        os.utime(root / NAME)
    else:
        (root / NAME).write_text(content(root, me, locked))
    return True
