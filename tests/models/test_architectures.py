"""Architectures: published numbers of parameters, stems, widths, what is refused."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tf_compleak.models import MODELS, TEXT, ModelSpec, build
from tf_compleak.models.keras2 import keras

SMALL, LARGE = (32, 32, 3), (224, 224, 3)


def symbolic(*spec):
    """The model in a graph of its own: nothing is allocated."""
    with tf.Graph().as_default():
        return build(ModelSpec(*spec))


def trainable(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


large = functools.partial(
    pytest.param, marks=pytest.mark.slow
)  # the small ones are the same layers


@pytest.mark.parametrize(
    ("name", "shape", "classes", "published", "averages"),
    [
        ("resnet18", SMALL, 10, 11_173_962, 9_600),  # kuangliu/pytorch-cifar
        large("resnet18", LARGE, 1000, 11_689_512, 9_600),  # torchvision
        ("resnet50", SMALL, 10, 23_520_842, 53_120),  # kuangliu/pytorch-cifar
        large("resnet50", LARGE, 1000, 25_557_032, 53_120),  # torchvision
        ("vgg16", SMALL, 10, 14_728_266, 8_448),  # kuangliu/pytorch-cifar
        large("vgg16", LARGE, 1000, 138_365_992, 8_448),  # torchvision, vgg16_bn
        ("mobilenetv2", SMALL, 10, 2_236_682, 34_112),  # chenyaofo/pytorch-cifar-models
        large("mobilenetv2", LARGE, 1000, 3_504_872, 34_112),  # torchvision
    ],
)
def test_parameters_are_the_published_ones(name, shape, classes, published, averages):
    """Trainable ones; moving averages of the normalization are what `count_params` adds."""
    model = symbolic(name, 0, 0, shape, classes)
    assert trainable(model) == published
    assert model.count_params() == published + averages
    assert model.output_shape == (None, classes)


@pytest.mark.parametrize(("width", "multiplier"), [large(11, 0.35), large(24, 0.75)])
def test_widths_of_mobilenetv2_are_the_published_multipliers(width, multiplier):
    """Layer by layer those of tf_keras.applications."""
    ours = symbolic("mobilenetv2", 0, width, LARGE, 1000)
    with tf.Graph().as_default():
        theirs = keras.applications.MobileNetV2(weights=None, alpha=multiplier)
    shapes = [[tuple(v.shape) for v in model.trainable_variables] for model in (ours, theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("name", "side", "left"),
    [
        *(("resnet18", 64, 8), ("resnet18", 127, 16), ("resnet18", 128, 4)),
        *(("vgg16", 32, 1), ("vgg16", 64, 2), large("mobilenetv2", 64, 8)),
    ],
)
def test_stems_go_by_the_size_of_the_image(name, side, left):
    model = symbolic(name, 0, 4, (side, side, 3), 5)
    assert model.get_layer("pool").input_shape[1:3] == (left, left)


def test_zero_means_the_architectures_own():
    for name in MODELS.keys() - TEXT - {"dense"}:
        spec = ModelSpec(name, 0, 0, SMALL, 10)
        assert spec.depth > 0 and spec.width > 0
        assert spec == ModelSpec(name, spec.depth, spec.width, SMALL, 10)
        if name not in ("convnet", "resnet"):
            with pytest.raises(ValueError, match=rf"--depth=20: {name} has {spec.depth} layers"):
                ModelSpec(name, 20, 0, SMALL, 10)


@pytest.mark.slow
def test_the_width_is_that_of_the_first_layer_and_scales_all():
    for name in ("resnet18", "vgg16"):
        kernels = [v for v in symbolic(name, 0, 4, SMALL, 10).weights if "kernel" in v.name]
        full = [v for v in symbolic(name, 0, 0, SMALL, 10).weights if "kernel" in v.name]
        assert kernels[0].shape[-1] == 4
        for narrow, wide in zip(kernels[:-1], full[:-1], strict=True):
            assert wide.shape[-1] == 16 * narrow.shape[-1]


def test_equal_seeds_give_equal_weights():
    spec = ModelSpec("mobilenetv2", 0, 4, (16, 16, 3), 4)
    first, again, other = (build(spec, seed).get_weights() for seed in (1, 1, 2))
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.ndim < 2 or not np.array_equal(one, different)
