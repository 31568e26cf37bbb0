"""Workdirs in a bucket: complete or not there, without rename; the same figures as on a disk."""

import json
import os
import subprocess
import sys

import bucket
import numpy as np
import pytest
import tiny
from test_resume import TASKS, run, study

from tf_compleak.cli import states
from tf_compleak.engine import bounded_reads, file_store, stage
from tf_compleak.engine.stage import Damaged, Stage
from tf_compleak.engine.workdir import Workdir
from tf_compleak.studies.options import Options


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(bucket.ROOT, str(tmp_path / "buckets"))
    bucket.register()
    return "s3://mine/study"


def written(where, value):
    made = Stage(file_store.path(where) / "stage", f"print of {value}")
    with made.writing() as (folder, facts):
        np.save(folder / "array.npy", np.arange(value))
        (folder / "deep").mkdir()
        (folder / "deep" / "notes.txt").write_text("x")
        facts["value"] = value
    return made


@pytest.mark.parametrize("kind", ["disk", "bucket"])
def test_a_stage_is_complete_or_not_there(kind, root, tmp_path, monkeypatch):
    where = root if kind == "bucket" else str(tmp_path / "disk")
    made = written(where, 3)
    assert made.facts() == {"value": 3} and made.why() == ""
    assert np.load(made.folder() / "array.npy").tolist() == [0, 1, 2]
    assert (made.folder() / "deep" / "notes.txt").read_text() == "x"
    again = written(where, 5)
    assert made.facts() is None and again.facts() == {"value": 5}
    assert len(np.load(again.folder() / "array.npy")) == 5
    (again.path / "array.npy").write_bytes(b"short")
    assert again.facts() is None and "array.npy has 5 bytes" in again.why()
    with pytest.raises(Damaged, match="the same command does it again"):
        again.folder()


def test_a_process_that_ends_in_the_middle_leaves_no_stage_in_a_bucket(root, monkeypatch):
    made = written(root, 3)
    real, put = type(made.path).write_bytes, []

    def dies(path, data):
        put.append(path.name)
        if len(put) == 2:
            raise KeyboardInterrupt
        return real(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(type(made.path), "write_bytes", dies)
        with pytest.raises(KeyboardInterrupt):
            written(root, 4)
    assert stage.read(made.path) is None  # neither the old, whose files are partly gone, nor new
    assert written(root, 4).facts() == {"value": 4}


def test_the_lock_of_a_bucket(root):
    workdir = Workdir(root)
    with workdir.locked():
        with pytest.raises(ValueError, match="in use by process"), Workdir(root).locked():
            pass
        assert json.loads((workdir.root / "lock.json").read_text())["owner"]["pid"] == os.getpid()
    assert not (workdir.root / "lock.json").exists()


def test_unknown_schemes_get_one_line():
    with pytest.raises(ValueError, match=r"unknown scheme; known: gs://"):
        Workdir("ftp://host/folder")


def test_a_scheme_whose_library_is_missing_gets_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ValueError, match=r"^--workdir=gs://mine/study: .*gcsfs.*$"):
        Workdir("gs://mine/study")


def test_names_and_texts_in_a_bucket_are_kept_as_they_are(root):
    folder = file_store.path(root)
    file = folder / "größe #1?.json"
    file_store.write_text(file, '{"größe": 1}')
    assert file_store.path(str(file)) == file and str(file) == f"{root}/größe #1?.json"
    assert bounded_reads.json_object(file) == {"größe": 1}
    assert list(folder.iterdir()) == [file] and not file_store.is_local(file)
    with pytest.raises(ValueError, match="more than"):
        bounded_reads.content(file, 3)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        bounded_reads.content(file)


def test_a_folder_loads_no_library_of_buckets(tmp_path):
    code = (
        "import sys; from tf_compleak.engine.workdir import Workdir\n"
        "with Workdir(sys.argv[1]).locked(): pass\n"
        "print([name for name in ('fsspec', 'upath', 'etils') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "w")]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.slow
def test_a_study_in_a_bucket_has_the_figures_of_one_on_a_disk(root, tmp_path):
    assert len(run(tmp_path / "disk")) == TASKS
    told = []
    run(root, told)
    place = file_store.path(root)
    keys = ("versions", "results", "failures", "sanity")
    report = json.loads((place / "report.json").read_text())
    assert {key: report[key] for key in keys} == tiny.figures(tmp_path / "disk")
    assert (place / "examples" / "exposed.csv").exists()
    told.clear()
    run(root, told)
    assert [task for task, _, total, why in told if why and not total] == []
    assert json.loads((place / "report.json").read_text()) == report
    assert states.would_run(study(), Options(workdir=root)) == []
    assert {each.state for each in states.states(root)} == {"done"}
    (place / "attacks" / "loss" / "original" / "values.npy").write_bytes(b"damaged")
    run(root, told)
    assert [task for task, _, total, why in told if why and not total] == ["loss original"]


@pytest.mark.slow
def test_worker_processes_and_a_bucket(root, tmp_path):
    path = {"PYTHONPATH": bucket.sitecustomize(tmp_path / "site")}
    for where in (root, str(tmp_path / "disk")):
        done = subprocess.run(
            tiny.command(where, executor="processes"),
            capture_output=True,
            text=True,
            env={**os.environ, **path},
        )
        assert done.returncode == 0, done.stderr
    inside = tmp_path / "buckets" / "mine" / "study"
    assert tiny.figures(inside) == tiny.figures(tmp_path / "disk")
    assert (inside / "report.html").exists() and (inside / "flags.cfg").exists()
