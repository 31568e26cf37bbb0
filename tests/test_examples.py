"""Every example of `examples/` is run as its first lines say, on fewer digits."""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
import tiny

from tf_compleak.cli import main as cli
from tf_compleak.models import ModelSpec, own_model
from tf_compleak.report.report import Report
from tf_compleak.studies.study import Study

ROOT = Path(__file__).parents[1]


def command(example):
    """The flags of the command in an example's first lines."""
    text = (ROOT / "examples" / example).read_text(encoding="utf-8").replace("\n#", "\n")
    words = re.search(r"tf-compleak run ((?:.+\\\n)*.+)", text)[1].replace("\\\n", " ")
    return [re.sub(" +", " ", word) for word in shlex.split(words)]


def run(monkeypatch, workdir, example, executor="processes"):
    """Run an example on the tiny study from the checkout; its report."""
    monkeypatch.chdir(ROOT)
    folder = os.path.dirname(sys.executable)  # where an example's `python` is
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    flags = ("--epochs=12", "--depth=0", "--width=0", "--attacks=loss,nasr-lr")
    line = tiny.command(workdir, *flags, *command(example), executor=executor)
    assert cli.main(line[3:]) in (0, 4)
    report = Report.load(workdir)
    assert not report.failures and len(report.versions) >= 2
    for version in report.versions:
        assert version.member_accuracy.value > 0.5
    return report


@pytest.mark.slow
@pytest.mark.parametrize("example", ["own_keras_model.py", "own_training.py"])
def test_a_model_of_ones_own_is_compressed_by_recipes(example, tmp_path, monkeypatch):
    report = run(monkeypatch, tmp_path / "w", example)
    assert all(version.path.endswith("/model.tflite") for version in report.versions)
    assert report.provenance["family"]["name"] == "Own"
    said = (tmp_path / "w" / "logs" / "train-target.log").read_text()
    assert ("Epoch 1/8" in said) == (example == "own_training.py")


@pytest.mark.slow
def test_a_keras_3_model_and_its_own_export(tmp_path, monkeypatch):
    report = run(monkeypatch, tmp_path / "w", "keras3_export.py")
    endings = [version.path.rsplit(".", 1)[1] for version in report.versions]
    assert endings == ["keras", "tflite", "tflite"]
    assert all(version.bytes and version.gzip_bytes for version in report.versions)


@pytest.mark.slow
def test_functions_of_scikit_learn(tmp_path, monkeypatch):
    report = run(monkeypatch, tmp_path / "w", "sklearn_functions.py", executor="inline")
    assert [version.path for version in report.versions] == ["", "", ""]


@pytest.mark.slow
@pytest.mark.parametrize("example", ["train.py", "train.sh"])
def test_programs_that_know_nothing_of_this_package(example, tmp_path, monkeypatch):
    report = run(monkeypatch, tmp_path / "w", example)
    assert "import tf_compleak" not in (ROOT / "examples" / example).read_text()
    files = report.provenance["family"]["files"]
    assert set(files) == {f"examples/{example}"}
    said = (tmp_path / "w" / "logs" / "train-shadow-0.log").read_text()
    assert "validation: [" in said and ("training with seed" in said) == (example == "train.sh")


def test_the_documentation_shows_what_runs(tmp_path):
    text = (ROOT / "docs" / "own_models.md").read_text(encoding="utf-8")
    (tmp_path / "own.py").write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1])
    study = Study(family=f"{tmp_path}/own.py:Own")
    assert study.level == "build"
    assert not own_model.is_compiled(ModelSpec("", 0, 0, (8, 8, 1), 10, code=study.code))
    for name in re.findall(r"\((?:\.\./)?(examples/[a-z0-9_.]+)\)", text):
        assert (ROOT / name).is_file()
    titles = [line.removeprefix("## ").lower() for line in text.splitlines() if line[:3] == "## "]
    anchors = {title.replace(" ", "-").replace(",", "") for title in titles}
    assert set(re.findall(r"\(#([^)]+)\)", text)) == anchors


def test_every_example_is_run_here():
    names = {path.name for path in (ROOT / "examples").iterdir() if path.is_file()}
    text = Path(__file__).read_text(encoding="utf-8")
    assert not {name for name in names if f'"{name}"' not in text}
