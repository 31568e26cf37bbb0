"""Versions of several steps, and litert-quantizer's, read back from the exported flatbuffer.

Integers have a scale for every output channel: what holds after quantization is that a clustered
kernel has at most k values in every channel. Zeros are zeros whatever the scale.
"""

from collections import OrderedDict

import flatbuffer
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tf_compleak.compression import (
    Tuning,
    compress,
    kept_structure,
    left_alone,
    litert,
    recipes,
    tflite,
)
from tf_compleak.inference.interpreter import TFLiteModel
from tf_compleak.inference.observe import softmax
from tf_compleak.models import ModelSpec, build
from tf_compleak.models.trainer import Optimization
from tf_compleak.types import seeds

SPEC = ModelSpec("convnet", 2, 4, (8, 8, 3), 4)
KERNELS = 2  # of the convolution and the dense layer
TUNING = Tuning(*(Optimization(2, 16, 1e-2),) * 3)
LITERT = {
    "int4-weights": "INT4",
    "int4-dynamic": "INT4",
    "int4-blockwise-32": "INT4",
    "int8-dynamic": "INT8",
    "int8-static": "INT8",
    "int16-static": "INT8",
}
slow = pytest.mark.slow
TUNED = [  # name, zeros of every kernel, values of every channel
    ("pruning-0.80+int8-ptq", 0.8, None),
    pytest.param("pruning-0.80+int8-static", 0.8, None, marks=slow),
    pytest.param("pruning-0.80+int8-qat", 0.8, None, marks=slow),
    pytest.param("clustering-16+dynamic-ptq", None, 16, marks=slow),
    pytest.param("clustering-16+int8-ptq", None, 16, marks=slow),
    pytest.param("clustering-8+int4-weights", None, 8, marks=slow),
    pytest.param("clustering-16+int8-qat", None, 16, marks=slow),
    ("pruning-0.60+clustering-16", 0.6, 16),
    pytest.param("pruning-0.60+clustering-16+int16x8-ptq", 0.6, 16, marks=slow),
    ("pruning-0.60+clustering-16+int8-qat", 0.6, 16),
]


@pytest.fixture(scope="module")
def examples():
    rng = seeds.generator(0, "combined")
    return rng.random((64, *SPEC.input_shape), dtype=np.float32), rng.integers(4, size=64)


@pytest.fixture(scope="module")
def weights(examples):
    """Weights whose normalization is no identity, so that folding it can go wrong."""
    model = build(SPEC)
    step = tf.function(lambda x: model(x, training=True))
    for _ in range(60):
        step(tf.constant(examples[0]))
    return model.get_weights()


def make(name, weights, examples):
    recipe, rng = recipes.parse(name), seeds.generator(0, name)
    return compress(recipe, weights, SPEC, TUNING, examples, examples[0], rng)


def outputs(content, x, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return TFLiteModel(str(path)).predict(x)


@pytest.mark.parametrize(("name", "zeros", "values"), TUNED)
def test_zeros_and_shared_values_survive_quantization(name, zeros, values, weights, examples):
    content = make(name, weights, examples)
    kernels = flatbuffer.kernels(content)
    assert len(kernels) == KERNELS
    for tensor, kernel in kernels.items():
        channels = kernel.reshape(len(kernel), -1)
        if zeros:
            assert abs((kernel == 0).mean() - zeros) <= 0.01 + 1 / kernel.size, tensor
        if values:
            assert max(len(np.unique(channel)) for channel in channels) <= values, tensor
            assert len(np.unique(kernel)) > 3, tensor  # not collapsed
    if values and "+int" not in name and "dynamic" not in name:  # floats: in all of a kernel
        assert max(len(np.unique(kernel)) for kernel in kernels.values()) <= values
    if "int8" in name or "int16x8" in name:
        assert flatbuffer.kernel_types(content) == {"INT8"}


@pytest.mark.parametrize("name", LITERT)
def test_litert_versions_hold_the_integers_of_their_names(name, weights, examples, tmp_path):
    content = make(name, weights, examples)
    assert flatbuffer.kernel_types(content) == {LITERT[name]}
    types = flatbuffer.activation_types(content)
    activations = {"int8-static": "INT8", "int16-static": "INT16"}.get(name, "FLOAT32")
    assert activations in types and ("FLOAT32" in types) == (activations == "FLOAT32")
    model = build(SPEC)
    model.set_weights(weights)
    expected = softmax(model.predict(examples[0], verbose=0))
    noise = np.abs(outputs(content, examples[0], tmp_path) - expected).mean()
    assert noise < np.abs(expected - expected.mean(axis=0)).mean()  # what examples differ by


@pytest.mark.parametrize("spec", [SPEC, ModelSpec("resnet", 8, 16, (8, 8, 3), 4)])
def test_dynamic_kernels_and_answers_are_the_converters(spec, examples, tmp_path):
    """Bit for bit, and those of fewer than 1,024 weights in float in both."""
    weights = build(spec).get_weights()
    rng = seeds.generator(0, "dynamic")
    weights = [w + np.float32(rng.normal(0, 0.05, w.shape)) ** 2 for w in weights]
    theirs = tflite.export(spec, weights, recipes.PostTraining("dynamic"))
    ours = compress(
        recipes.PostTraining("dynamic"), weights, spec, TUNING, examples, examples[0], rng
    )
    (of_theirs, of_ours) = (
        sorted((str(k.dtype), k.tobytes()) for k in flatbuffer.kernels(content).values())
        for content in (theirs, ours)
    )
    assert of_ours == of_theirs
    if spec != SPEC:
        assert {kind for kind, _ in of_ours} == {"int8", "float32"}
    np.testing.assert_array_equal(
        outputs(ours, examples[0], tmp_path), outputs(theirs, examples[0], tmp_path)
    )


def test_ranges_are_the_least_and_greatest_of_every_computed_tensor(weights, examples):
    content, x = tflite.float_file(SPEC, weights), examples[0][:5]
    ranges = litert.activation_ranges(content, x)
    expected = {}
    for row in x:
        model = Interpreter(model_content=content, experimental_preserve_all_tensors=True)
        model.allocate_tensors()
        model.set_tensor(model.get_input_details()[0]["index"], row[None])
        model.invoke()
        of_row = {d["name"]: model.get_tensor(d["index"]) for d in model.get_tensor_details()}
        for name in ranges:
            expected.setdefault(name, []).append(of_row[name])
    for name, values in expected.items():
        assert (ranges[name]["min"], ranges[name]["max"]) == (np.min(values), np.max(values))
    assert "x" in ranges and not any("BiasAdd" in name and ";" not in name for name in ranges)


def test_a_float_file_is_converted_once_a_family(weights, examples, monkeypatch):
    calls = []
    convert = tflite.convert
    monkeypatch.setattr(tflite, "convert", lambda *args: calls.append(args) or convert(*args))
    monkeypatch.setattr(tflite, "_float_files", OrderedDict())
    for name in ("original", "dynamic-ptq", "int4-dynamic", "int8-static", "int16-static"):
        make(name, weights, examples)
    assert len(calls) == 1
    make("original", [w + 1 for w in weights], examples)
    assert len(calls) == 2


def test_int16_activations_say_their_step(weights, examples, tmp_path):
    content = make("int16x8-ptq", weights, examples)
    assert flatbuffer.kernel_types(content) == {"INT8"}
    assert "FLOAT32" not in flatbuffer.activation_types(content)
    steps = 2**15 * outputs(content, examples[0], tmp_path)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-2)
    assert TFLiteModel(str(tmp_path / "model.tflite")).resolution == pytest.approx(2**-15)


def test_a_channel_of_zeros_has_a_scale(weights, examples):
    weights = [w.copy() for w in weights]
    for kernel in weights:
        if kernel.ndim == 4:
            kernel[..., 0] = 0
    for name in ("int8-static", "int4-weights"):
        content = make(name, weights, examples)
        assert np.isfinite(flatbuffer.scales(content)).all()
        kernels = flatbuffer.kernels(content).values()
        assert all((kernel[0] == 0).all() for kernel in kernels if kernel.ndim == 4)


@pytest.mark.parametrize("name", ["pruning-2:4", pytest.param("pruning-2:4+int8-ptq", marks=slow)])
def test_two_of_four_are_zero(name, weights, examples):
    """Along the input channels, which a file has last; a last block may be shorter."""
    halves = []
    for tensor, kernel in flatbuffer.kernels(make(name, weights, examples)).items():
        rows = kernel.reshape(-1, kernel.shape[-1])
        rows = np.pad(rows, [(0, 0), (0, -rows.shape[1] % 4)])
        blocks = rows.reshape(-1, 4)
        assert ((blocks != 0).sum(axis=1) <= 2).all(), tensor
        halves.append((kernel == 0).mean())
    assert max(halves) == pytest.approx(0.5, abs=0.02)  # no more than asked for
    assert left_alone(recipes.parse(name), SPEC).kernels == ()


def test_what_is_kept_is_put_back_by_means():
    kernel = tf.Variable([[0.0, 1.0], [1.0, 2.0]], name="kernel")
    zeros, values = (kept_structure.KeptStructure([kernel], clusters) for clusters in (0, 3))
    zeros.hold()
    values.hold()
    kernel.assign([[0.5, 1.0], [2.0, 3.0]])
    zeros.put_back()
    np.testing.assert_array_equal(kernel.numpy(), [[0, 1], [2, 3]])
    kernel.assign([[0.5, 1.0], [2.0, 3.0]])
    values.put_back()
    np.testing.assert_array_equal(kernel.numpy(), [[0, 1.5], [1.5, 3]])
    with pytest.raises(ValueError, match="3 values, not 2; cluster first"):
        kept_structure.KeptStructure([kernel], 2).hold()
