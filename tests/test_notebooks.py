"""The notebooks run from the first cell to the last, offline, and show what they promise."""

import html
import json
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
    "pytorch_gate": "",
}
# Stands for the cell tagged "pytorch": a network of scikit-learn as `.onnx`, without PyTorch.
ONNX = f"""
import sys

sys.path.insert(0, {str(Path(__file__).parent)!r})
import plain_onnx
from sklearn.neural_network import MLPClassifier

network = MLPClassifier(128, max_iter=epochs, random_state=0).fit(x[members], y[members])
(w1, w2), (b1, b2) = network.coefs_, network.intercepts_
constants = {{"w1": w1, "b1": b1, "w2": w2, "b2": b2}}
nodes = [
    plain_onnx.node("Gemm", ["x", "w1", "b1"], "h"),
    plain_onnx.node("Relu", ["h"], "r"),
    plain_onnx.node("Gemm", ["r", "w2", "b2"], "logits"),
]
ports = [plain_onnx.port("x", ["n", 64])], [plain_onnx.port("logits", ["n", 10])]
floats = {{name: np.float32(value) for name, value in constants.items()}}
plain_onnx.saved(plain_onnx.model(nodes, *ports, floats), Path("model.onnx"))
"""


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
    for cell in notebook.cells:
        if "pytorch" in cell.metadata.get("tags", ()):
            cell.source = f"from pathlib import Path\n{ONNX}"
    folder = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=240, resources=folder).execute()
    shown = [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    assert any("image/png" in data for data in shown)
    (page,) = (data for data in shown if "<iframe" in data.get("text/html", ""))
    assert page["text/plain"].startswith("<the page of <Report: ")
    inside = html.unescape(page["text/html"])
    for word in ("<!doctype html>", 'class="verdict"', "AUC", "<svg", "original"):
        assert word in inside
    if name == "pytorch_gate":
        assert json.loads((tmp_path / "audit" / "verdict.json").read_text())["conditions"]


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.ipynb")), ids=lambda file: file.stem)
def test_is_kept_without_outputs(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells)


def test_an_audit_takes_less_than_ten_cells():
    assert len(nbformat.read(FOLDER / "audit_tflite.ipynb", as_version=4).cells) < 10
