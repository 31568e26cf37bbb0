"""Half precision, loss scaling, replicas: two of them on one processor."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tf_compleak.models import ModelSpec, build, replicas, training
from tf_compleak.models.keras2 import keras
from tf_compleak.models.trainer import Optimization
from tf_compleak.types import seeds

REPLICAS = """
import numpy as np, tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tf_compleak.models import replicas
from tf_compleak.models.keras2 import keras
from tf_compleak.models.trainer import Optimization, Trainer
from tf_compleak.models import ModelSpec, build

rng = np.random.default_rng(0)
x, y = rng.random((50, 8, 8, 1), dtype=np.float32), rng.integers(3, size=50)
seen = []

def plain():
    layers = [keras.layers.Flatten(input_shape=[8, 8, 1])]
    for width in (16, 3):
        layers.append(keras.layers.Dense(width, kernel_initializer=keras.initializers.HeNormal(1)))
    return keras.Sequential(layers)

def fitted(make, devices, optimizer="sgd", scaled=False):
    strategy = replicas.strategy(devices)
    with strategy.scope():
        model = make()
    settings = Optimization(3, 16, 0.01, optimizer=optimizer)
    trainer = Trainer(model, settings, strategy=strategy, scaled=scaled)
    epochs = list(trainer.epochs(x, y, np.random.default_rng(1)))
    assert trainer.logits(x).shape == (50, 3)
    return strategy.num_replicas_in_sync, trainer.model.get_weights(), epochs

for optimizer, scaled in (("sgd", False), ("adamw", True)):
    one, single, first = fitted(plain, ("CPU:0",), optimizer, scaled)
    two, double, second = fitted(plain, ("CPU:0", "CPU:1"), optimizer, scaled)
    assert (one, two) == (1, 2)
    for a, b in zip(single, double):
        np.testing.assert_allclose(a, b, atol=2e-5)
    for a, b in zip(first, second):
        np.testing.assert_allclose((a.loss, a.accuracy), (b.loss, b.accuracy), rtol=1e-4)

spec = ModelSpec("convnet", 3, 4, (8, 8, 1), 3)
two, weights, epochs = fitted(lambda: build(spec), ("CPU:0", "CPU:1"))
assert two == 2 and epochs[-1].loss < epochs[0].loss
moved = [w for w, v in zip(weights, build(spec).weights) if "moving_mean" in v.name]
assert moved and all(np.abs(each).max() > 0 for each in moved)
print("alike")
"""


@pytest.mark.slow
def test_two_replicas_do_what_one_does():
    """Each takes half of every batch; the gradients are those of the whole batch."""
    done = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("alike")


def test_one_accelerator_or_none_needs_no_replicas():
    assert replicas.strategy(()).num_replicas_in_sync == 1
    assert replicas.strategy(("CPU:0",)).num_replicas_in_sync == 1


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_and_keeps_float32_weights(precision):
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=120)
    x = 0.3 * rng.random((120, 8, 8, 1), dtype=np.float32)
    for row, label in zip(x, y, strict=True):
        row[2 * label : 2 * label + 2] += 0.7
    spec, found = ModelSpec("convnet", 3, 4, (8, 8, 1), 3), {}
    for name in ("none", precision):
        rng = seeds.generator(0, "train")
        settings = Optimization(6, 16, 0.1)
        found[name] = training.train(spec, settings, (x, y), (x, y), rng, precision=name)
    trainer = training._trainer(spec, settings, (), precision)
    assert trainer.model.get_layer("conv1").compute_dtype == precision
    weights, history = found[precision]
    assert {w.dtype for w in weights} == {np.dtype(np.float32)}
    assert history[-1][1] > 0.9
    assert any(not np.array_equal(a, b) for a, b in zip(weights, found["none"][0], strict=True))
    assert keras.mixed_precision.global_policy().name == "float32"
    assert build(spec).get_layer("conv1").compute_dtype == "float32"


def test_the_loss_scale_halves_on_overflow_and_doubles_after_a_while(monkeypatch):
    monkeypatch.setattr(replicas, "GROWTH", 3)
    scale = replicas.LossScale(8.0)
    gradients, finite = scale.unscaled([tf.constant([16.0, 8.0])])
    np.testing.assert_array_equal(gradients[0], [2.0, 1.0])
    assert finite and scale.factor.numpy() == 8.0
    _, finite = scale.unscaled([tf.constant([1.0]), tf.constant([np.inf])])
    assert not finite and scale.factor.numpy() == 4.0
    for factor in (4.0, 4.0, 8.0):
        scale.unscaled([tf.constant([1.0])])
        assert scale.factor.numpy() == factor
    scale.unscaled([tf.constant([np.nan])])
    scale.reset()
    assert scale.factor.numpy() == 8.0


def test_a_step_that_overflows_changes_nothing():
    from tf_compleak.models.trainer import Trainer

    inputs = keras.layers.Input([2])
    model = keras.Model(inputs, keras.layers.Dense(2, use_bias=False)(inputs))
    before = model.get_weights()
    trainer = Trainer(model, Optimization(1, 2, 0.1), lambda x, seed: x * np.inf, scaled=True)
    list(trainer.epochs(np.ones((2, 2)), np.array([0, 1]), np.random.default_rng(0)))
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    assert trainer._scale.factor.numpy() == 2.0**14
