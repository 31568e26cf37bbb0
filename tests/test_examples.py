"""Every example of `examples/` is run as its first lines say, on fewer digits."""

import re
import sys
from pathlib import Path

import pytest
import tiny

from tf_compleak.cli import main as cli
from tf_compleak.report.report import Report

ROOT = Path(__file__).parents[1]


def run(monkeypatch, workdir, flags):
    """Run the tiny study with these flags from the checkout; its report."""
    monkeypatch.chdir(ROOT)
    assert cli.main(tiny.command(workdir, "--epochs=12", "--depth=0", "--width=0", *flags)[3:]) in (
        0,
        4,
    )
    return Report.load(workdir)


def command(example):
    """The flags of the command in an example's docstring."""
    text = (ROOT / "examples" / example).read_text(encoding="utf-8")
    return re.search(r"tf-compleak run ((?:.+\\\n)*.+)", text)[1].replace("\\\n", " ").split()


@pytest.mark.slow
@pytest.mark.parametrize("example", ["own_keras_model.py", "own_training.py"])
def test_a_model_of_ones_own_is_compressed_by_every_recipe_that_its_command_names(
    example, tmp_path, monkeypatch
):
    report = run(monkeypatch, tmp_path / "w", command(example))
    assert not report.failures and len(report.versions) == 3
    for version in report.versions:
        assert version.member_accuracy.value > 0.5 and version.path.endswith(".tflite")
    assert report.provenance["family"]["name"] == "Own"
    said = (tmp_path / "w" / "logs" / "train-target.log").read_text()
    assert ("Epoch 1/8" in said) == (example == "own_training.py")
    sys.modules.pop("own", None)
