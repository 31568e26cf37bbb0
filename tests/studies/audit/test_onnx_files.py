"""Audits of ONNX files through the command line, beside a `.tflite` of the same numbers."""

import json

import numpy as np
import plain_onnx as plain
import plain_tflite
import pytest
from plain_onnx import node

from tf_compleak.cli import main as cli

RNG = np.random.default_rng(0)
W = RNG.standard_normal((4 * 4 * 3, 5)).astype(np.float32)
X = RNG.integers(0, 256, (400, 4, 4, 3), dtype=np.uint8)
Y = ((X.reshape(400, -1) / 255) @ W).argmax(axis=1)
FIRST = [node("Transpose", ["x"], "t", perm=[0, 2, 3, 1]), node("Flatten", ["t"], "flat")]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A linear classifier of images in 0..1, channels first, and what is made of it."""
    from onnxruntime import quantization

    root = tmp_path_factory.mktemp("onnx")
    metadata = {"Image.NominalPixelRange": "Normalized_0_1"}
    made = plain.classifier(W, before=FIRST, shape=[3, 4, 4], metadata=metadata)
    plain.saved(made, root / "m.onnx")
    quantization.quantize_dynamic(root / "m.onnx", root / "int8.onnx")

    class Reader(quantization.CalibrationDataReader):
        rows = iter([{"x": np.float32(X[:100].transpose(0, 3, 1, 2) / 255)}])

        def get_next(self):
            return next(self.rows, None)

    quantization.quantize_static(root / "m.onnx", root / "static.onnx", Reader())
    (root / "m.tflite").write_bytes(plain_tflite.classifier(W))
    np.savez(root / "mine.npz", x=X[:200], y=Y[:200])
    np.savez(root / "theirs.npz", x=X[200:], y=Y[200:])
    return root


def flags(files, workdir, **changes):
    versions = ("original=m.onnx", "lite=m.tflite", "int8=int8.onnx", "static=static.onnx")
    chosen = {
        "versions": ",".join(part.replace("=", f"={files}/") for part in versions),
        "members": f"npz:{files}/mine.npz",
        "non_members": f"npz:{files}/theirs.npz",
        "attacks": "loss",
        "marginal": "none",
        "executor": "inline",
        "workdir": str(workdir),
    } | changes
    return ["audit", *(f"--{name}={value}" for name, value in chosen.items())]


def test_the_original_and_its_quantized_versions(files, tmp_path):
    assert cli.main(flags(files, tmp_path / "a")) == 0
    saved = json.loads((tmp_path / "a" / "report.json").read_text())
    versions = {version["name"]: version for version in saved["versions"]}
    kinds = {name: version["recipe"] for name, version in versions.items()}
    assert kinds == {"original": "onnx", "lite": "tflite", "int8": "onnx", "static": "onnx"}
    notes = versions["original"]["notes"]
    assert "the file says of its inputs: pixel range Normalized_0_1" in notes
    assert "inputs prepared as 0-1" in notes and "asked 64 at a time" in notes
    assert versions["original"]["member_accuracy"]["value"] == 1.0
    assert versions["static"]["agreement"]["value"] > 0.8
    losses = [row for row in saved["results"] if row["attack"] == "loss"]
    aucs = {row["release"][-1]: row["auc"]["value"] for row in losses}
    assert abs(aucs["original"] - aucs["lite"]) < 1e-3
    parts = [tmp_path / "a" / "answers" / "target" / name for name in ("original", "lite")]
    onnx, lite = (np.concatenate([np.load(f) for f in sorted(p.rglob("*.npy"))]) for p in parts)
    np.testing.assert_allclose(onnx, lite, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("outside", "keeps the tensor w in another file (../weights.bin)"),
        ("custom", "holds the custom operation mine.Magic"),
        ("cut", "is damaged, or no ONNX file"),
    ],
)
def test_a_file_that_is_refused_gets_one_line(files, tmp_path, capsys, change, message):
    made = plain.classifier(W)
    if change == "outside":
        tensor = made.graph.initializer[0]
        tensor.data_location = 1
        tensor.external_data.add(key="location", value="../weights.bin")
    elif change == "custom":
        made.graph.node[0].domain, made.graph.node[0].op_type = "mine", "Magic"
    content = made.SerializeToString()
    (tmp_path / "m.onnx").write_bytes(content[:500] if change == "cut" else content)
    assert cli.main(flags(files, tmp_path / "a", versions=f"original={tmp_path}/m.onnx")) == 2
    err = capsys.readouterr().err
    assert f"{tmp_path}/m.onnx: {message}" in err and len(err.splitlines()) == 1


def test_shadows_are_found_by_their_ending(files, tmp_path):
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "original.onnx").write_bytes((files / "m.onnx").read_bytes())
    x = RNG.integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    y = ((x.reshape(300, -1) / 255) @ W).argmax(axis=1)
    np.savez(shadow / "members.npz", x=x[:150], y=y[:150])
    np.savez(shadow / "non_members.npz", x=x[150:], y=y[150:])
    changes = {"versions": f"original={files}/m.onnx", "shadows": shadow}
    assert cli.main(flags(files, tmp_path / "a", **changes)) == 0
    saved = json.loads((tmp_path / "a" / "report.json").read_text())
    assert saved["results"][0]["num_shadows"] == 1
