"""A traced training loop: one graph per model, reused over data, seeds and families."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tf_compleak import _checks
from tf_compleak._keras import keras

Weights = list[np.ndarray]
Prepare = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
OPTIMIZERS = ("sgd", "adamw")
BETA, EPSILON = 0.999, 1e-7  # of Adam


@dataclass(frozen=True)
class Optimization:
    """SGD with momentum, coupled weight decay and a cosine schedule (CompLeak, section 6.1).

    Attributes:
      epochs, batch_size, learning_rate, momentum, weight_decay: as named; the learning rate is the
        first one, the last is near zero.
      cosine: False keeps the learning rate as it is.
      optimizer: "sgd", or "adamw" (Loshchilov & Hutter, ICLR 2019): Adam with the momentum as its
        first beta, 0.999 as its second, and decoupled weight decay.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    cosine: bool = True
    optimizer: str = "sgd"

    def __post_init__(self):
        _checks.at_least("epochs", self.epochs, 1)
        _checks.at_least("batch size", self.batch_size, 2)
        _checks.between("learning rate", self.learning_rate, 1e-12, 1e3)
        _checks.between("momentum", self.momentum, 0, 0.9999)
        _checks.between("weight decay", self.weight_decay, 0, 1)
        _checks.choice("optimizer", self.optimizer, OPTIMIZERS)

    def steps(self, examples: int) -> int:
        """Number of optimizer steps on that many examples; a last partial batch is left out."""
        return self.epochs * max(1, examples // self.batch_size)


@dataclass(frozen=True)
class Epoch:
    """What one epoch of training gave: 1-based index, mean loss, share of correct examples."""

    index: int
    loss: float
    accuracy: float


class Trainer:
    """A traced training epoch and a traced inference for one model of logits.

    `prepare` is applied to every training batch: (inputs, int32 seed [2]) -> inputs.
    """

    def __init__(
        self,
        model: keras.Model,
        optimization: Optimization,
        prepare: Prepare = lambda inputs, seed: inputs,
    ):
        self.model = model
        self._settings = optimization
        self._prepare = prepare
        self._slots = [tf.Variable(tf.zeros_like(v)) for v in model.trainable_variables]
        self._squares, self._step = [], tf.Variable(0.0)
        if optimization.optimizer == "adamw":
            self._squares = [tf.Variable(tf.zeros_like(v)) for v in model.trainable_variables]
        shape, self._dtype = model.input_shape[1:], model.inputs[0].dtype
        self._epoch = tf.function(
            self._run_epoch,
            input_signature=[
                tf.TensorSpec([None, *shape], self._dtype),
                tf.TensorSpec([None], tf.int64),
                tf.TensorSpec([None, None], tf.int64),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([2], tf.int32),
            ],
        )
        self._logits = tf.function(
            lambda x: model(x, training=False),
            input_signature=[tf.TensorSpec([None, *shape], self._dtype)],
        )

    def epochs(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Iterator[Epoch]:
        """Train on x [N, ...], y int[N] from the model's present weights; yields every epoch."""
        settings = self._settings
        for slot in (*self._slots, *self._squares, self._step):
            slot.assign(tf.zeros_like(slot))
        x, y = tf.constant(x, self._dtype), tf.constant(y, tf.int64)
        batch = min(settings.batch_size, len(x))
        steps = len(x) // batch
        progress = np.arange(settings.epochs * steps) / (settings.epochs * steps)
        schedule = 0.5 * (1 + np.cos(np.pi * progress)) if settings.cosine else 1 + 0 * progress
        rates = np.float32(settings.learning_rate * schedule)
        for index in range(settings.epochs):
            order = rng.permutation(len(x))[: steps * batch].reshape(steps, batch)
            seed = rng.integers(2**30, size=2, dtype=np.int32)
            loss, correct = self._epoch(x, y, order, rates[index * steps :][:steps], seed)
            yield Epoch(index + 1, float(loss) / steps, float(correct) / (steps * batch))

    def logits(self, x: np.ndarray, batch: int = 512) -> np.ndarray:
        """f32[N, C] outputs on x [N, ...], without dropout or augmentation."""
        parts = [self._logits(x[i : i + batch]).numpy() for i in range(0, len(x), batch)]
        return np.concatenate(parts)

    def _run_epoch(self, x, y, order, rates, seed):
        loss, correct = tf.constant(0.0), tf.constant(0.0)
        for step in tf.range(tf.shape(order)[0]):
            step_seed = tf.stack([seed[0], seed[1] + step])
            inputs = self._prepare(tf.gather(x, order[step]), step_seed)
            labels = tf.gather(y, order[step])
            with tf.GradientTape() as tape:
                logits = self.model(inputs, training=True)
                mean = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                )
            gradients = tape.gradient(mean, self.model.trainable_variables)
            self._apply(gradients, rates[step])
            loss += mean
            hits = tf.equal(tf.argmax(logits, axis=1), labels)
            correct += tf.reduce_sum(tf.cast(hits, tf.float32))
        return loss, correct

    def _apply(self, gradients, rate):
        if self._settings.optimizer == "adamw":
            self._apply_adamw(gradients, rate)
            return
        updates = zip(self.model.trainable_variables, self._slots, gradients, strict=True)
        for variable, slot, gradient in updates:
            gradient = tf.convert_to_tensor(gradient) + self._settings.weight_decay * variable
            slot.assign(self._settings.momentum * slot + gradient)
            variable.assign_sub(rate * slot)

    def _apply_adamw(self, gradients, rate):
        beta, decay = self._settings.momentum, self._settings.weight_decay
        step = self._step.assign_add(1.0)
        scale = tf.sqrt(1 - BETA**step) / (1 - beta**step)
        variables = self.model.trainable_variables
        updates = zip(variables, self._slots, self._squares, gradients, strict=True)
        for variable, slot, square, gradient in updates:
            gradient = tf.convert_to_tensor(gradient)
            slot.assign(beta * slot + (1 - beta) * gradient)
            square.assign(BETA * square + (1 - BETA) * gradient**2)
            moved = scale * slot / (tf.sqrt(square) + EPSILON) + decay * variable
            variable.assign_sub(rate * moved)
