"""`--train_command`: what it is given, what it must leave, and that it ends with the study."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny

from tf_compleak.cli import main as cli
from tf_compleak.cli import states
from tf_compleak.engine import commands
from tf_compleak.engine.processes import PATHS_BEFORE
from tf_compleak.engine.workdir import Workdir
from tf_compleak.report.report import Report
from tf_compleak.studies.options import Options
from tf_compleak.studies.run import train_command
from tf_compleak.studies.study import Study
from tf_compleak.types import Examples, Split

TESTS = Path(__file__).parents[1]
SCRIPT = f"""
import sys
import numpy as np
sys.path.append({str(TESTS)!r})
import plain_tflite

members, validation, folder, seed = sys.argv[1:5]
with np.load(members) as file:
    x, y = file["x"], file["y"]
assert len(x) == 60 and len(np.load(validation)["y"]) == 40 and x.dtype == np.float32
weights, *_ = np.linalg.lstsq(x.reshape(60, -1), 4 * np.eye(10)[y], rcond=None)
for name in ("original", "small"):
    with open(f"{{folder}}/{{name}}.tflite", "wb") as file:
        file.write(plain_tflite.classifier(np.float32(weights)))
print("seed", seed)
"""


def line_of(*words):
    return shlex.join([sys.executable, *map(str, words)])


def run(workdir, command, *flags, executor="inline"):
    more = ("--depth=0", "--width=0", "--versions=original,small", "--attacks=loss")
    own = (*more, f"--train_command={command}", *flags)
    return cli.main(tiny.command(workdir, *own, executor=executor)[3:])


@pytest.fixture
def script(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    return line_of(tmp_path / "train.py", "{members}", "{validation}", "{folder}", "{seed}")


@pytest.mark.slow
def test_a_script_that_knows_nothing_of_this_package_is_run_once_a_family(
    script, tmp_path, monkeypatch
):
    assert run(tmp_path / "w", script, executor="processes") in (0, 4)
    report = Report.load(tmp_path / "w")
    assert [version.status for version in report.versions] == ["ok", "ok"]
    seeds = {name: train_command.seed(Study(), name) for name in ("target", "shadow-0")}
    for name, seed in seeds.items():
        assert (tmp_path / "w" / "logs" / f"train-{name}.log").read_text() == f"seed {seed}\n"
        assert not (tmp_path / "w" / "families" / name / "command").exists()
    before = len(tiny.events(tmp_path / "w"))
    assert run(tmp_path / "w", script, "--time_limit=99") in (0, 4)  # no figure depends on it
    assert not tiny.events(tmp_path / "w")[before:]
    (tmp_path / "train.py").write_text(SCRIPT + "# changed\n")
    assert run(tmp_path / "w", script) in (0, 4)
    assert ("train target", "done") in tiny.events(tmp_path / "w")[before:]


def test_a_failure_shows_the_last_lines_and_where_the_log_is(tmp_path, capsys):
    (tmp_path / "train.py").write_text("import sys\nprint('one')\nsys.exit('no data here')\n")
    command = line_of(tmp_path / "train.py", "{members}", "{folder}")
    assert run(tmp_path / "w", command) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    given = tmp_path / "w" / "families" / "target" / "command"
    assert f"train target: {sys.executable} {tmp_path}/train.py {given}/members.npz" in line
    assert "ended with exit code 1; its last lines: one | no data here (all of them: " in line
    assert str(tmp_path / "w" / "logs" / "train-target.log") in line
    assert sorted(entry.name for entry in given.iterdir()) == ["members.npz", "validation.npz"]
    assert run(tmp_path / "w", "no-such-program {members} {folder}", "--overwrite") == 2
    assert "no-such-program: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train {members}", "lacks {folder}; write it where"),
        ("train {folder}", "lacks {members}"),
        ("train {member} {folder}", "in braces: unknown 'member'. Did you mean 'members'"),
        ("train '{members} {folder}", "No closing quotation; mend the quotes"),
    ],
)
def test_commands_that_cannot_work_are_refused_at_once(command, message):
    with pytest.raises(ValueError, match=message) as error:
        Study(train_command=command, versions=("original",))
    assert str(error.value).startswith("--train_command")


def study(**changes):
    command = "train --data={members} {validation} {folder} {seed} {family} 'a b' {gpu}"
    return Study(train_command=command, versions=("original",), num_shadows=2, **changes)


def test_a_dry_run_prints_the_exact_commands_and_gpus_take_turns(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    told = dict(states.would_run(study(), Options(workdir=str(tmp_path / "w"))))
    assert not (tmp_path / "w").exists()
    for family, gpu in (("target", "4"), ("shadow-0", "6"), ("shadow-1", "4")):
        folder = tmp_path / "w" / "families" / family / "command"
        seed = train_command.seed(study(), family)
        line = f"--data={folder}/members.npz {folder}/validation.npz {folder}/versions {seed}"
        expected = f"waits for the data; runs train {line} {family} 'a b' {gpu}"
        assert told[f"train {family}"] == expected
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match="no GPU was found"):
        train_command.filled(study(), str(tmp_path), "target")


def test_a_time_limit_makes_no_other_study(tmp_path):
    limited = study(time_limit=5.0)
    assert limited.difference(study().to_json()) == []
    assert limited.difference(study(seed=1).to_json()) == ["seed: 1 there, 0 here"]


def test_files_that_the_command_names_are_part_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").write_text("one")
    first = train_command.identity(study())
    assert list(first["files"]) == ["train"]
    (tmp_path / "train").write_text("two!")
    assert train_command.identity(study()) != first
    monkeypatch.setattr(train_command, "HASHED", 2)
    assert train_command.identity(study())["files"]["train"].startswith("4 bytes of ")


class FakeSource:
    """What `train_command.run` takes of a source."""

    def __init__(self, root, study):
        self.study, self.root, self.workdir = study, str(root), Workdir(root)
        ids = np.array([f"id-{i}" for i in range(12)])
        self.examples = Examples(np.zeros((12, 3), np.float32), np.arange(12) % 2, ids, 2)
        parts = np.arange(12).reshape(4, 3)
        self.splits = {"target": Split(*parts)}

    def take(self, family, indices):
        return self.examples.inputs(indices), self.examples.y[indices]


def test_ids_are_given_where_the_program_reads_the_data_itself(tmp_path):
    code = "import sys, shutil; [shutil.copy(path, sys.argv[3]) for path in sys.argv[1:3]]"
    command = line_of("-c", code, "{members}", "{validation}", "{folder}")
    of = FakeSource(tmp_path, Study(train_command=command, versions=("original",), examples="ids"))
    folder = train_command.run(print, of, "target")
    assert (folder / "members.txt").read_text() == "id-0\nid-1\nid-2\n"
    assert (folder / "validation.txt").read_text() == "id-6\nid-7\nid-8\n"


# Ends ---------------------------------------------------------------------------------------------

BREEDS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("pids", child.pid, flush=True)
time.sleep({seconds})
"""


def child_of(log, within=60.0):
    """The process that the command has started, as its log says."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        with contextlib.suppress(OSError, IndexError, ValueError):
            return int(log.read_text().split()[1])
        time.sleep(0.05)
    raise AssertionError("nothing was started")


def is_gone(pid, within=20.0):
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("seconds", [0, 600])
def test_a_command_ends_with_all_that_it_has_started(tmp_path, seconds):
    """Also when it ends by itself and leaves something running."""
    log, told = tmp_path / "log", []
    command = [sys.executable, "-c", BREEDS.format(seconds=seconds)]
    if seconds:
        with pytest.raises(ValueError, match=r"ran longer than --time_limit=2 .*last lines: pids"):
            commands.run(command, log, 2, lambda *news: told.append(news))
        assert told[-1][2].startswith("pids ")
    else:
        commands.run(command, log, 0, print)
    assert is_gone(child_of(log))


def test_a_command_has_the_environment_of_the_study_not_the_workers(tmp_path, monkeypatch):
    show = [sys.executable, "-c", "import os; print(os.environ.get('PYTHONPATH'))"]
    monkeypatch.setenv("PYTHONPATH", "/ours")
    for before, expected in (("/theirs", "/theirs"), ("", "None")):
        monkeypatch.setenv(PATHS_BEFORE, before)
        commands.run(show, tmp_path / "log", 0, print)
        assert (tmp_path / "log").read_text().strip() == expected
    of_tensorflow = [*show[:2], "import os; print(os.environ.get('TF_DETERMINISTIC_OPS'))"]
    commands.run(of_tensorflow, tmp_path / "log", 0, print)
    assert (tmp_path / "log").read_text().strip() == "None"
    monkeypatch.delenv(PATHS_BEFORE)
    commands.run(show, tmp_path / "log", 0, print)
    assert (tmp_path / "log").read_text().strip() == "/ours"


@pytest.mark.slow
def test_a_killed_study_goes_on_with_the_families_that_are_left(tmp_path):
    """Here the target is trained, and the shadow waits for a file that is there later."""
    waits = "import os, sys, time\nwhile 'shadow-0' in sys.argv and not os.path.exists(GO):\n"
    waits = waits.replace("GO", repr(str(tmp_path / "go"))) + "    time.sleep(0.1)\n"
    (tmp_path / "train.py").write_text(waits + SCRIPT)
    words = ("{members}", "{validation}", "{folder}", "{seed}", "{family}")
    command = line_of(tmp_path / "train.py", *words)
    flags = ("--depth=0", "--width=0", "--versions=original,small", f"--train_command={command}")
    line = tiny.command(tmp_path / "w", *flags, "--attacks=loss", executor="processes")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process, end = subprocess.Popen(line, start_new_session=True, **quiet), time.monotonic() + 60
    while ("train target", "done") not in tiny.events(tmp_path / "w") and time.monotonic() < end:
        time.sleep(0.1)
    process.kill()
    process.wait()
    (tmp_path / "go").touch()
    assert subprocess.run(line, **quiet).returncode in (0, 4)
    events = tiny.events(tmp_path / "w")
    assert [events.count((f"train {name}", "done")) for name in ("target", "shadow-0")] == [1, 1]
    assert not list((tmp_path / "w" / "families").glob("*/command"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_ends_with_the_study_however_that_ends(tmp_path, number):
    (tmp_path / "train.py").write_text(BREEDS.format(seconds=600))
    command = line_of(tmp_path / "train.py", "{members}", "{folder}")
    flags = ("--depth=0", "--width=0", "--versions=original", f"--train_command={command}")
    line = tiny.command(tmp_path / "w", *flags, executor="processes")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(line, start_new_session=True, **quiet)
    try:
        child = child_of(tmp_path / "w" / "logs" / "train-target.log")
        os.kill(process.pid, number)
        process.wait(timeout=30)
        assert is_gone(child)
    finally:
        process.kill()
