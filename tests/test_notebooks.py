"""The notebooks run from the first cell to the last, offline, and show what they promise."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

FOLDER = Path(__file__).parents[1] / "benchmarks" / "colab"


SMALLER = {
    "audit_tflite": 'epochs, exposure = 10, ("full", "label")',
    "quickstart": """
versions = ("original", "pruning-0.60", "int8-ptq")
attacks = ("modified-entropy", "nasr-lr", "sr2-lr", "tabular")
""",
}


@pytest.mark.parametrize(
    ("name", "smaller"),
    [
        # Slow: a kernel, TensorFlow and a training each. `.ci/run` runs the quickstart's study, and
        # tests/studies/audit what the other notebook calls.
        *(pytest.param(name, True, marks=pytest.mark.slow) for name in SMALLER),
        # As they are shipped: the same cells and calls with more versions, attacks and epochs.
        *(pytest.param(name, False, marks=pytest.mark.slow) for name in SMALLER),
    ],
)
def test_runs_with_inline_plots(name, smaller, tmp_path):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    (parameters,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    if smaller:
        parameters.source += "\n" + SMALLER[name]
    folder = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=240, resources=folder).execute()
    shown = [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    assert any("image/png" in data for data in shown)
    (report,) = (data for data in shown if "tf-compleak" in data.get("text/html", ""))
    assert report["text/plain"].startswith("<Report: ")
    for word in ('class="verdict"', "AUC", "<svg", "original"):
        assert word in report["text/html"]


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.ipynb")), ids=lambda file: file.stem)
def test_is_kept_without_outputs(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells)


def test_an_audit_takes_less_than_ten_cells():
    assert len(nbformat.read(FOLDER / "audit_tflite.ipynb", as_version=4).cells) < 10
