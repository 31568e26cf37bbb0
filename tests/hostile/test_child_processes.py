"""What an isolated process leaves behind, however it starts or ends: no files, no processes."""

import contextlib
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

import pytest
from watch import processes_of

from tf_compleak.inference import process_group, sandbox
from tf_compleak.inference.sandbox import SandboxedModel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only: it looks into /proc")


@pytest.fixture
def model_file(tmp_path, monkeypatch):
    """Something that is taken for a .tflite file; private folders are made beside it."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "m.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    return tmp_path / "m.tflite"


def descriptors() -> list[str]:
    """What every open descriptor of this process stands for, but the one that lists them."""
    targets = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            targets.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(targets)


def ended(home: Path) -> bool:
    """Whether no process of this home is left, soon: killing takes a moment."""
    end = time.monotonic() + 30
    while processes_of(home):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def fails(*_, **__):
    raise OSError("no more")


STEPS = {  # of starting, in order
    "memory": (sandbox.os, "memfd_create"),
    "its size": (sandbox.os, "ftruncate"),
    "its seals": (sandbox.fcntl, "fcntl"),
    "a view": (sandbox.mmap, "mmap"),
    "a folder": (sandbox.tempfile, "mkdtemp"),
    "a pipe": (sandbox.os, "pipe2"),
    "sockets": (sandbox.socket, "socketpair"),
    "a connection": (sandbox, "Connection"),
    "its libraries": (sandbox.site, "getsitepackages"),
    "a process": (process_group.subprocess, "Popen"),
    "the first word": (SandboxedModel, "_receive"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_start_that_fails_leaves_nothing_open(step, model_file, monkeypatch):
    before = descriptors()
    monkeypatch.setattr(*STEPS[step], fails)
    with pytest.raises(OSError, match="no more"):
        SandboxedModel(str(model_file))
    monkeypatch.undo()
    assert descriptors() == before
    assert os.listdir(model_file.with_name("temporary")) == []
    assert ended(model_file.with_name("temporary"))


def test_closing_gives_everything_back_and_can_be_done_twice(model_file, monkeypatch):
    before = descriptors()
    monkeypatch.setattr(SandboxedModel, "_receive", lambda *_: {})
    monkeypatch.setattr(SandboxedModel, "_take", lambda *_: None)
    model = SandboxedModel(str(model_file))
    assert len(descriptors()) > len(before) and processes_of(model_file.parent / "temporary")
    model.close()
    model.close()
    assert descriptors() == before and ended(model_file.parent / "temporary")


ENDS = {  # of a process that nothing isolates, when it has started another one
    "a crash": ("os.abort()", r"the interpreter crashed while starting \(Aborted\)"),
    "an exit": ("os._exit(3)", r"the interpreter crashed while starting \(exit code 3\)"),
    "a kill": ("os.kill(os.getpid(), 9)", "needs more than .* GiB of memory for starting"),
    "no answer": ("theirs.send(bytes([0, 0, 0, 2]) + b'{]')", "answered nonsense"),
    "half a word": ("theirs.send(bytes([0, 0, 0, 9])); time.sleep(300)", "no answer within 1 s"),
}
STARTS_ANOTHER = """
import json, os, socket, subprocess, sys, time
theirs = socket.socket(fileno=json.loads(sys.argv[-1])["socket"])
subprocess.Popen(["sleep", "300"])
"""


@pytest.mark.parametrize("end", ENDS)
def test_what_it_has_started_ends_with_it(end, model_file, monkeypatch):
    last, words = ENDS[end]
    start = process_group.start
    monkeypatch.setattr(sandbox, "START", 1.0)

    def starts_another(command, **settings):
        return start([sys.executable, "-c", STARTS_ANOTHER + last, command[-1]], **settings)

    monkeypatch.setattr(process_group, "start", starts_another)
    with pytest.raises(ValueError, match=words) as caught:
        SandboxedModel(str(model_file), seconds=1)
    assert "\n" not in str(caught.value)
    assert ended(model_file.with_name("temporary"))


def test_a_process_that_never_reads_is_ended(monkeypatch):
    ours, theirs = socket.socketpair()
    model = object.__new__(SandboxedModel)
    model._connection = sandbox.Connection(ours.detach())
    model._seconds, model._is_late, model._process = 0.1, False, None
    # what is left of a pipe whose end is gone
    monkeypatch.setattr(process_group, "kill", lambda leader: theirs.close())
    for _ in range(100_000):
        model._send({"names": ["x" * 1000]})
        if model._is_late:
            break
    assert model._is_late
    model._connection.close()
