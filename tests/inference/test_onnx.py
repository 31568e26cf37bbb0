"""ONNX files in their isolated process: answers as of a twin in NumPy, ports, steps, metadata."""

import sys
from importlib import util

import numpy as np
import plain_onnx as plain
import pytest
from onnx import TensorProto, helper
from plain_onnx import node, port

from tf_compleak.inference import kinds, sandbox
from tf_compleak.inference.observe import softmax
from tf_compleak.inference.sandbox import SandboxedModel

RNG = np.random.default_rng(0)
W = RNG.standard_normal((6, 3)).astype(np.float32)
X = RNG.standard_normal((37, 6)).astype(np.float32)
KERNEL = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
DENSE = RNG.standard_normal((4, 3)).astype(np.float32)
IMAGES = RNG.random((20, 3, 8, 8), dtype=np.float32)


@pytest.fixture
def file(tmp_path):
    return lambda made, name="m.onnx": str(plain.saved(made, tmp_path / name))


def asked(path, x=X, **settings):
    with SandboxedModel(path, **settings) as model:
        return model.predict({port.name: x for port in model.inputs})


def refused(path, **settings) -> str:
    with pytest.raises(ValueError) as caught:
        asked(path, **settings)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(path), line
    return line


def convolved(shape=("n", 3, 8, 8)):
    return plain.convolution(KERNEL, DENSE, shape)


def of_convolved(images):
    """The same in NumPy."""
    wide = np.pad(np.float64(images), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), axis=(2, 3))
    means = np.maximum(np.einsum("nchwij,ocij->nohw", windows, KERNEL), 0).mean(axis=(2, 3))
    return softmax(means @ DENSE)


# Answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", ["n", 1, 5])
def test_any_batch_or_the_files_own(file, rows):
    path, told = file(plain.classifier(W, rows)), []
    with SandboxedModel(path, batch=8) as model:
        assert model.isolation == "full" and model.kind == "onnx"
        assert model.batch == (8 if rows == "n" else rows)
        assert [(part.name, part.shape) for part in model.inputs] == [("x", (6,))]
        assert model.output.shape == (3,) and model.output.dtype == "float32"
        answers = model.predict({"x": X}, told.append)
        assert model.predict({"x": X[:0]}).shape == (0, 3)
        again = model.predict({"x": X[:3]})
    np.testing.assert_allclose(answers, softmax(X @ W), atol=1e-5)
    assert sum(told) == 37 and np.array_equal(again, answers[:3])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_is_deterministic(file, threads):
    path = file(convolved())
    first = asked(path, IMAGES, threads=threads)
    np.testing.assert_allclose(first, of_convolved(IMAGES), atol=1e-5)
    assert np.array_equal(first, asked(path, IMAGES, threads=threads))
    in_lanes, alone = (asked(path, IMAGES, threads=count, batch=2) for count in (threads, 1))
    assert np.array_equal(in_lanes, alone)


def test_axes_that_may_have_any_size(file):
    """The kernel of the first convolution tells which axis holds channels."""
    with SandboxedModel(file(convolved(("n", "c", "h", "w"))), batch=4) as model:
        assert model.batch == 4 and model.inputs[0].shape == (3, -1, -1)
        np.testing.assert_allclose(model.predict({"x": IMAGES}), of_convolved(IMAGES), atol=1e-5)


def test_an_output_of_any_number_of_classes_is_tried(file):
    made = plain.classifier(W)
    made.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "classes"
    made.graph.initializer.add(
        name="shape", dims=[2], data_type=TensorProto.INT64, int64_data=[-1, 3]
    )
    made.graph.node[-1].output[0] = "q"
    made.graph.node.append(node("Identity", ["shape"], "s"))
    made.graph.node.append(node("Reshape", ["q", "s"], "p"))
    with SandboxedModel(file(made)) as model:
        assert model.output.shape == (3,)


def test_a_batch_that_the_graph_fixes_inside(file):
    """It says that any batch goes, and reshapes to one row."""
    flat = [node("Reshape", ["x", "one"], "flat")]
    made = plain.classifier(W, before=flat, constants={"one": np.int64([1, 6])})
    with SandboxedModel(file(made)) as model:
        assert model.batch == 1
        np.testing.assert_allclose(model.predict({"x": X}), softmax(X @ W), atol=1e-5)


def test_rows_that_depend_on_their_neighbours_are_asked_alone(file):
    centred = [node("ReduceMean", ["x"], "m", axes=[0]), node("Sub", ["x", "m"], "flat")]
    with SandboxedModel(file(plain.classifier(W, before=centred))) as model:
        assert model.batch == 1


def test_logits_and_several_outputs(file):
    made = plain.classifier(W)
    made.graph.output.append(port("l", ["n", 3]))
    path = file(made)
    assert "has 2 outputs; choose by --output=NAME or its number: p [3], l [3]" in refused(path)
    np.testing.assert_allclose(asked(path, output="l"), X @ W, atol=1e-5)
    np.testing.assert_allclose(asked(path, output="0"), softmax(X @ W), atol=1e-5)
    assert "has no output 'q'" in refused(path, output="q")


def test_several_inputs_of_numbers_and_words(file):
    table = RNG.standard_normal((50, 3)).astype(np.float32)
    nodes = [
        node("Gather", ["table", "ids"], "rows"),
        node("Mul", ["rows", "mask"], "seen"),
        node("ReduceSum", ["seen", "axis"], "l", keepdims=0),
        node("Softmax", ["l"], "p", axis=-1),
    ]
    inputs = [port("ids", ["n", 7], TensorProto.INT64), port("mask", ["n", 7, 1])]
    constants = {"table": table, "axis": np.int64([1])}
    path = file(plain.model(nodes, inputs, [port("p", ["n", 3])], constants))
    ids = RNG.integers(50, size=(20, 7))
    mask = np.float32(RNG.random((20, 7, 1)) < 0.8)
    with SandboxedModel(path) as model:
        answers = model.predict({"ids": np.float32(ids), "mask": mask})
    np.testing.assert_allclose(answers, softmax((table[ids] * mask).sum(axis=1)), atol=1e-5)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8])
def test_other_numbers(file, kind):
    made = plain.classifier(W, before=[node("Cast", ["x"], "flat", to=TensorProto.FLOAT)])
    made.graph.input[0].type.tensor_type.elem_type = kind
    rows = np.float32(RNG.integers(0, 5, X.shape))
    np.testing.assert_allclose(asked(file(made), rows), softmax(rows @ W), atol=1e-4)


def test_functions_and_branches(file):
    """As exporters of PyTorch write them: a function of the file's own, a branch by a condition."""
    opsets = [helper.make_opsetid("", plain.OPSET)]
    dense = helper.make_function(
        *("own", "Dense", ["a", "b"], ["c"], [node("MatMul", ["a", "b"], "c")], opsets)
    )
    logits = [port("then", ["n", 3])]
    branches = {
        "then_branch": helper.make_graph([node("Identity", ["l"], "then")], "then", [], logits),
        "else_branch": helper.make_graph(
            [node("Neg", ["l"], "else")], "else", [], [port("else", ["n", 3])]
        ),
    }
    nodes = [
        node("Dense", ["x", "w"], "l", domain="own"),
        node("If", ["yes"], "m", **branches),
        node("Softmax", ["m"], "p", axis=-1),
    ]
    made = plain.model(
        *(nodes, [port("x", ["n", 6])], [port("p", ["n", 3])], {"w": W, "yes": np.array(True)}),
        functions=[dense],
        domains=["own"],
    )
    np.testing.assert_allclose(asked(file(made)), softmax(X @ W), atol=1e-5)


# Quantized files ----------------------------------------------------------------------------------


def test_quantized_ends_and_their_steps(file):
    made = plain.quantized_ends(W)
    with SandboxedModel(file(made)) as model:
        (given,) = model.inputs
        assert (given.dtype, given.zero) == ("int8", 3) and given.scale == pytest.approx(0.02)
        assert model.output.scale == 1 / 256
        answers = model.predict({"x": X})
    rounded = np.clip(np.rint(X / 0.02), -131, 124) * 0.02
    np.testing.assert_allclose(answers, np.rint(softmax(rounded @ W) * 256) / 256, atol=1 / 255)
    assert np.array_equal(answers * 256, np.rint(answers * 256))


def test_the_step_of_an_output_that_is_dequantized_again(file):
    made = plain.quantized_ends(W)
    made.graph.node.append(node("DequantizeLinear", ["p", "t", "u"], "r"))
    made.graph.node.append(node("Identity", ["r"], "end"))
    del made.graph.output[:]
    made.graph.output.append(port("end", ["n", 3]))
    with SandboxedModel(file(made)) as model:
        assert (model.output.dtype, model.output.scale) == ("float32", 1 / 256)
        answers = model.predict({"x": X})
    assert np.array_equal(answers * 256, np.rint(answers * 256))


def test_integers_without_a_scale(file):
    made = plain.classifier(W)
    made.graph.node.append(node("ArgMax", ["p"], "label", axis=1))
    made.graph.output.append(port("label", ["n", 1], TensorProto.INT64))
    assert "label is int64 without a quantization scale" in refused(file(made), output="label")


@pytest.mark.parametrize("way", ["dynamic", "QDQ", "QOperator"])
def test_files_of_onnxruntimes_quantizer(file, tmp_path, way):
    from onnxruntime import quantization

    source, target = file(convolved(), "float.onnx"), str(tmp_path / "int8.onnx")
    if way == "dynamic":
        quantization.quantize_dynamic(source, target)
    else:

        class Reader(quantization.CalibrationDataReader):
            rows = iter([{"x": IMAGES}])

            def get_next(self):
                return next(self.rows, None)

        form = getattr(quantization.QuantFormat, way)
        quantization.quantize_static(source, target, Reader(), quant_format=form)
    with SandboxedModel(target) as model:
        answers, step = model.predict({"x": IMAGES}), model.output.scale
        assert model.batch == (1 if way == "dynamic" else 64)  # one scale for a whole batch
        turned = model.predict({"x": IMAGES[::-1]})
    assert np.array_equal(turned[::-1], answers)
    assert 0 < np.abs(answers - of_convolved(IMAGES)).max() < 0.05
    assert (step > 0) == (way != "dynamic")
    if step:
        np.testing.assert_allclose(answers / step, np.rint(answers / step), atol=1e-3)


# What the file says -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "seen"),
    [
        ({}, ""),
        ({"author": "somebody", "mean_of_life": "42"}, ""),
        ({"mean": "[0.5, 0.25, 1]", "std": "1, 2, 3"}, "mean 0.5 0.25 1, std 1 2 3"),
        ({"preprocess.image_mean": "0.5"}, "mean 0.5"),
        ({"Image.NominalPixelRange": "Normalized_1_1"}, "pixel range Normalized_1_1"),
        ({"Image.NominalPixelRange": "<b>", "mean": "nan", "std": "[" * 5000}, ""),
        ({"mean": '{"a": 1}', "std": "[null]"}, ""),
    ],
)
def test_metadata_of_the_inputs(file, properties, seen):
    with SandboxedModel(file(plain.classifier(W, metadata=properties))) as model:
        assert model.metadata == seen


# What is no such file -----------------------------------------------------------------------------


def test_kinds(file, tmp_path):
    assert kinds.kind_of(file(plain.classifier(W))) == "onnx"
    assert kinds.kind_of(file(plain.classifier(W), "m.bin")) == "onnx"
    assert "is damaged, or no ONNX file" in refused(file(TensorProto(name="w")))
    (tmp_path / "m.ort").write_bytes(b"\x20\0\0\0ORTM" + bytes(40))
    with pytest.raises(ValueError, match="onnxruntime's own format"):
        kinds.kind_of(str(tmp_path / "m.ort"))


@pytest.mark.parametrize("package", kinds.EXTRAS["onnx"])
def test_a_package_that_is_missing_is_named(file, package, monkeypatch):
    path, find = file(plain.classifier(W)), util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == package else find(name))
    assert refused(path) == (
        f"{path}: is read by {package}, which is not installed; pip install 'tf-compleak[onnx]'."
    )


def test_ports_that_hold_no_numbers(file):
    nodes = [node("Cast", ["x"], "s", to=TensorProto.STRING)]
    inputs, outputs = [port("x", ["n", 6])], [port("s", ["n", 6], TensorProto.STRING)]
    path = file(plain.model(nodes, inputs, outputs))
    assert "output s holds no numbers but strings" in refused(path)
    nodes = [node("Cast", ["x"], "p", to=TensorProto.FLOAT)]
    inputs, outputs = [port("x", ["n", 6], TensorProto.STRING)], [port("p", ["n", 6])]
    path = file(plain.model(nodes, inputs, outputs))
    assert "input x takes tensor(string), rows of numbers are expected" in refused(path)
    path = file(plain.model([node("Identity", ["x"], "p")], [port("x", [])], [port("p", [])]))
    assert "input x takes tensor(float), rows of numbers are expected" in refused(path)


def test_it_opens_without_isolation_and_says_so(file, monkeypatch):
    monkeypatch.setattr(sandbox, "DEFENSES", frozenset(["lists"]))
    with SandboxedModel(file(plain.classifier(W))) as model:
        assert model.isolation.startswith("none")
        np.testing.assert_allclose(model.predict({"x": X}), softmax(X @ W), atol=1e-5)


def test_the_parent_never_loads_the_runtime(file):
    """Only tests do, here."""
    import subprocess

    code = (
        "import sys, numpy as np; from tf_compleak.inference.sandbox import SandboxedModel\n"
        "with SandboxedModel(sys.argv[1]) as m: m.predict({'x': np.ones((3, 6), np.float32)})\n"
        "print([m for m in ('onnx', 'onnxruntime', 'tensorflow') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, file(plain.classifier(W))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
