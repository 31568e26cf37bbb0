"""DP-SGD: clipped gradients of single examples, Gaussian noise, Poisson sampling.

Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, algorithm 1. Every example is in
a step with probability batch size / members, by a coin of its own, which is the sampling that
`metrics.accountant` counts; the noisy sum is divided by the batch size that is expected, so that
how many members there are tells nothing. Momentum, weight decay and the choice of an epoch on
examples that are no members are made of what is private already.

The noise comes from the study's seed, so that a training can be repeated: for an audit. A model
that is given away needs a seed that nobody knows.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import tensorflow as tf

from tf_compleak.models.trainer import Loss, Trainer


class PrivateTrainer(Trainer):
    """A trainer by DP-SGD, with `Optimization.privacy`.

    Layers answer as they do outside of training: batch normalization would mix examples, so it
    keeps mean 0 and variance 1, and only its scale and shift are trained; there is no dropout.
    """

    is_private: ClassVar[bool] = True

    def _batch(self, count: int) -> int:
        return expected_batch(self._settings.batch_size, self._settings.privacy.members)

    def _steps(self, count: int) -> int:
        return sampled(self._settings.batch_size, self._settings.privacy.members)[1]

    def _order(self, count: int, rng: np.random.Generator) -> np.ndarray:
        rate, _ = sampled(self._settings.batch_size, self._settings.privacy.members)
        drawn = [np.flatnonzero(rng.random(count) < rate) for _ in range(self._steps(count))]
        order = np.full((len(drawn), max(1, *map(len, drawn))), -1, np.int64)
        for rows, indices in zip(order, drawn, strict=True):
            rows[: len(indices)] = indices
        return order

    def _gradients(self, x, y, rows, seed):
        is_drawn = tf.cast(rows >= 0, tf.float32)  # [B]
        rows = tf.maximum(rows, 0)
        inputs = self._prepare(tf.gather(x, rows), seed)
        labels = tf.gather(y, rows)
        gradients, losses, logits = self._of_examples(inputs, labels)
        summed = clipped_sum(gradients, self._settings.privacy.norm, is_drawn)
        noisy = self._with_noise(summed, seed)
        mean = tf.math.divide_no_nan(tf.reduce_sum(losses * is_drawn), tf.reduce_sum(is_drawn))
        hits = tf.cast(self._hits(labels, logits), tf.float32) * is_drawn
        return mean, tf.reduce_sum(hits), noisy

    def _of_examples(self, inputs, labels):
        """As `per_example`."""
        return per_example(self.model, self._loss, inputs, labels)

    def _with_noise(self, summed: list[tf.Tensor], seed: tf.Tensor) -> list[tf.Tensor]:
        """The sums with noise, over the batch size that is expected."""
        privacy = self._settings.privacy
        deviation, batch = privacy.noise_multiplier * privacy.norm, self._batch(0)
        return [
            (gradient + deviation * tf.random.stateless_normal(gradient.shape, own_seed)) / batch
            for index, gradient in enumerate(summed)
            for own_seed in [tf.stack([seed[0] + 7919 * (index + 1), seed[1]])]
        ]


def expected_batch(batch_size: int, members: int) -> int:
    """How many examples a step of DP-SGD holds on average."""
    return min(batch_size, members)


def sampled(batch_size: int, members: int) -> tuple[float, int]:
    """How likely an example is in a step of DP-SGD, and how many steps an epoch has.

    Training draws by these and the accountant counts them.
    """
    batch = expected_batch(batch_size, members)
    return batch / members, members // batch


def per_example(
    model, loss: Loss, inputs: tf.Tensor, labels: tf.Tensor
) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
    """Gradients of every example's loss, each [B, ...], losses f32[B] and logits f32[B, C]."""

    def of_one(example):
        one, label = example
        with tf.GradientTape() as tape:
            logits = tf.cast(model(one[None], training=False), tf.float32)
            value = loss(label[None], logits)
        return tape.gradient(value, model.trainable_variables), value, logits[0]

    return tf.vectorized_map(of_one, (inputs, labels), warn=False)


def clipped_sum(gradients: list[tf.Tensor], norm: float, weights: tf.Tensor) -> list[tf.Tensor]:
    """The sum of gradients [B, ...] over examples, each of at most `norm` over all variables.

    Args:
      weights: f32[B], 1 for examples that count and 0 for others.
    """
    flat = [tf.reshape(gradient, [tf.shape(gradient)[0], -1]) for gradient in gradients]
    lengths = tf.sqrt(tf.add_n([tf.reduce_sum(part**2, axis=1) for part in flat]))
    factors = weights * tf.minimum(1.0, norm / tf.maximum(lengths, 1e-12))
    return [tf.tensordot(factors, gradient, axes=1) for gradient in gradients]
