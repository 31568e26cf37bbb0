"""The lock: one process at a time; locks of the dead are recognised."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import time

import pytest

from tf_compleak.engine import lock
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


def left(folder, **changes):
    """Leave a lock in a folder, of this process but for some changes."""
    folder.mkdir(exist_ok=True)
    me = dataclasses.replace(lock.Owner.this(), **changes)
    text = json.dumps({"owner": dataclasses.asdict(me), "renewed": time.time()})
    (folder / lock.NAME).write_text(text)


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
    for stale in ({"pid": ended.pid}, {"started": "1"}, {"boot": "another"}):
        left(tmp_path, **stale)
        assert taken(tmp_path), stale
    left(tmp_path)
    with pytest.raises(ValueError, match="in use"):
        taken(tmp_path)


def test_another_host_counts_as_alive_while_it_renews_its_lock(tmp_path):
    for other in ({"host": "elsewhere"}, {"namespace": "pid:[1]"}):
        left(tmp_path, **other)
        with pytest.raises(ValueError, match="renewed its lock 0 s ago, and counts as dead after"):
            taken(tmp_path)
        long_ago = time.time() - lock.PATIENCE - 1
        os.utime(tmp_path / lock.NAME, (long_ago, long_ago))
        assert taken(tmp_path)


def test_the_owner_renews_its_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.05)
    with Workdir(tmp_path).locked():
        os.utime(tmp_path / lock.NAME, (1, 1))
        deadline = time.monotonic() + 10
        while os.stat(tmp_path / lock.NAME).st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lock.age(Workdir(tmp_path).root) < 10


def test_of_many_that_find_a_stale_lock_one_gets_it(tmp_path):
    left(tmp_path, started="1")
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
