"""Every image architecture through every recipe, at a tiny width, read back from its file.

By default the original of VGG (poolings and a chain, no shortcuts) and the depthwise kernels of
MobileNet: pruned, clustered and INT8 kernels of convolutions are those of `test_versions`, which
makes them of a ResNet; the same by architecture is slow.
"""

import functools

import flatbuffer
import numpy as np
import pytest
import tensorflow as tf

from tf_compleak.compression import (
    Tuning,
    _wrapping,
    compress,
    left_alone,
    quantization,
    recipes,
    tflite,
)
from tf_compleak.inference.interpreter import TFLiteModel
from tf_compleak.inference.observe import softmax
from tf_compleak.models import ModelSpec, build
from tf_compleak.models.trainer import Optimization
from tf_compleak.types import seeds

TUNING = Tuning(*(Optimization(2, 8, 1e-3),) * 3)
SHAPE = (16, 16, 3)
KERNELS = {"resnet18": 21, "resnet50": 54, "vgg16": 14, "mobilenetv2": 36}  # without depthwise
NAMES = pytest.mark.parametrize("name", KERNELS)


def spec(name):
    return ModelSpec(name, 0, 4, SHAPE, 4)


def examples():
    rng = seeds.generator(0, "architectures")
    return rng.random((32, *SHAPE), dtype=np.float32), rng.integers(4, size=32)


@functools.lru_cache(maxsize=1)
def weights(name):
    """Weights whose normalization is no identity, so that folding it can go wrong."""
    rng, model = seeds.generator(0, name), build(spec(name))
    for variable in model.weights:
        if "gamma" in variable.name:
            variable.assign(np.float32(rng.uniform(0.5, 1.5, variable.shape)))
        elif "beta" in variable.name or "bias" in variable.name:
            variable.assign(np.float32(rng.normal(0, 0.1, variable.shape)))
    step = tf.function(lambda x: model(x, training=True))  # traced once instead of 60 eager calls
    for _ in range(60):  # the averages of these examples, else the outputs hardly depend on them
        step(tf.constant(examples()[0]))
    return model.get_weights()


def make(name, version):
    recipe = recipes.parse(version)
    rng = seeds.generator(0, version)
    x, y = examples()
    return compress(recipe, weights(name), spec(name), TUNING, (x, y), x, rng)


def outputs(content, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return TFLiteModel(str(path)).predict(examples()[0])


def expected(name):
    model = build(spec(name))
    model.set_weights(weights(name))
    return softmax(model.predict(examples()[0], verbose=0))


def simulated(name):
    """What the fine-tuned model says in Keras, with simulated INT8 arithmetic."""
    trainer, _, _ = quantization._quantizer(spec(name), TUNING.quantization)
    return softmax(trainer.logits(examples()[0]))


@pytest.mark.parametrize(
    "name",
    [name if name == "vgg16" else pytest.param(name, marks=pytest.mark.slow) for name in KERNELS],
)
def test_original_agrees_with_keras(name, tmp_path):
    content = make(name, "original")
    assert len(flatbuffer.kernels(content)) == KERNELS[name]
    np.testing.assert_allclose(outputs(content, tmp_path), expected(name), atol=1e-4)


@pytest.mark.slow
@NAMES
def test_pruned_kernels_have_the_asked_share_of_zeros(name):
    kernels = flatbuffer.kernels(make(name, "pruning-0.60"))
    assert len(kernels) == KERNELS[name]
    for tensor, kernel in kernels.items():
        assert abs((kernel == 0).mean() - 0.6) <= max(0.01, 1 / kernel.size), tensor


@pytest.mark.slow
@NAMES
def test_clustered_kernels_have_at_most_k_values(name):
    kernels = flatbuffer.kernels(make(name, "clustering-8"))
    assert len(kernels) == KERNELS[name]
    for tensor, kernel in kernels.items():
        assert len(np.unique(kernel)) <= 8, tensor


@pytest.mark.slow
@NAMES
@pytest.mark.parametrize("version", ["int8-qat", "int8-ptq"])
def test_int8_is_int8_throughout(name, version, tmp_path):
    content = make(name, version)
    kernels = flatbuffer.kernels(content)
    assert len(kernels) == KERNELS[name]
    assert {kernel.dtype for kernel in kernels.values()} == {np.dtype(np.int8)}
    assert "FLOAT32" not in flatbuffer.activation_types(content)
    reference = expected(name) if version == "int8-ptq" else simulated(name)
    noise = np.abs(outputs(content, tmp_path) - reference).mean()
    assert noise < np.abs(reference - reference.mean(axis=0)).mean()  # what examples differ by


@pytest.mark.slow
def test_a_clustered_depthwise_net_agrees_with_keras(tmp_path):
    """Normalization written as a depthwise convolution, after convolutions that are depthwise."""
    content = tflite.export_unfolded(spec("mobilenetv2"), weights("mobilenetv2"))
    np.testing.assert_allclose(outputs(content, tmp_path), expected("mobilenetv2"), atol=1e-4)


@pytest.mark.slow
def test_what_is_left_alone_are_depthwise_kernels():
    """17 of them; found by the layers that pruning and clustering wrap, checked by arithmetic."""
    shapes = dict(
        zip(
            _wrapping.names(spec("mobilenetv2")),
            [w.shape for w in weights("mobilenetv2")],
            strict=True,
        )
    )
    kernels = {name: shape for name, shape in shapes.items() if len(shape) > 1}
    depthwise = {name for name in kernels if "depthwise_kernel" in name}
    for recipe in (recipes.Pruning(0.6), recipes.Clustering(8)):
        kept = left_alone(recipe, spec("mobilenetv2"))
        assert {f"{name}:0" for name in kept.kernels} == depthwise and len(depthwise) == 17
        weighed = [sum(np.prod(kernels[name]) for name in names) for names in (depthwise, kernels)]
        assert kept.share == pytest.approx(weighed[0] / weighed[1])
    assert left_alone(recipes.QuantizationAware(), spec("mobilenetv2")).kernels == ()
    assert left_alone(recipes.Pruning(0.6), spec("vgg16")).kernels == ()
