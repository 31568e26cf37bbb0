"""What native code in the isolated process can do: nothing but compute and read its own file."""

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import plain_tflite
import pytest
from watch import Watch, processes_of

from tf_compleak.inference import sandbox
from tf_compleak.inference.isolated import walls
from tf_compleak.inference.sandbox import SandboxedModel

COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
compiled = pytest.mark.skipif(not COMPILER, reason="no C compiler (cc, gcc) is installed here")
NOBODY = 60.0  # seconds to wait for what is expected soon


@pytest.fixture
def watch(tmp_path, monkeypatch):
    watch = Watch(tmp_path, monkeypatch)
    yield watch
    watch.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The compiled attempts of walls.c."""
    path = tmp_path_factory.mktemp("library") / "walls.so"
    source = Path(__file__).with_name("walls.c")
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-w", "-o", path, source], check=True)
    return path


SCRIPT = """
import ctypes, json, os, sys
from tf_compleak.inference.isolated import walls
library, secret, folder, parent, port, inherited, locked = json.loads(sys.argv[1])
walls.load_libraries()
walls.die_with(os.getppid())
walls.limit(2**32)
isolation = walls.lock([library]) if locked else "none"
code = ctypes.CDLL(library)
{body}
"""
RUN = """
report, tried = ctypes.create_string_buffer(8000), ctypes.c_int()
works = code.works(library.encode())
code.run(secret.encode(), folder.encode(), parent, port, inherited, report, 8000,
         ctypes.byref(tried))
print(json.dumps([isolation, works, tried.value, report.value.decode().split()]))
"""


def behind_walls(library: Path, watch: Watch, body: str, parent: int | None = None):
    """A process that runs this behind the walls; its exit status and what it printed."""
    ours, theirs = socket.socketpair()
    settings = [str(library), str(watch.secret), str(watch.outside), parent or os.getpid()]
    settings += [watch.tcp, theirs.fileno(), True]
    command = [sys.executable, "-c", SCRIPT.format(body=body), json.dumps(settings)]
    process = subprocess.run(
        command, pass_fds=[theirs.fileno()], capture_output=True, text=True, timeout=NOBODY
    )
    ours.close()
    theirs.close()
    return process


@compiled
def test_native_code_can_do_nothing_but_compute(library, watch):
    watch.start()
    process = behind_walls(library, watch, RUN)
    assert process.returncode == 0, process.stderr
    isolation, works, tried, succeeded = json.loads(process.stdout)
    assert isolation == walls.FULL and works and tried >= 110
    assert succeeded == []
    watch.check()
    assert not Path("/dev/shm/tf-compleak-walls").exists()


@compiled
@pytest.mark.skipif(platform.machine() != "x86_64", reason="calls of 32-bit programs on x86-64")
@pytest.mark.parametrize("name", ["old_calls", "x32_calls"])
def test_calls_of_other_kinds_of_programs_end_the_process(library, watch, name):
    process = behind_walls(library, watch, f"print(code.{name}())")
    refused = process.stdout.strip() in ("-1", "-38")
    assert process.returncode in (-signal.SIGSYS, -signal.SIGSEGV) or refused, process


@compiled
@pytest.mark.parametrize(
    "body",
    ["os.read(os.open('/etc/passwd', 0), 1)", "__import__('socket').socket()", "os.fork()"],
)
def test_python_meets_the_same_walls(library, watch, body):
    process = behind_walls(library, watch, body)
    assert process.returncode == 1 and "PermissionError" in process.stderr


@compiled
def test_memory_and_files_are_bounded(library, watch):
    process = behind_walls(library, watch, "bytearray(2**33)")
    assert "MemoryError" in process.stderr
    numbers = "import resource\nprint(resource.getrlimit(resource.RLIMIT_FSIZE))"
    assert behind_walls(library, watch, numbers).stdout.strip() == "(0, 0)"


# A whole model ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tflite(tmp_path_factory):
    """A small model."""
    path = tmp_path_factory.mktemp("tflite") / "m.tflite"
    path.write_bytes(plain_tflite.classifier(np.zeros((6, 3), np.float32)))
    return path


def asked(path, **settings) -> tuple[str, np.ndarray]:
    with SandboxedModel(str(path), **settings) as model:
        x = np.ones((4, 6), np.float32)
        return model.isolation, model.predict({model.inputs[0].name: x})


def test_it_sees_little_and_leaves_nothing(tflite, watch, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("PYTHONPATH", str(watch.folder))
    watch.start()
    with SandboxedModel(str(tflite)) as model:
        assert model.isolation == "full"
        process = Path(f"/proc/{model._process.pid}")
        variables = (process / "environ").read_bytes().split(b"\0")
        assert b"ORT_DISABLE_TELEMETRY=1" in variables  # onnxruntime would call its makers
        names = {part.partition(b"=")[0] for part in variables}
        own = {"PATH", "HOME", "TMPDIR", "CUDA_VISIBLE_DEVICES", "TF_CPP_MIN_LOG_LEVEL"}
        own |= {"KERAS_HOME", "KERAS_BACKEND", "HDF5_USE_FILE_LOCKING", "HDF5_PLUGIN_PRELOAD"}
        own |= {f"TF_NUM_{kind}_THREADS" for kind in ("INTEROP", "INTRAOP")}
        own |= {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY", ""}
        assert {name.decode() for name in names} <= own | set(sandbox.ENVIRONMENT)
        folder = (process / "cwd").resolve()
        assert folder.parent == Path(tempfile.gettempdir()).resolve()
        assert list(folder.iterdir()) == [] and folder.stat().st_mode & 0o077 == 0
        open_files = {os.readlink(part) for part in (process / "fd").iterdir()}
        named = {name for name in open_files if name.startswith("/")}
        assert named <= {"/dev/null", "/memfd:tf-compleak (deleted)"}
        status = (process / "status").read_text()
        assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    assert not folder.exists() and not process.exists()
    watch.check()


def test_modules_beside_the_caller_are_not_imported(tflite, watch, monkeypatch):
    """Neither from the current folder, nor beside the file, nor by PYTHONPATH."""
    trap = f"open({str(watch.outside / 'imported')!r}, 'w').close()\n"
    beside = watch.folder / "beside"
    (beside / "tf_compleak").mkdir(parents=True)
    for name in ("json", "numpy", "sitecustomize", "usercustomize", "tf_compleak/__init__"):
        (beside / f"{name}.py").write_text(trap)
    path = beside / "m.tflite"
    shutil.copy(tflite, path)
    monkeypatch.chdir(beside)
    monkeypatch.setenv("PYTHONPATH", str(beside))
    monkeypatch.setenv("PYTHONSTARTUP", str(beside / "json.py"))
    watch.start()
    isolation, answers = asked("m.tflite")
    assert isolation == "full" and np.allclose(answers, 1 / 3)
    watch.check()


def test_it_ends_with_a_parent_that_is_killed(tflite, watch):
    code = (
        "import sys, tempfile\n"
        f"tempfile.tempdir = {tempfile.gettempdir()!r}\n"
        "from tf_compleak.inference.sandbox import SandboxedModel\n"
        f"model = SandboxedModel({str(tflite)!r})\n"
        "print(model._process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        child = Path(f"/proc/{int(parent.stdout.readline())}")
        assert child.exists() and processes_of(Path(tempfile.gettempdir()))
        parent.kill()
        end = time.monotonic() + NOBODY
        while child.exists() and "Z" not in _state(child) and time.monotonic() < end:
            time.sleep(0.02)
        assert not child.exists() or "Z" in _state(child)


def _state(process: Path) -> str:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


@pytest.mark.parametrize("kind", ["m.keras", "m.h5", "folder"])
def test_kinds_that_can_run_code_need_full_isolation(kind, watch, monkeypatch):
    import h5py

    path = watch.folder / kind
    if kind == "m.keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
    elif kind == "m.h5":
        h5py.File(path, "w").close()
    else:
        path.mkdir()
    monkeypatch.setattr(sandbox, "DEFENSES", frozenset(["lists"]))
    with pytest.raises(ValueError) as caught:
        SandboxedModel(str(path))
    line = str(caught.value)
    assert "this machine cannot isolate the process that would read it (none" in line
    assert "--trust_files" in line and ".tflite" in line and "\n" not in line
    with pytest.raises(ValueError) as caught:
        SandboxedModel(str(path), trust=True)
    assert "cannot isolate" not in str(caught.value)


def test_tflite_opens_without_isolation_and_says_so(tflite, monkeypatch):
    monkeypatch.setattr(sandbox, "DEFENSES", frozenset(["lists"]))
    isolation, answers = asked(tflite)
    assert isolation.startswith("none") and answers.shape == (4, 3)


@pytest.mark.parametrize(
    ("missing", "kind"),
    [
        (("py_landlock",), "partial"),
        (("pyseccomp",), "partial"),
        (("py_landlock", "pyseccomp"), "none"),
    ],
)
def test_what_is_missing_is_said(missing, kind):
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({missing!r}))\n"
        "from tf_compleak.inference.isolated import walls\n"
        "walls.load_libraries()\n"
        "print(walls.lock([]))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert said.startswith(f"{kind}: no ")
    assert ("Landlock" in said, "seccomp" in said) == (
        "py_landlock" in missing,
        "pyseccomp" in missing,
    )


def test_the_inputs_cannot_be_changed_under_the_parent():
    """Memory that is shared cannot be made smaller: reading it would end the parent."""
    descriptor = sandbox.shared_memory(4096)
    with pytest.raises(OSError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


def test_numbers_that_json_does_not_take_are_nonsense(tflite, monkeypatch):
    with SandboxedModel(str(tflite)) as model:
        monkeypatch.setattr(model, "_receive_bytes", lambda *_: b"1" * 5000)
        with pytest.raises(ValueError, match=r"m\.tflite: the isolated process answered nonsense"):
            model._receive("answering", 1)
