"""Architectures that the user's code builds: `build(input_shape, classes)` gives a tf_keras model.

A twin of it that ends in logits is what recipes work on, by the names of its layers; the model
itself is what is trained where it is compiled, by its own loss and optimizer.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tf_compleak.engine import user_code
from tf_compleak.models import ModelSpec
from tf_compleak.models.flat_model import flat, leaves
from tf_compleak.models.keras2 import keras
from tf_compleak.models.trainer import Epoch, Loss, Optimization, Weights

ENDS = ("linear", "softmax", "log_softmax")
TRIED = 4  # random inputs on which the twin must say what the model says


def of_user(spec: ModelSpec, seed: int) -> keras.Model:
    """The model as the user's code builds it, initialized from `seed`.

    Raises:
      ValueError: in one line: what the code raises, or for what is no functional or sequential
        tf_keras model from [N, *input_shape] to [N, classes].
    """
    keras.utils.set_random_seed(seed)
    keras.backend.reset_uids()  # equal names of layers whenever it is built
    thing = user_code.instance(spec.code)
    with user_code.running(spec.code):
        model = getattr(thing, "build", thing)(spec.input_shape, spec.classes)
        if isinstance(model, keras.Sequential) and not model.built:
            model.build((None, *spec.input_shape))
    _check(model, spec)
    return model


def _check(model: keras.Model, spec: ModelSpec) -> None:
    where = _where(spec)
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__name__}"
        raise ValueError(
            f"{where} returned a {kind}; return a tf_keras model (import tf_keras: recipes "
            "need Keras 2), or write the versions yourself in a method make."
        )
    if not getattr(model, "_is_graph_network", False):
        raise ValueError(
            f"{where} returned a subclassed model, which no recipe can copy; build it with the "
            "functional API or Sequential, or write the versions yourself in a method make."
        )
    for what, shapes, expected in (
        ("inputs", model.inputs, (None, *spec.input_shape)),
        ("outputs", model.outputs, (None, spec.classes)),
    ):
        got = [tuple(tensor.shape) for tensor in shapes]
        if got != [expected]:
            raise ValueError(
                f"{where}: the model has {what} of shape {', '.join(map(str, got))}, the data "
                f"needs {expected}."
            )
    names = [variable.name for variable in model.weights]
    with_name = next((name for name in names if names.count(name) > 1), "")
    if with_name:
        raise ValueError(
            f"{where}: two variables are called {with_name}; give every layer a name of its own."
        )


def _where(spec: ModelSpec) -> str:
    return f"{spec.code.path}:{spec.code.name}"


def _last(model: keras.Model) -> keras.layers.Layer:
    last = model.outputs[0]._keras_history.layer
    return _last(last) if isinstance(last, keras.Model) else last


def _end(model: keras.Model) -> str:
    """The activation that the model ends in."""
    last = _last(model)
    if isinstance(last, keras.layers.Softmax):
        return "softmax"
    activation = getattr(last, "activation", None)
    return "linear" if activation is None else keras.activations.serialize(activation)


def build(spec: ModelSpec, seed: int = 0) -> keras.Model:
    """The twin of the user's model that ends in logits [N, classes]."""
    return _twin(of_user(spec, seed), spec)


def _twin(model: keras.Model, spec: ModelSpec) -> keras.Model:
    where, last, end = _where(spec), _last(model), _end(model)
    if end not in ENDS:
        raise ValueError(
            f"{where}: the model ends in {end}; end it in softmax, or in logits of a softmax."
        )

    def copied(layer):
        config = layer.get_config()
        if layer.name == last.name and end != "linear":
            if isinstance(last, keras.layers.Softmax | keras.layers.Activation):
                return keras.layers.Activation("linear", name=layer.name)
            config["activation"] = "linear"
        return layer.__class__.from_config(config)

    try:
        twin = keras.models.clone_model(flat(model), clone_function=copied)
    except Exception as error:  # whatever a layer of the user's raises
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{where}: the model cannot be copied ({reason}); layers of your own need get_config."
        ) from error
    move(model, twin)
    return twin


def move(model: keras.Model, twin: keras.Model) -> None:
    """Give a twin the weights of the model, or the other way round: by the names of layers."""
    layers = {layer.name: layer for layer in leaves(model)}
    for layer in leaves(twin):
        if layer.weights:
            layer.set_weights(layers[layer.name].get_weights())


def check_twin(model: keras.Model, spec: ModelSpec) -> keras.Model:
    """A twin of the model as it is now; ValueError where that does not say what the model says."""
    twin = _twin(model, spec)
    x = np.random.default_rng(0).random((TRIED, *spec.input_shape), np.float32)
    said, twins = (np.float32(of(x, training=False)) for of in (model, twin))
    twins = tf.nn.softmax(twins).numpy() if _end(model) == "softmax" else twins
    if (
        _end(model) == "linear"
        and (said >= 0).all()
        and np.allclose(said.sum(axis=1), 1, atol=1e-5)
    ):
        raise ValueError(
            f"{_where(spec)}: the model's outputs are probabilities, but its last layer is no "
            "softmax; end it in activation='softmax' or in logits, which recipes need to find."
        )
    if _end(model) != "log_softmax" and not np.allclose(said, twins, atol=1e-4, rtol=1e-3):
        raise ValueError(
            f"{_where(spec)}: a copy of the model says something else than the model, by up to "
            f"{np.abs(said - twins).max():.2g}; do not change its layers after building it."
        )
    return twin


def trained(
    spec: ModelSpec,
    members: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> tuple[Weights, float]:
    """The twin's weights after the user's own `train`, and its accuracy on validation.

    Raises:
      ValueError: in one line: what the code raises, weights that are NaN, or another model.
    """
    model, thing = of_user(spec, seed), user_code.instance(spec.code)
    with user_code.running(spec.code):
        returned = thing.train(model, members, validation, seed)
    if returned is not None:
        model = returned
        _check(model, spec)
    for variable in model.weights:
        if not np.isfinite(variable.numpy()).all():
            raise ValueError(
                f"{_where(spec)}: after train, {variable.name} is NaN or infinite; lower the "
                "learning rate."
            )
    twin = check_twin(model, spec)
    x, y = validation
    accuracy = float((twin.predict(x, verbose=0).argmax(axis=1) == y).mean())
    return twin.get_weights(), accuracy


# Compiled models ----------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def is_compiled(spec: ModelSpec) -> bool:
    """Whether the user's code compiles its model: it is then trained by its own loss, optimizer."""
    model = of_user(spec, 0)
    check_twin(model, spec)
    return getattr(model, "optimizer", None) is not None


@functools.lru_cache(maxsize=4)
def loss_of(spec: ModelSpec) -> CompiledLoss | None:
    """The loss that versions are fine-tuned by; None for the cross-entropy."""
    compiled = spec.code is not None and is_compiled(spec)
    return CompiledLoss(spec) if compiled and _single_loss(of_user(spec, 0)) else None


def _single_loss(model: keras.Model) -> Callable | None:
    loss = model.loss[0] if isinstance(model.loss, list) and len(model.loss) == 1 else model.loss
    if isinstance(loss, dict):
        loss = next(iter(loss.values())) if len(loss) == 1 else None
    return keras.losses.get(loss) if loss else None


def _labels(loss: Callable | None, labels, classes: int):
    """What a loss takes of labels int64[N]: one-hot rows f32[N, C] for those of Keras' own that
    are not called sparse; integers [N, 1] for these, and for functions of the user's.
    """
    if loss is None:
        return labels
    is_loss = isinstance(loss, keras.losses.Loss)
    name, module = (type(loss) if is_loss else loss).__name__, type(loss).__module__
    module = module if is_loss else loss.__module__
    own = not module.startswith(("keras.", "tf_keras."))
    return labels[:, None] if own or "sparse" in name.lower() else tf.one_hot(labels, classes)


@dataclass(frozen=True)
class CompiledLoss:
    """The loss that the user's model is compiled with, of logits."""

    spec: ModelSpec
    soft: ClassVar[bool] = False

    def function(self) -> Loss:
        """The mean loss of labels int64[B] and logits f32[B, C]."""
        model = of_user(self.spec, 0)
        loss, classes = _single_loss(model), self.spec.classes
        emitted = {"softmax": tf.nn.softmax, "log_softmax": tf.nn.log_softmax}
        change = emitted.get(_end(model), lambda logits: logits)

        def mean(labels, logits):
            return tf.reduce_mean(loss(_labels(loss, labels, classes), change(logits)))

        return mean


def _rate(optimizer) -> float:
    """The learning rate of the next step."""
    rate = optimizer.learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        rate = rate(optimizer.iterations)
    return float(np.asarray(rate))


class CompiledTrainer:
    """Trains a compiled model by its own `fit`; used as a `trainer.Trainer` is.

    Attributes:
      model: the twin, whose weights are those of the model after every epoch.
    """

    def __init__(self, spec: ModelSpec, optimization: Optimization):
        self.model, self._spec, self._settings = build(spec), spec, optimization
        self._logits = tf.function(lambda x: self.model(x, training=False), reduce_retracing=True)

    def epochs(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Iterator[Epoch]:
        """Train on x [N, ...], y int[N] from the twin's present weights; yields every epoch."""
        model = of_user(self._spec, int(rng.integers(2**30)))
        move(self.model, model)
        labels = _labels(_single_loss(model), y, self._spec.classes)
        data = tf.data.Dataset.from_tensor_slices((x, labels))
        data = data.shuffle(len(x), int(rng.integers(2**30))).batch(self._settings.batch_size)
        for index in range(self._settings.epochs):
            start, rate = time.perf_counter(), _rate(model.optimizer)
            with user_code.running(self._spec.code):
                fitted = model.fit(data, initial_epoch=index, epochs=index + 1, verbose=0)
            seconds = time.perf_counter() - start
            move(model, self.model)
            right = float((self.logits(x).argmax(axis=1) == y).mean())
            yield Epoch(index + 1, fitted.history["loss"][-1], right, rate, seconds)

    def logits(self, x: np.ndarray, batch: int = 512) -> np.ndarray:
        """f32[N, C] of the twin."""
        parts = [self._logits(x[i : i + batch]).numpy() for i in range(0, len(x), batch)]
        return np.float32(np.concatenate(parts))
