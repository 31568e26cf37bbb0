"""Versions that an audit makes itself, through the command line."""

import json
import subprocess
import sys

import numpy as np
import plain_onnx as plain
import plain_tflite
import pytest
from test_onnx_files import FIRST, RNG, W, X, Y, flags

from tf_compleak.cli import main as cli
from tf_compleak.inference.making import WAYS
from tf_compleak.studies.audit import quantized_versions, query

OTHERS = RNG.integers(0, 256, (100, 4, 4, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    plain.saved(plain.classifier(W, before=FIRST, shape=[3, 4, 4]), root / "m.onnx")
    np.savez(root / "mine.npz", x=X[:200], y=Y[:200])
    np.savez(root / "theirs.npz", x=X[200:], y=Y[200:])
    np.savez(root / "others.npz", x=OTHERS, y=np.arange(100) % 5)
    return root


def line(files, workdir, **changes):
    made = {
        "versions": f"original={files}/m.onnx",
        "make": "int8-dynamic,int8-static",
        "calibration": f"npz:{files}/others.npz",
    }
    return flags(files, workdir, **(made | changes))


def test_quantized_versions_are_made_and_audited_once(files, tmp_path, capsys, monkeypatch):
    assert cli.main([*line(files, tmp_path), "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert "making int8-static" in out and "waits for the versions" in out
    assert not (tmp_path / "made").exists()
    assert cli.main(line(files, tmp_path)) == 0
    saved = json.loads((tmp_path / "report.json").read_text())
    versions = {version["name"]: version for version in saved["versions"]}
    assert list(versions) == ["original", "int8-dynamic", "int8-static"]
    assert versions["int8-static"]["recipe"] == "onnx" and versions["int8-static"]["bytes"] > 0
    made = f"made of original by onnxruntime, calibrated on npz:{files}/others.npz"
    assert made in versions["int8-static"]["notes"]
    assert "made of original by onnxruntime" in versions["int8-dynamic"]["notes"]
    for name in ("int8-dynamic", "int8-static"):
        assert 0.8 < versions[name]["agreement"]["value"] <= 1
        assert (tmp_path / "made" / "target" / name / "model.onnx").stat().st_size > 0
    with monkeypatch.context() as patch:  # a second time nothing is made or asked
        patch.setattr(query, "Opened", None)
        patch.setattr(quantized_versions, "Opened", None)
        assert cli.main(line(files, tmp_path)) == 0


def test_a_tflite_file_and_what_int4_adds(files, tmp_path):
    (tmp_path / "m.tflite").write_bytes(plain_tflite.classifier(W))
    changes = {"versions": f"original={tmp_path}/m.tflite", "make": ",".join(WAYS)}
    assert cli.main(line(files, tmp_path / "a", **changes)) == 0
    saved = json.loads((tmp_path / "a" / "report.json").read_text())
    names = [version["name"] for version in saved["versions"]]
    assert names == ["original", *WAYS]
    assert min(version["agreement"]["value"] for version in saved["versions"][1:]) > 0.7
    assert {version["recipe"] for version in saved["versions"]} == {"tflite"}
    assert "made of original by litert-quantizer" in saved["versions"][2]["notes"]


def test_no_runtime_is_loaded_where_the_audit_runs(files, tmp_path):
    absent = ("tensorflow", "keras", "onnx", "onnxruntime", "litert_quantizer", "ai_edge_litert")
    code = (
        "import sys; from tf_compleak.cli import main as cli\n"
        "assert cli.main(sys.argv[1:]) == 0\n"
        f"print([m for m in {absent} if m in sys.modules])\n"
    )
    command = [sys.executable, "-c", code, *line(files, tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_shadows_get_theirs(files, tmp_path):
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    changed = W + np.float32(0.05) * RNG.standard_normal(W.shape).astype(np.float32)
    plain.saved(plain.classifier(changed, before=FIRST, shape=[3, 4, 4]), shadow / "original.onnx")
    x = RNG.integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    y = ((x.reshape(300, -1) / 255) @ W).argmax(axis=1)
    np.savez(shadow / "members.npz", x=x[:150], y=y[:150])
    np.savez(shadow / "non_members.npz", x=x[150:], y=y[150:])
    changes = {"shadows": shadow, "make": "int8-static", "calibration": "members"}
    assert cli.main(line(files, tmp_path / "a", **changes)) == 0
    for family in ("target", "shadow-0"):
        assert (tmp_path / "a" / "made" / family / "int8-static" / "model.onnx").exists()
    saved = json.loads((tmp_path / "a" / "report.json").read_text())
    assert saved["results"][0]["num_shadows"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"make": "int9"}, "--make: unknown 'int9'"),
        ({"calibration": ""}, "--make=int8-static: goes by examples; name some by --calibration"),
        ({"make": "int8-dynamic"}, "no version is calibrated; add --make=int8-static"),
        ({"versions": "float={files}/m.onnx"}, "made of the version original; call the float"),
        ({"calibration": "npz:{files}/mine.npz"}, "200 of its examples are members or non-members"),
        ({"calibration": "npz:/nowhere.npz"}, "/nowhere.npz"),
        (
            {"make": "int4-dynamic", "calibration": ""},
            "is a file of kind onnx; --make=int4-dynamic takes .tflite",
        ),
        (
            {"versions": "original={files}/mine.npz", "make": "int8-dynamic", "calibration": ""},
            "is a file of kind keras; --make=int8-dynamic takes .tflite, .onnx",
        ),
    ],
)
def test_bad_input_gets_one_line(files, tmp_path, capsys, changes, message):
    changes = {key: value.format(files=files) for key, value in changes.items()}
    assert cli.main(line(files, tmp_path, **changes)) == 2
    err = capsys.readouterr().err
    assert message in err and len(err.splitlines()) == 1
