"""The lock: one process at a time; locks of the dead are recognised."""

import dataclasses
import errno
import fcntl
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time

import bucket
import filelock
import pytest

from tf_compleak.engine import file_store, lock
from tf_compleak.engine.workdir import Workdir
from tf_compleak.studies.study import Study

HOLD = """
import sys, time
from tf_compleak.engine.workdir import Workdir
with Workdir(sys.argv[1]).locked():
    print("held", flush=True)
    started = time.time()
    time.sleep(float(sys.argv[2]))
    ended = time.time()
print(started, ended, flush=True)
"""


def holder(folder, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


ELSEWHERE = "elsewhere 0123 1:2"


def left(folder, file="", **changes):
    """Leave a lock in a folder, of this process but for some changes; `file`: as locked there."""
    root = file_store.path(folder)
    words = json.loads(lock.content(root, dataclasses.replace(lock.Owner.this(), **changes)))
    (root / lock.NAME).write_text(json.dumps(words | ({"file": file} if file else {})))


def taken(folder):
    with Workdir(folder).locked():
        return lock.owner(Workdir(folder).root).pid == os.getpid()


def test_a_second_process_is_told_who_is_at_it_and_a_killed_one_leaves_no_claim(tmp_path):
    process = holder(tmp_path, 60)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match=rf"in use by process {process.pid} on .* since 20"):
        taken(tmp_path)
    process.kill()
    process.wait()
    assert (tmp_path / lock.NAME).exists()
    assert taken(tmp_path) and not (tmp_path / lock.NAME).exists()


def test_locks_of_the_dead(tmp_path):
    ended = subprocess.run(["true"], check=True) and subprocess.Popen(["true"])
    ended.wait()
    for stale in ({"pid": ended.pid}, {"pid": 1}, {"pid": os.getpid(), "since": "boot before"}):
        left(tmp_path, **stale)
        assert not lock.is_alive(file_store.path(tmp_path)), stale
        assert taken(tmp_path), stale
    with filelock.FileLock(tmp_path / lock.FILE):
        left(tmp_path)
        assert lock.is_alive(file_store.path(tmp_path))
        with pytest.raises(ValueError, match="in use"):
            taken(tmp_path)
    assert taken(tmp_path)


def test_another_host_counts_as_alive_while_it_renews_its_lock(tmp_path):
    for file in (ELSEWHERE, socket.gethostname() + " 0123 1:2"):
        left(tmp_path, file, host="elsewhere")
        with pytest.raises(ValueError, match="renewed its lock 0 s ago, and counts as dead after"):
            taken(tmp_path)
        assert lock.is_alive(file_store.path(tmp_path))
        long_ago = time.time() - lock.PATIENCE - 1
        os.utime(tmp_path / lock.NAME, (long_ago, long_ago))
        assert not lock.is_alive(file_store.path(tmp_path))
        assert taken(tmp_path)


def test_of_a_killed_process_the_lock_is_free_at_once(tmp_path):
    process = holder(tmp_path, 60)
    assert process.stdout.readline() == "held\n"
    assert lock.is_alive(file_store.path(tmp_path))
    process.kill()
    process.wait()
    assert not lock.is_alive(file_store.path(tmp_path))
    assert (tmp_path / lock.NAME).exists() and (tmp_path / lock.FILE).exists()
    with Workdir(tmp_path).claim(Study()):  # what it left is ours
        assert taken(tmp_path)
    assert not (tmp_path / lock.NAME).exists() and not (tmp_path / lock.FILE).exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_on_a_disk_without_locks_the_words_decide(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(lock, "BEAT", 0.05)
    root = file_store.path(tmp_path)
    with Workdir(tmp_path).locked():
        assert lock.is_alive(root)
        with pytest.raises(ValueError, match=f"in use by process {os.getpid()}"):
            taken(tmp_path)
    left(tmp_path)
    with pytest.raises(ValueError, match="in use"):
        taken(tmp_path)
    os.utime(tmp_path / lock.NAME, (1, 1))
    assert taken(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_disk_without_locks_is_said_in_one_line(tmp_path, monkeypatch, caplog, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with Workdir(tmp_path / "w").locked():
        pass
    (record,) = caplog.records
    line = record.getMessage()
    assert f"--workdir={tmp_path / 'w'}: " in line and os.strerror(number) in line
    assert "\n" not in line and "two commands" in line
    assert (tmp_path / "w").exists() == (number == errno.ENOLCK)  # whose file may be locked yet
    caplog.clear()
    monkeypatch.undo()
    with Workdir(tmp_path).locked():
        assert not caplog.records


def test_a_beat_that_is_late_leaves_no_lock_behind(tmp_path, monkeypatch):
    monkeypatch.setenv(bucket.ROOT, str(tmp_path))
    bucket.register()
    monkeypatch.setattr(lock, "BEAT", 0.01)
    begun, go_on = threading.Event(), threading.Event()
    words, main = lock.content, threading.current_thread()

    def slow(*arguments):
        if threading.current_thread() is not main:
            begun.set()
            go_on.wait(10)
        return words(*arguments)

    monkeypatch.setattr(lock, "content", slow)
    root = Workdir("s3://mine/study").root
    with Workdir("s3://mine/study").locked():
        assert begun.wait(10)
        threading.Timer(0.2, go_on.set).start()
    time.sleep(0.3)
    assert go_on.is_set() and not (root / lock.NAME).exists()


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_lock_that_was_taken_over_or_removed_is_not_renewed(tmp_path, monkeypatch, caplog, where):
    monkeypatch.setenv(bucket.ROOT, str(tmp_path))
    bucket.register()
    monkeypatch.setattr(lock, "BEAT", 0.01)
    root = Workdir(tmp_path / "w" if where == "folder" else "s3://mine/study").root
    with Workdir(root).locked():
        (root / lock.NAME).unlink()
        time.sleep(0.2)
        assert not (root / lock.NAME).exists()
    with Workdir(root).locked():
        other = dataclasses.replace(lock.Owner.this(), host="elsewhere")
        file_store.write_text(root / lock.NAME, lock.content(root, other))
        before = (root / lock.NAME).stat().st_mtime
        time.sleep(0.2)
        assert lock.owner(root) == other and (root / lock.NAME).stat().st_mtime == before
    assert lock.owner(root) == other
    assert "taken over by process" in caplog.text and "on elsewhere" in caplog.text


def test_whoever_looks_turns_no_start_away(tmp_path):
    look = filelock.FileLock(tmp_path / lock.FILE, thread_local=False)
    look.acquire()
    threading.Timer(0.2, look.release).start()
    assert taken(tmp_path)


def test_the_lock_of_a_bucket_that_a_dead_process_left(tmp_path, monkeypatch):
    monkeypatch.setenv(bucket.ROOT, str(tmp_path))
    bucket.register()
    Workdir("s3://mine/study").root.mkdir(parents=True)
    left("s3://mine/study", pid=1)
    assert taken("s3://mine/study")
    left("s3://mine/study", ELSEWHERE)
    with pytest.raises(ValueError, match="renewed its lock 0 s ago"):
        taken("s3://mine/study")
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    assert taken("s3://mine/study")
    assert not lock._file(file_store.path("s3://mine/study")).exists()


def test_the_owner_renews_its_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.05)
    with Workdir(tmp_path).locked():
        os.utime(tmp_path / lock.NAME, (1, 1))
        deadline = time.monotonic() + 10
        while os.stat(tmp_path / lock.NAME).st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lock.age(Workdir(tmp_path).root) < 10


def test_of_many_that_find_a_stale_lock_one_gets_it(tmp_path):
    left(tmp_path, pid=1)
    rivals = [holder(tmp_path, 2) for _ in range(4)]
    ends = [rival.communicate(timeout=60) for rival in rivals]
    held = sorted(tuple(map(float, out.split()[1:])) for out, _ in ends if out)
    refused = [error for _, error in ends if "in use by process" in error]
    assert len(held) + len(refused) == 4 and held
    for (_, ended), (started, _) in itertools.pairwise(held):
        assert ended <= started  # one that started late may have it after another


def test_a_damaged_lock_is_no_lock(tmp_path):
    (tmp_path / lock.NAME).write_text("{")
    assert taken(tmp_path)


def test_a_folder_in_which_nothing_came_about_is_not_left_behind(tmp_path):
    with Workdir(tmp_path / "w").locked():
        pass
    assert not (tmp_path / "w").exists()
    with Workdir(tmp_path / "w").locked(), Workdir(tmp_path / "w").claim(Study()):
        pass
    assert (tmp_path / "w" / "study.json").exists()
