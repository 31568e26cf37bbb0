"""The command line: whatever is given or taken away, it ends in one line or in silence."""

import json
import os
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
from refusals import refused

from tf_compleak.cli import command_words
from tf_compleak.cli import main as cli
from tf_compleak.inference import prepare
from tf_compleak.report.report import Report


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "not enough memory; .*--batch"),
        (MemoryError("Unable to allocate 1 TiB"), "not enough memory .*1 TiB.*--memory_limit"),
        (RecursionError("maximum"), "nested too deep"),
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates"), r"'a\\udcff' is no text"),
        (ValueError("two\nlines"), "two lines"),
        (ValueError("a \x1b[2J name"), r"a \\x1b\[2J name"),
    ],
)
def test_whatever_ends_a_command_is_one_line(error, message, monkeypatch, capsys):
    def fails(arguments):
        raise error

    command = cli.COMMANDS["show"]
    monkeypatch.setitem(cli.COMMANDS, "show", cli._Command(command.about, {}, fails))
    assert cli.main(["show", "x"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    refused(lambda: (_ for _ in ()).throw(ValueError(lines[0])), message)


@pytest.mark.parametrize("words", ["--help", "run --help", "--version"])
def test_output_that_nobody_reads_ends_in_silence(words):
    code = "import sys; from tf_compleak.cli.main import main; sys.exit(main(sys.argv[1:]))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split()],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("variable", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_names_that_a_locale_cannot_write_are_escaped(variable, tmp_path):
    environment = {**os.environ, **variable}
    environment.pop("HOME", None)
    command = [sys.executable, "-m", "tf_compleak", "show", f"{tmp_path}/größe-\N{SNOWMAN}"]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 2 and b"holds no study" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a=x,b=y", ["a=x", "b=y"]),
        ('"a=x,y.tflite",b=z', ["a=x,y.tflite", "b=z"]),
        ('a="x,y.tflite",b=z', ["a=x,y.tflite", "b=z"]),
        ('"a=say ""x"".tflite",b=z', ['a=say "x".tflite', "b=z"]),
        (" a=x , b=y ", ["a=x", "b=y"]),
        ("a=x,", ["a=x", ""]),
        ("", []),
    ],
)
def test_paths_with_commas_are_written_in_quotes_and_repeated(text, words):
    assert command_words.split(text) == words
    values = cli.define_flags("audit")
    values(["audit", f"--versions={text}"])
    again = cli.define_flags("audit")
    again(["audit", values["versions"].serialize() or "--versions="])
    assert values.versions == again.versions == words


def test_a_quotation_mark_that_is_not_closed_is_named(capsys):
    assert cli.main(["audit", '--versions=a="x,b=y', "--members=a", "--non_members=b"]) == 2
    assert "quotation mark is not closed" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "circle", "chain"])
def test_flagfiles_are_small_text_files(kind, tmp_path, capsys):
    path = tmp_path / "flags.cfg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.write_text("--flagfile=/dev/zero\n")
    elif kind == "folder":
        path.mkdir()
    elif kind == "circle":
        path.write_text(f"--flagfile={path}\n--nonsense=1\n")
    else:
        path.write_text(f"--flagfile={tmp_path}/0\n")
        for index in range(30):
            (tmp_path / str(index)).write_text(f"--flagfile={tmp_path}/{index + 1}\n")
    assert cli.main(["run", f"--flagfile={path}"]) == 2
    message = {"circle": "unknown flag --nonsense", "chain": "name each other"}
    assert message.get(kind, f"is a {kind}; a regular file") in capsys.readouterr().err


PREPARING = """
numbers = 3
def raises(rows): raise KeyError("a\\nb")
def fewer(rows): return rows[1:]
def texts(rows): return rows.astype(str)
def nothing(rows): return None
def large(rows): return rows.astype("float64") * 1e300
def good(rows): return rows[..., ::-1]
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("numbers", "is a int, no function"),
        ("raises", "raised KeyError"),
        ("fewer", r"returned uint8 of shape \[2, 2\] for 3 rows"),
        ("texts", "must return numbers"),
        ("nothing", "must return numbers"),
        ("large", "NaN or infinite"),
        ("missing", "cannot be imported"),
    ],
)
def test_what_preprocess_names_is_blamed_in_one_line(name, message, tmp_path, monkeypatch):
    (tmp_path / "hostile_preparing.py").write_text(PREPARING)
    (tmp_path / "hostile_broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    rows = np.ones((3, 2), np.uint8)
    how = f"hostile_preparing:{name}"
    line = refused(lambda: prepare.function(how)(rows), message)
    assert line.startswith(f"--preprocess={how}: ")
    refused(lambda: prepare.function("hostile_broken:x"), "cannot be imported .division by zero")
    assert prepare.function("hostile_preparing:good")(rows).dtype == np.float32


# Files that may not be read, readers that go away -------------------------------------------------

CANNOT_OVERRIDE = """
import ctypes, os, sys
for capability in (1, 2):  # what lets root read whatever its mode says
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
READS = """
import contextlib, io, json, sys
from tf_compleak.cli.main import main
from tf_compleak.inference.sandbox import SandboxedModel
try:
    open(sys.argv[1], "rb").close()
except PermissionError:
    pass
else:
    sys.exit("is read")
ends = []
for path in sys.argv[1:]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        sides = (f"--{side}=npz:{side}.npz" for side in ("members", "non_members"))
        code = main(["audit", f"--versions=original={path}", *sides, "--attacks=loss"])
    try:
        SandboxedModel(path)
    except ValueError as error:
        ends.append([code, said.getvalue(), str(error)])
print(json.dumps(ends))
"""


@pytest.fixture
def sides_here(tmp_path, monkeypatch):
    """members.npz and non_members.npz, with outputs of a model for both, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for side in ("members", "non_members"):
        labels = np.arange(60) % 3
        outputs = 0.1 + 0.7 * np.eye(3)[labels]
        outputs = np.where(rng.random((60, 1)) < 0.3, np.roll(outputs, 1, axis=1), outputs)
        np.savez(f"{side}.npz", x=rng.random((60, 4)).astype(np.float32), y=labels)
        np.save(f"{side}.npy", outputs.astype(np.float32))
    return tmp_path


def test_a_model_that_may_not_be_read_is_one_line(sides_here):
    """In a process that root's right to read everything is taken from."""
    for name in ("m.tflite", "m.keras", "m.h5"):
        (sides_here / name).write_bytes(b"\x1c\0\0\0TFL3")
    for name in ("m", "within", "closed"):
        (sides_here / name).mkdir()
    for name in ("within/m.tflite", "closed/saved_model.pb"):
        (sides_here / name).write_bytes(b"\x1c\0\0\0TFL3")
    paths = ["m.tflite", "m.keras", "m.h5", "m", "closed", "within/m.tflite"]
    for name in ("m.tflite", "m.keras", "m.h5", "m", "closed/saved_model.pb", "within"):
        (sides_here / name).chmod(0)
    wrapper = [sys.executable, "-c", CANNOT_OVERRIDE] if os.geteuid() == 0 else [sys.executable]
    command = [*wrapper, "-c", READS, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (sides_here / "m").chmod(0o700)
    (sides_here / "within").chmod(0o700)
    if "is read" in done.stderr:
        pytest.skip("this user reads whatever its mode says, and cannot give that up")
    assert done.returncode == 0, done.stderr
    ends = dict(zip(paths, json.loads(done.stdout), strict=True))
    for path, (code, said, _) in ends.items():
        assert code == 2 and said.count("\n") == 1, said
        assert path in said and "may not be read by this user; give the right to (chmod u+r" in said
        assert "--workdir" not in said
    for path in set(paths) - {"closed"}:  # where the file within is met by the isolated process
        assert ends[path][2].startswith(f"{path}: may not be read by this user; give")
    assert ends["closed"][2].startswith("closed: ")


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_an_audit_that_nobody_reads_to_the_end_writes_its_report(reader, sides_here):
    flags = "--versions=original=members.npy+non_members.npy --members=npz:members.npz "
    flags += "--non_members=npz:non_members.npz --attacks=loss --marginal=none --workdir=w"
    line = f"{shlex.quote(sys.executable)} -m tf_compleak audit {flags} | {reader}"
    done = subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"], capture_output=True, check=False
    )
    assert done.returncode in (0, 128 + signal.SIGPIPE), done.stderr
    assert b"Traceback" not in done.stderr and b"BrokenPipe" not in done.stderr
    assert done.stdout.count(b"\n") == (reader != "true")
    assert len(Report.load(sides_here / "w").results) == 1
