"""Versions that are made of a file in its isolated process: what onnxruntime's own front makes."""

import os
from importlib import util

import numpy as np
import onnx
import plain_onnx as plain
import plain_tflite
import pytest
from plain_onnx import node, port
from test_onnx import DENSE, IMAGES, KERNEL, W, X, of_convolved

from tf_compleak.inference import making
from tf_compleak.inference.making import Maker
from tf_compleak.inference.observe import softmax
from tf_compleak.inference.sandbox import SandboxedModel


@pytest.fixture
def source(tmp_path):
    made = plain.convolution(KERNEL, DENSE, ("n", 3, 8, 8))
    return str(plain.saved(made, tmp_path / "m.onnx"))


def made(path, way, rows=None, **settings) -> bytes:
    with Maker(str(path), making=way, **settings) as maker:
        assert maker.isolation == "full"
        if rows is not None:
            maker.predict({port.name: rows for port in maker.inputs})
        return maker.made(os.path.getsize(path))


def by_onnxruntime(path, way, target):
    """By the public functions, in this process."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        rows = iter([{"x": IMAGES}])

        def get_next(self):
            return next(self.rows, None)

    if way == "int8-static":
        quantization.quantize_static(path, target, Reader())
    else:
        quantization.quantize_dynamic(path, target)


@pytest.mark.parametrize("way", ["int8-dynamic", "int8-static"])
def test_a_version_is_what_onnxruntime_makes(source, tmp_path, way):
    path, other = tmp_path / "made.onnx", tmp_path / "other.onnx"
    path.write_bytes(made(source, way, IMAGES, batch=4))
    by_onnxruntime(source, way, str(other))
    kinds = [[n.op_type for n in onnx.load(p).graph.node] for p in (path, other)]
    assert sorted(kinds[0]) == sorted(kinds[1]) and len(kinds[0]) > 6
    answers = []
    for file in (path, other):
        with SandboxedModel(str(file)) as model:
            answers.append(model.predict({"x": IMAGES}))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)
    assert 0 < np.abs(answers[0] - of_convolved(IMAGES)).max() < 0.05


def test_the_same_rows_make_the_same_file(source):
    first, second = (made(source, "int8-static", IMAGES, batch=4) for _ in range(2))
    assert first == second
    assert made(source, "int8-static", IMAGES[:4], batch=4) != first


def refused(path, way="int8-dynamic", rows=None) -> str:
    with pytest.raises(ValueError) as caught:
        made(str(path), way, rows)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_what_cannot_be_made(source, tmp_path):
    assert "Did you mean 'int8-dynamic'" in refused(source, "int8-dynamix")
    quantized = tmp_path / "int8.onnx"
    quantized.write_bytes(made(source, "int8-dynamic"))
    assert "is quantized already" in refused(quantized)
    nodes = [node("Softmax", ["x"], "p", axis=-1)]
    plain_one = plain.model(nodes, [port("x", ["n", 6])], [port("p", ["n", 6])])
    path = plain.saved(plain_one, tmp_path / "softmax.onnx")
    assert "holds no operation that can be quantized (Softmax)" in refused(path)
    line = refused(source, "int4-dynamic")
    assert "is a file of kind onnx; --make=int4-dynamic takes .tflite: make" in line


@pytest.mark.parametrize("way", making.WAYS)
def test_versions_of_tflite_files(tmp_path, way):
    """The file has no signature, and one name for all of its tensors."""
    path, target = tmp_path / "m.tflite", tmp_path / "made.tflite"
    path.write_bytes(plain_tflite.classifier(W))
    target.write_bytes(made(path, way, X, batch=4))
    with SandboxedModel(str(target), batch=4) as model:
        answers = model.predict({port.name: X for port in model.inputs})
        assert (model.output.scale > 0) == (way == "int8-static")
    near = 0.35 if way == "int4-dynamic" else 0.05
    assert 0 < np.abs(answers - softmax(X @ W)).max() < near
    assert "is quantized already" in refused(target, way)


@pytest.mark.parametrize(("name", "package"), [("m.onnx", "onnxruntime"), ("m.tflite", "litert")])
def test_a_quantizer_that_is_missing_is_named(source, tmp_path, monkeypatch, name, package):
    (tmp_path / "m.tflite").write_bytes(plain_tflite.classifier(W))
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    line = refused(tmp_path / name)
    assert f"made by {package}" in line and "is not installed; pip install" in line


def test_a_size_that_is_nonsense(source, monkeypatch):
    for size in (True, -1, 0, 2**40, "x"):
        with Maker(source, making="int8-dynamic") as maker:
            monkeypatch.setattr(maker, "_receive", lambda *_, s=size: {"bytes": s})
            with pytest.raises(ValueError, match="answered nonsense"):
                maker.made(100)
