"""The lock of a workdir: one process at a time, told by a file with its owner and host.

On the owner's machine the lock is stale when the process is gone (or the machine was started anew
since). From another machine that cannot be seen: there the owner renews the file every `BEAT`
seconds, and it is stale after `PATIENCE` seconds without.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
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

from etils import epath

from tf_compleak.engine import bounded_reads, file_store

NAME = "lock.json"
BEAT = 10.0
PATIENCE = 60.0
MOST = 2**16  # bytes of the file


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock: where it runs, and what tells it from a later one."""

    host: str
    machine: str
    boot: str
    namespace: str
    pid: int
    started: str
    since: str
    command: str

    @classmethod
    def this(cls) -> Owner:
        """This process."""
        namespace = os.readlink("/proc/self/ns/pid") if os.path.exists("/proc/self/ns/pid") else ""
        return cls(
            host=socket.gethostname(),
            machine=_text("/etc/machine-id"),
            boot=_text("/proc/sys/kernel/random/boot_id"),
            namespace=namespace,
            pid=os.getpid(),
            started=_started(os.getpid()),
            since=time.strftime("%Y-%m-%d %H:%M:%S"),
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
        )


FIELDS = dataclasses.fields(Owner)


@contextlib.contextmanager
def held(root: epath.Path) -> Iterator[None]:
    """Hold the lock of a folder that exists; ValueError naming the owner when another does."""
    me, stop = Owner.this(), threading.Event()
    _take(root, me)
    beating = threading.Thread(target=_beat, args=(root, me, stop), daemon=True)
    beating.start()
    try:
        yield
    finally:
        stop.set()
        with contextlib.suppress(OSError):
            if owner(root) == me:
                (root / NAME).unlink()


def owner(root: epath.Path) -> Owner | None:
    """Who holds the lock of a folder, dead or alive; None: nobody, or nobody that can be read."""
    try:
        owner_ = Owner(**_record(root)["owner"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    values = vars(owner_)
    right = all(type(values[f.name]) is (int if f.name == "pid" else str) for f in FIELDS)
    return owner_ if right else None


def _record(root: epath.Path) -> dict:
    return bounded_reads.json_object(root / NAME, MOST, follow=False)


def is_alive(root: epath.Path, other: Owner) -> bool:
    """Whether the owner of a lock still runs, as far as can be told from here."""
    me = Owner.this()
    if (other.host, other.machine) == (me.host, me.machine):
        if other.boot != me.boot:
            return False
        if other.namespace == me.namespace:
            return bool(other.started) and _started(other.pid) == other.started
    return age(root) < PATIENCE


def age(root: epath.Path) -> float:
    """Seconds since the lock was renewed: on the clock of its disk, or as a bucket's lock says."""
    try:
        if not file_store.is_local(root):
            return max(0.0, time.time() - _record(root)["renewed"])
        with tempfile.TemporaryFile(dir=root) as probe:
            return os.fstat(probe.fileno()).st_mtime - os.stat(root / NAME).st_mtime
    except (OSError, ValueError, TypeError, KeyError):
        return PATIENCE


def _take(root: epath.Path, me: Owner) -> None:
    with _alone(root):
        other = owner(root)
        if other and is_alive(root, other):
            raise ValueError(_refusal(root, other, me))
        file_store.write_text(root / NAME, _content(me))
    if not file_store.is_local(root):  # buckets have no lock: the last of two writers wins
        time.sleep(1.0)
        other = owner(root)
        if other and other != me:
            raise ValueError(_refusal(root, other, me))


def _refusal(root: epath.Path, other: Owner, me: Owner) -> str:
    text = (
        f"--workdir={root}: in use by process {other.pid} on {other.host} since {other.since} "
        f"({other.command}); wait for it or stop it, or name another --workdir."
    )
    if (other.host, other.namespace) != (me.host, me.namespace):
        text += (
            f" It renewed its lock {age(root):.0f} s ago, and counts as dead after {PATIENCE:.0f} s"
            " without."
        )
    return text


@contextlib.contextmanager
def _alone(root: epath.Path) -> Iterator[None]:
    """Look at the lock and take it with no other process of this machine doing so in between."""
    if not file_store.is_local(root):
        yield
        return
    descriptor = os.open(root, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some shared disks know no flock
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _beat(root: epath.Path, me: Owner, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        with contextlib.suppress(OSError):
            if file_store.is_local(root):
                os.utime(root / NAME)
            else:
                (root / NAME).write_text(_content(me))


def _content(me: Owner) -> str:
    return json.dumps({"owner": dataclasses.asdict(me), "renewed": time.time()}, indent=1)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; empty when there is none (or a zombie)."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if fields:
        return "" if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except PermissionError:
        return "running"
    except OSError:
        return ""
    return "running"
