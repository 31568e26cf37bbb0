"""Executors: order, failures, a dying worker, nothing left behind."""

import errno
import os
import re
import signal
import sys
import time

import pytest

from tf_compleak.engine.processes import Inline, Processes
from tf_compleak.engine.tasks import Task

HERE = "test_processes"


def add(progress, a, b):
    progress(1, 2, "half")
    return a + b


def fail(progress, kind):
    raise {"value": ValueError, "type": TypeError}[kind](f"a {kind} error")


def meet(progress, number, path):
    """Meet an error of the system."""
    raise OSError(number, os.strerror(number), path)


def exhaust(progress, text):
    raise MemoryError(text)


def fail_of_a_full_disk(progress):
    """What a library makes of a disk that takes no more."""
    try:
        meet(progress, errno.ENOSPC, "scores.npy")
    except OSError as error:
        raise RuntimeError("cannot save") from error


MENDABLE = {  # tasks that fail alone, and what their row says
    "lost file": (f"{HERE}:meet", (errno.ENOENT, "gone.npy"), "No such file or directory.*gone"),
    "no right": (f"{HERE}:meet", (errno.EACCES, "locked.npy"), "Permission denied.*locked"),
    "no address": (f"{HERE}:exhaust", ("Unable to allocate 9 TiB",), "not enough memory.*9 TiB"),
    "no memory": (f"{HERE}:exhaust", ("",), "^not enough memory; .*--workers"),
}
FATAL = {
    "full": (f"{HERE}:meet", (errno.ENOSPC, "a.npy"), "No space left on device: 'a.npy'"),
    "quota": (f"{HERE}:meet", (errno.EDQUOT, "a.npy"), "quota exceeded: 'a.npy'"),
    "read-only": (f"{HERE}:meet", (errno.EROFS, "a.npy"), "Read-only file system: 'a.npy'"),
    "wrapped": (f"{HERE}:fail_of_a_full_disk", (), "No space left on device: 'scores.npy'"),
}


def check_errors_of_the_system(pool):
    """What one task alone has met is its row; what every task would meet ends the run."""
    mendable = [Task(name, function, args) for name, (function, args, _) in MENDABLE.items()]
    sound = Task("sound", f"{HERE}:add", (1, 2))
    waits = Task("waits", f"{HERE}:add", (3, 4), needs=("lost file",))
    outcomes = pool.run([*mendable, waits, sound], quiet)
    assert outcomes["sound"].value == 3
    for name, (_, _, reason) in MENDABLE.items():
        assert re.search(reason, outcomes[name].error), name
    assert outcomes["waits"].error == outcomes["lost file"].error
    for name, (function, args, reason) in FATAL.items():
        with pytest.raises(OSError, match=reason):
            pool.run([Task(name, function, args)], quiet)


def die(progress):
    os.kill(os.getpid(), signal.SIGSEGV)


def half_a_message(progress):
    os.write(int(sys.argv[1]), b"\x00\x00\x10\x00half")
    os._exit(3)


def pid(progress, seconds=0.0):
    time.sleep(seconds)
    return os.getpid()


def executors(tmp_path):
    return Inline(), Processes(2, 1, tmp_path / "logs")


def quiet(*_):
    pass


def test_values_needs_and_progress(tmp_path):
    for executor in executors(tmp_path):
        told = []
        tasks = [
            Task("a", f"{HERE}:add", (1, 2)),
            Task("b", f"{HERE}:add", (3, 4), needs=("a",)),
            Task("c", f"{HERE}:fail", ("value",)),
            Task("d", f"{HERE}:add", (5, 6), needs=("c",)),
            Task("e", f"{HERE}:fail", ("type",)),
        ]
        with executor:
            outcomes = executor.run(tasks, lambda *news, told=told: told.append(news))
        assert (outcomes["a"].value, outcomes["b"].value) == (3, 7)
        assert outcomes["c"].error == outcomes["d"].error == "a value error"
        assert outcomes["e"].error == "TypeError: a type error"
        assert ("a", 1, 2, "half") in told


@pytest.mark.parametrize("index", [0, 1], ids=["inline", "processes"])
def test_only_a_disk_that_takes_nothing_ends_the_run(tmp_path, index):
    with executors(tmp_path)[index] as pool:
        check_errors_of_the_system(pool)


def test_a_crash_of_native_code_ends_one_task_only(tmp_path):
    with Processes(1, 1, tmp_path) as executor:
        tasks = [Task("bad", f"{HERE}:die", ()), Task("good", f"{HERE}:add", (1, 1))]
        outcomes = executor.run(tasks, quiet)
    assert "died (signal 11)" in outcomes["bad"].error
    assert outcomes["good"].value == 2


def test_a_worker_that_dies_while_idle_is_replaced(tmp_path):
    with Processes(1, 1, tmp_path) as executor:
        first = executor.run([Task("a", f"{HERE}:pid", ())], quiet)["a"].value
        os.kill(first, signal.SIGKILL)
        second = executor.run([Task("b", f"{HERE}:pid", ())], quiet)["b"]
        assert second.error is None or "died (signal 9)" in second.error
        third = executor.run([Task("c", f"{HERE}:pid", ())], quiet)["c"]
    assert third.value not in (None, first)


def test_a_worker_that_sends_half_a_message_ends_one_task_only(tmp_path):
    with Processes(1, 1, tmp_path) as executor:
        tasks = [Task("bad", f"{HERE}:half_a_message", ()), Task("good", f"{HERE}:add", (1, 1))]
        outcomes = executor.run(tasks, quiet)
    assert "died (exit code 3)" in outcomes["bad"].error
    assert outcomes["good"].value == 2


def test_tasks_that_share_a_graph_go_to_the_worker_that_has_it(tmp_path):
    tasks = [
        Task(f"{kind}{i}", f"{HERE}:pid", (0.05,), affinity=kind)
        for i in range(4)
        for kind in ("x", "y")
    ]
    with Processes(2, 1, tmp_path) as executor:
        executor.run([Task(str(i), f"{HERE}:pid", (0.5,)) for i in range(2)], quiet)  # both are up
        outcomes = executor.run(tasks, quiet)
    homes = {kind: {outcomes[f"{kind}{i}"].value for i in range(4)} for kind in "xy"}
    assert len(homes["x"]) == len(homes["y"]) == 1 and homes["x"] != homes["y"]


def test_workers_end_with_the_executor(tmp_path):
    with Processes(2, 1, tmp_path) as executor:
        outcomes = executor.run([Task(str(i), f"{HERE}:pid", (0.3,)) for i in range(2)], quiet)
    for outcome in outcomes.values():
        with pytest.raises(ProcessLookupError):
            os.kill(outcome.value, 0)


def test_the_current_folder_is_not_imported_from(tmp_path, monkeypatch):
    for name in ("json", "numpy", "socket", "queue", "tf_compleak"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    with Processes(1, 1, tmp_path / "logs") as pool:
        outcomes = pool.run([Task("sum", f"{HERE}:add", (1, 2))], quiet)
    assert outcomes["sum"].value == 3 and not (tmp_path / "ran").exists()
