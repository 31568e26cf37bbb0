"""A traced training loop: one graph per model, reused over data, seeds and families."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import tensorflow as tf

from tf_compleak.models.keras2 import keras
from tf_compleak.models.replicas import LossScale
from tf_compleak.types import validators

Weights = list[np.ndarray]
Prepare = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # labels, logits f32[B, C] -> f32[]
OPTIMIZERS = ("sgd", "adamw")
BETA, EPSILON = 0.999, 1e-7  # of Adam
LABELS = tf.TensorSpec([None], tf.int64)


class LossOf(Protocol):
    """Where another loss than the cross-entropy comes from; hashable, as graphs are kept by it.

    `soft`: whether labels are shares of classes f32[B, C], not classes int64[B].
    """

    soft: ClassVar[bool]

    def function(self) -> Loss:
        """The mean loss of a batch."""
        ...


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """f32[]: the mean over the batch."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


@dataclass(frozen=True)
class Privacy:
    """What makes a training DP-SGD; see `models.private`.

    Attributes:
      noise_multiplier: deviation of the noise on a sum of gradients, in units of the norm.
      norm: what the gradient of every example is clipped to.
      members: how many training examples there are to be: a public number, whatever they are.
    """

    noise_multiplier: float
    norm: float
    members: int

    def __post_init__(self):
        validators.between("noise multiplier", self.noise_multiplier, 0, 1e6)
        validators.between("norm", self.norm, 1e-6, 1e6)
        validators.at_least("members", self.members, 1)


@dataclass(frozen=True)
class Optimization:
    """SGD with momentum, coupled weight decay and a cosine schedule (CompLeak, section 6.1).

    Attributes:
      epochs, batch_size, learning_rate, momentum, weight_decay: as named; the learning rate is the
        first one, the last is near zero.
      cosine: False keeps the learning rate as it is.
      optimizer: "sgd", or "adamw" (Loshchilov & Hutter, ICLR 2019): Adam with the momentum as its
        first beta, 0.999 as its second, and decoupled weight decay.
      loss: None: the cross-entropy.
      privacy: None: every step takes the gradient as it is.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    cosine: bool = True
    optimizer: str = "sgd"
    loss: LossOf | None = None
    privacy: Privacy | None = None

    def __post_init__(self):
        validators.at_least("epochs", self.epochs, 1)
        validators.at_least("batch size", self.batch_size, 2)
        validators.between("learning rate", self.learning_rate, 1e-12, 1e3)
        validators.between("momentum", self.momentum, 0, 0.9999)
        validators.between("weight decay", self.weight_decay, 0, 1)
        validators.choice("optimizer", self.optimizer, OPTIMIZERS)

    def steps(self, examples: int) -> int:
        """Number of optimizer steps on that many examples; a last partial batch is left out."""
        return self.epochs * max(1, examples // self.batch_size)


@dataclass(frozen=True)
class Epoch:
    """What one epoch of training gave.

    Attributes:
      index: 1-based.
      loss: mean over the steps.
      accuracy: share of correct examples, augmented as they were trained on.
      learning_rate: of its first step.
      seconds: what its steps took, wall time.
    """

    index: int
    loss: float
    accuracy: float
    learning_rate: float
    seconds: float


class Trainer:
    """A traced training epoch and a traced inference for one model of logits.

    `is_private`: whether it does what `Optimization.privacy` asks; ValueError where it cannot.

    Args:
      model: made in the scope of `strategy`.
      prepare: applied to every training batch: (inputs, int32 seed [2]) -> inputs.
      strategy: where the replicas of the model are, each taking its share of every batch; by
        default there is one.
      scaled: scale the loss, for models that compute in float16.
      constrain: done after every step, in its graph: puts back what weights must keep.
    """

    is_private: ClassVar[bool] = False

    def __init__(
        self,
        model: keras.Model,
        optimization: Optimization,
        prepare: Prepare = lambda inputs, seed: inputs,
        strategy: tf.distribute.Strategy | None = None,
        scaled: bool = False,
        constrain: Callable[[], None] = lambda: None,
    ):
        if optimization.privacy is not None and not self.is_private:
            raise ValueError("privacy: such a training is not by DP-SGD, and would not be counted.")
        self.model = model
        self._constrain = constrain
        self._settings = optimization
        self._loss = optimization.loss.function() if optimization.loss else cross_entropy
        self._prepare = prepare
        self._strategy = strategy or tf.distribute.get_strategy()
        self._replicas = self._strategy.num_replicas_in_sync
        with self._strategy.scope():
            self._slots = self._zeros()
            self._squares = self._zeros() if optimization.optimizer == "adamw" else []
            self._step = tf.Variable(0.0, trainable=False)
            self._scale = LossScale() if scaled else None
        shape, self._dtype = model.input_shape[1:], model.inputs[0].dtype
        soft = optimization.loss is not None and optimization.loss.soft
        self._labels = tf.TensorSpec([None, None], tf.float32) if soft else LABELS
        self._epoch = tf.function(
            self._run_epoch,
            input_signature=[
                tf.TensorSpec([None, *shape], self._dtype),
                self._labels,
                tf.TensorSpec([None, None], tf.int64),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([2], tf.int32),
            ],
        )
        self._logits = tf.function(
            lambda x: tf.cast(model(x, training=False), tf.float32),
            input_signature=[tf.TensorSpec([None, *shape], self._dtype)],
        )

    @property
    def nbytes(self) -> int:
        """Of the model's variables and the optimizer's."""
        variables = (*self.model.weights, *self._slots, *self._squares)
        return sum(v.shape.num_elements() * v.dtype.size for v in variables)

    def epochs(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Iterator[Epoch]:
        """Train on x [N, ...], y from the model's present weights; yields every epoch.

        y is int[N], or shares of classes f32[N, C] where the loss takes these.
        """
        settings = self._settings
        self._reset()
        x, y = tf.constant(x, self._dtype), tf.constant(y, self._labels.dtype)
        steps = self._steps(len(x))
        progress = np.arange(settings.epochs * steps) / (settings.epochs * steps)
        schedule = 0.5 * (1 + np.cos(np.pi * progress)) if settings.cosine else 1 + 0 * progress
        rates = np.float32(settings.learning_rate * schedule).reshape(settings.epochs, steps)
        for index in range(settings.epochs):
            order = self._order(len(x), rng)
            seed = rng.integers(2**30, size=2, dtype=np.int32)
            start = time.perf_counter()
            loss, correct = self._epoch(x, y, order, rates[index], seed)
            loss, correct = float(loss) / steps, float(correct) / max(1, (order >= 0).sum())
            seconds = time.perf_counter() - start
            yield Epoch(index + 1, loss, correct, float(rates[index, 0]), seconds)

    def _steps(self, count: int) -> int:
        """Of an epoch."""
        return count // self._batch(count)

    def _batch(self, count: int) -> int:
        return min(self._settings.batch_size, count) // self._replicas * self._replicas

    def _order(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """int64[steps, B]: the examples of every step of an epoch; below 0: none."""
        steps, batch = self._steps(count), self._batch(count)
        return rng.permutation(count)[: steps * batch].reshape(steps, batch)

    def logits(self, x: np.ndarray, batch: int = 512) -> np.ndarray:
        """f32[N, C] outputs on x [N, ...], without dropout or augmentation."""
        parts = [self._logits(x[i : i + batch]).numpy() for i in range(0, len(x), batch)]
        return np.concatenate(parts)

    def _zeros(self) -> list[tf.Variable]:
        return [
            tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False)
            for v in self.model.trainable_variables
        ]

    def _reset(self) -> None:
        layers = self.model._flatten_layers()
        if any(isinstance(layer, keras.__internal__.layers.BaseRandomLayer) for layer in layers):
            tf.random.set_seed(
                0
            )  # their counters begin anew: a warm graph gives what a cold one does
        for slot in (*self._slots, *self._squares, self._step):
            slot.assign(tf.zeros(slot.shape, slot.dtype))
        if self._scale:
            self._scale.reset()

    def _run_epoch(self, x, y, order, rates, seed):
        loss, correct = tf.constant(0.0), tf.constant(0.0)
        for step in tf.range(tf.shape(order)[0]):
            step_seed = tf.stack([seed[0], seed[1] + step])
            replica_results = self._strategy.run(self._gradients, (x, y, order[step], step_seed))
            mean, hits = (
                self._strategy.reduce("SUM", result, axis=None) for result in replica_results[:2]
            )
            self._update(replica_results[2], rates[step])
            self._constrain()
            loss += mean
            correct += hits
        return loss, correct

    def _gradients(self, x, y, rows, seed):
        """One replica's part of a step: its share of the mean loss, correct answers, gradients."""
        if self._replicas > 1:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            share = tf.shape(rows)[0] // self._replicas
            rows = rows[replica * share :][:share]
            seed = seed + tf.stack([replica * 7919, 0])
        inputs = self._prepare(tf.gather(x, rows), seed)
        labels = tf.gather(y, rows)
        with tf.GradientTape() as tape:
            logits = tf.cast(self.model(inputs, training=True), tf.float32)
            mean = self._loss(labels, logits)
            if self.model.losses:  # regularizers of a user's layers
                mean += tf.cast(tf.add_n(self.model.losses), tf.float32)
            if self._replicas > 1:
                mean /= self._replicas
            scaled = mean * self._scale.factor if self._scale else mean
        gradients = tape.gradient(scaled, self.model.trainable_variables)
        correct = tf.reduce_sum(tf.cast(self._hits(labels, logits), tf.float32))
        return mean, correct, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _hits(self, labels, logits):
        """bool[B]: where the model is right, or answers as its teacher does."""
        classes = labels if self._labels is LABELS else tf.argmax(labels, axis=1)
        return tf.equal(tf.argmax(logits, axis=1), classes)

    def _update(self, gradients, rate):
        """Add up the replicas' gradients and apply them, unless half precision overflowed."""
        pairs = list(zip(gradients, self.model.trainable_variables, strict=True))
        gradients = self._strategy.extended.batch_reduce_to("SUM", pairs)
        if self._scale is None:
            self._apply(gradients, rate)
            return
        gradients, finite = self._scale.unscaled(gradients)
        if finite:
            self._apply(gradients, rate)

    def _apply(self, gradients, rate):
        change, slots = self._sgd, [self._slots]
        if self._settings.optimizer == "adamw":
            change, slots = self._adamw, [self._slots, self._squares]
            rate = tf.stack([rate, self._step.assign_add(1.0)])
        updates = zip(self.model.trainable_variables, gradients, *slots, strict=True)
        for variable, gradient, *variable_slots in updates:
            self._strategy.extended.update(variable, change, args=(gradient, rate, *variable_slots))

    def _sgd(self, variable, gradient, rate, slot):
        gradient = gradient + self._settings.weight_decay * variable
        slot.assign(self._settings.momentum * slot + gradient)
        variable.assign_sub(rate * slot)

    def _adamw(self, variable, gradient, rate_and_step, slot, square):
        beta, (rate, step) = self._settings.momentum, tf.unstack(rate_and_step)
        slot.assign(beta * slot + (1 - beta) * gradient)
        square.assign(BETA * square + (1 - BETA) * gradient**2)
        scale = tf.sqrt(1 - BETA**step) / (1 - beta**step)
        adam_step = scale * slot / (tf.sqrt(square) + EPSILON)
        variable.assign_sub(rate * (adam_step + self._settings.weight_decay * variable))
