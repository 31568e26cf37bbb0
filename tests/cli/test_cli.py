"""The command line: help, bad input in one line, a whole run killed and resumed."""

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tf_compleak.cli import main as cli
from tf_compleak.engine.stage import SCHEMA
from tf_compleak.metrics import intervals
from tf_compleak.report.report import Report
from tf_compleak.studies.study import Study

SMALL = """
--num_members=100
--num_non_members=100
--num_validation=100
--num_population=50
--model=convnet
--depth=3
--width=8
--epochs=4
--finetune_epochs=2
--max_accuracy_drop=1
--versions=original,float16-ptq,int8-ptq
--attacks=modified-entropy,nasr-lr,sr2-lr
"""


def save(path, **arrays):
    np.savez(path, **arrays)
    return f"--dataset=npz:{path}"


def fails(capsys, tmp_path, *flags, executor="inline"):
    """The one line that a failing run prints."""
    assert cli.main(["run", f"--workdir={tmp_path / 'w'}", f"--executor={executor}", *flags]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("tf-compleak: ")
    return line


def test_help_teaches(capsys):
    for arguments in ([], ["--help"], ["-h"]):
        assert cli.main(arguments) == 0
        assert "tf-compleak run" in capsys.readouterr().out
    for command, parts in cli.COMMANDS.items():
        assert cli.main([command, "--help"]) == 0
        text = capsys.readouterr().out
        for group in parts.flags.values():
            for name, _ in group:
                assert f"--{name}\n" in text
    assert cli.main(["--version"]) == 0


def test_shipped_flagfiles_are_good_and_name_no_place():
    root = Path(__file__).parents[2]
    assert cli.QUICKSTART.read_text() == (root / "flags" / "quickstart.cfg").read_text()
    for path in sorted((root / "flags").rglob("*.cfg")):
        values = cli._parse("run", [f"--flagfile={path}"])
        assert Study(**cli._settings(Study, values)) is not None
        name = "_".join(path.relative_to(root / "flags").with_suffix("").parts)
        assert values.data_dir is None and values.workdir == f"runs/{name}"
        assert (
            path.read_text().startswith("# ") and "tf-compleak run --flagfile=" in path.read_text()
        )


@pytest.mark.parametrize(("command", "more"), [("run", set()), ("audit", {"fail_if"})])
def test_every_field_of_the_settings_is_a_flag(command, more):
    names = {name for group in cli.COMMANDS[command].flags.values() for name, _ in group}
    assert names == set(cli._defaults(command)) - {"command", "flags"}
    assert more <= names


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--dataset=digit", "Did you mean 'digits'"),
        ("--dataset=npz", "npz:PATH"),
        ("--dataset=npz:/no/such.npz", "/no/such.npz: no such file"),
        ("--dataset=image_folder:/no/such", "no such folder"),
        ("--dataset=tfds:cifar10", "--data_dir"),
        ("--versions=original,int8ptq", "Did you mean 'int8-ptq'"),
        ("--versions=original,original", "more than once"),
        ("--versions=", "--versions: empty"),
        ("--attacks=entrpy", "Did you mean 'entropy'"),
        ("--attacks=", "--attacks: empty"),
        ("--releases=original+int9", "--releases"),
        ("--model=resnt", "Did you mean 'resnet'"),
        ("--depth=-1", "--depth"),
        ("--early_stopping=-1", "--early_stopping"),
        ("--checkpoint=first", "--checkpoint"),
        ("--mixed_precision=float61", "Did you mean 'float16'"),
        ("--depth=40", "between 2 and 21"),
        ("--model=dense", "takes tables of numbers"),
        ("--model=bert", "takes texts"),
        ("--preset=bert_tiny_en_uncased", "is for bert and gpt2"),
        ("--sequence_length=2", "--sequence_length"),
        ("--vocabulary_size=10", "--vocabulary_size"),
        ("--vocabulary=", "--vocabulary: empty"),
        ("--dropout=1", "--dropout"),
        ("--heads=-1", "--heads"),
        ("--optimizer=adam", "Did you mean 'adamw'"),
        ("--dataset=text:/no/such.tsv", "/no/such.tsv: no such file"),
        ("--depth=12", "too small"),
        ("--num_members=3000", "lower"),
        ("--num_members=0", "--num_members"),
        ("--epochs=0", "--epochs"),
        ("--learning_rate=nan", "--learning_rate"),
        ("--weight_decay=-1", "--weight_decay"),
        ("--augmentation=flop", "Did you mean 'flip'"),
        ("--num_members=19", "--num_members: must be at least 20"),
        ("--releases=original,original", "--releases: 1 value(s) occur more than once"),
        ("--threads=0", "--threads"),
        ("--shadow_counts=1,x", "--shadow_counts: 'x' is no number"),
        ("--shadow_counts=2", "--shadow_counts: must lie between 1 and 1"),
        ("--targets=2", "--split=halves"),
        ("--split=half", "Did you mean 'halves'"),
        ("--attacks=lira-online", "--num_shadows with --attacks=lira-online: must be at least 2"),
        ("--delta=1", "--delta"),
        ("--batch_size=abc", "batch_size"),
        ("--num_shadow=1", "Did you mean --num_shadows"),
        ("--flagfile=/no/such.cfg", "/no/such.cfg"),
        ("--executor=threads", "--executor: unknown 'threads'"),
        ("--ray_resources=train:gpu", "--ray_resources: 'train:gpu'; write STAGE:RESOURCE=AMOUNT"),
        ("--ray_retries=-1", "--ray_retries"),
        ("--workdir=ftp://host/w", "unknown scheme; known: gs://"),
        ("--calibration=memebrs", "Did you mean 'members'"),
        ("--max_accuracy_drop=nan", "--max_accuracy_drop"),
        ("--seed=-1", "--seed"),
        ("surplus", "surplus"),
    ],
)
def test_bad_flags_get_one_line_and_exit_code_2(capsys, tmp_path, flag, message):
    assert message in fails(capsys, tmp_path, flag)
    assert not (tmp_path / "w" / "study.json").exists()


def test_bad_data_gets_one_line_and_does_not_claim_the_workdir(capsys, tmp_path):
    x, y = np.random.default_rng(0).random((60, 8, 8)), np.arange(60) % 3
    nan = x.copy()
    nan[5, 1, 1] = np.nan
    bad = {
        "one class": save(tmp_path / "one.npz", x=x, y=y * 0),
        "NaN": save(tmp_path / "nan.npz", x=nan, y=y),
        "negative": save(tmp_path / "neg.npz", x=x, y=y - 1),
        "Python objects": save(tmp_path / "obj.npz", x=np.array([{}] * 60), y=y),
        "lacks y": save(tmp_path / "noy.npz", x=x),
    }
    for word, flag in bad.items():
        line = fails(capsys, tmp_path, flag)
        assert word.lower() in line.lower() and ".npz" in line
    assert ".npz" in fails(capsys, tmp_path, bad["NaN"], executor="processes")
    assert not (tmp_path / "w" / "study.json").exists()


def test_unusable_workdirs(capsys, tmp_path):
    (tmp_path / "file").write_text("precious")
    assert "is a file" in fails(capsys, tmp_path, f"--workdir={tmp_path / 'file'}")
    assert fails(capsys, tmp_path, f"--workdir={tmp_path / 'file' / 'below'}")
    assert "empty" in fails(capsys, tmp_path, "--workdir=")
    assert (tmp_path / "file").read_text() == "precious"
    assert "--workdir=/proc/none" in fails(capsys, tmp_path, "--workdir=/proc/none")
    (tmp_path / "binary.cfg").write_bytes(b"\x80\xff")
    line = fails(capsys, tmp_path, f"--flagfile={tmp_path / 'binary.cfg'}")
    assert "binary.cfg" in line and "not a text file" in line


def command(workdir, *flags):
    (workdir.parent / "small.cfg").write_text(SMALL)
    flagfile = f"--flagfile={workdir.parent / 'small.cfg'}"
    return [sys.executable, "-m", "tf_compleak", "run", flagfile, f"--workdir={workdir}", *flags]


def figures(workdir):
    report = json.loads((workdir / "report.json").read_text())
    return {key: report[key] for key in ("versions", "results", "failures", "sanity")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small study run to its end in one go."""
    workdir = tmp_path_factory.mktemp("study") / "w"
    done = subprocess.run(command(workdir), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return workdir, done


def test_a_run_leaves_a_report(finished):
    workdir, done = finished
    values = json.loads((workdir / "report.json").read_text())
    assert values["schema"] == 1
    assert [v["name"] for v in values["versions"]][:2] == ["original", "float16-ptq"]
    for version in values["versions"]:
        assert version["status"] == "ok" and version["bytes"] > version["gzip_bytes"] > 0
        assert (workdir / version["path"]).stat().st_size == version["bytes"]
        assert 0 <= version["member_accuracy"]["low"] <= version["member_accuracy"]["high"] <= 1
    tiers = [(row["tier"], row["attack"], len(row["release"])) for row in values["results"]]
    assert tiers.count(("NR", "nasr-lr", 1)) == 3 and tiers.count(("SR", "sr2-lr", 2)) == 2
    for row in values["results"]:
        assert row["n_members"] == row["n_non_members"] == 100
        assert row["auc"]["low"] <= row["auc"]["value"] <= row["auc"]["high"]
        assert list(row["tpr_at_fpr"]) == ["0.1", "0.01", "0.001", "0.0001"]
        assert row["tpr_at_fpr"]["0.1"]["measurable"]
        assert row["tpr_at_fpr"]["0.001"]["value"] is None
        assert (row["auc_gain"] is None) == (row["tier"] == "NR")
    assert set(values["sanity"]) == {"null_auc", "blind_auc", "null_runs"}
    assert Report.from_json(values).best("SR") is not None
    assert "NR" in done.stdout and (workdir / "report.html").stat().st_size > 10_000
    assert not list(workdir.rglob(".aside-*"))


def test_the_written_flagfile_repeats_the_run(finished, tmp_path):

    values = cli._parse("run", [f"--flagfile={finished[0] / 'flags.cfg'}", f"--workdir={tmp_path}"])
    again = Study(**cli._settings(Study, values))
    assert isinstance(again, Study)
    saved = json.loads((finished[0] / "study.json").read_text())
    assert saved.pop("schema") == SCHEMA and again.to_json() == saved


def test_a_finished_study_is_reused_and_another_one_is_refused(finished):
    workdir, _ = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("stage.json")}
    logs = {path: path.stat().st_mtime_ns for path in (workdir / "logs").iterdir()}
    done = subprocess.run(command(workdir), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert logs == {path: path.stat().st_mtime_ns for path in (workdir / "logs").iterdir()}
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("stage.json")} == before
    refused = subprocess.run(command(workdir, "--seed=9"), capture_output=True, text=True)
    assert refused.returncode == 2 and "seed: 0 there, 9 here" in refused.stderr
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("stage.json")} == before


class ByPlace:
    """An "attack" that takes the first half of the rows for members."""

    threshold = 0.0

    def fit(self, shadows, *, seed):
        return self

    def score(self, target):
        assert target.members is None
        return -np.arange(len(target), dtype=float)


def test_the_order_of_the_target_tells_nothing_and_the_null_run_would_tell(finished, monkeypatch):
    from tf_compleak.engine.workdir import Stage
    from tf_compleak.leakage import scoring
    from tf_compleak.leakage.plan import Run
    from tf_compleak.studies.run.source import Source
    from tf_compleak.types import Split

    workdir, _ = finished
    values = cli._parse("run", [f"--flagfile={workdir / 'flags.cfg'}"])
    source = Source(Study(**cli._settings(Study, values)), str(workdir))
    real = Run("sr2-lr", ("original", "int8-ptq"), "target", ("shadow-0",))
    null = dataclasses.replace(real, null=1)
    for run in (real, null):
        found = scoring.run(print, source, run, ByPlace())
        estimate = intervals.auc_estimate(found.values, found.members, level=0.999)
        assert estimate.low <= 0.5 <= estimate.high
    together = lambda split: np.concatenate([split.members, split.non_members])  # noqa: E731
    monkeypatch.setattr(Split, "scored", property(together))
    facts = lambda stage: json.loads((stage.path / "stage.json").read_text())["facts"]  # noqa: E731
    monkeypatch.setattr(Stage, "facts", facts)
    monkeypatch.setattr(Stage, "folder", lambda stage: Path(stage.path))
    found = scoring.run(print, source, null, ByPlace())
    assert intervals.auc_estimate(found.values, found.members).value == 1.0


def test_a_release_of_a_failed_version_is_a_row_under_failures():

    study = Study(releases=(("int8-ptq", "original"), ("original",), ("int8-ptq",)))
    assert study.releases[0] == ("original", "int8-ptq")
    usable = tuple(name for name in study.versions if name != "int8-ptq")
    (row,) = study.plan(usable).failures()
    assert row.name == "original+int8-ptq" and "int8-ptq failed" in row.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    "moments",
    [(7.0,), (4.0, 8.0, 11.0)],  # and 50 kills in test_kill.py
)
def test_killed_at_any_moment_a_run_continues_to_the_same_figures(finished, tmp_path, moments):
    workdir = tmp_path / "w"
    for seconds in moments:
        process = subprocess.Popen(
            command(workdir), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(command(workdir), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert figures(workdir) == figures(finished[0])


def test_ctrl_c_ends_with_one_line_and_no_process_left(tmp_path):
    process = subprocess.Popen(
        command(tmp_path / "w"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(6)
    children = _children(process.pid)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert process.returncode == 130
    assert "continues" in error and "Traceback" not in error
    assert children
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def _children(parent):
    found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


@pytest.mark.slow
def test_halves_with_every_kind_of_question_and_fewer_shadows(tmp_path):
    flags = ["--split=halves", "--num_shadows=3", "--targets=4", "--shadow_counts=1,2"]
    flags += ["--queries=2", "--versions=original,int8-ptq", "--sensitivity_queries=2"]
    flags += ["--attacks=loss,samia,sr2-lr,rmia,lira-online,lira-boosted"]
    done = subprocess.run(command(tmp_path / "w", *flags), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = Report.from_json(json.loads((tmp_path / "w" / "report.json").read_text()))
    assert report.failures == ()
    for row in report.results:
        assert row.num_targets == 4 and row.num_shadows == 3 and row.n_members == 400
        assert not row.epsilon.measurable and "clustered" in row.auc.method
    counts = {(row.attack, row.num_shadows) for row in report.curve}
    assert {("loss", 1), ("rmia", 1), ("lira-online", 2)} < counts
    assert ("lira-online", 1) not in counts
    scores = np.load(tmp_path / "w" / "examples" / "scores.npy", allow_pickle=False)
    assert scores.shape == (len(report.results), 4 * 200)


@pytest.mark.parametrize("limit", [2000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_where_no_more_can_be_written_there_is_one_line_and_a_usable_workdir(tmp_path, limit):
    """The system's limit on the size of files stands for a full disk: it needs no rights."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # noqa: E731
    done = subprocess.run(
        command(tmp_path / "w", "--executor=inline"),
        capture_output=True,
        text=True,
        preexec_fn=small,
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and "--workdir" not in line.partition(":")[0]
    assert "No space left" in line or "File too large" in line
    again = subprocess.run(
        command(tmp_path / "w", "--dry_run"), capture_output=True, text=True, check=True
    )
    assert again.stdout.startswith("data: missing")
    assert not list(tmp_path.rglob("stage.json"))


def test_a_read_only_folder_gets_one_line(tmp_path, capsys):
    place = tmp_path / "read_only"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,ro", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a read-only disk")
    try:
        for workdir in (place, place / "w"):
            line = fails(capsys, tmp_path, f"--workdir={workdir}")
            assert f"--workdir={workdir}: cannot be made or written (Read-only file" in line
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_gets_one_line_and_the_run_continues_elsewhere(finished, tmp_path):
    mounted = tmp_path / "small_disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    workdir = mounted / "w"
    try:
        done = subprocess.run(command(workdir), capture_output=True, text=True)
        assert done.returncode == 2 and "No space left" in done.stderr
        assert len(done.stderr.splitlines()) == 1 and "free some space" in done.stderr
        subprocess.run(["mount", "-o", "remount,size=100m", str(mounted)], check=True)
        done = subprocess.run(command(workdir), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert figures(workdir) == figures(finished[0])
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.parametrize("hushed", [True, False])
def test_a_home_that_cannot_be_written_is_not_spoken_of(hushed):
    program = "import matplotlib; matplotlib.get_configdir()"
    if hushed:
        program = f"from tf_compleak.cli import terminal; terminal.hush(); {program}"
    kept = {key: value for key, value in os.environ.items() if "CONFIG" not in key}
    environment = {**kept, "HOME": "/dev/null"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert (ended.stderr == "") == hushed
